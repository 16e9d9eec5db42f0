//! The commands, one file each.

mod check;
mod demo;
mod inspect;
mod open;
mod predict;
mod pull;
mod run;
mod vacuum;
mod verify;

use crate::args::Command;
use crate::failure::Failure;
use crate::printer::Printer;

/// Does what the command line asks for.
pub fn dispatch(command: &Command, printer: &Printer) -> Result<(), Failure> {
    match command {
        Command::Run(args) => run::run(args, printer),
        Command::Check(args) => check::run(args, printer),
        Command::Predict(args) => predict::run(args, printer),
        Command::Demo(args) => demo::run(args, printer),
        Command::Inspect(args) => inspect::run(args, printer),
        Command::Pull(args) => pull::run(args, printer),
        Command::Verify(args) => verify::run(args, printer),
        Command::Vacuum(args) => vacuum::run(args, printer),
    }
}
