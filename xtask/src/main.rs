//! Checks that the compiler does not make: of this repository, `cargo xtask tidy`; of its datasets in other tools, `cargo
//! xtask interop`; of its readers against hostile input, `cargo xtask fuzz`; benchmarks, `cargo xtask bench`; and the picture of
//! the README, `cargo xtask picture`.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod fuzz;
mod interop;
mod picture;
mod python;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The variable of the running cargo, not of the build: one binary may serve several checkouts.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| "xtask".into());
    let root = Path::new(&manifest).join("..");
    let outcome = match arguments.split_first() {
        Some((task, [])) if task == "tidy" => tidy::check(&root).map(|findings| report(&findings)),
        Some((task, rest)) if task == "bench" => bench::run(rest, &root).map(|()| ExitCode::SUCCESS),
        Some((task, rest)) if task == "fuzz" => fuzz::run(rest, &root).map(|()| ExitCode::SUCCESS),
        Some((task, [])) if task == "picture" => picture::run(&root).map(|()| ExitCode::SUCCESS),
        Some((task, [])) if task == "interop" => interop::run(&root).map(|()| ExitCode::SUCCESS),
        _ => {
            eprintln!("usage: cargo xtask tidy    check the rules of STYLE.md that a machine can check");
            eprintln!("       {}", interop::USAGE);
            eprintln!("       {}", fuzz::USAGE);
            eprintln!("       {}", picture::USAGE);
            for usage in bench::USAGES {
                eprintln!("       {usage}");
            }
            return ExitCode::from(2);
        }
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
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
