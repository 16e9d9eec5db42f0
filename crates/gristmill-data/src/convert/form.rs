//! Text that stands for something else: what a database writes of a type that a dataset has no type for.

use std::net::IpAddr;

use arrow::datatypes::DataType;

use crate::convert::moment::{clock, offset};

/// How the text of a column is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// It is text.
    #[default]
    Plain,
    /// A UUID in lower case, with hyphens.
    Uuid,
    /// A time of day, perhaps with a zone, as PostgreSQL writes it: no zeros at its end.
    Time,
    /// A time of day as Arrow writes it: none, three, six or nine decimals.
    Clock,
    /// A time, perhaps negative or longer than a day, as MySQL writes it.
    Duration,
    /// An interval as ISO 8601 has it.
    Interval,
    /// An address with the length of its network.
    Inet,
}

const NAMES: [(Form, &str); 6] = [
    (Form::Uuid, "uuid"),
    (Form::Time, "time"),
    (Form::Clock, "clock"),
    (Form::Duration, "duration"),
    (Form::Interval, "interval"),
    (Form::Inet, "inet"),
];

impl Form {
    /// How the text of a column of a database's type is written, by the URL of the source and the type, with its size or without.
    pub fn of(source: &str, database_type: &str) -> Self {
        let scheme = source.split(':').next().unwrap_or_default();
        let words = |character: char| character.is_whitespace() || character == '(';
        let first = database_type.split(words).next().unwrap_or_default();
        match (scheme, first) {
            ("postgres" | "postgresql", "uuid") => Self::Uuid,
            ("postgres" | "postgresql", "time" | "timetz") => Self::Time,
            ("postgres" | "postgresql", "interval") => Self::Interval,
            ("postgres" | "postgresql", "inet") => Self::Inet,
            ("mysql" | "mariadb", "uuid") => Self::Uuid,
            ("mysql" | "mariadb", "time") => Self::Duration,
            ("parquet" | "delta", "Time32" | "Time64") => Self::Clock,
            _ => Self::Plain,
        }
    }

    /// Its name in a model; none of plain text.
    pub fn name(self) -> Option<&'static str> {
        NAMES
            .iter()
            .find(|(form, _)| *form == self)
            .map(|(_, name)| *name)
    }

    /// The form of a name.
    pub fn named(name: &str) -> Option<Self> {
        NAMES
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(form, _)| *form)
    }

    /// Whether values of an Arrow type have one text of this form.
    pub(super) fn takes(self, from: &DataType) -> bool {
        match from {
            DataType::Time32(_) | DataType::Time64(_) => {
                matches!(self, Self::Time | Self::Clock | Self::Duration)
            }
            from => self == Self::Plain && from.is_integer(),
        }
    }

    /// The text as training had it; `None` where it is not of this form.
    pub(super) fn canonical(self, text: &str) -> Option<String> {
        let trimmed = text.trim();
        match self {
            Self::Plain => Some(text.to_owned()),
            // What is no text for the database is none here.
            _ if trimmed.is_empty() => Some(String::new()),
            Self::Uuid => uuid(trimmed),
            Self::Time => time(trimmed),
            Self::Clock => match clock(trimmed)? {
                (time, "") => Some(format!("{time:?}")),
                _ => None,
            },
            Self::Duration => is_duration(trimmed).then(|| trimmed.to_owned()),
            Self::Interval => is_interval(trimmed).then(|| trimmed.to_owned()),
            Self::Inet => inet(trimmed),
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Plain => "text",
            Self::Uuid => "a UUID",
            Self::Time | Self::Clock => "a time of day",
            Self::Duration => "a time",
            Self::Interval => "an interval as ISO 8601 has it",
            Self::Inet => "a network address",
        }
    }

    pub(super) fn instead(self) -> &'static str {
        match self {
            Self::Plain => "write the text that the source has, as a column of text",
            Self::Uuid => "write UUIDs, such as 5f0c1b7e-4f5e-4a3c-9d0f-0123456789ab",
            Self::Time | Self::Clock => "write times, such as 12:34:56.5",
            Self::Duration => "write times, such as -12:34:56",
            Self::Interval => {
                "write intervals such as P1DT2H30M, as PostgreSQL does after SET intervalstyle = 'iso_8601'"
            }
            Self::Inet => "write addresses, such as 10.0.0.1/32",
        }
    }
}

