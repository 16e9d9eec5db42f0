//! What is chosen for a column, by what it holds.

use std::collections::BTreeSet;

use arrow::array::{
    Array, BinaryArray, Decimal128Array, Int32Array, TimestampMicrosecondArray, UInt32Array, new_null_array,
};
use arrow::compute::{concat, take};
use arrow::datatypes::DataType;
use gristmill_learn::features::choose::{Asked, Choice, Chooser, rules};

use super::*;

/// Training rows: every one, for the columns here are short.
const ROWS: usize = 600;

/// The models of which one is chosen where a pipeline says nothing.
const MODELS: [(&str, LabelKind); 3] = [
    ("logistic_regression", LabelKind::Class),
    ("factorized_softmax", LabelKind::Class),
    ("linear_regression", LabelKind::Number),
];

fn all_training() -> SplitSettings {
    SplitSettings {
        train: 1.0,
        validation: 0.0,
        test: 0.0,
        ..split()
    }
}

fn ints(value: impl Fn(i64) -> i64) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values((0..ROWS as i64).map(value)))
}

fn floats(value: impl Fn(i64) -> f64) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values((0..ROWS as i64).map(value)))
}

fn words(value: impl Fn(usize) -> String) -> ArrayRef {
    Arc::new(StringArray::from_iter_values((0..ROWS).map(value)))
}

/// A number that looks as if chance had chosen it.
fn mixed(n: i64) -> i64 {
    (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) as i64 >> 12 & 0xff_ffff_ffff
}

/// A word of its own for each number.
fn word(n: usize) -> String {
    let letters = (0..5).map(|place| (b'a' + (n / 7_usize.pow(place) % 7) as u8) as char);
    letters.collect()
}

/// The choice for these columns, of which `label` is the label.
fn choose(columns: &[(&str, ArrayRef)], label: &LabelSettings, split: &SplitSettings) -> Choice {
    choose_of(&MODELS, columns, label, split)
}

/// The same where the model is one of these.
fn choose_of(
    models: &[(&str, LabelKind)],
    columns: &[(&str, ArrayRef)],
    label: &LabelSettings,
    split: &SplitSettings,
) -> Choice {
    let rows = columns[0].1.len();
    let id = Arc::new(Int64Array::from_iter_values(0..rows as i64)) as ArrayRef;
    let fields: Vec<_> = (columns.iter())
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), true))
        .chain([Field::new("id", DataType::Int64, true)])
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let arrays = columns
        .iter()
        .map(|(_, column)| column.clone())
        .chain([id])
        .collect();
    let batch = RecordBatch::try_new(schema.clone(), arrays).unwrap();
    let others = columns.iter().map(|(name, _)| (*name).to_owned());
    let chooser = Chooser::new(
        others.filter(|name| *name != label.column).collect(),
        label,
        split,
    );
    let asked = Asked {
        schema: &schema,
        label: true,
        models,
        text: false,
        validation: true,
        counts: false,
    };
    chooser.choice(&state(chooser.pass(), &batch), asked).unwrap()
}

/// What is chosen for a column of this name, and what it would be as a label, if it has values.
fn chosen(name: &str, column: ArrayRef) -> (String, Option<LabelKind>) {
    let classes = words(|n| ["x", "y"][n % 2].to_owned());
    let choice = choose(
        &[(name, column.clone()), ("label", classes)],
        &label(1, Rare::Drop),
        &all_training(),
    );
    let [found] = &choice.columns[..] else {
        panic!("{choice:?}")
    };
    // What is chosen can be made.
    assert_eq!(choice.features(name).unwrap().len(), found.features.len());
    let is = format!("{}: {}", found.is, found.written());
    if column.null_count() == column.len() {
        return (is, None);
    }
    let as_label = LabelSettings {
        column: name.into(),
        ..label(1, Rare::Drop)
    };
    let choice = choose(&[(name, column)], &as_label, &all_training());
    (is, Some(choice.label.unwrap().kind))
}

