//! PostgreSQL's `numeric` on the wire: digits of base 10,000.

/// The value times ten to the `scale`; what is wrong with it otherwise.
pub(super) fn decode(bytes: &[u8], precision: u8, scale: i8) -> Result<i128, &'static str> {
    let word = |i: usize| {
        bytes
            .get(2 * i..2 * i + 2)
            .map(|b| i16::from_be_bytes([b[0], b[1]]))
    };
    let (Some(count), Some(weight), Some(sign), Some(_)) = (word(0), word(1), word(2), word(3)) else {
        return Err("a numeric is damaged");
    };
    let negative = match sign as u16 {
        0x0000 => false,
        0x4000 => true,
        0xc000 => return Err("NaN is no decimal number"),
        _ => return Err("infinity is no decimal number"),
    };
    const TOO_LARGE: &str = "the number has more digits than its column";
    let limit = 10_i128.pow(u32::from(precision));
    let mut value: i128 = 0;
    for i in 0..count.max(0) {
        let digit = word(4 + i as usize)
            .filter(|digit| (0..10_000).contains(digit))
            .ok_or("a numeric is damaged")?;
        let digit = i128::from(digit);
        let exponent = 4 * (i32::from(weight) - i32::from(i)) + i32::from(scale);
        value = if exponent >= 0 {
            10_i128
                .checked_pow(exponent as u32)
                .and_then(|power| digit.checked_mul(power))
                .and_then(|part| value.checked_add(part))
                .ok_or(TOO_LARGE)?
        } else {
            // The digits of the last group that lie beyond the scale.
            let divisor = 10_i128.pow(exponent.unsigned_abs().min(4));
            if digit % divisor != 0 {
                return Err(TOO_LARGE);
            }
            value + digit / divisor
        };
        if value >= limit {
            return Err(TOO_LARGE);
        }
    }
    Ok(if negative { -value } else { value })
}

/// The form on the wire of a value times ten to the `scale`, which is not negative.
pub(crate) fn encode(value: i128, scale: i8, to: &mut Vec<u8>) {
    let scale = u32::from(scale.unsigned_abs());
    // Groups of four digits, the last first. Those behind the point begin with a whole group.
    let behind = scale.div_ceil(4);
    let mut rest = value.unsigned_abs();
    let mut groups = Vec::new();
    let spare = 10_u128.pow(behind * 4 - scale);
    if behind > 0 {
        let first = 10_000 / spare;
        groups.push((rest % first * spare) as i16);
        rest /= first;
    }
    while rest > 0 || groups.len() < behind as usize {
        groups.push((rest % 10_000) as i16);
        rest /= 10_000;
    }
    let weight = groups.len() as i16 - behind as i16 - 1;
    let sign = if value < 0 { 0x4000_u16 } else { 0 };
    to.extend((groups.len() as i16).to_be_bytes());
    to.extend(weight.to_be_bytes());
    to.extend(sign.to_be_bytes());
    to.extend((scale as i16).to_be_bytes());
    to.extend(groups.iter().rev().flat_map(|group| group.to_be_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(weight: i16, sign: u16, digits: &[i16]) -> Vec<u8> {
        let head = [digits.len() as i16, weight, sign as i16, 0];
        head.iter()
            .chain(digits)
            .flat_map(|word| word.to_be_bytes())
            .collect()
    }

    #[test]
    fn what_is_encoded_is_decoded_to_the_same() {
        let largest = 10_i128.pow(38) - 1;
        for value in [
            0,
            1,
            -1,
            9_999,
            10_000,
            -123_456_789,
            5_000_000_000,
            largest,
            -largest,
        ] {
            for scale in [0, 1, 2, 3, 4, 5, 19, 37, 38] {
                let mut bytes = Vec::new();
                encode(value, scale, &mut bytes);
                assert_eq!(decode(&bytes, 38, scale), Ok(value), "{value} scaled by {scale}");
            }
        }
    }

    #[test]
    fn digits_of_base_ten_thousand() {
        assert_eq!(decode(&wire(0, 0, &[]), 5, 2), Ok(0));
        assert_eq!(decode(&wire(0, 0, &[12, 3400]), 5, 2), Ok(1234));
        assert_eq!(decode(&wire(1, 0x4000, &[1, 0, 5000]), 9, 1), Ok(-100_005));
        assert_eq!(decode(&wire(-2, 0, &[7]), 10, 8), Ok(7));
        assert_eq!(decode(&wire(9, 0, &[99]), 38, 0), Ok(99 * 10_i128.pow(36)));
        assert!(decode(&wire(9, 0, &[100]), 38, 0).is_err());
        assert!(decode(&wire(32_000, 0, &[1]), 38, 0).is_err());
        assert!(decode(&wire(0, 0, &[1, 2345]), 5, 2).is_err());
        assert!(decode(&wire(0, 0xc000, &[]), 5, 2).is_err());
        assert!(decode(&wire(0, 0xd000, &[]), 5, 2).is_err());
        assert!(decode(&wire(0, 0, &[1])[..9], 5, 2).is_err());
        assert!(decode(&[0, 1], 5, 2).is_err());
    }
}
