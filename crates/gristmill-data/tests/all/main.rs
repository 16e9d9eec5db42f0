//! The tests of the crate, which are one program: each program is linked anew with all of DataFusion.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod clean;
mod damage;
mod dataset;
mod files;
mod key_access;
mod key_ranges;
mod lying;
mod mariadb;
mod own_key;
mod retrieval;
mod session;
mod sources;
mod stability;
mod support;
mod types;
mod upkeep;
