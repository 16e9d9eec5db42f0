//! The tests of the binary, which are one program: each program is linked anew with all of DataFusion.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod asked;
mod bad_input;
mod cli;
mod damaged;
mod disk;
mod empty;
mod entities;
mod files;
mod folders;
mod fresh;
mod inputs;
mod interrupt;
mod invariance;
mod kill;
mod memory;
mod musicbrainz;
mod outputs;
mod regression;
mod secrets;
mod smallest;
mod stages;
mod support;
mod tables;
mod unlike;
mod upkeep;
mod warm_start;
mod whole;