#[test]
fn a_column_is_encoded_by_what_it_holds() {
    const CLASS: Option<LabelKind> = Some(LabelKind::Class);
    const NUMBER: Option<LabelKind> = Some(LabelKind::Number);
    const NGRAMS: &str = "encode = \"ngrams\", analyzer = \"char_wb\", bits = 16, range = [1, 5]";
    const WORDS: &str = "encode = \"ngrams\", analyzer = \"word\", bits = 16, min_count = 2, range = [1, 1]";
    let text = format!("text: {NGRAMS}");
    let of_words = format!("{text}; and {WORDS}");
    let repeating = format!("repeating text: {NGRAMS}; and encode = \"one_hot\", min_count = 2");
    let one_hot = |is: &str| format!("{is}: encode = \"one_hot\"");
    let numeric = |is: &str| format!("{is}: encode = \"numeric\"");
    let wide =
        "wide number: encode = \"numeric\"; and encode = \"numeric\", transform = \"log1p\"".to_owned();
    let left_out = |is: &str| format!("{is}: left out");
    let half_null: ArrayRef = Arc::new(StringArray::from_iter(
        (0..ROWS).map(|n| (n % 2 == 0).then_some("x")),
    ));
    let flags = Arc::new(BooleanArray::from_iter((0..ROWS).map(|n| Some(n % 3 == 0))));
    let days = Arc::new(Date32Array::from_iter_values((0..ROWS as i32).map(|n| n * 9)));
    let moments = TimestampMicrosecondArray::from_iter_values((0..ROWS as i64).map(|n| n * 1_000_000_007));
    let cents = Decimal128Array::from_iter_values((0..ROWS as i128).map(|n| n * n % 7_919));
    let cents = cents.with_precision_and_scale(10, 2).unwrap();
    let binary = BinaryArray::from_iter_values((0..ROWS).map(|n| n.to_le_bytes()));
    let cases: Vec<(&str, &str, ArrayRef, String, Option<LabelKind>)> = vec![
        ("binary", "photo", Arc::new(binary), left_out("unreadable"), CLASS),
        (
            "nulls",
            "x",
            new_null_array(&DataType::Float64, ROWS),
            left_out("constant"),
            None,
        ),
        (
            "one value",
            "x",
            words(|_| "same".to_owned()),
            left_out("constant"),
            CLASS,
        ),
        ("one value or none", "x", half_null, one_hot("category"), CLASS),
        ("booleans", "active", flags, one_hot("flag"), CLASS),
        ("days", "born", days, numeric("date"), CLASS),
        ("moments", "at", Arc::new(moments), numeric("date"), CLASS),
        (
            "a serial number",
            "number",
            ints(|n| n + 1_000),
            left_out("identifier"),
            NUMBER,
        ),
        (
            "a serial number with gaps",
            "nr",
            ints(|n| 3 * n + n % 2),
            left_out("identifier"),
            NUMBER,
        ),
        (
            "a random identifier",
            "user_id",
            ints(mixed),
            left_out("identifier"),
            NUMBER,
        ),
        (
            "measures that all differ",
            "people",
            ints(mixed),
            wide.clone(),
            NUMBER,
        ),
        (
            "months",
            "month",
            ints(|n| n % 12 + 1),
            one_hot("category"),
            CLASS,
        ),
        (
            "nullable months",
            "month",
            floats(|n| (n % 12 + 1) as f64),
            one_hot("category"),
            CLASS,
        ),
        ("20 levels", "level", ints(|n| n % 20), one_hot("category"), CLASS),
        ("21 levels", "level", ints(|n| n % 21), numeric("number"), NUMBER),
        (
            "foreign keys",
            "area_id",
            ints(|n| n % 50 * 1_000),
            one_hot("category"),
            NUMBER,
        ),
        (
            "years",
            "year",
            ints(|n| 1900 + mixed(n) % 90),
            numeric("number"),
            NUMBER,
        ),
        (
            "large integers",
            "x",
            ints(|n| i64::MAX - mixed(n) % 300),
            numeric("number"),
            NUMBER,
        ),
        (
            "counts with gaps",
            "plays",
            Arc::new(Int64Array::from_iter(
                (0..ROWS as i64).map(|n| (n % 3 > 0).then_some(n * n)),
            )),
            wide.replace("numeric\";", "numeric\", missing_indicator = true;"),
            NUMBER,
        ),
        (
            "reviews",
            "review",
            words(|n| (0..12).map(|place| word(n * place) + " ").collect()),
            "long text: encode = \"ngrams\", analyzer = \"word\", bits = 16, range = [1, 2], sublinear_tf = true, \
             weighting = \"tf_idf\""
                .to_owned(),
            CLASS,
        ),
        (
            "fractions",
            "size",
            floats(|n| n as f64 / 8.0),
            numeric("number"),
            NUMBER,
        ),
        (
            "few fractions",
            "share",
            floats(|n| (n % 3) as f64 / 2.0),
            numeric("number"),
            NUMBER,
        ),
        ("decimals", "price", Arc::new(cents), numeric("number"), NUMBER),
        (
            "words that repeat",
            "kind",
            words(|n| word(n % 60)),
            one_hot("category"),
            CLASS,
        ),
        (
            "names",
            "name",
            words(|n| format!("{} {}", word(n), word(n * 7))),
            of_words.clone(),
            CLASS,
        ),
        ("names of one word", "name", words(word), text.clone(), CLASS),
        (
            "names with a year",
            "title",
            words(|n| format!("{} of {n}", word(n))),
            of_words,
            CLASS,
        ),
        (
            "names in Han script",
            "name",
            words(|n| char::from_u32(0x4e00 + n as u32).unwrap().to_string() + "明"),
            text.clone(),
            CLASS,
        ),
        (
            "names that repeat",
            "city",
            words(|n| word(n % 200)),
            repeating,
            CLASS,
        ),
        (
            "addresses",
            "mail",
            words(|n| format!("{}.{n}@example.org", word(n))),
            text,
            CLASS,
        ),
        (
            "codes",
            "code",
            words(|n| format!("A-{}", 10_000 + n)),
            left_out("identifier"),
            CLASS,
        ),
        (
            "digits",
            "code",
            words(|n| format!("{n:07}")),
            left_out("identifier"),
            CLASS,
        ),
        (
            "universally unique identifiers",
            "x",
            words(|n| {
                format!(
                    "{:08x}-{:04x}-4000-8000-{:012x}",
                    mixed(n as i64),
                    n,
                    mixed(n as i64 + 9)
                )
            }),
            left_out("identifier"),
            CLASS,
        ),
        (
            "codes that repeat",
            "zip",
            words(|n| format!("{:05}", n % 200 * 97)),
            "codes: encode = \"one_hot\", min_count = 2".to_owned(),
            CLASS,
        ),
    ];
    let reached: BTreeSet<String> = cases
        .into_iter()
        .map(|(case, name, column, expected, as_label)| {
            assert_eq!(chosen(name, column), (expected.clone(), as_label), "{case}");
            expected.split(':').next().unwrap().to_owned()
        })
        .collect();
    // Every rule but that of models that count.
    let all = rules();
    let named = all
        .lines()
        .skip(2)
        .filter_map(|line| line.split(" | ").next()?.strip_prefix("| "));
    for rule in named.filter(|rule| *rule != "below 0") {
        assert!(reached.contains(rule), "no case for {rule}");
    }
}

