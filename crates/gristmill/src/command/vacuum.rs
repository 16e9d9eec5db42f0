//! `gristmill vacuum`: deletes the files that no recent version of a dataset needs.

use std::fmt::Write;
use std::time::Duration;

use gristmill_data::table::vacuum;

use super::open::on_dataset;
use crate::args::VacuumArgs;
use crate::failure::Failure;
use crate::printer::{Printer, bytes, counted};

/// Deletes them, or says what would be deleted.
pub(super) fn run(args: &VacuumArgs, printer: &Printer) -> Result<(), Failure> {
    let retain = Duration::from_secs(3600 * u64::from(args.retain_hours));
    let files = on_dataset(&args.dataset, vacuum(&args.dataset, retain, args.dry_run))?;
    let mut text = String::new();
    for file in &files {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", file.path.display());
    }
    printer.data(&text)?;
    printer.note(&format!(
        "{}, {}, {}",
        counted(files.len() as u64, "file"),
        bytes(files.iter().map(|file| file.bytes).sum()),
        if args.dry_run {
            "would be deleted"
        } else {
            "deleted"
        }
    ));
    Ok(())
}
