//! What becomes of each type of each database: every row of the documentation's tables is a case.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod documented;
mod mariadb;
mod postgres;
mod sqlite;
#[path = "../support/mod.rs"]
mod support;
