//! The `gristmill` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    gristmill::main(std::env::args_os())
}
