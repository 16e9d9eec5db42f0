//! The forms that a text takes in the messages of others: quoted, escaped, encoded, broken into lines.

/// The characters of a value, with one blank for white space of any length.
pub(super) fn one_blank(value: &str) -> Vec<char> {
    let mut chars: Vec<char> = Vec::new();
    for c in value.chars() {
        match c.is_whitespace() {
            true if chars.last() == Some(&' ') => {}
            true => chars.push(' '),
            false => chars.push(c),
        }
    }
    chars
}

/// Where the value ends that stands at `at` in some form; `None` where it does not stand there. Each character may have a
/// form of its own.
pub(super) fn end_of(text: &str, at: usize, value: &[char]) -> Option<usize> {
    if !may_begin(&text[at..], *value.first()?) {
        return None;
    }
    // Some forms are the beginnings of others, so all are followed.
    let (mut ends, mut next) = (vec![at], Vec::new());
    for c in value {
        for end in &ends {
            forms(&text[*end..], *c, |length| next.push(end + length));
        }
        if next.is_empty() {
            return None;
        }
        next.sort_unstable();
        next.dedup();
        std::mem::swap(&mut ends, &mut next);
        next.clear();
    }
    ends.last().copied()
}

/// Whether some form of a character may stand at the beginning: said at once of nearly every place of a long text.
fn may_begin(text: &str, wanted: char) -> bool {
    let first = text.as_bytes().first().copied().unwrap_or_default();
    let is_escape = matches!(first, b'\\' | b'%');
    match (first.is_ascii(), wanted.is_ascii()) {
        _ if is_escape || wanted == ' ' => true,
        (true, true) => first.eq_ignore_ascii_case(&(wanted as u8)),
        // Letters such as the sign of Kelvin have a small form in ASCII.
        _ => text.chars().next().is_some_and(|first| same(first, wanted)),
    }
}

/// Gives the length of each form of `wanted` at the beginning of the text.
fn forms(text: &str, wanted: char, mut found: impl FnMut(usize)) {
    if wanted == ' ' {
        let length = white_space(text);
        if length > 0 {
            found(length);
        }
        return;
    }
    let Some(first) = text.chars().next() else { return };
    if same(first, wanted) {
        found(first.len_utf8());
        // A quote is doubled in SQL and CSV.
        if "'\"`".contains(wanted) && text[1..].starts_with(wanted) {
            found(2);
        }
    }
    match first {
        '\\' => {
            let slashes = text.bytes().take_while(|byte| *byte == b'\\').count();
            if wanted == '\\' {
                (2..=slashes).for_each(&mut found);
            }
            let rest = &text[slashes..];
            if let Some(c) = rest.chars().next().filter(|c| same(*c, wanted)) {
                found(slashes + c.len_utf8());
            }
            if let Some((c, length)) = escape(rest)
                && same(c, wanted)
            {
                found(slashes + length);
            }
            if let Some(length) = bytes(text, wanted, |text| {
                let slashes = text.bytes().take_while(|byte| *byte == b'\\').count();
                let digits = text[slashes..].strip_prefix('x').filter(|_| slashes > 0)?;
                Some((hex(digits.get(..2)?)?, slashes + 3))
            }) {
                found(length);
            }
        }
        '%' => {
            let encoded = bytes(text, wanted, |text| {
                let mut digits = text.strip_prefix('%')?;
                // Encoded once more.
                while let Some(rest) = digits
                    .strip_prefix("25")
                    .filter(|rest| rest.get(..2).and_then(hex).is_some())
                {
                    digits = rest;
                }
                let length = text.len() - digits.len() + 2;
                Some((hex(digits.get(..2)?)?, length))
            });
            if let Some(length) = encoded {
                found(length);
            }
        }
        _ => {}
    }
}

/// The length of white space, as it is or escaped.
fn white_space(text: &str) -> usize {
    const ESCAPES: [&str; 16] = [
        "\\n", "\\r", "\\t", "\\u000a", "\\u000d", "\\u0009", "\\u{a}", "\\u{d}", "\\u{9}", "\\x0a", "%20",
        "%0a", "%0d", "%09", "%2520", "+",
    ];
    let mut length = 0;
    loop {
        let rest = &text[length..];
        let plain = rest
            .chars()
            .next()
            .filter(|c| c.is_whitespace())
            .map(char::len_utf8);
        let escaped = || {
            // An escape may be escaped again.
            let slashes = rest
                .bytes()
                .take_while(|byte| *byte == b'\\')
                .count()
                .saturating_sub(1);
            let rest = &rest[slashes..];
            let starts = |escape: &&&str| {
                rest.get(..escape.len())
                    .is_some_and(|of| of.eq_ignore_ascii_case(escape))
            };
            ESCAPES.iter().find(starts).map(|escape| slashes + escape.len())
        };
        match plain.or_else(escaped) {
            Some(more) => length += more,
            None => return length,
        }
    }
}

/// The character that `u{…}` or `u…` of four digits stands for, and the length of that.
fn escape(text: &str) -> Option<(char, usize)> {
    let digits = text.strip_prefix('u')?;
    if let Some(digits) = digits.strip_prefix('{') {
        let end = digits.find('}')?;
        let c = char::from_u32(u32::from_str_radix(&digits[..end], 16).ok()?)?;
        return Some((c, end + 3));
    }
    let unit = |digits: &str| u32::from_str_radix(digits.get(..4)?, 16).ok();
    let high = unit(digits)?;
    if let Some(c) = char::from_u32(high) {
        return Some((c, 5));
    }
    // Two of them are one character.
    let low = unit(digits[4..].strip_prefix("\\u")?)?;
    let c = 0x1_0000 + ((high & 0x3ff) << 10) + (low & 0x3ff);
    Some((char::from_u32(c)?, 11))
}

/// The length of the bytes of `wanted`, read one after the other.
fn bytes(text: &str, wanted: char, one: impl Fn(&str) -> Option<(u8, usize)>) -> Option<usize> {
    let (mut read, mut length) = (Vec::new(), 0);
    while read.len() < 4 {
        let (byte, more) = one(&text[length..])?;
        read.push(byte);
        length += more;
        if let Ok(c) = std::str::from_utf8(&read) {
            return c.chars().next().filter(|c| same(*c, wanted)).map(|_| length);
        }
    }
    None
}

fn hex(digits: &str) -> Option<u8> {
    u8::from_str_radix(digits, 16).ok()
}

/// Whether two characters differ in case at most: engines fold names.
fn same(a: char, b: char) -> bool {
    a == b || a.to_lowercase().eq(b.to_lowercase())
}
