//! How a command can fail, and the exit code that says so.

use std::path::Path;
use std::process::ExitCode;

use gristmill_run::Error;

use crate::diagnose::Diagnostic;
use crate::interrupt;
use crate::settings::PipelineFile;

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
    if matches!(error, Error::Interrupted) {
        return Failure::Interrupted(error.into());
    }
    let input = match &error {
        Error::Data(e) => !matches!(
            e,
            Data::Connect { .. }
                | Data::Unavailable { .. }
                | Data::SnapshotGone { .. }
                | Data::Io { .. }
                | Data::DiskFull { .. }
                | Data::Stopped { .. }
                | Data::Delta(_)
                | Data::Parquet(_)
                | Data::Arrow(_)
        ),
        Error::Learn(e) => !matches!(
            e,
            Learn::Diverged { .. } | Learn::State { .. } | Learn::Io { .. } | Learn::Arrow(_)
        ),
        Error::Memory { .. } | Error::File { .. } => true,
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
        Error::Io { path, .. }
        | Error::Data(gristmill_data::Error::Io { path, .. } | gristmill_data::Error::DiskFull { path }) => {
            Some(path)
        }
        Error::Learn(gristmill_learn::Error::Io { file, .. }) => Some(file),
        _ => None,
    }
}

impl PipelineFile {
    /// The failure of a session: a problem at its line where it is about one.
    pub fn failure(&self, error: Error) -> Failure {
        let problem = match &error {
            Error::Data(e) => self.explain(e),
            Error::Learn(e) => self.explain_learning(e),
            Error::Memory { .. } => Some(self.problem("run.memory", error.to_string(), "")),
            _ => None,
        };
        let in_run_dir =
            file_of(&error).is_some_and(|file| Path::new(file).starts_with(&self.pipeline.run.dir));
        match (problem, classify(error)) {
            (Some(problem), Failure::Input(_)) => problem.into(),
            (_, Failure::Run(error)) if in_run_dir => Failure::Run(error.context(format!(
                "cannot work in run.dir = {}; see to its permissions and its space, or set another",
                self.pipeline.run.dir.display()
            ))),
            (_, failure) => failure,
        }
    }

    fn explain_learning(&self, error: &gristmill_learn::Error) -> Option<Diagnostic> {
        use gristmill_learn::Error as E;
        let setting = match error {
            E::ColumnType { column, .. }
            | E::UnseenCategory { column, .. }
            | E::TooManyCategories { column, .. }
            | E::NotFinite { column, .. }
            | E::NothingToImpute { column, .. } => {
                let feature = self.pipeline.features.iter().position(|f| f.column() == column);
                let weight = self.pipeline.label.weight.as_ref() == Some(column);
                match feature {
                    Some(index) => format!("feature[{index}].column"),
                    None if weight => "label.weight".to_owned(),
                    None => "label.column".to_owned(),
                }
            }
            E::NegativeFeature { .. } | E::TooManyFeatures { .. } => "model.kind".to_owned(),
            E::Weight { .. } => "label.weight".to_owned(),
            E::UnknownClass { setting, .. } => (*setting).to_owned(),
            E::MissingThreshold { .. } => "model.thresholds".to_owned(),
            E::LabelAllNull { .. } | E::TooFewClasses { .. } | E::ConstantLabel { .. } => {
                "label.column".to_owned()
            }
            E::Budget { .. } => "run.memory".to_owned(),
            _ => return None,
        };
        Some(self.problem(&setting, error.to_string(), ""))
    }
}
