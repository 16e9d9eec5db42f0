//! Checks of this repository that the compiler does not make: `cargo xtask tidy`.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod tidy;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask tidy    check the rules of STYLE.md that a machine can check";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments != ["tidy"] {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    // The variable of the running cargo, not of the build: one binary may serve several checkouts.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| "xtask".into());
    match tidy::check(&Path::new(&manifest).join("..")) {
        Ok(findings) => report(&findings),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn report(findings: &[tidy::Finding]) -> ExitCode {
    for finding in findings {
        println!("{finding}");
    }
    let errors = findings
        .iter()
        .filter(|finding| finding.level == tidy::Level::Error)
        .count();
    eprintln!("tidy: {errors} errors, {} warnings", findings.len() - errors);
    if errors == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
