//! How columns are encoded of which the pipeline does not say it, and whether the label is a class or a number: decided by rules
//! from what the training rows hold.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::contract::encoder::{Encoder, Estimator, Feature, FittedTo};
use crate::contract::pass::Pass;
use crate::contract::reads::{Reads, is_category, is_number};
use crate::encode::{ENCODERS, ngrams};
use crate::error::{Error, Result};
use crate::features::fit::{FitPass, Rows};
use crate::features::split::Splitter;
use crate::rows::factors;
use crate::settings::{LabelKind, LabelSettings, SplitSettings};
use crate::statistics::{ColumnContent, Content, Many};

/// The encoder that is chosen: `encode = "auto"`.
pub const AUTO: &str = "auto";

/// The version of the rules. Raise it when the same rows and settings are decided in another way: what an earlier version chose is
/// then chosen again.
pub const CHOICE_FORMAT: u32 = 3;

/// Whole numbers with at most so many different values are categories, or classes.
const FEW: u64 = 20;
/// A category has so many rows a value on average.
const ROWS_A_CATEGORY: u64 = 10;
/// Of an identifier at least this share of the values are different, of at least so many.
const DIFFERENT: f64 = 0.95;
const MANY: u64 = 30;
/// Integers that are all different are numbered where their range is at most so many times their count: integers that chance
/// chooses from four times as many repeat more often.
const DENSE: f64 = 4.0;
/// A long text has so many words on average.
const LONG: u64 = 10;
/// The largest of numbers that also their logarithm tells something is so many times the least.
const WIDE: f64 = 1_000.0;
/// With the n-grams of a text, a label of so many classes has a factorised softmax. Measured on names: of 114 nationalities in 15,000
/// rows it has an accuracy of 0.735 and a log loss of 0.99, a logistic regression 0.733 and 1.05 in eight times the time.
const FACTORISED_CLASSES: u64 = 8;
/// The dimension of one by default, which is what a feature then has in place of a coefficient for each class.
const DIMENSION: u64 = 48;
/// The n-grams of a text have at least and at most so many bits, and four more than the training rows.
const BITS: (u32, u32) = (16, 20);
/// And no more than give so many coefficients, which take 1.6 GB in training.
const MOST_COEFFICIENTS: u64 = 1 << 26;

/// `encode = "auto"`: what gathers what a column holds. What it stands for is chosen before anything is fitted.
#[derive(Debug, Clone)]
pub struct Auto {
    column: [String; 1],
}

impl Auto {
    /// The feature of `column` that is to be chosen.
    pub fn feature(column: &str) -> Feature {
        Feature::new(Self {
            column: [column.to_owned()],
        })
    }
}

impl Estimator for Auto {
    fn kind(&self) -> &'static str {
        AUTO
    }

    fn columns(&self) -> &[String] {
        &self.column
    }

    fn settings(&self) -> Value {
        json!({ "column": self.column[0] })
    }

    /// So that files without types give it the type of its values, and do not keep it as it is written.
    fn reads(&self) -> Reads {
        Reads::Number
    }

    fn pass(&self) -> Box<dyn Pass> {
        Box::new(Content::new(&self.column[0]))
    }

    fn fitted(&self, _state: &RecordBatch, _to: &FittedTo<'_>) -> Result<Box<dyn Encoder>> {
        Err(bad("encode = \"auto\" was not chosen"))
    }
}

/// The pass over the training rows that have a label which tells what columns hold.
pub struct Chooser {
    columns: Vec<String>,
    label: String,
    pass: FitPass,
}

/// What was chosen, as settings that a pipeline could have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// By column, in the order of the pipeline or else of the query.
    pub columns: Vec<ChosenColumn>,
    /// What the label is, where the pipeline does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<ChosenLabel>,
}

/// How a column is encoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChosenColumn {
    /// The column.
    pub column: String,
    /// What it is: the name of the rule.
    pub is: String,
    /// What was found in it.
    pub found: String,
    /// Its features: `encode`, and the settings of it that are not the default. None where the column is left out.
    pub features: Vec<Map<String, Value>>,
}

