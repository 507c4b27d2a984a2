//! Mail addresses.

use wide::u8x16;

/// RFC 5321, section 4.5.3.1.
const MAILBOX_BYTES_MAX: usize = 64;
const DOMAIN_BYTES_MAX: usize = 255;
/// RFC 1035, section 2.3.4.
const LABEL_BYTES_MAX: usize = 63;

/// The position of the `@`, where the value is a mail address and nothing else, written as nearly
/// all are: no quotes, no comments, a domain of two labels at least. Words of other scripts than
/// Latin may be in it (RFC 6531).
pub(crate) fn sign_of_email(value: &[u8]) -> Option<usize> {
    sign_of_plain(value).or_else(|| sign_by_parts(value))
}

fn sign_by_parts(value: &[u8]) -> Option<usize> {
    let sign = value.iter().position(|byte| *byte == b'@')?;
    let (mailbox, domain) = (value.get(..sign), value.get(sign + 1..));
    let is_email = is_mailbox(mailbox.unwrap_or_default())
        && is_domain(domain.unwrap_or_default())
        && (value.is_ascii() || str::from_utf8(value).is_ok_and(is_of_words));
    is_email.then_some(sign)
}

/// The same for most addresses, in the time that a column of them may take: short ones of letters,
/// digits and a few marks, by what stands where. `None` says nothing.
fn sign_of_plain(value: &[u8]) -> Option<usize> {
    let Sorts { letters, digits, dots, hyphens, marks, signs } = Sorts::of(value)?;
    if signs.count_ones() != 1 {
        return None;
    }
    let mailbox = signs - 1;
    let domain = !(mailbox | signs) & (u64::MAX >> (u64::BITS as usize - value.len()));
    let (words, dots) = (letters | digits, dots & domain);
    // A label begins behind the sign or a dot, and ends before a dot or with the value.
    let begins = (signs | dots) << 1;
    let ends = dots >> 1 | 1 << (value.len() - 1);
    let top = domain & !(u64::MAX >> dots.leading_zeros().min(u64::BITS - 1));
    let inner = words | hyphens;
    let is_plain = mailbox != 0
        && dots != 0
        && mailbox & !(inner | marks) == 0
        && domain & !(inner | dots) == 0
        && (begins | ends) & !words == 0
        && top & !letters == 0
        && top.count_ones() >= 2;
    is_plain.then(|| signs.trailing_zeros() as usize)
}

/// Where bytes of each sort stand in a value: bit i for byte i.
#[derive(Default)]
struct Sorts {
    letters: u64,
    digits: u64,
    dots: u64,
    hyphens: u64,
    /// What stands in mailboxes beside these, dots among them.
    marks: u64,
    signs: u64,
}

impl Sorts {
    /// `None` for what is empty, longer than 64 bytes, or no ASCII.
    fn of(value: &[u8]) -> Option<Sorts> {
        if value.is_empty() || value.len() > u64::BITS as usize {
            return None;
        }
        let mut sorts = Sorts::default();
        let (parts, rest) = value.as_chunks::<PART_BYTES>();
        for (number, part) in parts.iter().enumerate() {
            sorts.add(*part, |bits| bits << (PART_BYTES * number))?;
        }
        let before = value.len() - rest.len();
        match value.last_chunk::<PART_BYTES>() {
            _ if rest.is_empty() => {}
            // Some of it has been looked at.
            Some(last) => sorts.add(*last, |bits| bits >> (PART_BYTES - rest.len()) << before)?,
            None => {
                let mut part = [0; PART_BYTES];
                part.iter_mut().zip(rest).for_each(|(place, byte)| *place = *byte);
                sorts.add(part, |bits| bits)?;
            }
        }
        Some(sorts)
    }

    #[inline(always)] // Once or twice for each address of a column.
    fn add(&mut self, part: [u8; PART_BYTES], place: impl Fn(u64) -> u64) -> Option<()> {
        let bytes = u8x16::new(part);
        if bytes.to_bitmask() != 0 {
            return None;
        }
        let is = |byte: u8| bytes.simd_eq(u8x16::splat(byte));
        let within = |bytes: u8x16, first: u8, last: u8| {
            (bytes - u8x16::splat(first)).simd_le(u8x16::splat(last - first))
        };
        let put = |bits: &mut u64, sort: u8x16| *bits |= place(u64::from(sort.to_bitmask()));
        put(&mut self.letters, within(bytes | u8x16::splat(0x20), b'a', b'z'));
        put(&mut self.digits, within(bytes, b'0', b'9'));
        put(&mut self.dots, is(b'.'));
        put(&mut self.hyphens, is(b'-'));
        put(&mut self.marks, is(b'.') | is(b'_') | is(b'+'));
        put(&mut self.signs, is(b'@'));
        Some(())
    }
}

const PART_BYTES: usize = 16;

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
            assert_eq!(sign_of_email(address.as_bytes()), address.find('@'), "{address}");
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
            assert_eq!(sign_of_email(other.as_bytes()), None, "{other}");
        }
        assert_eq!(sign_of_email(b"j\xf6rg@example.com"), None, "it is no UTF-8");
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(20_000))]

        /// The short way says nothing that the long one does not.
        #[test]
        fn what_is_plain_is_an_address(
            value in concat!(
                "[az09.@_+xn-]{0,10}[a-zA-Z0-9.@_+\\-/ é]{0,60}",
                "@[a-z0-9.-]{0,12}\\.[a-z.9]{0,4}",
            ),
        ) {
            let value = value.as_bytes();
            if let Some(sign) = sign_of_plain(value) {
                proptest::prop_assert_eq!(sign_by_parts(value), Some(sign));
            }
        }

        #[test]
        fn a_plain_address_is_plain(
            value in concat!(
                "[a-z0-9][a-zA-Z0-9._+-]{0,30}",
                "@[a-z0-9]{1,10}(\\.[a-z0-9]{1,5}){0,2}\\.[a-z]{2,6}",
            ),
        ) {
            proptest::prop_assert_eq!(sign_of_plain(value.as_bytes()), value.find('@'));
        }
    }
}
