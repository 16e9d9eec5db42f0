//! Pipeline files: what a good one means, and how every kind of bad one is answered.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use arrow::datatypes::{DataType, Field, Schema};
use gristmill_data::settings::Consistency;
use gristmill_learn::contract::encoder::Feature;
use gristmill_learn::contract::learner::ModelSettings;
use gristmill_learn::encode::{
    Analyzer, Impute, NgramSettings, Norm, Normalize, NumericSettings, OneHotSettings, Scaling, Unseen,
    Weighting,
};
use gristmill_learn::registry::built_in;
use gristmill_learn::settings::{
    Choice, ClassWeight, Key, LabelKind, LabelSettings, Metric, Rare, RegParam, Scale, SearchSettings,
    SplitSettings,
};
use gristmill_learn::statistics::Transform;
use gristmill_learn::train::{Family, LinearSettings, LogisticSettings, NaiveBayesSettings, Solver};
use gristmill_run::settings::diagnose::{Diagnostic, WIDTH};
use gristmill_run::settings::{PipelineFile, TABLES, docs};

const SECRET: &str = "hunter2-from-the-environment";

const MINIMAL: &str = r#"[source]
url = "sqlite:artists.db"
query = "SELECT id, name, country FROM artist"
key = "id"

[[feature]]
column = "name"
encode = "ngrams"

[label]
column = "country"

[model]
kind = "logistic_regression"
"#;

const FULL: &str = r#"
[source]
url = "${DATABASE_URL}"
query = "SELECT a.id, a.name FROM artist a"
key = "id"

[batches]
rows = 50_000

[clean]
trim = true
empty_as_null = true
require = ["name", "country"]
filter = "country <> 'unknown'"
distinct = true

[[feature]]
column = "language"
encode = "one_hot"
unseen = "keep"
min_count = 1
max_categories = 100_000
[[feature]]
column = "name"
encode = "ngrams"
range = [1, 3]
bits = 18
[[feature]]
column = "begin_year"
encode = "numeric"
impute = "mean"
scale = "standard"

[label]
column = "country"
min_rows = 20

[split]
by = "id"
train = 0.7
validation = 0.15
test = 0.15
seed = 42

[model]
kind = "logistic_regression"
reg_param = [0.01, 0.1, 1.0]
elastic_net_param = 0.0
max_iter = [10, 50, 100]
tol = 1e-6

[search]
folds = 3
metric = "f1"

[run]
dir = "runs/artists"
memory = "2GB"
threads = 2
"#;

