//! Mail addresses.

/// RFC 5321, section 4.5.3.1.
const MAILBOX_BYTES_MAX: usize = 64;
const DOMAIN_BYTES_MAX: usize = 255;
/// RFC 1035, section 2.3.4.
const LABEL_BYTES_MAX: usize = 63;

/// Whether a value is a mail address and nothing else, written as nearly all are: no quotes, no
/// comments, a domain of two labels at least. Other scripts than Latin may be in it (RFC 6531).
pub(crate) fn is_email(value: &[u8]) -> bool {
    let Some(sign) = value.iter().position(|byte| *byte == b'@') else { return false };
    let (mailbox, domain) = (value.get(..sign), value.get(sign + 1..));
    is_mailbox(mailbox.unwrap_or_default()) && is_domain(domain.unwrap_or_default())
}

fn is_mailbox(mailbox: &[u8]) -> bool {
    let is_atom = |byte: &u8| {
        byte.is_ascii_alphanumeric() || *byte >= 0x80 || b".-_+'%!#$&*/=?^`{|}~".contains(byte)
    };
    (1..=MAILBOX_BYTES_MAX).contains(&mailbox.len()) && mailbox.iter().all(is_atom)
}

fn is_domain(domain: &[u8]) -> bool {
    let mut labels = domain.rsplit(|byte| *byte == b'.');
    let is_letter = |byte: &u8| byte.is_ascii_alphabetic() || *byte >= 0x80;
    let is_top = |top: &[u8]| {
        top.len() >= 2 && is_label(top) && (top.iter().all(is_letter) || top.starts_with(b"xn--"))
    };
    let has_top = labels.next().is_some_and(is_top);
    let mut below = labels.peekable();
    has_top && below.peek().is_some() && below.all(is_label) && domain.len() <= DOMAIN_BYTES_MAX
}

fn is_label(label: &[u8]) -> bool {
    let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || *byte >= 0x80 || *byte == b'-';
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.iter().all(is_inner)
        && label.first() != Some(&b'-')
        && label.last() != Some(&b'-')
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
            &format!("{}@example.com", long(65)),
            &format!("a@{}.com", long(64)),
            &format!("a@{}com", "a.".repeat(127)),
        ] {
            assert!(!is_email(other.as_bytes()), "{other}");
        }
    }
}
