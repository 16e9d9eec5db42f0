//! What DataFusion says of an SQL text, in plain words: without the names of its own parts and of its kinds of errors.

use datafusion::common::{Column, DataFusionError, SchemaError};

/// What stands before the text of an error and says what part of DataFusion it is from.
const PREFIXES: [&str; 10] = [
    "sql parser error: ",
    "Error during planning: ",
    "Execution error: ",
    "Arrow error: ",
    "Schema error: ",
    "Optimizer rule ",
    "Cast error: ",
    "Parser error: ",
    "Compute error: ",
    "Invalid argument error: ",
];

/// What is wrong, in one line.
pub(crate) fn plain(error: &DataFusionError) -> String {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => plain(inner),
        DataFusionError::Shared(inner) => plain(inner),
        DataFusionError::Collection(all) => all.first().map(plain).unwrap_or_default(),
        DataFusionError::SchemaError(inner, _) => schema(inner),
        DataFusionError::SQL(inner, _) => {
            format!("it cannot be read as SQL: {}", stripped(&inner.to_string()))
        }
        DataFusionError::NotImplemented(why) => {
            format!("it asks for what is not supported: {}", stripped(why))
        }
        DataFusionError::Plan(why) => match stripped(why).strip_prefix("Invalid function '") {
            // Of several functions with names as near, it suggests one in each run and another in the next.
            Some(rest) => format!(
                "there is no function `{}`",
                rest.split('\'').next().unwrap_or(rest)
            ),
            None => stripped(why),
        },
        DataFusionError::Execution(why) | DataFusionError::Internal(why) => stripped(why),
        DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
            arrow::error::ArrowError::DivideByZero => "it divides by zero".to_owned(),
            other => stripped(&other.to_string()),
        },
        other => stripped(&other.strip_backtrace()),
    }
}

fn schema(error: &SchemaError) -> String {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let known: Vec<&str> = valid_fields.iter().map(Column::name).collect();
            let columns = match known[..] {
                [] => String::new(),
                _ => format!("; the columns are: {}", known.join(", ")),
            };
            format!("there is no column `{}`{columns}", field.name())
        }
        SchemaError::AmbiguousReference { field } => {
            format!(
                "column `{}` is one of several tables; name the table too",
                field.name()
            )
        }
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => {
            format!("two of its columns are called `{name}`; give one another name with AS")
        }
    }
}

/// Without what it says first of where it comes from, and without what follows the first paragraph.
fn stripped(text: &str) -> String {
    let text = text.split("\n\n").next().unwrap_or_default();
    let mut text = text.trim();
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)) {
        text = rest.trim_start();
    }
    // Where it keeps its tables is nothing that a query names.
    let text = text.replace("datafusion.public.", "");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
