//! The tables of types: each row of the documentation has its cases, and each case its row.

use arrow::datatypes::DataType;

use crate::support::{everything, failure, read, source};

/// What becomes of a value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fate {
    /// It is there, and shown as this.
    Is(&'static str),
    /// Reading it is an error that says this.
    Refused(&'static str),
    /// The type has no counterpart, and the error says to write this.
    Cast(&'static str),
}

impl Fate {
    /// Checks the value in column `v` of the row `id = 1` of a query; where there is a row `id = 2`, its is null.
    pub(crate) async fn check(self, url: &str, query: &str, database_type: &str, arrow_type: &DataType) {
        if let Self::Cast(cast) = self {
            let message = failure(url, query, "id").await;
            let expected =
                format!("column `v` has type {database_type}, which has no counterpart here; write {cast}");
            assert!(message.starts_with(&expected), "{message}");
            return;
        }
        let source = source(url, query, "id").await;
        let types = source.column_types();
        assert!(
            types[1].database_type.starts_with(database_type),
            "{query}: {types:?}"
        );
        assert_eq!(types[1].arrow_type, *arrow_type, "{query}");
        match (self, read(source.as_ref(), &everything()).await) {
            (Self::Is(shown), Ok(rows)) => {
                assert_eq!(rows[0], ["1", shown], "{query}");
                assert!(
                    rows.get(1).is_none_or(|row| row == &["2", "∅"]),
                    "{query}: {rows:?}"
                );
            }
            (Self::Refused(why), Err(error)) => {
                let message = error.to_string();
                assert!(message.starts_with("column `v`, row with id = 1: "), "{message}");
                assert!(
                    message.contains(why) && message.ends_with(" in source.query"),
                    "{message}"
                );
            }
            (_, found) => panic!("{query}: {found:?}"),
        }
    }
}

/// Checks that the table of types under a heading of docs/pipeline.md and the cases (type, counterpart, fate) are of the same
/// types, and that what a row says a type becomes is what the cases say.
pub(crate) fn check_documented<'c>(
    heading: &str,
    cases: impl Iterator<Item = (&'c str, &'c DataType, &'c Fate)>,
) {
    let path = gristmill_testkit::repository().join("docs/pipeline.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, chapter) = text.split_once(&format!("\n### {heading}\n")).unwrap();
    let (_, table) = chapter.split_once("\n| Type | Becomes |\n|---|---|\n").unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let rows: Vec<(Vec<&str>, &str)> = rows
        .map(|line| {
            let (types, becomes) = line.trim_matches('|').split_once(" | ").unwrap();
            (types.split('`').skip(1).step_by(2).collect(), becomes)
        })
        .collect();
    let cases: Vec<_> = cases.collect();
    for (types, _) in &rows {
        assert!(!types.is_empty());
        for name in types {
            assert!(
                cases.iter().any(|(case, ..)| case == name),
                "no case for `{name}` of {heading}"
            );
        }
    }
    for (name, arrow_type, fate) in cases {
        let row = rows.iter().find(|(types, _)| types.contains(&name));
        let (_, becomes) = row.unwrap_or_else(|| panic!("`{name}` of {heading} is not documented"));
        let word = match (fate, arrow_type) {
            (Fate::Cast(_), _) => "refused",
            (_, DataType::Boolean) => "boolean",
            (_, DataType::Float32 | DataType::Float64) => "float",
            (_, DataType::Decimal128(..)) => "decimal(",
            (_, DataType::Utf8) => "text",
            (_, DataType::Binary) => "binary",
            (_, DataType::Date32) => "date",
            (_, DataType::Timestamp(_, Some(_))) => "timestamp in UTC",
            (_, DataType::Timestamp(_, None)) => "timestamp without a zone",
            (_, integer) if integer.is_integer() => "integer",
            other => panic!("{other:?}"),
        };
        assert!(becomes.contains(word), "`{name}` of {heading}: {becomes}");
    }
}
