//! The command line's arguments.

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand, ValueEnum, value_parser};

/// From a database query to a trained, evaluated, portable model, in bounded memory.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 80,
    arg_required_else_help = true,
    after_help = "\
Examples:
  gristmill demo                            see it work on synthetic data
  gristmill check pipeline.toml             connect, and show the plan
  gristmill run pipeline.toml               do all of it; again: go on
  gristmill predict runs/artists/model --input new.csv --output labels.csv
  gristmill inspect runs/artists/model      what is in it, where it came from

Exit codes: 0 done, 1 the run failed, 2 bad input or configuration,
130 stopped by Ctrl-C.
Data goes to stdout, everything else to stderr."
)]
pub struct Args {
    /// The flags of every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The flags of every command.
#[derive(Debug, Clone, clap::Args)]
pub struct GlobalArgs {
    /// Say more (-vv: libraries too)
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Say nothing on stderr but errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// What goes to stderr: text, or one JSON object per line
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// Plain lines instead of progress bars
    #[arg(long, global = true)]
    pub no_progress: bool,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
}

/// The form of what goes to stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a pipeline: pull, fit, transform, train, evaluate
    ///
    /// Finished work is skipped and unfinished work goes on, so the same command resumes a run that was stopped.
    #[command(after_help = "\
Examples:
  gristmill run pipeline.toml
  DATABASE_URL=postgres://me@host/db gristmill run pipeline.toml
  gristmill run today.toml --warm-start runs/yesterday/model
  gristmill run pipeline.toml --log-format json 2> run.jsonl")]
    Run(RunArgs),
    /// Connect, and show what a run would do
    ///
    /// Prints the columns and their types, the estimated rows, the batch plan, the feature width and classes where
    /// they are known, and whether the memory budget holds. Writes nothing.
    #[command(after_help = "Example:\n  gristmill check pipeline.toml")]
    Check(CheckArgs),
    /// Label the rows of a file or a query with a trained model
    ///
    /// Into a table of a database each row is written once: a prediction
    /// that was stopped goes on, and one that is complete does nothing.
    #[command(after_help = "\
Examples:
  gristmill predict runs/artists/model --input new.csv --output labels.csv
  gristmill predict runs/artists/model --input new.parquet \\
      --output top3.parquet --top 3
  gristmill predict runs/artists/model --input new.csv --output - | head
  gristmill predict runs/artists/model --pipeline artists.toml \\
      --output postgres://me@host/db --table scores --if-exists upsert")]
    Predict(PredictArgs),
    /// Write a synthetic database and run a pipeline on it
    #[command(after_help = "\
Examples:
  gristmill demo
  gristmill demo --rows 1000000 --dir /tmp/demo")]
    Demo(DemoArgs),
    /// Show what is in a model or dataset, and where it came from
    #[command(after_help = "\
Examples:
  gristmill inspect runs/artists/model
  gristmill inspect runs/artists/dataset")]
    Inspect(InspectArgs),
    /// Do only the pull of a pipeline: make its dataset complete
    #[command(after_help = "Example:\n  gristmill pull pipeline.toml")]
    Pull(PullArgs),
    /// Count and hash the batches of a dataset again
    ///
    /// Without a pipeline the rows in the files are compared with what the log records of each batch. With one, each
    /// recorded key range is read from the database again, cleaned and compared. Batches that differ are named, and
    /// the exit code is 1.
    #[command(after_help = "\
Examples:
  gristmill verify runs/artists/dataset
  gristmill verify runs/artists/dataset --pipeline artists.toml")]
    Verify(VerifyArgs),
    /// Delete the files that no recent version of a dataset needs
    ///
    /// Merging small files leaves the old ones behind for readers of older versions. Versions that were the latest
    /// within the retained hours stay readable.
    #[command(after_help = "\
Examples:
  gristmill vacuum runs/artists/dataset --dry-run
  gristmill vacuum runs/artists/dataset --retain-hours 24")]
    Vacuum(VacuumArgs),
}

/// `gristmill run`.
#[derive(Debug, Clone, clap::Args)]
pub struct RunArgs {
    /// The pipeline file (TOML)
    pub file: PathBuf,
    /// Start the training from the coefficients of an earlier model
    ///
    /// Features and classes are found again by their values and names; new ones start at 0. The models of the search
    /// start from nothing, for the earlier model may have learnt from the rows that score them.
    #[arg(long, value_name = "MODEL")]
    pub warm_start: Option<PathBuf>,
    /// Which dataset it works on
    #[command(flatten)]
    pub dataset: DatasetArgs,
}

/// Which dataset a command works on.
#[derive(Debug, Clone, clap::Args)]
pub struct DatasetArgs {
    /// Pull the dataset once more from the source as it is now
    ///
    /// The dataset that is there stays until the new one is complete. What was begun is continued.
    #[arg(long)]
    pub fresh: bool,
}

/// `gristmill check`.
#[derive(Debug, Clone, clap::Args)]
pub struct CheckArgs {
    /// The pipeline file (TOML)
    pub file: PathBuf,
}

