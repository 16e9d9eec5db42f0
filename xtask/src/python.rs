//! What the tasks share that set gristmill beside Python's tools: a release build, and an environment of pinned packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Where builds go.
pub(crate) fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// Cargo, as if nobody had called this program.
pub(crate) fn cargo() -> Command {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut cargo = Command::new(cargo);
    // What cargo tells this program of itself is no part of that build: some crates are built anew where it changes.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["CARGO_MANIFEST", "CARGO_PKG"]
            .iter()
            .any(|own| name.starts_with(own))
        {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Builds gristmill, and returns its path.
pub(crate) fn gristmill(root: &Path) -> Result<PathBuf> {
    // The workspace, so that its crates have the features that they have in every other build.
    done(
        cargo()
            .current_dir(root)
            .args(["build", "--release", "--locked", "--workspace"]),
    )?;
    Ok(target(root).join("release/gristmill"))
}

/// Makes an environment with these packages in `dir`, unless it is there, and returns its Python.
pub(crate) fn environment(dir: &Path, requirements: &[&str]) -> Result<PathBuf> {
    let python = dir.join("venv/bin/python");
    let installed = dir.join("venv/requirements");
    let wanted = requirements.join("\n");
    if fs::read_to_string(&installed).ok().as_ref() != Some(&wanted) {
        done(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(dir.join("venv")),
        )?;
        done(
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet"])
                .args(requirements),
        )?;
        fs::write(installed, wanted)?;
    }
    Ok(python)
}

/// Runs a command that must succeed.
pub(crate) fn done(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