/// What the label is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChosenLabel {
    /// The column.
    pub column: String,
    /// Classes or numbers.
    pub kind: LabelKind,
    /// What was found in it.
    pub found: String,
    /// The kind of model that is trained.
    pub model: String,
}

/// What is asked of a choice.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The columns of the dataset.
    pub schema: &'a Schema,
    /// Whether what the label is, and by that the model, is to be chosen.
    pub label: bool,
    /// The kinds of models of which one is chosen, with what each learns; the one where the pipeline says it.
    pub models: &'a [(&'a str, LabelKind)],
    /// Whether a feature that the pipeline names has the n-grams of a text.
    pub text: bool,
    /// Whether there are validation rows.
    pub validation: bool,
    /// Whether the model counts its features, so that none may be negative.
    pub counts: bool,
}

impl Chooser {
    /// A choice for these columns.
    pub fn new(columns: Vec<String>, label: &LabelSettings, split: &SplitSettings) -> Self {
        let all = std::iter::once(&label.column).chain(&columns);
        let contents = all.map(|column| Box::new(Content::new(column)) as _).collect();
        Self {
            pass: FitPass::new(Splitter::new(split, 1), label, Many::new(contents)),
            label: label.column.clone(),
            columns,
        }
    }

    /// The fold that gathers what is needed.
    pub fn pass(&self) -> &FitPass {
        &self.pass
    }

    /// The choice by the final state of that pass.
    ///
    /// # Errors
    /// When there is no training row with a label, or the state is not of that pass.
    pub fn choice(&self, state: &RecordBatch, asked: Asked<'_>) -> Result<Choice> {
        let states = Many::states(state)?;
        let [rows, label, columns @ ..] = states.as_slice() else {
            return Err(bad("its state holds nothing"));
        };
        if columns.len() != self.columns.len() {
            return Err(bad("its state is of other columns"));
        }
        self.pass.check_training(&Rows::from_state(rows)?)?;
        let label = Content::fitted(label)?;
        let label_type = field(asked.schema, &self.label)?;
        let (kind, found) = label_kind(&label, label_type);
        let kind = match asked.label {
            true => kind,
            false => self.pass.label_kind(),
        };
        let models = || asked.models.iter().filter(|(_, learns)| *learns == kind);
        let enough = asked.validation && label.distinct() >= FACTORISED_CLASSES;
        // A column that is a text makes it one.
        let may_be_factorised = (enough || !asked.label) && models().any(|(name, _)| *name == factors::KIND);
        let sets = match (kind, label.distinct()) {
            (LabelKind::Number, _) | (_, ..=2) => 1,
            (_, classes) if may_be_factorised => classes.min(DIMENSION),
            (_, classes) => classes,
        };
        let chosen = self.columns.iter().zip(columns).map(|(column, state)| {
            let content = Content::fitted(state)?;
            Ok(chosen(&Evidence {
                column,
                data_type: field(asked.schema, column)?,
                content: &content,
                sets,
                counts: asked.counts,
            }))
        });
        let columns: Vec<ChosenColumn> = chosen.collect::<Result<_>>()?;
        let is_text = |features: &Map<String, Value>| features.get("encode") == Some(&ngrams::KIND.into());
        let text = asked.text || columns.iter().flat_map(|column| &column.features).any(is_text);
        let factorised = text && may_be_factorised;
        let model = models()
            .find(|(name, _)| (*name == factors::KIND) == factorised)
            .or_else(|| models().next())
            .filter(|_| asked.label);
        Ok(Choice {
            columns,
            label: model.map(|(model, _)| ChosenLabel {
                column: self.label.clone(),
                kind,
                found,
                model: (*model).to_owned(),
            }),
        })
    }
}

impl Choice {
    /// The features of a column.
    ///
    /// # Errors
    /// `Spec` when no encoder takes such settings.
    pub fn features(&self, column: &str) -> Result<Vec<Feature>> {
        let chosen = self.columns.iter().filter(|chosen| chosen.column == column);
        let settings = chosen.flat_map(|chosen| &chosen.features);
        settings.map(|settings| feature(column, settings)).collect()
    }
}

