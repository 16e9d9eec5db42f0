//! A run that starts from the model of an earlier run, whose classes and categories had other numbers.

use insta::assert_snapshot;

use crate::support::{Place, pipeline, stderr, stdout, table};

/// One penalty, and few iterations.
const ONE: (&str, &str) = (
    "reg_param = [0.01, 0.1]\nmax_iter = 5",
    "reg_param = 0.01\nmax_iter = 4",
);

#[test]
fn features_and_classes_are_found_again_by_value() {
    let place = Place::with(&table(300), &pipeline(&[ONE]));
    place.run();
    // The rarest class comes first now, and there are a class and a category that the model does not know.
    place.sqlite(
        "INSERT INTO artist SELECT id + 1000, name, kind, size, country FROM artist WHERE country =
           (SELECT country FROM artist GROUP BY country ORDER BY count(*), country LIMIT 1);
         INSERT INTO artist SELECT id + 2000, 'xyxyx', 'orchestra', size, 'Austria' FROM artist WHERE id < 30;",
    );
    for run in ["cold", "warm"] {
        let dir = format!("dir = \"{run}\"");
        place.write(&format!("{run}.toml"), pipeline(&[ONE, ("dir = \"run\"", &dir)]));
    }
    let cold = place.gristmill("run cold.toml");
    assert_eq!(cold.status.code(), Some(0), "{}", stderr(&cold));
    let warm = place.gristmill("run warm.toml --warm-start run/model -v");
    assert_eq!(warm.status.code(), Some(0), "{}", stderr(&warm));
    let said = stderr(&warm);
    assert!(said.contains("and 3 of 4 classes"), "{said}");
    let objective = |run: &str| place.metrics(run)["best"]["objective"].as_f64().unwrap();
    let (warm, cold) = (objective("warm"), objective("cold"));
    assert!(warm < cold, "after as many iterations: {warm} {cold}");
    let shown = stdout(&place.gristmill("inspect warm/model"));
    assert!(shown.contains("Started   from model "), "{shown}");
    assert!(!stdout(&place.gristmill("inspect cold/model")).contains("Started"));
    // The same again is there already.
    let again = stderr(&place.gristmill("run warm.toml --warm-start run/model"));
    assert!(again.contains("train skipped: finished before"), "{again}");
}

#[test]
fn what_is_no_model_is_refused() {
    let place = Place::with(&table(100), &pipeline(&[ONE]));
    let output = place.gristmill("run pipeline.toml --warm-start run/model");
    assert_eq!(output.status.code(), Some(2));
    assert_snapshot!(stderr(&output));
}

#[test]
fn kinds_that_cannot_start_from_each_other_are_refused_before_any_work() {
    let place = Place::with(&table(100), &pipeline(&[ONE]));
    place.run();
    let linear = [
        ("column = \"country\"", "column = \"id\""),
        ("logistic_regression", "linear_regression"),
        ONE,
        ("[run]", "[split]\nby = \"name\"\n\n[run]"),
        ("dir = \"run\"", "dir = \"number\""),
    ];
    place.write("number.toml", pipeline(&linear));
    let trained = place.gristmill("run number.toml");
    assert_eq!(trained.status.code(), Some(0), "{}", stderr(&trained));
    let elsewhere = ("dir = \"run\"", "dir = \"new\"");
    let one_hot = ("encode = \"numeric\"", "encode = \"one_hot\"");
    let bayes = (
        "logistic_regression\"\nreg_param = [0.01, 0.1]\nmax_iter = 5",
        "naive_bayes\"",
    );
    let number_again = ("dir = \"number\"", "dir = \"new\"");
    for (text, model, why) in [
        (
            pipeline(&[one_hot, bayes, elsewhere]),
            "run",
            "a warm start is for logistic_regression",
        ),
        (
            pipeline(&linear).replacen(number_again.0, number_again.1, 1),
            "number",
            "a warm start is for logistic_regression",
        ),
        (pipeline(&[ONE, elsewhere]), "number", "it is a regression"),
    ] {
        place.write("new.toml", text);
        let output = place.gristmill(&format!("run new.toml --warm-start {model}/model"));
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        let words: Vec<&str> = said.split_whitespace().collect();
        assert!(words.join(" ").contains(why) && !said.contains("pull "), "{said}");
        assert!(!place.path("new/dataset").exists(), "{said}");
    }
}
