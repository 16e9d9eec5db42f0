//! How a command can fail, and the exit code that says so.

use std::path::Path;
use std::process::ExitCode;

use anyhow::anyhow;
use gristmill_run::Error;

use crate::interrupt;
use gristmill_run::settings::PipelineFile;
use gristmill_run::settings::diagnose::Diagnostic;

/// Why a command did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// Problems in the pipeline file, each at its line. Exit code 2.
    Configuration(Vec<Diagnostic>),
    /// Any other input that cannot be used. Exit code 2.
    Input(anyhow::Error),
    /// The work itself failed. Exit code 1.
    Run(anyhow::Error),
    /// The run was asked to stop. Exit code 130.
    Interrupted(anyhow::Error),
}

impl Failure {
    /// A fault of the program itself. What it was about is in the panic's message.
    pub fn of_panic(panic: &str) -> Self {
        Self::Run(anyhow!(
            "this is a bug in gristmill: {panic}; please report it with the output of -vv"
        ))
    }

    /// The exit code of the process.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Configuration(_) | Self::Input(_) => ExitCode::from(2),
            Self::Run(_) => ExitCode::from(1),
            Self::Interrupted(_) => ExitCode::from(interrupt::EXIT_CODE),
        }
    }
}

impl From<Vec<Diagnostic>> for Failure {
    fn from(problems: Vec<Diagnostic>) -> Self {
        Self::Configuration(problems)
    }
}

impl From<Diagnostic> for Failure {
    fn from(problem: Diagnostic) -> Self {
        Self::Configuration(vec![problem])
    }
}

/// Tells input that cannot be used from work that failed.
pub fn classify(error: Error) -> Failure {
    use gristmill_data::Error as Data;
    use gristmill_learn::Error as Learn;
    if matches!(error, Error::Interrupted | Error::Cancelled) {
        return Failure::Interrupted(error.into());
    }
    let input = match &error {
        Error::Data(e) => !matches!(
            e,
            Data::Connect { .. }
                | Data::Unavailable { .. }
                | Data::Lost { .. }
                | Data::Answer { .. }
                | Data::SnapshotGone { .. }
                | Data::Io { .. }
                | Data::DiskFull { .. }
                | Data::BeingWritten { .. }
                | Data::Write { .. }
                | Data::Stopped { .. }
                | Data::Delta(_)
                | Data::Parquet(_)
                | Data::Arrow(_)
        ),
        Error::Learn(e) => !matches!(e, Learn::Diverged { .. } | Learn::State { .. } | Learn::Arrow(_)),
        Error::Memory(_) | Error::File { .. } | Error::Entity { .. } | Error::NoRows { .. } => true,
        Error::NoFeatures { .. } | Error::SplitByLabel { .. } | Error::ForeignFolder { .. } => true,
        _ => false,
    };
    if input {
        Failure::Input(error.into())
    } else {
        Failure::Run(error.into())
    }
}

/// The file that could not be read or written.
fn file_of(error: &Error) -> Option<&str> {
    match error {
        Error::Data(gristmill_data::Error::Io { path, .. } | gristmill_data::Error::DiskFull { path }) => {
            Some(path)
        }
        _ => None,
    }
}

/// The failure of a session on a pipeline file: a problem at its line where it is about one.
pub fn at(file: &PipelineFile, error: Error) -> Failure {
    let dir = &file.pipeline.run.dir;
    let problem = file.explain(&error);
    let in_run_dir = file_of(&error).is_some_and(|path| Path::new(path).starts_with(dir));
    let full = matches!(error, Error::Data(gristmill_data::Error::DiskFull { .. }));
    match (problem, classify(error)) {
        (Some(problem), Failure::Input(_)) => problem.into(),
        (_, Failure::Run(error)) if full => Failure::Run(error.context(
            "there is no room to go on; what is finished is kept, and the next run goes on after it",
        )),
        (_, Failure::Run(error)) if in_run_dir => Failure::Run(error.context(format!(
            "cannot work in run.dir = {}; see to its permissions and its space, or set another",
            dir.display()
        ))),
        (_, failure) => failure,
    }
}
