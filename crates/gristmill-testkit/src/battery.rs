//! The size of batteries: tests of many like cases, of which the suite does a part.

/// How many cases a battery has: `in_suite`, or as many times that as `GRISTMILL_BATTERY` says.
pub fn cases(in_suite: u32) -> u32 {
    let times = match std::env::var("GRISTMILL_BATTERY") {
        Ok(times) => times
            .parse()
            .expect("GRISTMILL_BATTERY is how many times the size of the suite a battery has: a number"),
        Err(_) => 1,
    };
    in_suite.saturating_mul(times)
}
