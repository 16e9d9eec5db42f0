//! Years, months, weekdays and hours of instants, in UTC and the Gregorian calendar, also before it was.

const DAY: i64 = 86_400;

/// The parts of an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts {
    /// The year, as astronomers count: 0 is the one before 1.
    pub(crate) year: i64,
    /// From 0, which is January.
    pub(crate) month: usize,
    /// From 0, which is Monday.
    pub(crate) weekday: usize,
    /// From 0 to 23.
    pub(crate) hour: usize,
}

impl Parts {
    /// Those of so many seconds since 1970-01-01.
    pub(crate) fn of(seconds: i64) -> Self {
        let days = seconds.div_euclid(DAY);
        // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in March, eras of 400 years repeat.
        let since_0000_03_01 = days + 719_468;
        let era = since_0000_03_01.div_euclid(146_097);
        let day_of_era = since_0000_03_01.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        Self {
            year: year_of_era + era * 400 + i64::from(from_march >= 10),
            month: ((from_march + 2) % 12) as usize,
            weekday: (days + 3).rem_euclid(7) as usize,
            hour: (seconds.rem_euclid(DAY) / 3_600) as usize,
        }
    }
}

/// Sine and cosine of `part` of `of` equal parts of a turn, where these are 7, 12 or 24. They are constants, because those of
/// the C library depend on its version.
pub(crate) fn turn(part: usize, of: usize) -> (f64, f64) {
    match of {
        7 => (SIN_7[part % 7], COS_7[part % 7]),
        _ => {
            let part = part * 24 / of;
            (SIN_24[part % 24], SIN_24[(part + 6) % 24])
        }
    }
}

const SIN_7: [f64; 7] = [
    0.0,
    0.781_831_482_468_029_8,
    0.974_927_912_181_823_6,
    0.433_883_739_117_558_23,
    -0.433_883_739_117_558,
    -0.974_927_912_181_823_6,
    -0.781_831_482_468_029_9,
];
const COS_7: [f64; 7] = [
    1.0,
    0.623_489_801_858_733_6,
    -0.222_520_933_956_314_34,
    -0.900_968_867_902_419,
    -0.900_968_867_902_419_1,
    -0.222_520_933_956_314_6,
    0.623_489_801_858_733_4,
];
const SIN_24: [f64; 24] = [
    0.0,
    0.258_819_045_102_520_74,
    0.5,
    std::f64::consts::FRAC_1_SQRT_2,
    0.866_025_403_784_438_6,
    0.965_925_826_289_068_3,
    1.0,
    0.965_925_826_289_068_3,
    0.866_025_403_784_438_7,
    std::f64::consts::FRAC_1_SQRT_2,
    0.5,
    0.258_819_045_102_521,
    0.0,
    -0.258_819_045_102_520_8,
    -0.5,
    -std::f64::consts::FRAC_1_SQRT_2,
    -0.866_025_403_784_438_4,
    -0.965_925_826_289_068_3,
    -1.0,
    -0.965_925_826_289_068_4,
    -0.866_025_403_784_438_6,
    -std::f64::consts::FRAC_1_SQRT_2,
    -0.5,
    -0.258_819_045_102_521_57,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_those_of_the_circle() {
        for of in [7, 12, 24] {
            for part in 0..of {
                let angle = std::f64::consts::TAU * part as f64 / of as f64;
                let (sin, cos) = turn(part, of);
                assert!((sin - angle.sin()).abs() < 1e-15 && (cos - angle.cos()).abs() < 1e-15);
            }
        }
    }

    #[test]
    fn days_follow_each_other() {
        let mut before = Parts::of(-800_000 * DAY - 1);
        for day in -800_000..800_000 {
            let parts = Parts::of(day * DAY);
            assert_eq!(parts.weekday, (before.weekday + 1) % 7);
            let next = before.month != parts.month;
            assert!(!next || parts.month == (before.month + 1) % 12, "{day}");
            assert_eq!(
                parts.year,
                before.year + i64::from(next && parts.month == 0),
                "{day}"
            );
            before = parts;
        }
        let epoch = Parts {
            year: 1970,
            month: 0,
            weekday: 3,
            hour: 23,
        };
        assert_eq!(Parts::of(DAY - 1), epoch);
    }
}