fn uuid(text: &str) -> Option<String> {
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let digits: String = inner.unwrap_or(text).chars().filter(|c| *c != '-').collect();
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let digits = digits.to_ascii_lowercase();
    let parts = [
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..],
    ];
    Some(parts.join("-"))
}

fn time(text: &str) -> Option<String> {
    // The end of a day, which is no time of it elsewhere.
    let (hour, rest) = match text.strip_prefix("24:00:00") {
        Some(rest) => ("24:00:00".to_owned(), rest),
        None => {
            let (time, rest) = clock(text)?;
            let written = time.format("%H:%M:%S%.9f").to_string();
            (
                written.trim_end_matches('0').trim_end_matches('.').to_owned(),
                rest,
            )
        }
    };
    // Zeros of the seconds themselves are no decimals.
    let hour = match hour.len() {
        8.. => hour,
        _ => clock(text)?.0.format("%H:%M:%S").to_string(),
    };
    if rest.is_empty() {
        return Some(hour);
    }
    let east = offset(rest)?;
    let (sign, seconds) = (if east < 0 { '-' } else { '+' }, east.abs());
    let mut zone = format!("{sign}{:02}", seconds / 3600);
    if seconds % 3600 > 0 {
        zone += &format!(":{:02}", seconds / 60 % 60);
    }
    if seconds % 60 > 0 {
        zone += &format!(":{:02}", seconds % 60);
    }
    Some(hour + &zone)
}

fn is_duration(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let Some((hours, rest)) = unsigned.split_once(':') else {
        return false;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (rest, decimals) = rest.split_once('.').unwrap_or((rest, "0"));
    let minutes = rest.split_once(':');
    digits(hours)
        && (2..=3).contains(&hours.len())
        && digits(decimals)
        && minutes.is_some_and(|(minutes, seconds)| {
            digits(minutes) && digits(seconds) && minutes.len() == 2 && seconds.len() == 2
        })
}

fn is_interval(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || b"-.YMWDTHS".contains(&byte);
    let units = text.strip_prefix('P');
    units.is_some_and(|units| units.bytes().all(digit) && units.bytes().any(|byte| byte.is_ascii_digit()))
}

fn inet(text: &str) -> Option<String> {
    if let Some((address, length)) = text.split_once('/') {
        let address: IpAddr = address.parse().ok()?;
        let length: u8 = length.parse().ok()?;
        return Some(format!("{address}/{length}"));
    }
    let address: IpAddr = text.parse().ok()?;
    let length = if address.is_ipv4() { 32 } else { 128 };
    Some(format!("{address}/{length}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_written_as_the_database_writes_it() {
        for (form, given, written) in [
            (Form::Plain, " a ", Some(" a ")),
            (
                Form::Uuid,
                "{5F0C1B7E4F5E4A3C9D0F0123456789AB}",
                Some("5f0c1b7e-4f5e-4a3c-9d0f-0123456789ab"),
            ),
            (Form::Uuid, "5f0c", None),
            (Form::Time, "12:34:56.500000", Some("12:34:56.5")),
            (Form::Time, "12:34:00", Some("12:34:00")),
            (Form::Time, "12:30", Some("12:30:00")),
            (Form::Time, "00:00:00.000", Some("00:00:00")),
            (Form::Time, "24:00:00", Some("24:00:00")),
            (Form::Time, "12:34:56+02:00", Some("12:34:56+02")),
            (Form::Time, "12:34:56-05:30", Some("12:34:56-05:30")),
            (Form::Time, "noon", None),
            (Form::Clock, "12:34:56.789000", Some("12:34:56.789")),
            (Form::Clock, "12:34:56+02", None),
            (Form::Duration, "-838:59:59", Some("-838:59:59")),
            (Form::Duration, "0 days 12:00:00", None),
            (Form::Interval, "P1Y2M3DT4H5M6.7S", Some("P1Y2M3DT4H5M6.7S")),
            (Form::Interval, "1 day 02:00:00", None),
            (Form::Inet, "10.0.0.1", Some("10.0.0.1/32")),
            (Form::Inet, "::1", Some("::1/128")),
            (Form::Inet, "10.0.0.0/8", Some("10.0.0.0/8")),
            (Form::Inet, "here", None),
        ] {
            assert_eq!(form.canonical(given).as_deref(), written, "{form:?} {given}");
        }
    }
}