/// Buckets follow the rows, and the coefficients that they give the classes.
#[test]
fn the_bits_of_a_text_follow_rows_and_classes() {
    let bits = |rows: usize, classes: usize| {
        let name = StringArray::from_iter_values((0..rows).map(|n| format!("{} {}", word(n), word(n / 9))));
        let class = StringArray::from_iter_values((0..rows).map(|n| format!("c{}", n % classes)));
        let columns: [(&str, ArrayRef); 2] = [("name", Arc::new(name)), ("label", Arc::new(class))];
        [&MODELS[..], &MODELS[..1]].map(|models| {
            let choice = choose_of(models, &columns, &label(1, Rare::Drop), &all_training());
            choice.columns[0].features[0]["bits"].as_u64().unwrap()
        })
    };
    let cases = [
        (100, 2),
        (10_000, 2),
        (100_000, 2),
        (100_000, 100),
        (10_000, 3_000),
    ];
    assert_eq!(
        cases.map(|(rows, classes)| bits(rows, classes)),
        [[16; 2], [18; 2], [20; 2], [20, 19], [18, 16]]
    );
}

/// A model that counts its features is given none below 0.
#[test]
fn a_counting_model_gets_no_negative_number() {
    let columns = [
        ("up", floats(|n| n as f64 / 8.0)),
        ("down", floats(|n| 9.5 - n as f64)),
    ];
    let fields = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), true));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let names = || columns.iter().map(|(name, _)| (*name).to_owned()).collect();
    let settings = LabelSettings {
        column: "up".into(),
        ..label(1, Rare::Drop)
    };
    let by_up = SplitSettings {
        by: "up".into(),
        ..all_training()
    };
    let chooser = Chooser::new(names(), &settings, &by_up);
    let arrays = columns.iter().map(|(_, column)| column.clone()).collect();
    let batch = RecordBatch::try_new(Arc::new(schema.clone()), arrays).unwrap();
    let asked = Asked {
        schema: &schema,
        label: false,
        models: &[("naive_bayes", LabelKind::Class)],
        text: false,
        validation: true,
        counts: true,
    };
    let choice = chooser.choice(&state(chooser.pass(), &batch), asked).unwrap();
    assert_eq!(choice.label, None);
    let written: Vec<String> = choice.columns.iter().map(|column| column.written()).collect();
    assert_eq!(written, ["encode = \"numeric\", scale = \"none\"", "left out"]);
}

