//! The `gristmill` binary.

use std::process::ExitCode;

/// How it is set up, and why, is told in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    gristmill::main(std::env::args_os())
}
