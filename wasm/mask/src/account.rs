//! Numbers of accounts, each known by its check digits: payment cards and IBANs.
use crate::find::Scan;

const LONGEST_CARD: usize = 19;
const LONGEST_IBAN: usize = 34;

/// 13 to 19 digits of an issuer that there is, in one piece or in groups as on the card.
pub fn card(scan: &Scan<'_>, at: usize) -> Option<(usize, usize)> {
    if matches!(scan.before(at), b'.' | b',' | b'-' | b'+' | b'/' | b':')
        && at >= 2
        && scan.text[at - 2].is_ascii_digit()
    {
        return None;
    }
    let mut digits = [0u8; LONGEST_CARD];
    let mut groups = [0usize; LONGEST_CARD];
    let (mut count, mut group, mut separator, mut end) = (0, 0, 0u8, at);
    // The longest stretch that is a card: what follows after a blank may be another number.
    let mut found = None;
    loop {
        let byte = scan.byte(end);
        if byte.is_ascii_digit() {
            if count == LONGEST_CARD {
                break;
            }
            digits[count] = byte - b'0';
            count += 1;
            groups[group] += 1;
            end += 1;
            if !scan.byte(end).is_ascii_digit()
                && !scan.goes_on_unless(end, separator)
                && fits(&digits[..count], &groups[..=group])
            {
                found = Some((at, end));
            }
        } else if matches!(byte, b' ' | b'-')
            && (separator == 0 || separator == byte)
            && scan.byte(end + 1).is_ascii_digit()
            && group + 1 < LONGEST_CARD
        {
            separator = byte;
            group += 1;
            end += 1;
        } else {
            break;
        }
    }
    found
}

impl Scan<'_> {
    /// A group that ends where the number's own separator follows ends there well enough.
    fn goes_on_unless(&self, end: usize, separator: u8) -> bool {
        !(separator != 0 && self.byte(end) == separator) && self.goes_on(end)
    }
}

fn fits(digits: &[u8], groups: &[usize]) -> bool {
    let grouped = match groups {
        [_] | [4, 6, 4 | 5] => true,
        [first @ .., last] => first.iter().all(|group| *group == 4) && *last <= 4,
        [] => false,
    };
    let start = digits
        .iter()
        .take(4)
        .fold(0u16, |start, digit| start * 10 + u16::from(*digit));
    let issued = match start {
        3400..=3499 | 3700..=3799 => digits.len() == 15,
        3000..=3099 | 3600..=3699 | 3800..=3999 => digits.len() >= 14,
        3528..=3589 | 2221..=2720 | 5100..=5599 => digits.len() == 16,
        4000..=4999 => matches!(digits.len(), 13 | 16 | 19),
        5000..=5099 | 5600..=6999 => digits.len() >= 13,
        _ => false,
    };
    grouped && issued && luhn(digits)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .fold(0, |sum, (place, digit)| {
            let weighed = u32::from(*digit) << (place % 2);
            sum + if weighed > 9 { weighed - 9 } else { weighed }
        });
    sum.is_multiple_of(10)
}

/// How long the IBANs of a country are (the registry of ISO 13616).
const IBAN_LENGTHS: [(&[u8], usize); 20] = [
    (b"NO", 15),
    (b"BE BI", 16),
    (b"DK FI FK FO GL NL SD", 18),
    (b"MK SI", 19),
    (b"AT BA EE KZ LT LU XK", 20),
    (b"CH HR LI LV", 21),
    (b"BG BH CR DE GB GE IE ME RS", 22),
    (b"AE GI IL IQ OM SO TL", 23),
    (b"AD CZ ES MD PK RO SA SE SK TN VG", 24),
    (b"LY PT ST", 25),
    (b"IS TR", 26),
    (b"BF FR GR IT MC MR SM DJ", 27),
    (b"AL AZ BY CI CY DO GT HN HU LB PL SV NI SN", 28),
    (b"BR EG PS QA UA", 29),
    (b"JO KW MU YE", 30),
    (b"MT SC", 31),
    (b"LC", 32),
    (b"RU", 33),
    (b"MN", 20),
    (
        b"CM CG CF GA GQ TD KM MG ML BJ TG NE GW MZ CV AO MA DZ IR",
        0,
    ),
];

/// Countries of the last row have no length in the registry, or had several.
fn iban_bytes(country: [u8; 2]) -> Option<usize> {
    IBAN_LENGTHS
        .iter()
        .find(|(countries, _)| {
            countries
                .split(|byte| *byte == b' ')
                .any(|known| *known == country)
        })
        .map(|(_, bytes)| *bytes)
}

/// In one piece, or in groups with blanks between them.
pub fn iban(scan: &Scan<'_>, at: usize) -> Option<(usize, usize)> {
    // Few words have digits here, and looking up a country takes longer.
    if !scan.byte(at + 2).is_ascii_digit() || !scan.byte(at + 3).is_ascii_digit() {
        return None;
    }
    let country = [
        scan.byte(at).to_ascii_uppercase(),
        scan.byte(at + 1).to_ascii_uppercase(),
    ];
    let bytes = iban_bytes(country)?;
    let mut all = [0u8; LONGEST_IBAN];
    let (mut count, mut end) = (0, at);
    while count < if bytes == 0 { LONGEST_IBAN } else { bytes } {
        let byte = scan.byte(end);
        if byte.is_ascii_alphanumeric() {
            all[count] = byte.to_ascii_uppercase();
            count += 1;
            end += 1;
        } else if matches!(byte, b' ' | b'-')
            && count >= 4
            && scan.byte(end + 1).is_ascii_alphanumeric()
        {
            end += 1;
        } else {
            break;
        }
    }
    let enough = if bytes == 0 {
        count >= 15
    } else {
        count == bytes
    };
    let fits = enough && !Scan::in_word(scan.byte(end)) && rest_by_97(&all[..count]) == 1;
    fits.then_some((at, end))
}

/// Of the number that it is, with its first four moved to the end and letters counted from 10.
fn rest_by_97(iban: &[u8]) -> u32 {
    iban[4..]
        .iter()
        .chain(&iban[..4])
        .fold(0, |rest, byte| match byte {
            b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
            _ => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
        })
}
