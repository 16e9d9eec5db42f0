//! Every key a pipeline file may have.

/// The tables, in reading order, and their keys. `[[feature]]` and `[model]` have those of their kind besides.
pub const TABLES: &[(&str, &[&str])] = &[
    ("source", &["url", "query", "key", "consistency"]),
    ("batches", &["rows", "connections", "target_file_size"]),
    (
        "clean",
        &["trim", "empty_as_null", "require", "filter", "distinct"],
    ),
    ("feature", &["column", "encode"]),
    ("label", &["column", "min_rows", "rare", "weight", "class_weight"]),
    ("split", &["by", "train", "validation", "test", "seed", "column"]),
    ("model", &["kind", "preset", "calibrate"]),
    ("search", &["folds", "metric", "choose", "seconds", "halving"]),
    (
        "run",
        &["dir", "memory", "threads", "checkpoint_seconds", "verify"],
    ),
];

/// The keys of a table.
pub(super) fn of_table(table: &str) -> &'static [&'static str] {
    let found = TABLES.iter().find(|(known, _)| *known == table);
    found.map_or(&[], |(_, keys)| keys)
}
