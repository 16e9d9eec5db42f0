//! Linear regression by least squares.

pub(crate) mod linear;
pub(crate) mod products;
pub(crate) mod quadratic;