fn environment(name: &str) -> Option<String> {
    match name {
        "DATABASE_URL" => Some("postgres://me@host/db".to_owned()),
        "SECRET" => Some(SECRET.to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<PipelineFile, Vec<Diagnostic>> {
    PipelineFile::parse(Path::new("etc/artists.toml"), text, &environment, &built_in())
}

fn render(problems: &[Diagnostic]) -> String {
    problems
        .iter()
        .map(|problem| problem.render(false))
        .collect::<Vec<_>>()
        .join("\n\n")
}

/// The minimal file with `from` replaced by `to`, once.
fn edited(from: &str, to: &str) -> String {
    assert!(MINIMAL.contains(from), "{from}");
    MINIMAL.replacen(from, to, 1)
}

/// The minimal file with more tables behind it.
fn with(tables: &str) -> String {
    format!("{MINIMAL}\n{tables}")
}

/// The minimal file with a second feature.
fn with_feature(keys: &str) -> String {
    edited("[label]", &format!("[[feature]]\n{keys}\n\n[label]"))
}

/// The minimal file with more keys in `[model]`.
fn with_model(keys: &str) -> String {
    format!("{MINIMAL}{keys}\n")
}

fn bad_pipelines() -> Vec<(&'static str, String)> {
    vec![
        ("an empty file", String::new()),
        ("syntax: a value without quotes", with("[run]\nmemory = 2GB")),
        (
            "syntax: a string that does not end",
            edited("key = \"id\"", "key = \"id"),
        ),
        (
            "syntax: a key given twice",
            edited("key = \"id\"", "key = \"id\"\nkey = \"name\""),
        ),
        ("syntax: a colon for an equals sign", with("[run]\nthreads: 2")),
        ("an unknown table", with("[serach]\nfolds = 3")),
        (
            "an unknown table like no other",
            with("[notifications]\nmail = true"),
        ),
        ("a key outside of its table", format!("folds = 5\n{MINIMAL}")),
        ("an unknown key", with("[search]\nfold = 3")),
        ("a key of another table", with_model("seed = 1")),
        ("a key in camel case", with_model("regParam = 0.1")),
        ("a key like no other", with_model("learning_rate = 0.1")),
        (
            "a table where a list of tables goes",
            edited("[[feature]]", "[feature]"),
        ),
        (
            "a list of tables where a table goes",
            edited("[label]", "[[label]]"),
        ),
        ("a value where a table goes", format!("search = 3\n{MINIMAL}")),
        (
            "required keys are absent",
            edited("url = \"sqlite:artists.db\"\n", "").replace("column = \"country\"", ""),
        ),
        (
            "a model to be chosen with a key of a model that never is",
            edited("kind = \"logistic_regression\"", "smoothing = 1.0"),
        ),
        (
            "a model to be chosen with a wrong value of a key that all have",
            edited(
                "kind = \"logistic_regression\"",
                "kind = \"auto\"\ntol = 0\npreset = \"sparc\"",
            ),
        ),
        (
            "a model that can be neither",
            edited(
                "kind = \"logistic_regression\"",
                "solver = \"lbfgs\"\n[search]\nmetric = \"rmse\"",
            ),
        ),
        (
            "a temperature of a regression",
            edited(
                "\"logistic_regression\"",
                "\"linear_regression\"\ncalibrate = \"temperature\"",
            ),
        ),
        (
            "an unknown calibration",
            with_model("calibrate = \"temprature\"") + "[split]\ntrain = 0.8\nvalidation = 0\ntest = 0.2\n",
        ),
        (
            "a temperature without validation rows",
            with_model("calibrate = \"temperature\"") + "[split]\ntrain = 0.8\nvalidation = 0\ntest = 0.2\n",
        ),
        (
            "a feature to be chosen with a key of an encoder",
            with_feature("column = \"year\"\nbits = 20"),
        ),
        (
            "a feature to be chosen of two columns",
            with_feature("column = [\"year\", \"month\"]\nencode = \"auto\""),
        ),
        (
            "a feature without anything",
            edited("[label]", "[[feature]]\n\n[label]"),
        ),
        (
            "a required table is absent",
            edited("[label]\ncolumn = \"country\"", ""),
        ),
        (
            "a key that is no column",
            edited("key = \"id\"", "key = [\"id\", 3, \"id\"]"),
        ),
        (
            "a column twice in the key, and no entity",
            edited("key = \"id\"", "key = [\"id\", \"name\", \"id\"]"),
        ),
        (
            "a key of several columns and no entity",
            edited("key = \"id\"", "key = [\"country\", \"id\"]"),
        ),
        (
            "empty texts",
            edited("key = \"id\"", "key = \" \"").replace("country\"\n\n[model]", "\"\n\n[model]"),
        ),
        (
            "wrong types",
            with("[batches]\nrows = \"many\"\n[clean]\ntrim = 1\nrequire = \"name\"\nfilter = true"),
        ),
        (
            "more wrong types",
            with_model("tol = \"small\"\nmax_iter = [10, 2.5, true]\nfamily = 2000-01-01"),
        ),
        (
            "integers out of range",
            with("[batches]\nrows = 0\n[search]\nfolds = 1\n[run]\nthreads = 0"),
        ),
        (
            "numbers out of range",
            with_model("reg_param = -0.1\ntol = 0\nmax_iter = 0\nhistory = 0"),
        ),
        ("not a number", with_model("reg_param = [0.1, nan]\ntol = inf")),
        (
            "an integer too large for any type",
            with_model("max_iter = 99_999_999_999_999_999_999"),
        ),
        ("counts of rows", edited("[model]", "min_rows = 0\n\n[model]")),
        (
            "the options of n-grams",
            edited(
                "\"ngrams\"",
                "\"ngrams\"\nbits = 25\nrange = [3, 1]\nmin_count = 0",
            ),
        ),
        (
            "a range that is no pair",
            edited("\"ngrams\"", "\"ngrams\"\nrange = [1, 2, 3]"),
        ),
        ("an unknown encoder", edited("\"ngrams\"", "\"n-gram\"")),
        (
            "unknown words",
            with_feature("column = \"language\"\nencode = \"one_hot\"\nunseen = \"kep\"\nscale = \"minmax\"")
                + "family = \"softmax\"\n[search]\nmetric = \"macro-f1\"\n",
        ),
        (
            "more unknown words",
            edited("\"ngrams\"", "\"ngrams\"\nanalyzer = \"line\"\nnorm = \"L2\"")
                .replace("[model]", "rare = \"others\"\n[model]"),
        ),
        (
            "an unknown imputation",
            with_feature("column = \"year\"\nencode = \"numeric\"\nimpute = \"0\""),
        ),
        (
            "an imputation that is no number",
            with_feature("column = \"year\"\nencode = \"numeric\"\nimpute = nan"),
        ),
        ("an unknown model", edited("logistic_regression", "random_forest")),
        (
            "an option of another encoder",
            with_feature("column = \"language\"\nencode = \"one_hot\"\nbits = 18"),
        ),
        (
            "the label as a feature",
            with_feature("column = \"country\"\nencode = \"one_hot\""),
        ),
        (
            "the same feature twice",
            with_feature("column = \"name\"\nencode = \"ngrams\"\nbits = 20"),
        ),
        (
            "document frequencies that do not count",
            with_feature("column = \"name\"\nencode = \"ngrams\"\nanalyzer = \"word\"\nsmooth_idf = false"),
        ),
        ("split by the label", with("[split]\nby = \"country\"")),
        ("shares that do not sum to one", with("[split]\ntrain = 0.8")),
        ("a share out of range", with("[split]\ntrain = 1.2\ntest = -0.2")),
        (
            "nothing to train on",
            with("[split]\ntrain = 0\nvalidation = 0.5\ntest = 0.5"),
        ),
        (
            "the same grid value twice",
            with_model("reg_param = [0.1, 1.0, 1]\nmax_iter = [10, 10]"),
        ),
        ("an empty axis", with_model("max_iter = []")),
        ("elastic net", with_model("elastic_net_param = [0.0, 1.5]")),
        (
            "weights of classes that are none",
            edited(
                "[model]",
                "class_weight = { France = -1, Italy = \"2\" }\n[model]",
            ),
        ),
        (
            "one weight for all classes",
            edited("[model]", "class_weight = 2\n[model]"),
        ),
        (
            "the label as the weight",
            edited("[model]", "weight = \"country\"\n[model]"),
        ),
        (
            "settings of another model",
            edited(
                "logistic_regression\"",
                "naive_bayes\"\nmax_iter = 5\nsmoothing = 0",
            ),
        ),
        (
            "features that naive Bayes cannot count",
            with_feature("column = \"year\"\nencode = \"numeric\"")
                .replace("logistic_regression", "naive_bayes"),
        ),
        (
            "halving of what takes no iterations",
            edited("logistic_regression\"", "naive_bayes\"\n[search]\nhalving = 3"),
        ),
        (
            "thresholds of zero",
            with_model("thresholds = { France = 0, Italy = 0.0 }"),
        ),
        (
            "thresholds without classes",
            with_model("thresholds = [0.5, 0.5]"),
        ),
        ("memory without a unit", with("[run]\nmemory = \"2\"")),
        ("memory too small", with("[run]\nmemory = \"10MB\"")),
        ("memory in bytes too small", with("[run]\nmemory = 2")),
        (
            "a variable that is not set",
            edited("sqlite:artists.db", "postgres://me:${PGPASSWORD}@host/db"),
        ),
        (
            "a variable without a name",
            edited("sqlite:artists.db", "sqlite:${}.db"),
        ),
        (
            "a variable that is empty",
            edited("sqlite:artists.db", "${EMPTY}"),
        ),
        (
            "a secret from the environment in the wrong place",
            with_feature("column = \"${SECRET}\"\nencode = \"${SECRET}\"")
                + "tol = \"${SECRET}\"\n[run]\nmemory = \"${SECRET}\"\n",
        ),
        (
            "a password written in the file",
            "[source]\nurl = { a = \"postgres://me:hunter2@host/db?password=hunter2\" }\n".to_owned()
                + MINIMAL
                    .split_once("query")
                    .map(|(_, rest)| format!("query{rest}"))
                    .unwrap()
                    .as_str(),
        ),
        (
            "a query of several lines",
            edited(
                "\"SELECT id, name, country FROM artist\"",
                "[\"\"\"\nSELECT *\nFROM artist\"\"\"]",
            ),
        ),
        (
            "settings of classes for a regression",
            edited("logistic_regression", "linear_regression").replace(
                "column = \"country\"",
                "column = \"country\"\nmin_rows = 5\nrare = \"other\"\nclass_weight = \"balanced\"",
            ),
        ),
        (
            "keys of a classifier for a regression",
            format!(
                "{}family = \"binomial\"\nthresholds = {{ a = 0.5 }}\nsolver = \"lbfgs\"\n",
                edited("logistic_regression", "linear_regression")
            ),
        ),
        (
            "a metric of a classifier for a regression",
            edited("logistic_regression", "linear_regression") + "\n[search]\nmetric = \"accuracy\"",
        ),
        (
            "a metric of a regression for a classifier",
            with("[search]\nmetric = \"rmse\""),
        ),
        (
            "a long line",
            edited(
                "SELECT id",
                &format!("{} ${{GONE}}", "SELECT id, a_column_with_a_long_name ".repeat(6)),
            ),
        ),
    ]
}

#[test]
fn every_bad_pipeline_is_answered() {
    let mut catalogue = String::new();
    for (name, text) in bad_pipelines() {
        let Err(problems) = parse(&text) else {
            panic!("`{name}` was accepted")
        };
        let rendered = render(&problems);
        for secret in [SECRET, "hunter2"] {
            assert!(!rendered.contains(secret), "{name}:\n{rendered}");
            assert!(
                !problems
                    .iter()
                    .any(|problem| problem.json().to_string().contains(secret)),
                "{name}"
            );
        }
        for line in rendered.lines() {
            assert!(line.chars().count() <= WIDTH, "{name}: {line}");
        }
        catalogue.push_str(&format!("######## {name}\n{rendered}\n\n"));
    }
    insta::assert_snapshot!("bad_pipelines", catalogue);
}

#[test]
fn a_problem_has_its_place_in_json() {
    let problems = parse(&with("[search]\nfold = 3")).unwrap_err();
    insta::assert_snapshot!(problems[0].json(), @r#"{"column":1,"file":"etc/artists.toml","help":["the keys here are: `folds`, `metric`, `choose`, `seconds`, `halving`"],"label":"did you mean `folds`?","line":17,"message":"unknown key `fold` in [search]"}"#);
}

#[test]
fn missing_columns_are_reported_at_their_line() {
    let text = FULL
        .replace("by = \"id\"", "by = \"artist\"")
        .replace("require = [", "require = [\"nam\", ");
    let file = parse(&text).unwrap();
    let columns = ["artist_id", "name", "country", "languages", "year"];
    let fields: Vec<Field> = columns
        .iter()
        .map(|name| Field::new(*name, DataType::Utf8, true))
        .collect();
    insta::assert_snapshot!(
        "missing_columns",
        render(&file.check_columns(&Schema::new(fields)))
    );
}

#[test]
fn a_file_with_all_its_columns_has_no_missing_column() {
    let fields: Vec<Field> = ["id", "name", "country"]
        .iter()
        .map(|name| Field::new(*name, DataType::Utf8, true))
        .collect();
    assert!(
        parse(MINIMAL)
            .unwrap()
            .check_columns(&Schema::new(fields))
            .is_empty()
    );
}

#[test]
fn a_missing_column_named_by_the_environment_is_shown_as_written() {
    let file = parse(&edited("column = \"name\"", "column = \"${SECRET}\"")).unwrap();
    let fields: Vec<Field> = ["id", "country"]
        .iter()
        .map(|name| Field::new(*name, DataType::Utf8, true))
        .collect();
    let rendered = render(&file.check_columns(&Schema::new(fields)));
    assert!(
        rendered.contains("${SECRET}") && !rendered.contains(SECRET),
        "{rendered}"
    );
}

#[test]
fn errors_of_the_source_are_shown_at_their_setting() {
    use gristmill_data::Error;
    let file = parse(FULL).unwrap();
    let errors = [
        Error::Connect {
            url: "postgres://me@host/db".into(),
            why: "connection refused".into(),
        },
        Error::KeyMissing {
            key: "id".into(),
            available: vec!["ids".into(), "name".into()],
        },
        Error::Clean {
            setting: "filter",
            why: "there is no column `contry`".into(),
        },
    ];
    let explained: Vec<Diagnostic> = errors
        .iter()
        .map(|error| file.explain_source(error).unwrap())
        .collect();
    insta::assert_snapshot!("errors_of_the_source", render(&explained));
    assert!(file.explain_source(&Error::Empty("no rows".into())).is_none());
}

#[test]
fn the_minimal_file_has_the_documented_defaults() {
    let pipeline = parse(MINIMAL).unwrap().pipeline;
    assert_eq!(pipeline.source.url, "sqlite:artists.db".into());
    assert_eq!((pipeline.batch_rows, pipeline.connections), (100_000, 2));
    assert_eq!(pipeline.target_file_size, 128_000_000);
    assert_eq!(pipeline.consistency, Consistency::Resume);
    assert!(pipeline.clean.trim && pipeline.clean.empty_as_null && !pipeline.clean.distinct);
    assert!(pipeline.clean.require.is_empty() && pipeline.clean.filter.is_none());
    let ngrams = NgramSettings {
        column: "name".into(),
        range: (1, 3),
        bits: 18,
        analyzer: Analyzer::Char,
        lowercase: true,
        normalize: Normalize::Nfc,
        weighting: Weighting::Tf,
        sublinear_tf: false,
        smooth_idf: true,
        norm: Norm::L2,
        min_count: 1,
    };
    assert_eq!(pipeline.features, [Feature::new(ngrams)]);
    assert_eq!(
        pipeline.label,
        LabelSettings {
            kind: LabelKind::Class,
            column: "country".into(),
            min_rows: 1,
            rare: Rare::Drop,
            weight: None,
            class_weight: None
        }
    );
    let split = SplitSettings {
        by: "id".into(),
        train: 0.7,
        validation: 0.15,
        test: 0.15,
        seed: 42,
        column: None,
    };
    assert_eq!(pipeline.split, split);
    assert_eq!(pipeline.model, ModelSettings::new(logistic()));
    assert_eq!(
        pipeline.search,
        SearchSettings {
            folds: 3,
            halving: None,
            choose: Choice::Minimum,
            seconds: None,
            metric: Metric::LogLoss
        }
    );
    assert_eq!(pipeline.run.dir, PathBuf::from("runs/artists"));
    assert_eq!(pipeline.run.memory, 2_000_000_000);
    assert_eq!(
        pipeline.run.threads,
        std::thread::available_parallelism().unwrap().get()
    );
}

/// One of its characters and one of its words, one of a number and one of its logarithm.
#[test]
fn a_column_may_have_several_features_of_a_kind() {
    let words = with_feature("column = \"name\"\nencode = \"ngrams\"\nanalyzer = \"word\"");
    assert_eq!(parse(&words).unwrap().pipeline.features.len(), 2);
    let year = "[[feature]]\ncolumn = \"year\"\nencode = \"numeric\"\n";
    let two = |key: &str| with_feature(&format!("column = \"year\"\nencode = \"numeric\"\n{year}{key}"));
    let twice = parse(&two("impute = 0\n")).unwrap_err();
    assert!(render(&twice).contains("two features have the same column and encoder"));
    assert_eq!(
        parse(&two("transform = \"log1p\"\n"))
            .unwrap()
            .pipeline
            .features
            .len(),
        3
    );
}

#[test]
fn naive_bayes_has_settings_of_its_own() {
    let text = edited("logistic_regression\"", "naive_bayes\"\nsmoothing = [0.5, 1]");
    let settings = NaiveBayesSettings {
        smoothing: vec![0.5, 1.0],
        thresholds: None,
    };
    assert_eq!(parse(&text).unwrap().pipeline.model, ModelSettings::new(settings));
}

/// The defaults of a logistic regression.
fn logistic() -> LogisticSettings {
    LogisticSettings {
        reg_param: RegParam::Auto,
        elastic_net_param: vec![0.0],
        max_iter: vec![100],
        tol: 1e-6,
        fit_intercept: true,
        standardization: true,
        family: Family::Auto,
        solver: Solver::Auto,
        history: 10,
        thresholds: None,
    }
}

#[test]
fn the_full_example_means_what_it_says() {
    let file = parse(FULL).unwrap();
    let pipeline = &file.pipeline;
    assert_eq!(pipeline.source.url, "postgres://me@host/db".into());
    assert_eq!(pipeline.clean.require, ["name", "country"]);
    assert_eq!(pipeline.clean.filter.as_deref(), Some("country <> 'unknown'"));
    assert!(pipeline.clean.distinct);
    let one_hot = OneHotSettings {
        column: "language".into(),
        unseen: Unseen::Keep,
        min_count: 1,
        max_categories: 100_000,
        scale: Scale::None,
    };
    let numeric = NumericSettings {
        column: "begin_year".into(),
        impute: Impute::Mean,
        missing_indicator: false,
        transform: Transform::None,
        scale: Scaling::Standard,
    };
    assert_eq!(pipeline.features.len(), 3);
    assert_eq!(pipeline.features[0], Feature::new(one_hot));
    assert_eq!(pipeline.features[2], Feature::new(numeric));
    assert_eq!(pipeline.label.min_rows, 20);
    let model = LogisticSettings {
        reg_param: vec![0.01, 0.1, 1.0].into(),
        max_iter: vec![10, 50, 100],
        ..logistic()
    };
    assert_eq!(pipeline.model, ModelSettings::new(model));
    assert_eq!(pipeline.run.dir, PathBuf::from("runs/artists"));
    assert_eq!(pipeline.run.threads, 2);
    for setting in [
        "source.key",
        "feature[1].column",
        "clean.require",
        "clean.require[1]",
        "split.by",
    ] {
        assert!(file.locate(setting).is_some(), "{setting}");
    }
    assert_eq!(&FULL[file.locate("feature[1].column").unwrap()], "\"name\"");
    assert!(file.locate("label.rare").is_none());
}

#[test]
fn values_have_more_than_one_form() {
    let text = with_model("reg_param = 1\nmax_iter = 5") + "[run]\nmemory = 1_000_000_000\n";
    let text = text.replace("sqlite:artists.db", "sqlite:$$${EMPTY}{x}.db");
    let pipeline = parse(&text).unwrap().pipeline;
    let model = LogisticSettings {
        reg_param: vec![1.0].into(),
        max_iter: vec![5],
        ..logistic()
    };
    assert_eq!(pipeline.model, ModelSettings::new(model));
    assert_eq!(pipeline.run.memory, 1_000_000_000);
    assert_eq!(pipeline.source.url, "sqlite:${x}.db".into());
    let text = with_model("[model.thresholds]\nFrance = 1\n\"the rest\" = 0.5");
    let text = text.replace("[model]", "class_weight = \"balanced\"\n[model]");
    let pipeline = parse(&text).unwrap().pipeline;
    assert_eq!(pipeline.label.class_weight, Some(ClassWeight::Balanced));
    let thresholds = [("France".to_owned(), 1.0), ("the rest".to_owned(), 0.5)];
    assert_eq!(pipeline.model.thresholds(), Some(&thresholds.into()));
    let text = with_feature("column = \"year\"\nencode = \"numeric\"\nimpute = -1");
    let numeric = NumericSettings {
        column: "year".into(),
        impute: Impute::Constant(-1.0),
        missing_indicator: false,
        transform: Transform::None,
        scale: Scaling::Standard,
    };
    assert_eq!(parse(&text).unwrap().pipeline.features[1], Feature::new(numeric));
}

#[test]
fn a_key_may_have_several_columns() {
    let text = edited("key = \"id\"", "key = [\"country\", \"id\"]") + "[split]\nby = \"id\"\n";
    let file = parse(&text).unwrap();
    assert_eq!(file.pipeline.source.key.to_string(), "country, id");
    assert_eq!(&text[file.locate("source.key[1]").unwrap()], "\"id\"");
    let fields =
        ["country", "name", "begin_year", "language"].map(|name| Field::new(name, DataType::Utf8, true));
    let rendered = render(&file.check_columns(&Schema::new(fields.to_vec())));
    assert!(
        rendered.contains("\n4 | key = [\"country\", \"id\"]\n  |                   ^^^^"),
        "{rendered}"
    );
    // In a list alone, a column is the same key as by itself.
    let listed = parse(&edited("key = \"id\"", "key = [\"id\"]")).unwrap().pipeline;
    let plain = parse(MINIMAL).unwrap().pipeline;
    assert_eq!(listed.shaping_hash(), plain.shaping_hash());
    assert_eq!(listed.split.by, "id");
}

#[test]
fn only_what_shapes_the_model_is_in_its_hash() {
    let hash = |text: &str| parse(text).unwrap().pipeline.shaping_hash();
    let same =
        with("[batches]\nrows = 7\n[run]\ndir = \"x\"\nmemory = \"1GB\"\nthreads = 1\n[search]\nfolds = 3");
    assert_eq!(
        hash(MINIMAL),
        hash(&same.replace("sqlite:artists.db", "sqlite:other.db"))
    );
    for other in [
        edited("FROM artist", "FROM artists"),
        with("[search]\nfolds = 4"),
        with("[clean]\ntrim = false"),
        with("[split]\nseed = 1"),
        with_model("tol = 1e-7"),
        edited("\"ngrams\"", "\"ngrams\"\nbits = 17"),
        edited("[model]", "min_rows = 2\n[model]"),
    ] {
        assert_ne!(hash(MINIMAL), hash(&other), "{other}");
    }
    let shaping = parse(&edited("sqlite:artists.db", "postgres://me:hunter2@host"))
        .unwrap()
        .pipeline
        .shaping();
    assert!(!shaping.to_string().contains("hunter2"));
}

#[test]
fn a_regression_has_the_documented_defaults() {
    let text = edited("logistic_regression", "linear_regression");
    let pipeline = parse(&text).unwrap().pipeline;
    let model = LinearSettings {
        reg_param: RegParam::Auto,
        elastic_net_param: vec![0.0],
        max_iter: vec![100],
        tol: 1e-6,
        fit_intercept: true,
        standardization: true,
    };
    assert_eq!(pipeline.model, ModelSettings::new(model));
    assert_eq!(pipeline.label.kind, LabelKind::Number);
    assert_eq!(pipeline.search.metric, Metric::Rmse);
    let metric = format!("{text}reg_param = 0\nmax_iter = [1, 5]\n[search]\nmetric = \"r2\"\n");
    let pipeline = parse(&metric).unwrap().pipeline;
    assert_eq!((pipeline.search.metric, pipeline.model.points()), (Metric::R2, 2));
}

/// What a file does not say is open, unless another setting says it.
#[test]
fn the_smallest_file_leaves_features_and_model_open() {
    let smallest = MINIMAL.replace("[[feature]]\ncolumn = \"name\"\nencode = \"ngrams\"\n", "");
    let smallest = smallest.replace("[model]\nkind = \"logistic_regression\"\n", "");
    let open = |tables: &str| {
        let pipeline = parse(&format!("{smallest}{tables}")).unwrap().pipeline;
        let models = pipeline
            .open
            .models
            .iter()
            .map(|model| model.kind())
            .collect::<Vec<_>>();
        assert!(pipeline.open.every_column && pipeline.features.is_empty());
        (models, pipeline.model.kind(), pipeline.search.metric)
    };
    let keyless = parse(&edited("key = \"id\"\n", "")).unwrap().pipeline;
    assert!(keyless.source.key.is_empty() && keyless.split.by.is_empty());
    let of_classes = vec!["logistic_regression", "factorized_softmax"];
    let all: Vec<&str> = of_classes.iter().copied().chain(["linear_regression"]).collect();
    let linear = vec!["logistic_regression", "linear_regression"];
    let classes = |metric| (of_classes.clone(), "logistic_regression", metric);
    let numbers = (Vec::new(), "linear_regression", Metric::Mae);
    for (tables, kinds, metric) in [
        ("", &all, Metric::LogLoss),
        ("[model]\n", &all, Metric::LogLoss),
        ("[model]\ntol = 1e-3\n", &all, Metric::LogLoss),
        ("[model]\npreset = \"spark\"\n", &linear, Metric::F1),
        (
            "[model]\nkind = \"auto\"\nreg_param = [0.1, 1.0]\npreset = \"spark\"\n",
            &linear,
            Metric::F1,
        ),
    ] {
        assert_eq!(
            open(tables),
            (kinds.clone(), "logistic_regression", metric),
            "{tables}"
        );
    }
    assert_eq!(
        open("[model]\ncalibrate = \"temperature\"\n"),
        classes(Metric::LogLoss)
    );
    for (tables, metric) in [
        ("class_weight = \"balanced\"\n", Metric::LogLoss),
        ("min_rows = 2\n", Metric::LogLoss),
        ("[search]\nmetric = \"f1\"\n", Metric::F1),
    ] {
        assert_eq!(open(tables), classes(metric), "{tables}");
    }
    let logistic = |metric| (Vec::new(), "logistic_regression", metric);
    assert_eq!(open("[model]\nhistory = 5\n"), logistic(Metric::LogLoss));
    // A grid that is halved.
    let halved = "[model]\nreg_param = [0.1, 1.0]\n\n[search]\nhalving = 3\n";
    assert_eq!(open(halved), logistic(Metric::F1));
    assert_eq!(open("[search]\nmetric = \"mae\"\n"), numbers);
    let kind = parse(&format!("{smallest}[model]\nkind = \"naive_bayes\"\n")).unwrap();
    assert!(kind.pipeline.open.models.is_empty());
    let auto = parse(&edited("encode = \"ngrams\"\n", "")).unwrap().pipeline;
    let said = parse(&edited("\"ngrams\"", "\"auto\"")).unwrap().pipeline;
    assert_eq!(auto.features, said.features);
    assert_eq!((auto.features[0].kind(), auto.open.every_column), ("auto", false));
}

/// The preset gives what is not given.
#[test]
fn the_preset_of_spark_gives_its_defaults() {
    let parsed = |keys: &str| parse(&with_model(keys)).unwrap().pipeline.model;
    let spark = parsed("preset = \"spark\"");
    assert_eq!(spark.settings()["reg_param"], serde_json::json!([0.0]));
    assert_eq!(
        parsed("preset = \"spark\"\nreg_param = 0.5"),
        parsed("reg_param = 0.5")
    );
}

#[test]
fn every_key_is_documented() {
    let path = gristmill_testkit::repository().join("docs/pipeline.md");
    let text = std::fs::read_to_string(path).unwrap();
    let chapter = |heading: &str| {
        let (_, after) = text
            .split_once(&format!("\n{heading}\n"))
            .unwrap_or_else(|| panic!("no `{heading}`"));
        after.split("\n#").next().unwrap_or_default().to_owned()
    };
    let features = TABLES.iter().map(|(table, keys)| match *table {
        "feature" => ("## `[[feature]]`".to_owned(), *keys),
        table => (format!("## `[{table}]`"), *keys),
    });
    for (heading, keys) in features {
        let chapter = chapter(&heading);
        for key in keys {
            assert!(
                chapter.contains(&format!("\n| `{key}` |")),
                "`{key}` is not under `{heading}`"
            );
        }
    }
}

#[test]
fn the_documentation_is_that_of_the_kinds() {
    let path = gristmill_testkit::repository().join("docs/pipeline.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let generated = docs::generated(&text, &built_in()).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, generated).unwrap();
    } else {
        let update = "UPDATE_DOCS=1 cargo nextest run --workspace --test settings";
        assert!(
            generated == text,
            "docs/pipeline.md is not what the kinds say; run {update}"
        );
    }
}

/// A default is read as a value of its key would be, and a key has no line that is empty.
#[test]
fn what_a_kind_says_of_its_keys_holds() {
    for kind in built_in().encoders() {
        let (mut settings, lines) = defaults(kind.keys());
        settings.insert("column".to_owned(), "c".into());
        let feature = kind.feature(settings.clone().into()).unwrap();
        assert_eq!(
            keys_of(&feature.settings()),
            keys_of(&settings.into()),
            "{}",
            kind.name()
        );
        let keys = format!("column = \"c\"\nencode = \"{}\"\n", kind.name());
        let [written, default] = [lines.as_str(), ""].map(|lines| {
            let file = parse(&with_feature(&format!("{keys}{lines}")));
            file.unwrap_or_else(|problems| panic!("{}", render(&problems)))
                .pipeline
        });
        assert_eq!(written.features[1], feature);
        assert_eq!(default.features[1], feature);
    }
    for kind in built_in().models() {
        let (settings, lines) = defaults(kind.keys());
        let model = kind.settings(settings.clone().into()).unwrap();
        assert_eq!(
            keys_of(&model.settings()),
            keys_of(&settings.into()),
            "{}",
            kind.name()
        );
        let [written, default] = [lines.as_str(), ""].map(|lines| {
            let file = parse(&edited(
                "logistic_regression\"",
                &format!("{}\"\n{lines}", kind.name()),
            ));
            file.unwrap_or_else(|problems| panic!("{}", render(&problems)))
                .pipeline
        });
        assert_eq!(written.model, model);
        assert_eq!(default.model, model);
    }
}

/// The defaults of these keys, and the lines that say them.
fn defaults(keys: &[Key]) -> (serde_json::Map<String, serde_json::Value>, String) {
    let (mut settings, mut lines) = (serde_json::Map::new(), String::new());
    for (place, key) in keys.iter().enumerate() {
        assert!(!key.doc.is_empty(), "{key:?}");
        assert!(
            keys[..place].iter().all(|earlier| earlier.name != key.name),
            "{key:?}"
        );
        if let Some(default) = key.default_json() {
            lines.push_str(&format!("{} = {default}\n", key.name));
            settings.insert(key.name.to_owned(), default);
        }
    }
    (settings, lines)
}

fn keys_of(object: &serde_json::Value) -> Vec<String> {
    let mut keys: Vec<String> = object.as_object().unwrap().keys().cloned().collect();
    keys.sort();
    keys
}

#[test]
fn the_documented_example_is_a_pipeline() {
    let path = gristmill_testkit::repository().join("docs/pipeline.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, example) = text.split_once("```toml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let kinds = built_in();
    let mut keys = TABLES
        .iter()
        .flat_map(|(_, keys)| keys.iter().copied())
        .chain(
            kinds
                .encoders()
                .iter()
                .flat_map(|kind| kind.keys().iter().map(|key| key.name)),
        )
        // The example is of the first kind of model.
        .chain(kinds.models()[0].keys().iter().map(|key| key.name));
    // What cannot stand beside the other settings is commented out.
    assert!(
        keys.all(|key| ["\n", "\n# "]
            .iter()
            .any(|before| example.contains(&format!("{before}{key} = ")))),
        "the example shows every key"
    );
    if let Err(problems) = parse(example) {
        panic!("{}", render(&problems));
    }
}

#[test]
fn a_path_of_penalties_has_settings_of_its_own() {
    let chosen = "[search]\nchoose = \"one_standard_error\"\nseconds = 60\n";
    for text in [
        with_model("") + chosen,
        with_model("reg_param = \"auto\"") + chosen,
        edited("logistic_regression", "linear_regression") + chosen,
    ] {
        let pipeline = parse(&text).unwrap().pipeline;
        let search = (pipeline.search.choose, pipeline.search.seconds);
        assert_eq!(search, (Choice::OneStandardError, Some(60)));
        assert_eq!(pipeline.folds(), 3);
    }
    // With given penalties the metric is Spark's, and with one of them there is nothing to choose.
    let pipeline = parse(&with_model("reg_param = 0.0")).unwrap().pipeline;
    assert_eq!((pipeline.search.metric, pipeline.folds()), (Metric::F1, 1));
    for (text, told) in [
        (
            with_model("reg_param = 0.1") + chosen,
            "`search.choose` is of a path",
        ),
        (
            with_model("reg_param = 0.1") + chosen,
            "`search.seconds` is of a path",
        ),
        (with_model("max_iter = [1, 2]"), "goes with no list"),
        (with_model("elastic_net_param = [0, 1]"), "goes with no list"),
        (with_model("") + "[search]\nhalving = 3\n", "`search.halving`"),
        (with_model("reg_param = \"autp\""), "\"auto\""),
    ] {
        let rendered = render(&parse(&text).unwrap_err());
        assert!(rendered.contains(told), "{rendered}");
    }
}
