//! Linear regression by least squares.

pub(crate) mod kind;
pub(crate) mod linear;
pub(crate) mod products;
pub(crate) mod quadratic;
pub(crate) mod settings;
