//! Preparing rows, the same way wherever they come from: cleaning and the canonical order.

mod clean;
mod order;

pub use clean::{Cleaner, Dropped, TextRules};
pub use order::CanonicalOrder;
