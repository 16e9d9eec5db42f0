//! Preparing rows, the same way wherever they come from: cleaning and the canonical order.

mod clean;
mod order;
mod spill;

pub use clean::{Cleaner, Dropped, TextRules};
pub use order::CanonicalOrder;
