//! The command line of Gristmill: arguments, the pipeline file, what is printed, and the commands.

pub mod args;
pub mod command;
pub mod demo;
pub mod failure;
pub mod interrupt;
pub mod printer;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use gristmill_data::guard;

/// Runs the command line and returns the exit code: 0, 1 (the run failed), 2 (bad input or configuration) or 130
/// (stopped by a signal).
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match args::Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) => return printer::usage(&error),
    };
    let printer = printer::Printer::new(&args.global);
    printer.subscribe();
    printer.hear_panics();
    guard::quiet();
    let done = guard::caught(|| command::dispatch(&args.command, &printer));
    match done.unwrap_or_else(|panic| Err(failure::Failure::of_panic(&panic))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            printer.failure(&failure);
            failure.exit_code()
        }
    }
}