impl ChosenColumn {
    /// Its features as a pipeline file has them, as `encode = "ngrams", bits = 18`; `left out` where there are none.
    pub fn written(&self) -> String {
        let one = |settings: &Map<String, Value>| {
            let encode = settings.get("encode").map(|kind| format!("encode = {kind}"));
            let mut others: Vec<_> = settings.iter().filter(|(name, _)| *name != "encode").collect();
            others.sort_by_key(|(name, _)| *name);
            let others = others
                .into_iter()
                .map(|(name, value)| format!("{name} = {}", spaced(value)));
            encode.into_iter().chain(others).collect::<Vec<_>>().join(", ")
        };
        match self.features.as_slice() {
            [] => "left out".to_owned(),
            features => features.iter().map(one).collect::<Vec<_>>().join("; and "),
        }
    }
}

/// As TOML has it: `[2, 5]`.
fn spaced(value: &Value) -> String {
    value.to_string().replace(',', ", ")
}

/// The feature with these settings, and the defaults of those that are not given.
fn feature(column: &str, settings: &Map<String, Value>) -> Result<Feature> {
    let encode = settings.get("encode").and_then(Value::as_str).unwrap_or_default();
    let kind = ENCODERS.iter().find(|kind| kind.name() == encode);
    let kind = kind.ok_or_else(|| bad(&format!("there is no encode = \"{encode}\"")))?;
    let mut all = Map::new();
    for key in kind.keys() {
        let value = settings.get(key.name).cloned().or_else(|| key.default_json());
        all.extend(value.map(|value| (key.name.to_owned(), value)));
    }
    all.insert("column".to_owned(), column.into());
    kind.feature(all.into())
}

/// What is known of a column.
struct Evidence<'a> {
    column: &'a str,
    data_type: &'a DataType,
    content: &'a ColumnContent,
    /// Sets of coefficients of the model.
    sets: u64,
    /// Whether no feature may be negative.
    counts: bool,
}

