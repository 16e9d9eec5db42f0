//! The setting that an error is about, with its place in the pipeline file.

use super::diagnose::Diagnostic;
use super::file::PipelineFile;
use crate::error::Error;

impl PipelineFile {
    /// The problem in the file that an error is about; `None` if no setting can mend it.
    pub fn explain(&self, error: &Error) -> Option<Diagnostic> {
        match error {
            Error::Data(error) => self.explain_source(error),
            Error::Learn(error) => self.explain_learning(error),
            Error::SplitByLabel { .. } => Some(self.problem("label.column", error.to_string(), "")),
            Error::Entity { column, .. } => {
                let by = Some("split.by".to_owned()).filter(|by| self.locate(by).is_some());
                let setting = by.unwrap_or_else(|| self.key_setting(column));
                Some(self.problem(&setting, error.to_string(), ""))
            }
            Error::NoFeatures { .. } => {
                let setting = match self.pipeline.features.is_empty() {
                    true => self.of_every_column(),
                    false => "feature".to_owned(),
                };
                Some(self.problem(&setting, error.to_string(), ""))
            }
            Error::Memory(_) => Some(self.problem("run.memory", error.to_string(), "")),
            _ => None,
        }
    }

    /// The problem in the file that an error from the source or the cleaning is about.
    pub fn explain_source(&self, error: &gristmill_data::Error) -> Option<Diagnostic> {
        use gristmill_data::Error;
        let setting = match error {
            Error::Url { .. }
            | Error::Connect { .. }
            | Error::Unavailable { .. }
            | Error::Lost { .. }
            | Error::Answer { .. }
            | Error::NoFile { .. }
            | Error::SourceFile { .. } => "source.url".to_owned(),
            Error::Query { .. } | Error::FileQuery { .. } => "source.query".to_owned(),
            Error::KeyMissing { key, available } => {
                let columns: Vec<&str> = available.iter().map(String::as_str).collect();
                return Some(self.missing_column(&self.key_setting(key), key, &columns));
            }
            Error::NoKey { .. } => "source".to_owned(),
            Error::KeyType { key, .. } => self.key_setting(key),
            Error::ColumnType { .. } => "source.query".to_owned(),
            Error::Clean { setting, .. } => format!("clean.{setting}"),
            _ => return None,
        };
        Some(self.problem(&setting, error.to_string(), ""))
    }

    fn explain_learning(&self, error: &gristmill_learn::Error) -> Option<Diagnostic> {
        use gristmill_learn::Error as E;
        let setting = match error {
            E::ColumnType { column, step, .. } | E::NotFinite { column, step, .. } => match step.as_str() {
                "weight" => "label.weight".to_owned(),
                "label" | "the label of a regression" => "label.column".to_owned(),
                "split.by" | "split.column" => step.clone(),
                _ => self.setting_of_column(column),
            },
            E::UnseenCategory { column, .. }
            | E::TooManyCategories { column, .. }
            | E::Precision { column, .. } => self.setting_of_column(column),
            E::NegativeFeature { .. } => "model.kind".to_owned(),
            E::Weight { .. } => "label.weight".to_owned(),
            E::UnknownSplit { .. } => "split.column".to_owned(),
            E::UnknownClass { setting, .. } => (*setting).to_owned(),
            E::MissingThreshold { .. } => "model.thresholds".to_owned(),
            E::BinomialClasses { .. } => "model.family".to_owned(),
            E::OtherExists { .. } => "label.rare".to_owned(),
            E::LabelAllNull { .. } | E::TooFewClasses { .. } | E::ConstantLabel { .. } => {
                "label.column".to_owned()
            }
            E::Budget { .. } => "run.memory".to_owned(),
            _ => return None,
        };
        Some(self.problem(&setting, error.to_string(), ""))
    }

    /// The setting that columns come from without being named.
    fn of_every_column(&self) -> String {
        let query = Some("source.query".to_owned()).filter(|query| self.locate(query).is_some());
        query.unwrap_or_else(|| "source.url".to_owned())
    }

    /// The setting of the first feature that reads a column; of the label where none does.
    fn setting_of_column(&self, column: &str) -> String {
        let features = self.pipeline.features.iter().enumerate();
        let mut places = features.filter_map(|(index, feature)| {
            let place = feature.columns().iter().position(|name| name == column)?;
            Some(self.feature_setting(index, place))
        });
        let is_label = *column == self.pipeline.label.column;
        places
            .next()
            .unwrap_or_else(|| match self.pipeline.open.every_column && !is_label {
                true => self.of_every_column(),
                false => "label.column".to_owned(),
            })
    }
}
