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
