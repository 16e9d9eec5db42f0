//! The kinds that come with this crate.

use crate::contract::registry::Registry;
use crate::encode::ENCODERS;
use crate::train::MODELS;

/// All of them.
pub fn built_in() -> Registry {
    Registry::new(ENCODERS, MODELS)
}
