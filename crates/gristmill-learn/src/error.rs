//! What can go wrong in fitting, transforming, training and reading a model.

use std::collections::BTreeMap;

use arrow::error::ArrowError;

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, with what was given and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A column that a step reads is not in the schema.
    #[error("column `{column}` is not in the data; its columns are: {}", .available.join(", "))]
    MissingColumn {
        /// The column asked for.
        column: String,
        /// The columns there are.
        available: Vec<String>,
    },
    /// A column has a type that the step cannot read.
    #[error("column `{column}` has type {given}; {step} needs {expected}")]
    ColumnType {
        /// The column.
        column: String,
        /// The step that reads it, e.g. `one_hot`.
        step: String,
        /// What the step can read.
        expected: &'static str,
        /// The type the column has.
        given: String,
    },
    /// A column that cannot be brought to the type that it had in training.
    #[error(
        "column `{column}` does not fit what the model was trained on{}: {why}",
        .row.map_or(String::new(), |row| format!(", first in row {}", row + 1))
    )]
    Unfit {
        /// The column.
        column: String,
        /// The first row that does not fit, from 0; `None` where its type does not.
        row: Option<u64>,
        /// What was given, what is expected, and what to write instead.
        why: String,
    },
    /// A category that training never saw, where the pipeline says `unseen = "error"`.
    #[error(
        "column `{column}` holds {value}, a category that was not in the training rows; \
         set unseen = \"keep\" (its own slot) or \"skip\" (leave the row out) for this feature"
    )]
    UnseenCategory {
        /// The column.
        column: String,
        /// The category, quoted, or `null`.
        value: String,
    },
    /// A column has more categories than allowed.
    #[error(
        "column `{column}` has {given} categories, more than max_categories = {allowed}; \
         raise min_count or max_categories, or use encode = \"ngrams\""
    )]
    TooManyCategories {
        /// The column.
        column: String,
        /// Categories found.
        given: usize,
        /// Categories allowed.
        allowed: usize,
    },
    /// A row whose split is none.
    #[error(
        "column `{column}` holds {value}, and split.column needs \"train\", \"validation\" or \"test\" in every row; write these in \
         source.query, or leave other rows out, e.g. [clean] filter = \"{column} IN ('train', 'validation', 'test')\""
    )]
    UnknownSplit {
        /// The column that says the split.
        column: String,
        /// What it holds, quoted, or `null`.
        value: String,
    },
    /// A number that is infinite, or so large that its square or its scaled value would be.
    #[error(
        "column `{column}` holds {value}, which no scaling can bring to a finite number; \
         leave such rows out, e.g. [clean] filter = \"{column} BETWEEN -1e30 AND 1e30\""
    )]
    NotFinite {
        /// The column.
        column: String,
        /// The step that reads it: the kind of a feature, `label` or `weight`.
        step: String,
        /// The number.
        value: f64,
    },
    /// Numbers that are not scaled and differ by too little for their size.
    #[error(
        "column `{column}` holds numbers around {mean} that differ from it by {deviation} in the mean: the features have 24 bits a \
         number, which make many of them equal; set scale = \"standard\", or subtract a constant in source.query"
    )]
    Precision {
        /// The column.
        column: String,
        /// The mean of its values.
        mean: f64,
        /// Their standard deviation.
        deviation: f64,
    },
    /// Numbers that are not scaled, many of which are one in the features.
    #[error(
        "column `{column}` has {distinct} different numbers, {merged} of which become one with another in the features, which have 24 \
         bits a number; make them smaller in source.query (subtract where they begin, divide), and a number far from the others, \
         such as 0 for none, null"
    )]
    Merged {
        /// The column.
        column: String,
        /// Its different values.
        distinct: u64,
        /// Those among them that become one with another.
        merged: u64,
    },
    /// The label is null in every training row.
    #[error("label `{column}` is null in every one of the {rows} training rows; there is nothing to learn")]
    LabelAllNull {
        /// The label column.
        column: String,
        /// Training rows looked at.
        rows: u64,
    },
    /// Rare classes together would have the name of a class that there is.
    #[error(
        "label `{column}` already has a class \"other\", in {rows} or more rows, and rare = \"other\" would add the rows of \
         rare classes to it; give that class another name in source.query, or set rare = \"drop\""
    )]
    OtherExists {
        /// The label column.
        column: String,
        /// Rows of the class that were found.
        rows: u64,
    },
    /// Fewer than two classes are left.
    #[error(
        "label `{column}` has {given} with at least min_rows = {min_rows} training rows; \
         a classifier needs two: lower label.min_rows or look at the query"
    )]
    TooFewClasses {
        /// The label column.
        column: String,
        /// What is left, e.g. `one class ("American")` or `no class`.
        given: String,
        /// The threshold in force.
        min_rows: u64,
    },
    /// A label that does not vary, where a penalty is relative to its deviation and no intercept can meet it.
    #[error(
        "the label is {value} in every training row, or in those that a fold leaves, and without an intercept a penalty \
         has no scale; set model.fit_intercept = true, or model.reg_param = 0"
    )]
    ConstantLabel {
        /// Its value.
        value: f64,
    },
    /// A setting names a class that the label does not have.
    #[error("{setting} names the class {class:?}, which the label does not have; its classes are: {}", listed(.known))]
    UnknownClass {
        /// The setting.
        setting: &'static str,
        /// The class it names.
        class: String,
        /// The classes there are.
        known: Vec<String>,
    },
    /// A binomial regression of more classes than two.
    #[error(
        "the binomial family is for two classes, and the label has {classes}; remove model.family, or set it to \"multinomial\""
    )]
    BinomialClasses {
        /// The classes that the label has.
        classes: usize,
    },
    /// `model.thresholds` leaves a class out.
    #[error(
        "model.thresholds has no threshold for the class {class:?}; give one for every class, or none at all"
    )]
    MissingThreshold {
        /// The class left out.
        class: String,
    },
    /// A weight that is null, NaN or negative.
    #[error(
        "column `{column}` holds {value} as the weight of a row, which must be a number of 0 or more; \
         fix it in the query, or leave such rows out, e.g. [clean] filter = \"{column} >= 0\""
    )]
    Weight {
        /// The column.
        column: String,
        /// What it holds.
        value: String,
    },
    /// A feature that is to count something is negative.
    #[error(
        "feature `{feature}` is {value} in a training row, and naive Bayes needs features of 0 or more; \
         set scale = \"none\" for a numeric feature, leave out what is negative, or use kind = \"logistic_regression\""
    )]
    NegativeFeature {
        /// Its name.
        feature: String,
        /// Its number.
        index: u32,
        /// The value.
        value: f32,
    },
    /// A split or fold received no rows.
    #[error("{what} is empty: {why}")]
    EmptySplit {
        /// Which split or fold.
        what: String,
        /// Why, and the way out.
        why: String,
    },
    /// The memory budget cannot hold what the step needs.
    #[error("{what} needs {needed} bytes, {available} are left of the memory budget")]
    Budget {
        /// What needs the memory.
        what: String,
        /// Bytes needed.
        needed: u64,
        /// Bytes available.
        available: u64,
    },
    /// No bundle could hold the model.
    #[error(
        "{features} features and {classes} classes are {bytes} bytes of coefficients, and a model may have {allowed}; \
         lower the bits of n-grams, raise min_count, or leave out classes with label.min_rows"
    )]
    ModelTooLarge {
        /// Sparse columns.
        features: usize,
        /// Classes.
        classes: usize,
        /// Bytes of the coefficients.
        bytes: u64,
        /// Bytes that they may have.
        allowed: u64,
    },
    /// A model has no form in which its probabilities are tempered.
    #[error("a model of kind {kind} cannot be calibrated; remove model.calibrate")]
    NotCalibrated {
        /// The kind of the model.
        kind: String,
    },
    /// A model that is found in one step has nothing to start from.
    #[error("a warm start is for logistic_regression, which is trained step by step")]
    NoWarmStart,
    /// The optimiser met a value that is not a number.
    #[error("training of {model} diverged: the objective is {value} after {iteration} iterations")]
    Diverged {
        /// Which model of the search.
        model: String,
        /// The objective.
        value: f64,
        /// Iterations done.
        iteration: u32,
    },
    /// A state handed to `merge` is not of this pass.
    #[error("a partial state of `{pass}` does not fit: {why}")]
    State {
        /// The pass.
        pass: &'static str,
        /// What does not fit.
        why: String,
    },
    /// A step cannot be rebuilt from its spec.
    #[error("the step `{kind}` cannot be rebuilt: {why}")]
    Spec {
        /// The kind of step.
        kind: String,
        /// What is wrong with its spec.
        why: String,
    },
    /// A file is not a model bundle, or is damaged.
    #[error("{file} is not a readable gristmill model: {why}")]
    Bundle {
        /// The file, as given.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// Arrow refused an operation.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

impl Error {
    /// A pass was asked for a part of its results that it does not have.
    pub(crate) fn no_part(pass: &'static str, index: usize) -> Self {
        Self::State {
            pass,
            why: format!("it has no part {index}"),
        }
    }

    /// `EmptySplit` for a fold.
    pub fn empty_fold(fold: usize, folds: usize) -> Self {
        Self::EmptySplit {
            what: format!("fold {fold} of {folds}"),
            why: "no entity of the training split falls into it; lower search.folds or read more rows"
                .to_owned(),
        }
    }

    /// `EmptySplit` for the training split.
    pub fn empty_training() -> Self {
        Self::EmptySplit {
            what: "the training split".to_owned(),
            why: "no row is left in it; raise split.train, read more rows, or keep rows that label.min_rows or \
                  unseen = \"skip\" leave out"
                .to_owned(),
        }
    }

    /// `EmptySplit` for rows that weigh nothing.
    pub fn weightless() -> Self {
        Self::EmptySplit {
            what: "the training split, or what a fold leaves of it,".to_owned(),
            why: "its rows all have weight 0; look at label.weight and label.class_weight".to_owned(),
        }
    }

    /// `UnknownClass` if a table of a setting names a class that is not among these.
    pub(crate) fn check_classes(
        setting: &'static str,
        table: &BTreeMap<String, f64>,
        classes: &[String],
    ) -> Result<()> {
        match table.keys().find(|class| !classes.contains(class)) {
            None => Ok(()),
            Some(class) => Err(Self::UnknownClass {
                setting,
                class: class.clone(),
                known: classes.to_vec(),
            }),
        }
    }

    /// `MissingColumn` for `column`, listing what `schema` has.
    pub fn missing_column(column: &str, schema: &arrow::datatypes::Schema) -> Self {
        Self::MissingColumn {
            column: column.to_owned(),
            available: schema.fields().iter().map(|f| f.name().clone()).collect(),
        }
    }
}

/// The first classes of a list.
fn listed(classes: &[String]) -> String {
    const SHOWN: usize = 20;
    let shown: Vec<String> = classes
        .iter()
        .take(SHOWN)
        .map(|class| format!("{class:?}"))
        .collect();
    let more = if classes.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// A checkpoint that does not fit the training.
pub(crate) fn broken(why: impl ToString) -> Error {
    Error::State {
        pass: "checkpoint",
        why: why.to_string(),
    }
}