/// A rule of the choice.
struct Rule {
    /// What a column is of which it holds.
    is: &'static str,
    /// When it holds, and what then becomes of the column, in Markdown.
    doc: [&'static str; 2],
    holds: fn(&Evidence<'_>) -> bool,
    features: fn(&Evidence<'_>) -> Vec<Value>,
}

/// The rules; the first that holds decides, and the last always does.
const RULES: &[Rule] = &[
    Rule {
        is: "unreadable",
        doc: ["binary, and lists", "left out"],
        holds: |e| !is_category(e.data_type) && !is_number(e.data_type),
        features: |_| Vec::new(),
    },
    Rule {
        is: "constant",
        doc: ["every row has the same value, or no row has one", "left out"],
        holds: |e| e.content.distinct() + u64::from(e.content.nulls > 0) <= 1,
        features: |_| Vec::new(),
    },
    Rule {
        is: "flag",
        doc: ["booleans", "`one_hot`"],
        holds: |e| *e.data_type == DataType::Boolean,
        features: |_| vec![json!({"encode": "one_hot"})],
    },
    Rule {
        is: "date",
        doc: ["dates and timestamps", "`numeric`"],
        holds: |e| is_number(e.data_type) && !e.data_type.is_numeric(),
        features: |e| vec![e.number("none")],
    },
    Rule {
        is: "identifier",
        doc: [
            "30 or more whole numbers, of which 95 % or more differ, and whose name ends in `id`, or whose range is at most four times \
             their count",
            "left out",
        ],
        holds: |e| e.is_whole() && e.differs() && (e.is_called_id() || e.is_dense()),
        features: |_| Vec::new(),
    },
    Rule {
        is: "category",
        doc: [
            "whole numbers with at most 20 different values, or whose name ends in `id`, and 10 or more rows a value",
            "`one_hot`",
        ],
        holds: |e| e.is_whole() && (e.content.distinct() <= FEW || e.is_called_id()) && e.is_category(),
        features: |_| vec![json!({"encode": "one_hot"})],
    },
    Rule {
        is: "below 0",
        doc: ["numbers below 0, where the model counts its features", "left out"],
        holds: |e| {
            e.data_type.is_numeric() && e.counts && e.content.range.is_some_and(|(least, _)| least < 0.0)
        },
        features: |_| Vec::new(),
    },
    Rule {
        is: "wide number",
        doc: [
            "other numbers of 0 or more, the largest of which is 1,000 times the least (or 1) or more",
            "`numeric`, and `numeric` with `transform = \"log1p\"`",
        ],
        holds: |e| e.data_type.is_numeric() && e.is_wide(),
        features: |e| vec![e.number("none"), e.number("log1p")],
    },
    Rule {
        is: "number",
        doc: ["other numbers", "`numeric`"],
        holds: |e| e.data_type.is_numeric(),
        features: |e| vec![e.number("none")],
    },
    Rule {
        is: "category",
        doc: ["10 or more rows a value", "`one_hot`"],
        holds: |e| e.is_category(),
        features: |_| vec![json!({"encode": "one_hot"})],
    },
    Rule {
        is: "identifier",
        doc: [
            "30 or more codes, of which 95 % or more differ. Codes are texts of one word each (19 of 20 of them), with a digit (9 of 10), \
             and letters for half of their characters at most",
            "left out",
        ],
        holds: |e| e.is_code() && e.differs(),
        features: |_| Vec::new(),
    },
    Rule {
        is: "codes",
        doc: ["other codes", "`one_hot` of those that repeat"],
        holds: |e| e.is_code(),
        features: |_| vec![json!({"encode": "one_hot", "min_count": 2})],
    },
    Rule {
        is: "long text",
        doc: [
            "texts of 10 words or more on average",
            "`ngrams` of one and two words, with the weights of TF-IDF and the logarithm of their frequency in the text; their buckets as \
             those of a text",
        ],
        holds: |e| e.content.words >= LONG.saturating_mul(e.content.values()),
        features: |e| {
            vec![json!({
                "encode": "ngrams", "analyzer": "word", "range": [1, 2], "bits": e.bits(), "weighting": "tf_idf", "sublinear_tf": true,
            })]
        },
    },
    Rule {
        is: "repeating text",
        doc: [
            "texts of which half or more are in another row, too",
            "as a text, and `one_hot` of those that repeat",
        ],
        holds: |e| e.content.repeated() >= 0.5,
        features: |e| {
            let mut features = e.text();
            features.push(json!({"encode": "one_hot", "min_count": 2}));
            features
        },
    },
    Rule {
        is: "text",
        doc: [
            "all others",
            "`ngrams` of 1 to 5 characters within words, in 2^16 to 2^20 buckets: 16 times the training rows, and no more than give \
             67 million coefficients; where half of the texts have two words or more and another as many buckets give no more \
             coefficients either, also of the words that repeat",
        ],
        holds: |_| true,
        features: |e| e.text(),
    },
];

/// The rules as a table in Markdown, for the documentation.
pub fn rules() -> String {
    let mut text = "| A column is | if it holds | and becomes |\n|---|---|---|\n".to_owned();
    for Rule {
        is,
        doc: [when, then],
        ..
    } in RULES
    {
        text.push_str(&format!("| {is} | {when} | {then} |\n"));
    }
    text
}

impl Evidence<'_> {
    fn is_whole(&self) -> bool {
        self.data_type.is_numeric() && self.content.whole == self.content.values()
    }

    fn is_called_id(&self) -> bool {
        self.column.to_lowercase().ends_with("id")
    }

    fn differs(&self) -> bool {
        let values = self.content.values();
        values >= MANY && self.content.distinct() as f64 >= DIFFERENT * values as f64
    }

    fn is_dense(&self) -> bool {
        let range = self
            .content
            .range
            .map_or(0.0, |(least, largest)| largest - least + 1.0);
        range <= DENSE * self.content.values() as f64
    }

    fn is_category(&self) -> bool {
        self.content.values() >= ROWS_A_CATEGORY.saturating_mul(self.content.distinct())
    }

    fn is_code(&self) -> bool {
        let values = self.content.values();
        self.content.of_words * 20 <= values
            && self.content.with_digit * 10 >= values * 9
            && self.content.letters * 2 <= self.content.characters
    }

    fn is_wide(&self) -> bool {
        let (least, largest) = self.content.range.unwrap_or_default();
        least >= 0.0 && largest >= WIDE * least.max(1.0)
    }

    /// As a number; a column of its own tells where it is missing.
    fn number(&self, transform: &str) -> Value {
        let mut settings = Map::from_iter([("encode".to_owned(), "numeric".into())]);
        if transform != "none" {
            settings.insert("transform".to_owned(), transform.into());
        } else if self.content.nulls > 0 {
            settings.insert("missing_indicator".to_owned(), true.into());
        }
        if self.counts {
            settings.insert("scale".to_owned(), "none".into());
        }
        Value::Object(settings)
    }

    /// The n-grams of characters, and of words that repeat where there are words and both fit without giving up buckets.
    fn text(&self) -> Vec<Value> {
        let (of_rows, affordable) = (self.bits_of_rows(), self.affordable_bits(1));
        let characters =
            |bits| json!({"encode": "ngrams", "analyzer": "char_wb", "range": [1, 5], "bits": bits});
        if self.content.of_words * 2 < self.content.values() || self.affordable_bits(2) < of_rows {
            return vec![characters(of_rows.min(affordable))];
        }
        let words =
            json!({"encode": "ngrams", "analyzer": "word", "range": [1, 1], "bits": of_rows, "min_count": 2});
        vec![characters(of_rows), words]
    }

    fn bits(&self) -> u32 {
        self.bits_of_rows().min(self.affordable_bits(1))
    }

    /// So many buckets that few n-grams of so many rows share one.
    fn bits_of_rows(&self) -> u32 {
        (self.content.rows.next_power_of_two().ilog2() + 4).clamp(BITS.0, BITS.1)
    }

    /// The most of so many features: a rule of classes, and never of memory.
    fn affordable_bits(&self, features: u64) -> u32 {
        let buckets = MOST_COEFFICIENTS / self.sets.max(1) / features;
        buckets.max(1).ilog2().clamp(BITS.0, BITS.1)
    }
}

fn chosen(evidence: &Evidence<'_>) -> ChosenColumn {
    let rule = RULES.iter().find(|rule| (rule.holds)(evidence));
    let features = rule.map_or_else(Vec::new, |rule| (rule.features)(evidence));
    ChosenColumn {
        column: evidence.column.to_owned(),
        is: rule.map_or("unreadable", |rule| rule.is).to_owned(),
        found: found(evidence.content, evidence.data_type),
        features: features.into_iter().filter_map(object).collect(),
    }
}

fn object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

/// What a label is: numbers with a fraction, or with more than 20 different values, are numbers; all else are classes.
fn label_kind(content: &ColumnContent, data_type: &DataType) -> (LabelKind, String) {
    let few = content.whole == content.values()
        && content.distinct() <= FEW
        && content.values() >= ROWS_A_CATEGORY * content.distinct();
    let kind = match data_type.is_numeric() && !few {
        true => LabelKind::Number,
        false => LabelKind::Class,
    };
    (kind, found(content, data_type))
}

/// What a column holds, in words.
fn found(content: &ColumnContent, data_type: &DataType) -> String {
    let (values, distinct) = (content.values(), content.distinct());
    let what = match data_type {
        DataType::Boolean => "booleans",
        kind if kind.is_numeric() && content.whole == values => "whole numbers",
        kind if kind.is_numeric() => "numbers",
        kind if is_number(kind) => "dates",
        kind if is_category(kind) => "texts",
        _ => return format!("{data_type}"),
    };
    match values {
        0 => "no value".to_owned(),
        values => format!("{values} {what}, {distinct} different"),
    }
}

fn field<'s>(schema: &'s Schema, column: &str) -> Result<&'s DataType> {
    let field = schema.field_with_name(column);
    Ok(field
        .map_err(|_| Error::missing_column(column, schema))?
        .data_type())
}

fn bad(why: &str) -> Error {
    Error::State {
        pass: "choose",
        why: why.to_owned(),
    }
}
