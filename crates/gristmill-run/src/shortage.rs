//! The refusal of what a memory budget cannot hold, with numbers that add up.

use std::fmt;

/// More than there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    /// Where the budget is set.
    pub setting: &'static str,
    /// The budget.
    pub megabytes: u64,
    /// What was taken already, and last what was asked for.
    pub parts: Vec<Part>,
    /// What would fit instead, with the megabytes of all parts then; empty where only more memory helps.
    pub ways: Vec<String>,
}

/// What somebody needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Who, e.g. `the process`.
    pub what: String,
    /// How much.
    pub megabytes: u64,
}

impl Shortage {
    /// Megabytes of all parts: more than [`Shortage::megabytes`].
    pub fn needed(&self) -> u64 {
        self.parts.iter().map(|part| part.megabytes).sum()
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} MB is too small: ", self.setting, self.megabytes)?;
        for (i, part) in self.parts.iter().enumerate() {
            let before = match i {
                0 => "",
                _ if i + 1 == self.parts.len() => " and ",
                _ => ", ",
            };
            let takes = if i == 0 { " takes" } else { "" };
            write!(f, "{before}{}{takes} {} MB", part.what, part.megabytes)?;
        }
        if self.parts.len() > 1 {
            write!(f, ", together {} MB", self.needed())?;
        }
        match self.ways.as_slice() {
            [] => write!(f, "; raise it"),
            [way] => write!(f, "; raise it, or {way}"),
            ways => write!(f, "; raise it, or do one of: {}", ways.join("; ")),
        }
    }
}
