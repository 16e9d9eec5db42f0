//! Real database servers for tests, started in a second and gone with the test, and inputs as a fuzzer makes them.
//!
//! These are fixtures: what keeps them from starting fails the test, so they panic with the reason.
#![allow(clippy::panic, clippy::expect_used)]

mod battery;
mod fuzzed;
mod mariadb;
mod postgres;
mod server;

pub use battery::cases;
pub use fuzzed::{mutations, seeds};
pub use mariadb::TempMariaDb;
pub use postgres::TempPostgres;

/// The checkout whose tests run. Cargo and nextest tell it at run time; a path that the compiler wrote into a test may be that of
/// another checkout that shares the target directory.
pub fn repository() -> std::path::PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo or nextest runs the tests");
    std::path::Path::new(&package).join("../..")
}
