//! What was chosen that a pipeline leaves open, as text: one line for each column, as a pipeline file would have it.

use gristmill_learn::features::choose::Choice;
use gristmill_learn::settings::LabelKind;

use crate::visible;

/// Each column and what becomes of it, such as ``label `country` holds classes (20 texts, 2 different): kind = "logistic_regression"``.
pub fn chosen(choice: &Choice) -> Vec<String> {
    let label = choice.label.iter().map(|label| {
        let holds = match label.kind {
            LabelKind::Class => "classes",
            LabelKind::Number => "numbers",
        };
        format!(
            "label `{}` holds {holds} ({}): kind = \"{}\"",
            visible::name(&label.column),
            label.found,
            label.model
        )
    });
    let columns = choice.columns.iter().map(|column| {
        format!(
            "`{}` is {} ({}): {}",
            visible::name(&column.column),
            called(&column.is),
            column.found,
            column.written()
        )
    });
    label.chain(columns).collect()
}

/// With its article, where it is a noun.
fn called(is: &str) -> String {
    match is {
        "unreadable" | "constant" | "below 0" | "codes" => is.to_owned(),
        noun if noun.starts_with(['a', 'e', 'i', 'o', 'u']) => format!("an {noun}"),
        noun => format!("a {noun}"),
    }
}
