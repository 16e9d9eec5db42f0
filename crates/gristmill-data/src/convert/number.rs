//! Numbers as text: their digits and where the point is, without rounding.

use std::fmt::Display;
use std::str::FromStr;

/// Longer than any double is written, also without an exponent.
const LONGEST: usize = 1_100;

/// A decimal number: its digits times a power of ten. Of equal numbers there is one form.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Decimal<'t> {
    negative: bool,
    /// The digits before the point and behind it, without zeros at either end: in two pieces, so that nothing is copied.
    whole: &'t str,
    fraction: &'t str,
    /// The power of ten of the last digit.
    exponent: i64,
}

impl<'t> Decimal<'t> {
    /// The number that a text is: a sign, digits, a point, digits, an exponent; at least one digit.
    fn parse(text: &'t str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let (negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, power) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, power)) => {
                let digits = power.strip_prefix(['+', '-']).unwrap_or(power);
                if digits.is_empty() || digits.len() > 9 || !is_digits(digits) {
                    return None;
                }
                (mantissa, power.parse::<i64>().ok()?)
            }
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        let mut exponent = power - fraction.len() as i64;
        let kept = fraction.trim_end_matches('0');
        exponent += (fraction.len() - kept.len()) as i64;
        let (mut whole, mut fraction) = (whole.trim_start_matches('0'), kept);
        if fraction.is_empty() {
            let kept = whole.trim_end_matches('0');
            exponent += (whole.len() - kept.len()) as i64;
            whole = kept;
        }
        if whole.is_empty() {
            fraction = fraction.trim_start_matches('0');
        }
        let zero = whole.is_empty() && fraction.is_empty();
        Some(Self {
            negative: negative && !zero,
            whole,
            fraction,
            exponent: if zero { 0 } else { exponent },
        })
    }

    /// Times ten to the power of `scale`, if that is a whole number of up to 38 digits.
    fn scaled(&self, scale: i64) -> Option<i128> {
        let digits = (self.whole.len() + self.fraction.len()) as i64;
        let zeros = self.exponent + scale;
        if digits == 0 {
            return Some(0);
        }
        if zeros < 0 || digits + zeros > 38 {
            return None;
        }
        let mut value: i128 = 0;
        for digit in self.whole.bytes().chain(self.fraction.bytes()) {
            value = value * 10 + i128::from(digit - b'0');
        }
        value *= 10_i128.checked_pow(zeros as u32)?;
        Some(if self.negative { -value } else { value })
    }

    fn is_same(&self, other: &str) -> bool {
        let digits = |number: &Decimal<'_>| [number.whole, number.fraction].concat();
        Decimal::parse(other).is_some_and(|other| {
            (self.negative, self.exponent) == (other.negative, other.exponent)
                && digits(self) == digits(&other)
        })
    }
}

/// The whole number that a text is, however it is written: `2`, `2.00`, `+2`, `2e0`.
pub(super) fn integer(text: &str) -> Option<i128> {
    match text.parse::<i64>() {
        Ok(value) => Some(i128::from(value)),
        Err(_) => Decimal::parse(text)?.scaled(0),
    }
}

/// Whether a text is a whole number as programs write a float of 64 bits, so large that the float stands for several whole numbers:
/// `9007199254740992.0`, `9.007199254740992e15`.
pub(super) fn is_rounded(text: &str) -> bool {
    const FIRST: u128 = 1 << f64::MANTISSA_DIGITS;
    let is_float = text.len() > 3 && text.contains(['.', 'e', 'E']);
    let whole = || Decimal::parse(text.trim())?.scaled(0);
    is_float && whole().is_some_and(|x| x.unsigned_abs() >= FIRST && x as f64 as i128 == x)
}

/// The number that a text is, in units of ten to the power of `-scale`; at most `precision` digits of them.
pub(super) fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let value = Decimal::parse(text)?.scaled(i64::from(scale))?;
    let limit = 10_u128.checked_pow(u32::from(precision))?;
    (value.unsigned_abs() < limit).then_some(value)
}

