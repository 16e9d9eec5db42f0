//! Every key a pipeline file may have.

/// The tables, in reading order, and their keys. `[[feature]]` has the keys of its encoder besides, and
/// `[model]` those of its kind, see [`MODELS`].
pub const TABLES: &[(&str, &[&str])] = &[
    ("source", &["url", "query", "key", "consistency"]),
    ("batches", &["rows", "connections", "target_file_size"]),
    (
        "clean",
        &["trim", "empty_as_null", "require", "filter", "distinct"],
    ),
    ("feature", &["column", "encode"]),
    ("label", &["column", "min_rows", "rare", "weight", "class_weight"]),
    ("split", &["by", "train", "validation", "test", "seed"]),
    ("model", &["kind"]),
    ("search", &["folds", "metric", "halving"]),
    (
        "run",
        &["dir", "memory", "threads", "checkpoint_seconds", "verify"],
    ),
];

/// The values of `model.kind`, and the keys that each adds to `kind`.
pub const MODELS: &[(&str, &[&str])] = &[
    (
        "logistic_regression",
        &[
            "reg_param",
            "elastic_net_param",
            "max_iter",
            "tol",
            "fit_intercept",
            "standardization",
            "family",
            "solver",
            "history",
            "thresholds",
        ],
    ),
    ("naive_bayes", &["smoothing", "thresholds"]),
    (
        "linear_regression",
        &[
            "reg_param",
            "elastic_net_param",
            "max_iter",
            "tol",
            "fit_intercept",
            "standardization",
        ],
    ),
];

/// The keys of a table.
pub(super) fn of_table(table: &str) -> &'static [&'static str] {
    find(TABLES, table)
}

/// The keys that a kind of model adds.
pub(super) fn of_model(kind: &str) -> &'static [&'static str] {
    find(MODELS, kind)
}

fn find(list: &'static [(&str, &[&str])], name: &str) -> &'static [&'static str] {
    list.iter()
        .find(|(known, _)| *known == name)
        .map_or(&[], |(_, keys)| keys)
}