/// `gristmill predict`.
#[derive(Debug, Clone, clap::Args)]
pub struct PredictArgs {
    /// The model directory that a run wrote
    pub model: PathBuf,
    /// The rows to label: .parquet, .csv, .tsv or .jsonl (the last three
    /// also .gz), a URL as source.url is, or - for the standard input
    #[arg(
        long,
        value_name = "FILE|URL",
        required_unless_present = "pipeline",
        conflicts_with = "pipeline"
    )]
    pub input: Option<String>,
    /// The form of the standard input
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "csv",
        hide_default_value = true
    )]
    pub input_format: InputFormat,
    /// Label the rows of the source and the query of a pipeline file
    #[arg(long, value_name = "FILE")]
    pub pipeline: Option<PathBuf>,
    /// The query, where the input is the URL of a database
    #[arg(long, value_name = "SQL", requires = "input")]
    pub query: Option<String>,
    /// The columns by which a row is found again, by default those that
    /// were the key of the training
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub key: Vec<String>,
    /// Where to write labels and probabilities: .parquet, .csv or .jsonl,
    /// delta:FOLDER, - for the standard output, or the URL of a database
    #[arg(long, value_name = "PLACE")]
    pub output: String,
    /// The form of the output, whatever its name
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub output_format: Option<OutputFormat>,
    /// Replace the output file if it is there
    #[arg(long, conflicts_with = "table")]
    pub overwrite: bool,
    /// The table, where the output is the URL of a database
    #[arg(long, value_name = "TABLE")]
    pub table: Option<String>,
    /// What becomes of a table that is there: by default it is refused
    #[arg(long, value_enum, value_name = "WHAT", requires = "table")]
    pub if_exists: Option<IfExists>,
    /// Write to the table again what was written to it before
    #[arg(long, requires = "table")]
    pub fresh: bool,
    /// Rows of one transaction, and of one range of a query, by default
    /// those of the pipeline or 100,000
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub batch_rows: Option<u64>,
    /// Write the K most likely labels of each row
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = value_parser!(u32).range(1..))]
    pub top: u32,
    /// What the names of the columns `prediction` and `probability` begin with
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub prefix: String,
    /// The budget for the memory of the process, as run.memory: 64MB or more
    #[arg(long, value_name = "SIZE", default_value = "2GB", value_parser = memory)]
    pub memory: u64,
    /// Fail, and leave no file, where too many rows hold what training
    /// never saw
    #[arg(long)]
    pub strict: bool,
}

/// The form of what `predict` reads from the standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InputFormat {
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

/// What becomes of the rows of a table that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IfExists {
    /// Refuse it.
    Fail,
    /// Keep them, and add others.
    Append,
    /// Put a new table in its place, once that is whole.
    Replace,
    /// Keep them, but for those with the key of a new row.
    Upsert,
}

/// The form of what `predict` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Comma-separated values with a header.
    Csv,
    /// Apache Parquet.
    Parquet,
    /// One JSON object a line.
    Jsonl,
    /// A folder that is a Delta table.
    Delta,
}

fn memory(text: &str) -> Result<u64, String> {
    gristmill_run::settings::memory(text)
        .ok_or_else(|| "expected 64MB or more, as \"2GB\", \"512MB\" or \"1GiB\"".to_owned())
}

/// `gristmill demo`.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// Artists to make up, 100 at least
    // Of fewer, no two countries need have a row to train on.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = value_parser!(u64).range(100..))]
    pub rows: u64,
    /// Where to write the database, the pipeline and the run
    #[arg(long, value_name = "DIR", default_value = "runs/demo")]
    pub dir: PathBuf,
}

/// `gristmill inspect`.
#[derive(Debug, Clone, clap::Args)]
pub struct InspectArgs {
    /// A model directory or a dataset directory
    pub path: PathBuf,
}

/// `gristmill pull`.
#[derive(Debug, Clone, clap::Args)]
pub struct PullArgs {
    /// The pipeline file (TOML)
    pub file: PathBuf,
    /// Which dataset it works on
    #[command(flatten)]
    pub dataset: DatasetArgs,
}

/// `gristmill verify`.
#[derive(Debug, Clone, clap::Args)]
pub struct VerifyArgs {
    /// A dataset directory
    pub dataset: PathBuf,
    /// The pipeline file that made it, to compare with the database
    #[arg(long, value_name = "FILE")]
    pub pipeline: Option<PathBuf>,
}

/// `gristmill vacuum`.
#[derive(Debug, Clone, clap::Args)]
pub struct VacuumArgs {
    /// A dataset directory
    pub dataset: PathBuf,
    /// Keep what versions of the last H hours need
    #[arg(long, value_name = "H", default_value_t = 168, value_parser = value_parser!(u32))]
    pub retain_hours: u32,
    /// Only say what would be deleted
    #[arg(long)]
    pub dry_run: bool,
}
