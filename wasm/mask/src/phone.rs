//! Phone numbers, which have no check digits: what they look like must tell them from dates, decimals and addresses.
use crate::find::Scan;

const MOST_GROUPS: usize = 8;

/// Groups of digits, and what stands between them.
struct Groups {
    count: usize,
    digits: [usize; MOST_GROUPS],
    ends: [usize; MOST_GROUPS],
    /// Before each group.
    separators: [u8; MOST_GROUPS],
}

/// From a digit on. One blank, `-`, `.` or `/` may stand between groups, and a group in parentheses.
fn groups(scan: &Scan<'_>, from: usize, in_parentheses: bool) -> Groups {
    let mut found = Groups {
        count: 0,
        digits: [0; MOST_GROUPS],
        ends: [0; MOST_GROUPS],
        separators: [0; MOST_GROUPS],
    };
    let (mut at, mut separator, mut opened) = (from, 0, in_parentheses);
    while found.count < MOST_GROUPS {
        let mut end = at;
        while scan.byte(end).is_ascii_digit() && end - at < 16 {
            end += 1;
        }
        if end == at {
            break;
        }
        let digits = end - at;
        if opened {
            if scan.byte(end) != b')' {
                break;
            }
            end += 1;
            opened = false;
        }
        found.digits[found.count] = digits;
        found.ends[found.count] = end;
        found.separators[found.count] = separator;
        found.count += 1;
        separator = scan.byte(end);
        at = end;
        match separator {
            b' ' | b'-' | b'.' | b'/' => {
                at += 1;
                if scan.byte(at) == b'(' {
                    at += 1;
                    opened = true;
                }
            }
            b'(' => {
                at += 1;
                opened = true;
            }
            // Right behind a group in parentheses.
            b'0'..=b'9' if scan.byte(end - 1) == b')' => separator = b')',
            _ => break,
        }
    }
    found
}

pub fn phone(scan: &Scan<'_>, at: usize) -> Option<(usize, usize)> {
    let before = scan.before(at);
    if matches!(before, b'.' | b'-' | b'+' | b'/' | b'#' | b'$' | b'%')
        || (matches!(before, b',' | b':') && at >= 2 && scan.text[at - 2].is_ascii_digit())
    {
        return None;
    }
    if scan.byte(at) == b'+' {
        let first = at + 1 + usize::from(scan.byte(at + 1) == b' ');
        return matches!(scan.byte(first), b'1'..=b'9')
            .then(|| international(scan, at, &groups(scan, first, false)))
            .flatten();
    }
    let in_parentheses = scan.byte(at) == b'(';
    let first = at + usize::from(in_parentheses);
    let groups = groups(scan, first, in_parentheses);
    if groups.count == 0 {
        return None;
    }
    if !in_parentheses
        && scan.byte(at) == b'0'
        && scan.byte(at + 1) == b'0'
        && matches!(scan.byte(at + 2), b'1'..=b'9')
    {
        // In one piece, a number that starts with 00 is more often something else.
        return (groups.count > 1)
            .then(|| international(scan, at, &groups))
            .flatten();
    }
    north_american(scan, at, first, &groups).or_else(|| national(scan, at, first, &groups))
}

impl Groups {
    /// The end of as many groups as have at least `least` digits together and at most `most`, provided the number ends there.
    fn whole(&self, scan: &Scan<'_>, least: usize, most: usize) -> Option<(usize, usize)> {
        let mut digits = 0;
        let mut found = None;
        for place in 0..self.count {
            digits += self.digits[place];
            if digits > most {
                break;
            }
            if digits >= least && !scan.in_the_middle(self.ends[place]) {
                found = Some((place + 1, self.ends[place]));
            }
        }
        found
    }

    fn all_separated_by(&self, count: usize, separator: u8) -> bool {
        self.separators[1..count]
            .iter()
            .all(|found| *found == separator)
    }
}

impl Scan<'_> {
    fn in_the_middle(&self, end: usize) -> bool {
        // A blank before the next number is a fair end, a `-` or `.` is not.
        self.byte(end) != b' ' && self.goes_on(end)
    }
}

fn international(scan: &Scan<'_>, at: usize, groups: &Groups) -> Option<(usize, usize)> {
    let (count, end) = groups.whole(scan, 8, 15)?;
    // One dot makes it a decimal.
    if count == 2 && groups.separators[1] == b'.' {
        return None;
    }
    Some((at, end))
}

/// (202) 555-0143, 202-555-0143, 202.555.0143, 202 555 0143, each with a 1 before it or not.
fn north_american(
    scan: &Scan<'_>,
    at: usize,
    first: usize,
    groups: &Groups,
) -> Option<(usize, usize)> {
    let skip = usize::from(groups.digits[0] == 1 && scan.byte(first) == b'1' && groups.count > 3);
    if groups.count < skip + 3 || groups.digits[skip..skip + 3] != [3, 3, 4] {
        return None;
    }
    let end = groups.ends[skip + 2];
    let starts = |place: usize| {
        // Where a group starts: behind the one before, over what is no digit.
        let from = if place == 0 {
            first
        } else {
            groups.ends[place - 1]
        };
        scan.text[from..]
            .iter()
            .find(|byte| byte.is_ascii_digit())
            .copied()
            .unwrap_or(0)
    };
    let fits = matches!(starts(skip), b'2'..=b'9')
        && matches!(starts(skip + 1), b'2'..=b'9')
        && !scan.in_the_middle(end);
    fits.then_some((at, end))
}

/// With the 0 that stands before an area code where it is dialled from within the country.
fn national(scan: &Scan<'_>, at: usize, first: usize, groups: &Groups) -> Option<(usize, usize)> {
    if scan.byte(first) != b'0' || !matches!(scan.byte(first + 1), b'1'..=b'9') {
        return None;
    }
    if groups.count == 1 {
        let end = groups.ends[0];
        return (matches!(groups.digits[0], 10 | 11) && !scan.in_the_middle(end))
            .then_some((at, end));
    }
    let date = groups.count >= 3
        && groups.digits[0] <= 2
        && groups.digits[1] <= 2
        && matches!(groups.digits[2], 2 | 4)
        && matches!(groups.separators[1], b'.' | b'-' | b'/')
        && groups.separators[1] == groups.separators[2];
    let pairs = groups.count >= 5 && groups.digits[..5] == [2; 5];
    if pairs && (groups.all_separated_by(5, groups.separators[1])) {
        return (!scan.in_the_middle(groups.ends[4])).then_some((at, groups.ends[4]));
    }
    let (count, end) = groups.whole(scan, 9, 12)?;
    let dotted = groups.separators[1..count].contains(&b'.');
    (count > 1 && !date && !dotted).then_some((at, end))
}
