//! Mail addresses.

/// RFC 5321, section 4.5.3.1.
const MAILBOX_BYTES_MAX: usize = 64;
const DOMAIN_BYTES_MAX: usize = 255;
/// RFC 1035, section 2.3.4.
const LABEL_BYTES_MAX: usize = 63;

/// Whether a value is a mail address and nothing else, written as nearly all are: no quotes, no
/// comments, a domain of two labels at least. Other scripts than Latin may be in it (RFC 6531).
pub(crate) fn is_email(value: &[u8]) -> bool {
    let Ok(value) = str::from_utf8(value) else { return false };
    value.split_once('@').is_some_and(|(mailbox, domain)| is_mailbox(mailbox) && is_domain(domain))
}

fn is_mailbox(mailbox: &str) -> bool {
    let is_atom = |c: char| c.is_alphanumeric() || ".-_+'%!#$&*/=?^`{|}~".contains(c);
    (1..=MAILBOX_BYTES_MAX).contains(&mailbox.len()) && mailbox.chars().all(is_atom)
}

fn is_domain(domain: &str) -> bool {
    let mut labels = domain.rsplit('.');
    let is_top = |top: &str| {
        let is_word = top.chars().all(char::is_alphabetic) || top.starts_with("xn--");
        top.len() >= 2 && is_label(top) && is_word
    };
    let has_top = labels.next().is_some_and(is_top);
    let mut below = labels.peekable();
    has_top && below.peek().is_some() && below.all(is_label) && domain.len() <= DOMAIN_BYTES_MAX
}

fn is_label(label: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.chars().all(|c| c.is_alphanumeric() || c == '-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_nothing_else() {
        let long = |count: usize| "a".repeat(count);
        for address in [
            "anna@example.com",
            "a.b+c_d%e-f'g@mail.example.co.uk",
            "o'neil@x-y.org",
            "1@2.de",
            "jörg@bücher.example",
            "x@xn--bcher-kva.example",
            "x@example.xn--p1ai",
            "x@пример.рф",
            "a/b=c@example.com",
            &format!("{}@{}.com", long(64), long(63)),
        ] {
            assert!(is_email(address.as_bytes()), "{address}");
        }
        for other in [
            "",
            "@",
            "anna",
            "anna@",
            "@example.com",
            "anna@example",
            "anna@example.c",
            "anna@example.c0m",
            "anna@.com",
            "anna@example..com",
            "anna@example.com.",
            "anna@-example.com",
            "anna@example-.com",
            "anna@exa_mple.com",
            "anna@@example.com",
            "anna@example.com, bert@example.com",
            "Anna <anna@example.com>",
            "anna@example.com ",
            "an na@example.com",
            "anna@example.com:22",
            "\"anna\"@example.com",
            "anna@[192.0.2.1]",
            "anna@192.0.2.1",
            "anna@example.com\u{a0}and more",
            "anna@example.c\u{200b}om",
            "anna\u{2019}s@example.com",
            &format!("{}@example.com", long(65)),
            &format!("a@{}.com", long(64)),
            &format!("a@{}com", "a.".repeat(127)),
        ] {
            assert!(!is_email(other.as_bytes()), "{other}");
        }
        assert!(!is_email(b"j\xf6rg@example.com"), "it is no UTF-8");
    }
}
