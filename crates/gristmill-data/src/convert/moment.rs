//! Days and instants as text: ISO 8601 as databases, Python and Arrow write it.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};

/// What a text says of a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// The date and the time of day where it was taken; of a date alone, its midnight.
    pub(super) local: NaiveDateTime,
    /// Seconds east of UTC, if it says them.
    pub(super) offset: Option<i32>,
}

impl Moment {
    /// `2024-02-29`, `2024-02-29 12:00`, `2024-02-29T12:00:00.123456789Z`, `2024-02-29 12:00:00+05:30`, `… BC`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (text, before_christ) = match text.strip_suffix(" BC") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let sign = usize::from(text.starts_with(['+', '-']));
        let year_end = sign + text.get(sign..)?.find('-')?;
        let year = text.get(sign..year_end)?;
        if !(4..=6).contains(&year.len()) || !is_digits(year) {
            return None;
        }
        let year: i32 = text.get(..year_end)?.parse().ok()?;
        let year = if before_christ { 1 - year } else { year };
        let rest = text.get(year_end..)?;
        let (date, rest) = (rest.get(..6)?, rest.get(6..)?);
        let month = two(date.strip_prefix('-')?)?;
        let day = two(date.get(3..)?.strip_prefix('-')?)?;
        let date = NaiveDate::from_ymd_opt(year, month, day)?;
        let Some(rest) = rest.strip_prefix([' ', 'T']) else {
            let whole_day = rest.is_empty().then_some(Self {
                local: date.and_time(NaiveTime::MIN),
                offset: None,
            });
            return whole_day;
        };
        let (time, zone) = clock(rest)?;
        let offset = match zone {
            "" => None,
            zone => Some(offset(zone)?),
        };
        Some(Self {
            local: date.and_time(time),
            offset,
        })
    }

    /// In UTC: a moment that does not say its zone is taken to be in it, as in the sessions that read databases.
    pub(super) fn utc(self) -> Option<NaiveDateTime> {
        let offset = TimeDelta::seconds(i64::from(self.offset.unwrap_or(0)));
        self.local.checked_sub_signed(offset)
    }

    /// Without a zone; `None` where it has one that is not UTC, for the wall's time is another elsewhere.
    pub(super) fn without_zone(self) -> Option<NaiveDateTime> {
        (self.offset.unwrap_or(0) == 0).then_some(self.local)
    }
}

/// A time of day, `12:00`, `12:00:00` or with up to nine decimals, and what follows it.
pub(super) fn clock(text: &str) -> Option<(NaiveTime, &str)> {
    let hour = two(text)?;
    let minute = two(text.get(2..)?.strip_prefix(':')?)?;
    let mut rest = text.get(5..)?;
    let (mut second, mut nanos) = (0, 0);
    if let Some(seconds) = rest.strip_prefix(':') {
        second = two(seconds)?;
        rest = seconds.get(2..)?;
        if let Some(decimals) = rest.strip_prefix('.') {
            let digits = decimals.bytes().take_while(u8::is_ascii_digit).count();
            if !(1..=9).contains(&digits) {
                return None;
            }
            nanos = decimals[..digits].parse::<u32>().ok()? * 10_u32.pow(9 - digits as u32);
            rest = &decimals[digits..];
        }
    }
    Some((NaiveTime::from_hms_nano_opt(hour, minute, second, nanos)?, rest))
}

/// Seconds east of UTC: `Z`, `UTC`, `+05`, `+0530`, `+05:30`, `-00:00:01`.
pub(super) fn offset(zone: &str) -> Option<i32> {
    let zone = zone.strip_prefix(' ').unwrap_or(zone);
    if zone.eq_ignore_ascii_case("z") || zone.eq_ignore_ascii_case("utc") {
        return Some(0);
    }
    let east = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let mut rest = zone.get(1..)?;
    let mut seconds = 0;
    for unit in [3600, 60, 1] {
        seconds += two(rest)? as i32 * unit;
        rest = rest.get(2..)?;
        if rest.is_empty() {
            return Some(east * seconds);
        }
        rest = rest.strip_prefix(':').unwrap_or(rest);
    }
    None
}

/// The number of the first two characters.
fn two(text: &str) -> Option<u32> {
    let digits = text.get(..2)?;
    if is_digits(digits) {
        digits.parse().ok()
    } else {
        None
    }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_the_same_however_it_is_written() {
        let noon = NaiveDate::from_ymd_opt(2024, 2, 29)
            .unwrap()
            .and_hms_opt(12, 0, 0)
            .unwrap();
        for (text, offset) in [
            ("2024-02-29 12:00", None),
            ("2024-02-29T12:00:00", None),
            ("2024-02-29 12:00:00.000000000", None),
            ("2024-02-29T12:00:00Z", Some(0)),
            ("2024-02-29 12:00:00 UTC", Some(0)),
            ("2024-02-29 12:00:00+00", Some(0)),
            ("2024-02-29 12:00:00+00:00", Some(0)),
            ("2024-02-29 12:00:00.5+0530", Some(19_800)),
        ] {
            let moment = Moment::parse(text).unwrap();
            assert_eq!(moment.offset, offset, "{text}");
            assert!(moment.local - noon < TimeDelta::seconds(1), "{text}");
        }
        let elsewhere = Moment::parse("2024-02-29 14:00:00+02").unwrap();
        assert_eq!((elsewhere.utc(), elsewhere.without_zone()), (Some(noon), None));
        let midnight = Moment::parse("2024-02-29").unwrap();
        assert_eq!(midnight.local.time(), NaiveTime::MIN);
        let ides = NaiveDate::from_ymd_opt(-43, 3, 15).unwrap();
        for text in ["0044-03-15 BC", "-0043-03-15"] {
            assert_eq!(Moment::parse(text).unwrap().local.date(), ides, "{text}");
        }
        for text in [
            "2023-02-29",
            "20240229",
            "2024-2-29",
            "2024-02-29 25:00:00",
            "2024-02-29 12",
            "29.02.2024",
            "2024-02-29 12:00:00 CET",
            "2024-02-29 12:00:00.",
            "",
            "-",
            "é024-02-29",
            "2024-02-29é",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }
}
