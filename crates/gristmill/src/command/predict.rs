//! `gristmill predict`: the most likely labels of the rows of a file.

use gristmill_data::source::Notice;
use gristmill_learn::registry::built_in;
use gristmill_run::budget::Budget;
use gristmill_run::event::{Event, Observe, Warning};
use gristmill_run::predict::Predictor;

use crate::args::PredictArgs;
use crate::failure::{Failure, classify};
use crate::printer::{Printer, counted, thousands};

/// Predicts a file into another.
pub(super) fn run(args: &PredictArgs, printer: &Printer) -> Result<(), Failure> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let budget = Budget::set_by("--memory", args.memory);
    let predictor =
        Predictor::open(&args.model, args.top as usize, threads, &budget, &built_in()).map_err(classify)?;
    let predicted = predictor
        .with_prefix(&args.prefix)
        .predict_file(&args.input, &args.output, &mut |_| {})
        .map_err(classify)?;
    if let Some(swallowed) = predicted.swallowed {
        printer.event(Event::Warning(Warning::Noticed(Notice::SwallowedRows {
            file: args.input.display().to_string(),
            rows: swallowed.rows,
            first_line: swallowed.first.0,
            last_line: swallowed.first.1,
        })));
    }
    let skipped = match predicted.skipped {
        0 => String::new(),
        n => format!(
            ", {} of them without a prediction (unseen = \"skip\")",
            thousands(n)
        ),
    };
    printer.note(&format!(
        "{} written to {}{skipped}",
        counted(predicted.rows, "row"),
        args.output.display()
    ));
    Ok(())
}
