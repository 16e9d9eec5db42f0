//! The tables of a pipeline file, one function each, with every default.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::pipeline::{Open, Pipeline, RunSettings, Verify};
use crate::budget::of_rows;
use gristmill_data::budget::RowBudget;
use gristmill_data::settings::{CleanSettings, Consistency, KeyColumns, ReadAs, SourceSettings, TextReading};
use gristmill_data::source::open::default_query;
use gristmill_learn::contract::encoder::Feature;
use gristmill_learn::contract::registry::Registry;
use gristmill_learn::settings::{
    Choice, ClassWeight, LabelKind, LabelSettings, Metric, Rare, SearchSettings, SplitSettings,
};
use toml::de::{DeTable, DeValue};

use super::reader::{Reader, Section, Value};
use super::value;
use super::{by_key, keys};

/// The usual `run.memory`.
const DEFAULT_MEMORY: u64 = 2_000_000_000;
/// The smallest `run.memory`.
pub(super) const MIN_MEMORY: u64 = 64_000_000;

/// The usual `batches.connections`.
const DEFAULT_CONNECTIONS: usize = 2;
/// The largest `batches.connections`.
const MAX_CONNECTIONS: u64 = 64;

/// The smallest `batches.target_file_size`.
const MIN_FILE_SIZE: u64 = 1_000_000;

/// The keys of `[label]` that only classes have.
pub(super) const OF_CLASSES: [&str; 3] = ["min_rows", "rare", "class_weight"];

/// The values of `search.metric`.
const METRICS: &[(&str, Metric)] = &[
    ("f1", Metric::F1),
    ("macro_f1", Metric::MacroF1),
    ("accuracy", Metric::Accuracy),
    ("log_loss", Metric::LogLoss),
    ("rmse", Metric::Rmse),
    ("mae", Metric::Mae),
    ("r2", Metric::R2),
];

/// Reads the whole file; the result is of use only if no problem was reported, and there is none without a kind of model.
pub(super) fn pipeline<'t>(
    r: &mut Reader<'t>,
    root: &'t DeTable<'t>,
    path: &Path,
    kinds: &Registry,
) -> Option<Pipeline> {
    r.tables(root);
    missing_tables(r, root);
    let (mut source, consistency) = source(r, root);
    let (batch_rows, connections, target_file_size) = batches(r, root);
    let features = r.features(root);
    let (models, calibrate) = by_key::model(r, root, kinds, stated_label(root));
    let learns = models.first().map_or(LabelKind::Class, |model| model.label());
    let features = features
        .iter()
        .filter_map(|section| by_key::feature(r, section, kinds))
        .collect::<Vec<Feature>>();
    let (clean, label) = (clean(r, root), label(r, root, learns));
    let default_metric = models
        .first()
        .map_or(learns.default_metric(), |model| model.default_metric());
    let (split, search) = (split(r, root, &source.key), search(r, root, default_metric));
    let mut models = models;
    if search.halving.is_some() && models.iter().any(|model| model.can_halve()) {
        models.retain(|model| model.can_halve());
    }
    let run = run(r, root, path);
    source.memory = of_rows(run.memory, connections);
    let model = models.first()?.clone();
    let open = Open {
        every_column: !root.contains_key("feature"),
        models: if models.len() > 1 { models } else { Vec::new() },
    };
    // A label of which it is not known whether it is a class has the type of its values.
    let is_known = open.models.iter().all(|model| model.label() == label.kind);
    let class = is_known && label.kind == LabelKind::Class;
    source.text = TextReading {
        columns: categories(&features, class.then_some(&label.column))
            .into_iter()
            .map(|column| (column, ReadAs::Written))
            .collect(),
        quoted_empty: !clean.empty_as_null,
    };
    Some(Pipeline {
        open,
        consistency,
        batch_rows,
        connections,
        target_file_size,
        clean,
        features,
        label,
        split,
        model,
        calibrate,
        search,
        run,
        source,
    })
}

/// The columns that are read as categories or as `class`, and by nothing as numbers.
fn categories(features: &[Feature], class: Option<&String>) -> Vec<String> {
    let read = |as_categories: bool| {
        let features = features
            .iter()
            .filter(move |feature| feature.reads().is_number() != as_categories);
        features.flat_map(|feature| feature.columns())
    };
    let numbers: Vec<&String> = read(false).collect();
    let all = read(true).chain(class);
    all.filter(|column| !numbers.contains(column)).cloned().collect()
}

/// What the label is by settings that only classes or only numbers have, where the file gives one.
fn stated_label(root: &DeTable<'_>) -> Option<LabelKind> {
    let table = |name| match root.get(name).map(|value| value.get_ref()) {
        Some(DeValue::Table(table)) => Some(table),
        _ => None,
    };
    let of_classes = |label: &DeTable<'_>| OF_CLASSES.iter().any(|key| label.contains_key(*key));
    let calibrated = |model: &DeTable<'_>| model.contains_key("calibrate");
    if table("label").is_some_and(of_classes) || table("model").is_some_and(calibrated) {
        return Some(LabelKind::Class);
    }
    let metric = table("search")?.get("metric")?.get_ref().as_str()?;
    let known = METRICS.iter().find(|(word, _)| *word == metric);
    known.map(|(_, metric)| metric.label())
}

