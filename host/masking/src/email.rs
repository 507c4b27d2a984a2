//! Mail addresses.

/// RFC 5321, section 4.5.3.1.
const MAILBOX_BYTES_MAX: usize = 64;
const DOMAIN_BYTES_MAX: usize = 255;
/// RFC 1035, section 2.3.4.
const LABEL_BYTES_MAX: usize = 63;

/// Whether a value is a mail address and nothing else, written as nearly all are: no quotes, no
/// comments, a domain of two labels at least. Words of other scripts than Latin may be in it
/// (RFC 6531).
pub(crate) fn is_email(value: &[u8]) -> bool {
    let Some(sign) = value.iter().position(|byte| *byte == b'@') else { return false };
    let (mailbox, domain) = (value.get(..sign), value.get(sign + 1..));
    is_mailbox(mailbox.unwrap_or_default())
        && is_domain(domain.unwrap_or_default())
        && (value.is_ascii() || str::from_utf8(value).is_ok_and(is_of_words))
}

/// Whether all that is no ASCII is a letter or a digit.
fn is_of_words(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii() || c.is_alphanumeric())
}

fn is_mailbox(mailbox: &[u8]) -> bool {
    (1..=MAILBOX_BYTES_MAX).contains(&mailbox.len()) && are_all(ATOM, mailbox)
}

fn is_domain(domain: &[u8]) -> bool {
    let Some(dot) = domain.iter().rposition(|byte| *byte == b'.') else { return false };
    let (below, top) = (domain.get(..dot), domain.get(dot + 1..));
    is_top(top.unwrap_or_default())
        && below.unwrap_or_default().split(|byte| *byte == b'.').all(is_label)
        && domain.len() <= DOMAIN_BYTES_MAX
}

fn is_top(top: &[u8]) -> bool {
    top.len() >= 2 && is_label(top) && (are_all(LETTER, top) || top.starts_with(b"xn--"))
}

fn is_label(label: &[u8]) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && are_all(INNER, label)
        && label.first() != Some(&b'-')
        && label.last() != Some(&b'-')
}

fn are_all(class: u8, bytes: &[u8]) -> bool {
    // No way out before the end: there is seldom one.
    bytes.iter().fold(class, |all, byte| all & CLASSES[*byte as usize]) != 0
}

/// Of a mailbox.
const ATOM: u8 = 1;
/// Of a domain's label.
const INNER: u8 = 2;
/// A letter; bytes of other characters than ASCII's are taken for one.
const LETTER: u8 = 4;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let is_letter = byte >= 0x80 || (byte as u8).is_ascii_alphabetic();
        classes[byte] = match byte as u8 {
            _ if is_letter => ATOM | INNER | LETTER,
            b'0'..=b'9' | b'-' => ATOM | INNER,
            b'.' | b'_' | b'+' | b'\'' | b'%' | b'!' | b'#' | b'$' | b'&' | b'*' | b'/' | b'='
            | b'?' | b'^' | b'`' | b'{' | b'|' | b'}' | b'~' => ATOM,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

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