/// The float that is nearest to the number that a text is. `None` for a whole number that it does not hold: two numbers that
/// count or name something never become one.
pub(super) fn float<F: FromStr + Display + std::fmt::LowerExp>(text: &str) -> Option<F> {
    let Some(number) = Decimal::parse(text) else {
        let word = text.strip_prefix(['+', '-']).unwrap_or(text);
        let words = ["nan", "inf", "infinity"];
        let is_word = words.iter().any(|known| word.eq_ignore_ascii_case(known));
        return if is_word { text.parse().ok() } else { None };
    };
    let float: F = text.parse().ok()?;
    if number.exponent >= 0 {
        // Few digits are held by every float; its shortest text, or all of its digits, otherwise.
        let digits = number.whole.len() + number.fraction.len();
        let held = digits as i64 + number.exponent <= 7
            || number.is_same(&format!("{float:e}"))
            || number.is_same(&format!("{float:.0}"));
        return held.then_some(float);
    }
    // A fraction too large for the type.
    let infinite = float.to_string().ends_with("inf");
    (!infinite).then_some(float)
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_same_however_it_is_written() {
        for text in ["2", "2.00", "+2", "2e0", "0.2E1", "20e-1", "002", "2."] {
            assert_eq!(integer(text), Some(2), "{text}");
            assert_eq!(decimal(text, 10, 2), Some(200), "{text}");
            assert_eq!(float::<f64>(text), Some(2.0), "{text}");
        }
        for text in ["0", "-0", "0.000", "0e9", ".0"] {
            assert_eq!(integer(text), Some(0), "{text}");
            assert_eq!(decimal(text, 1, 0), Some(0), "{text}");
        }
        assert_eq!(integer("1e3"), Some(1000));
        assert_eq!(integer("9007199254740993.0"), Some(9_007_199_254_740_993));
        assert_eq!(decimal("-1.5", 10, 2), Some(-150));
        assert_eq!(decimal("0.00012", 5, 5), Some(12));
        assert_eq!(float::<f64>("0.1"), Some(0.1));
        assert_eq!(float::<f32>("0.1"), Some(0.1));
        assert_eq!(float::<f32>("1e20"), Some(1e20));
        assert_eq!(
            float::<f64>("18446744073709551616"),
            Some(18_446_744_073_709_551_616.0)
        );
        assert_eq!(float::<f64>("-Infinity"), Some(f64::NEG_INFINITY));
        assert!(float::<f64>("NaN").is_some_and(f64::is_nan));
    }

    #[test]
    fn a_large_float_as_text_is_known() {
        for text in [
            "9007199254740992.0",
            "-9007199254740994.00",
            "9.007199254740992e15",
            "1e16",
            " 1E+22 ",
        ] {
            assert!(is_rounded(text), "{text}");
        }
        for text in [
            "9007199254740991.0",
            "9007199254740993.0",
            "9007199254740992",
            "1e15",
            "1e-30",
            "9007199254740992.5",
            "x.y",
            "",
        ] {
            assert!(!is_rounded(text), "{text}");
        }
    }

    #[test]
    fn a_number_that_the_type_does_not_hold_is_none() {
        for text in [
            "2.5", "1e-1", "abc", "", ".", "-", "1e", "1e+", "0x10", "1_000", "1 000", "NaN", "inf",
        ] {
            assert_eq!(integer(text), None, "{text}");
        }
        assert_eq!(decimal("1.505", 10, 2), None);
        assert_eq!(decimal("100", 4, 2), None);
        assert_eq!(decimal("1e39", 38, 0), None);
        assert_eq!(float::<f64>("9007199254740993"), None);
        assert_eq!(float::<f64>("1e999"), None);
        assert_eq!(float::<f32>("1e39"), None);
        assert_eq!(float::<f32>("16777217"), None);
        assert_eq!(float::<f64>("n/a"), None);
    }
}