/// Reports each table that a pipeline needs and that is not there, with an example of it.
fn missing_tables<'t>(r: &mut Reader<'t>, root: &'t DeTable<'t>) {
    let source = "url = \"sqlite:data.db\"\nquery = \"SELECT id, name, country FROM artist\"\nkey = \"id\"";
    for (table, example) in [("source", source), ("label", "column = \"country\"")] {
        if !root.contains_key(table) {
            let header = super::reader::header(table);
            let problem = r.at(None, format!("{header} is missing"));
            r.problems
                .push(problem.help(format!("add, for example:\n{header}\n{example}")));
        }
    }
}

/// The table `name`, its keys checked.
fn open<'t>(r: &mut Reader<'t>, root: &'t DeTable<'t>, name: &'static str) -> Section<'t> {
    let section = r.section(root, name);
    r.keys(&section, keys::of_table(name), |_| None);
    section
}

fn source<'t>(r: &mut Reader<'t>, root: &'t DeTable<'t>) -> (SourceSettings, Consistency) {
    let s = open(r, root, "source");
    let consistency = r.get(&s, "consistency", |r, name, v| {
        let words = [("resume", Consistency::Resume), ("strict", Consistency::Strict)];
        r.choice(name, v, &words)
    });
    let url = r.require(
        &s,
        "url",
        "url = \"sqlite:data.db\" or \"postgres://user@host/db\"",
        Reader::source_url,
    );
    let query = match default_query(&url) {
        Some(query) => r.get(&s, "query", Reader::filled).unwrap_or_else(|| query.into()),
        None => r.require(&s, "query", "query = \"SELECT … FROM …\"", Reader::filled),
    };
    let source = SourceSettings {
        url,
        query,
        // Without one, the database is asked.
        key: r
            .get(&s, "key", |r, name, v| {
                r.axis(name, v, Reader::text).map(KeyColumns::new)
            })
            .unwrap_or_default(),
        // Until the sections that say more are read.
        text: TextReading::default(),
        memory: RowBudget::ample(),
    };
    (source, consistency.unwrap_or_default())
}

/// The rows of a batch, the connections that read them, and the bytes of a file.
fn batches<'t>(r: &mut Reader<'t>, root: &'t DeTable<'t>) -> (u64, usize, u64) {
    let s = open(r, root, "batches");
    let rows = r.get(&s, "rows", |r, name, v| {
        r.integer(name, v, 1..=u64::from(u32::MAX))
    });
    let connections = r.get(&s, "connections", |r, name, v| {
        r.integer(name, v, 1..=MAX_CONNECTIONS)
    });
    let size = r.get(&s, "target_file_size", |r, name, v| {
        let expected = "1MB or more, as \"128MB\", \"1GiB\" or bytes";
        size(r, name, v, expected, MIN_FILE_SIZE)
    });
    (
        rows.unwrap_or(100_000),
        connections.map_or(DEFAULT_CONNECTIONS, |n| n as usize),
        size.unwrap_or(128_000_000),
    )
}

fn clean<'t>(r: &mut Reader<'t>, root: &'t DeTable<'t>) -> CleanSettings {
    let s = open(r, root, "clean");
    CleanSettings {
        trim: r.get(&s, "trim", Reader::boolean).unwrap_or(true),
        empty_as_null: r.get(&s, "empty_as_null", Reader::boolean).unwrap_or(true),
        require: r
            .get(&s, "require", |r, name, v| {
                r.list(name, v, "a list of columns", Reader::text)
            })
            .unwrap_or_default(),
        filter: r.get(&s, "filter", Reader::filled),
        distinct: r.get(&s, "distinct", Reader::boolean).unwrap_or(false),
    }
}

fn label<'t>(r: &mut Reader<'t>, root: &'t DeTable<'t>, kind: LabelKind) -> LabelSettings {
    let s = open(r, root, "label");
    LabelSettings {
        kind,
        column: r.require(&s, "column", "column = \"…\": the column to learn", Reader::text),
        min_rows: r
            .get(&s, "min_rows", |r, name, v| r.integer(name, v, 1..=u64::MAX))
            .unwrap_or(1),
        rare: r
            .get(&s, "rare", |r, name, v| {
                r.choice(name, v, &[("drop", Rare::Drop), ("other", Rare::Other)])
            })
            .unwrap_or(Rare::Drop),
        weight: r.get(&s, "weight", Reader::text),
        class_weight: r.get(&s, "class_weight", |r, name, v| match v.get_ref() {
            DeValue::String(_) => r
                .choice(name, v, &[("balanced", ())])
                .map(|()| ClassWeight::Balanced),
            DeValue::Table(_) => r
                .by_class(name, v, "a number, 0 or more", |x| x >= 0.0)
                .map(ClassWeight::Each),
            _ => r.wrong_type(name, v, "\"balanced\" or a table from class to number"),
        }),
    }
}

