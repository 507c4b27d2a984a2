//! What a column's name says it holds.

use crate::kind::Kind;

/// Names that mean one thing, alone or behind a qualifier ("billing_email").
const NAMES: [(Kind, &[&str]); 7] = [
    (
        Kind::Email,
        &[
            "email",
            "e_mail",
            "mail",
            "emailaddress",
            "email_address",
            "mail_address",
            "emails",
            "email_addr",
        ],
    ),
    (
        Kind::Phone,
        &[
            "phone",
            "phone_number",
            "phonenumber",
            "phone_no",
            "phones",
            "mobile",
            "mobile_number",
            "mobile_phone",
            "cell_phone",
            "cellphone",
            "telephone",
            "telephone_number",
            "tel",
            "msisdn",
            "fax",
            "fax_number",
            "telefon",
            "handy",
        ],
    ),
    (
        Kind::Card,
        &[
            "card_number",
            "cardnumber",
            "card_no",
            "credit_card",
            "creditcard",
            "credit_card_number",
            "cc_number",
            "ccnumber",
            "pan",
        ],
    ),
    (Kind::Iban, &["iban", "iban_number"]),
    (
        Kind::NationalId,
        &[
            "ssn",
            "social_security_number",
            "national_id",
            "nationalid",
            "nino",
            "tax_id",
            "taxid",
            "nhs_number",
            "passport",
            "passport_number",
            "passport_no",
            "steuer_id",
            "bsn",
            "pesel",
            "cpf",
            "aadhaar",
            "curp",
            "codice_fiscale",
            "personnummer",
            "drivers_license",
            "driver_license_number",
        ],
    ),
    (
        Kind::Ip,
        &[
            "ip",
            "ip_address",
            "ipaddress",
            "ip_addr",
            "client_ip",
            "remote_ip",
            "remote_addr",
            "last_login_ip",
        ],
    ),
    (
        Kind::Secret,
        &[
            "password",
            "passwd",
            "passwort",
            "pwd",
            "password_hash",
            "passwordhash",
            "password_digest",
            "hashed_password",
            "encrypted_password",
            "passphrase",
            "secret",
            "secret_key",
            "client_secret",
            "secret_token",
            "token",
            "access_token",
            "refresh_token",
            "auth_token",
            "api_token",
            "session_token",
            "reset_token",
            "reset_password_token",
            "csrf_token",
            "id_token",
            "bearer_token",
            "api_key",
            "apikey",
            "api_secret",
            "private_key",
            "privatekey",
            "access_key",
            "encryption_key",
            "otp_secret",
            "totp_secret",
            "cvv",
            "cvc",
            "cvv2",
            "pin_code",
            "recovery_codes",
            "salt",
            "password_salt",
        ],
    ),
];

/// Qualifiers that make the name behind them say something about a thing, not hold it.
const ABOUT: [&str; 7] = ["has", "is", "num", "count", "verified", "no", "needs"];

/// The kind of data that a column of this name holds. The last words count: `email_verified`
/// and `token_count` are about an address and tokens, and hold neither.
pub(crate) fn kind_of_name(name: &str) -> Option<Kind> {
    let snake = snake_case(name);
    let holds = |listed: &&str| match snake.strip_suffix(*listed) {
        Some("") => true,
        // A short name behind a qualifier is often another word ("hotel", "time_span").
        Some(before) => {
            let qualifier = before.strip_suffix('_');
            listed.len() > 3
                && qualifier
                    .is_some_and(|words| !words.split('_').any(|word| ABOUT.contains(&word)))
        }
        None => false,
    };
    NAMES.iter().find(|(_, names)| names.iter().any(holds)).map(|(kind, _)| *kind)
}

/// "userEmail", "User-Email" and "user email" are all "user_email".
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    let mut before_is_lower = false;
    for c in name.chars() {
        if c.is_uppercase() && before_is_lower {
            snake.push('_');
        }
        before_is_lower = c.is_lowercase() || c.is_ascii_digit();
        if c.is_alphanumeric() { snake.extend(c.to_lowercase()) } else { snake.push('_') }
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_they_hold() {
        let check = |name: &str, expected: Option<Kind>| {
            assert_eq!(kind_of_name(name), expected, "{name}");
        };
        for name in
            ["email", "E-Mail", "userEmail", "billing_email", "email_address", "contactMail"]
        {
            check(name, Some(Kind::Email));
        }
        for name in ["phone", "home_phone", "mobile", "tel", "PhoneNumber", "work_phone_number"] {
            check(name, Some(Kind::Phone));
        }
        for name in [
            "password",
            "user_password",
            "passwd",
            "api_key",
            "stripe_api_key",
            "token",
            "accessToken",
        ] {
            check(name, Some(Kind::Secret));
        }
        check("ssn", Some(Kind::NationalId));
        check("customer_iban", Some(Kind::Iban));
        check("pan", Some(Kind::Card));
        check("card_number", Some(Kind::Card));
        check("client_ip", Some(Kind::Ip));
        for name in [
            "email_verified",
            "token_count",
            "phone_type",
            "has_password",
            "is_mobile",
            "email_count",
            "hotel",
            "japan",
            "timespan",
            "trip",
            "id",
            "name",
            "secretary",
            "mailbox_size",
            "num_phone",
            "password_changed_at",
            "ship",
            "lifespan",
            "tokens_used",
            "total",
            "description",
            "order_no",
        ] {
            check(name, None);
        }
    }
}