/// The kind of model that is chosen for so many classes and a column, of these kinds.
fn model(
    classes: usize,
    column: ArrayRef,
    models: &[(&str, LabelKind)],
    validation: bool,
    text: bool,
) -> String {
    let schema = Arc::new(Schema::new(vec![
        Field::new("label", DataType::Utf8, true),
        Field::new("column", column.data_type().clone(), true),
        Field::new("id", DataType::Int64, true),
    ]));
    let arrays = vec![words(|n| word(n % classes)), column, ints(|n| n)];
    let batch = RecordBatch::try_new(schema.clone(), arrays).unwrap();
    let chooser = Chooser::new(vec!["column".to_owned()], &label(1, Rare::Drop), &all_training());
    let asked = Asked {
        schema: &schema,
        label: true,
        models,
        text,
        validation,
        counts: false,
    };
    let choice = chooser.choice(&state(chooser.pass(), &batch), asked).unwrap();
    choice.label.unwrap().model
}

#[test]
fn a_text_and_some_classes_choose_a_factorised_softmax() {
    let text = || words(|n| format!("{} {}", word(n), word(n / 3)));
    let number = || floats(|n| n as f64 * 0.37);
    let (factorised, logistic) = ("factorized_softmax", "logistic_regression");
    for (classes, column, validation, named, expected) in [
        (12, text(), true, false, factorised),
        (8, text(), true, false, factorised),
        // The pipeline names the n-grams of another column.
        (12, number(), true, true, factorised),
        (7, text(), true, false, logistic),
        (2, text(), true, false, logistic),
        (12, number(), true, false, logistic),
        // Nothing would stop its training.
        (12, text(), false, false, logistic),
    ] {
        let case = format!("{classes} {validation} {named}");
        assert_eq!(
            model(classes, column, &MODELS, validation, named),
            expected,
            "{case}"
        );
    }
    // A key that logistic regression alone has leaves no choice.
    assert_eq!(model(12, text(), &MODELS[..1], true, false), logistic);
}

proptest! {
    /// Neither the order of the rows nor rows of other splits, nor those without a label, are in a choice.
    #[test]
    fn only_training_rows_choose(seed in 0u64..1_000, rows in 40usize..200) {
        let keys: Vec<u32> = (0..rows as u32).collect();
        let name = |n: u32| format!("{} {}", word(n as usize), n % 3);
        let columns = |keys: &[u32]| -> Vec<(&'static str, ArrayRef)> {
            let names = StringArray::from_iter_values(keys.iter().map(|n| name(*n)));
            let levels = Int32Array::from_iter_values(keys.iter().map(|n| (n % 5) as i32));
            let labels = StringArray::from_iter(keys.iter().map(|n| (n % 4 > 0).then_some("x")));
            vec![("name", Arc::new(names)), ("level", Arc::new(levels)), ("label", Arc::new(labels))]
        };
        let all = columns(&keys);
        let chosen = |columns: &[(&'static str, ArrayRef)]| {
            choose(columns, &label(1, Rare::Drop), &all_training())
        };
        let before = chosen(&all);
        let mut order = keys.clone();
        order.sort_by_key(|n| u64::from(*n).wrapping_mul(2 * seed + 1) % 257);
        let order = UInt32Array::from(order);
        let moved: Vec<_> = all.iter().map(|(name, column)| (*name, take(column, &order, None).unwrap())).collect();
        prop_assert_eq!(&chosen(&moved), &before);
        // Unlabelled rows of another content.
        let strange = columns(&[4, 8, 12]).into_iter().map(|(column, values)| match column {
            "name" => new_null_array(values.data_type(), 3),
            _ => values,
        });
        let more: Vec<_> = (all.iter().zip(strange))
            .map(|((name, column), strange)| {
                let label = *name == "label";
                let strange = if label { new_null_array(column.data_type(), 3) } else { strange };
                (*name, concat(&[column.as_ref(), strange.as_ref()]).unwrap())
            })
            .collect();
        prop_assert_eq!(&chosen(&more), &before);
    }
}