fn split<'t>(r: &mut Reader<'t>, root: &'t DeTable<'t>, key: &KeyColumns) -> SplitSettings {
    let s = open(r, root, "split");
    let by = r.get(&s, "by", Reader::text).or_else(|| entity(r, key));
    let mut share = |key, default| {
        r.get(&s, key, |r, name, v| {
            r.number(name, v, "a share from 0 to 1", |x| (0.0..=1.0).contains(&x))
        })
        .unwrap_or(default)
    };
    let (train, validation, test) = (
        share("train", 0.7),
        share("validation", 0.15),
        share("test", 0.15),
    );
    SplitSettings {
        by: by.unwrap_or_default(),
        train,
        validation,
        test,
        seed: r
            .get(&s, "seed", |r, name, v| r.integer(name, v, 0..=u64::MAX))
            .unwrap_or(42),
        column: r.get(&s, "column", Reader::text),
    }
}

/// The key, as the column that tells entities apart where the file names none. Of a key of several columns, any of them
/// may be that, and a wrong guess would put rows of one entity on both sides.
fn entity(r: &mut Reader<'_>, key: &KeyColumns) -> Option<String> {
    if let [column] = &key[..] {
        return Some(column.clone());
    }
    if !key.is_empty() && r.usable("split.by") {
        let problem = r
            .at(r.spans.get("source.key").cloned(), "`split.by` is missing")
            .label("a key of several columns does not say what an entity is");
        r.problems
            .push(problem.help("set split.by to the column that tells entities apart"));
    }
    None
}

fn search<'t>(r: &mut Reader<'t>, root: &'t DeTable<'t>, default_metric: Metric) -> SearchSettings {
    let s = open(r, root, "search");
    SearchSettings {
        folds: r
            .get(&s, "folds", |r, name, v| r.integer(name, v, 2..=100))
            .unwrap_or(3) as u32,
        halving: r
            .get(&s, "halving", |r, name, v| r.integer(name, v, 2..=100))
            .map(|factor| factor as u32),
        metric: r
            .get(&s, "metric", |r, name, v| r.choice(name, v, METRICS))
            .unwrap_or(default_metric),
        choose: r
            .get(&s, "choose", |r, name, v| {
                let words = [
                    ("minimum", Choice::Minimum),
                    ("one_standard_error", Choice::OneStandardError),
                ];
                r.choice(name, v, &words)
            })
            .unwrap_or_default(),
        seconds: r
            .get(&s, "seconds", |r, name, v| {
                r.integer(name, v, 1..=u64::from(u32::MAX))
            })
            .map(|seconds| seconds as u32),
    }
}

fn run<'t>(r: &mut Reader<'t>, root: &'t DeTable<'t>, path: &Path) -> RunSettings {
    let s = open(r, root, "run");
    RunSettings {
        dir: r.get(&s, "dir", Reader::text).map_or_else(
            || Path::new("runs").join(path.file_stem().unwrap_or_default()),
            PathBuf::from,
        ),
        memory: r
            .get(&s, "memory", |r, name, v| {
                let expected = "64MB or more, as \"2GB\", \"512MB\", \"1GiB\" or bytes";
                size(r, name, v, expected, MIN_MEMORY)
            })
            .unwrap_or(DEFAULT_MEMORY),
        checkpoint_every: Duration::from_secs(
            r.get(&s, "checkpoint_seconds", |r, name, v| {
                r.integer(name, v, 0..=86_400)
            })
            .unwrap_or(60),
        ),
        threads: r
            .get(&s, "threads", |r, name, v| r.integer(name, v, 1..=1024))
            .map_or_else(cores, |threads| threads as usize),
        verify: r
            .get(&s, "verify", |r, name, v| {
                r.choice(name, v, &[("hashes", Verify::Hashes), ("sizes", Verify::Sizes)])
            })
            .unwrap_or_default(),
    }
}

/// A number of bytes.
fn size<'t>(r: &mut Reader<'t>, name: &str, v: Value<'t>, expected: &str, smallest: u64) -> Option<u64> {
    let bytes = match v.get_ref() {
        DeValue::String(_) => value::bytes(&r.text(name, v)?),
        DeValue::Integer(bytes) => u64::from_str_radix(bytes.as_str(), bytes.radix()).ok(),
        _ => return r.wrong_type(name, v, expected),
    };
    match bytes.filter(|bytes| *bytes >= smallest) {
        None => r.not_allowed(name, v, expected),
        enough => enough,
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
