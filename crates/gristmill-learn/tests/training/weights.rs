//! What weights and constant labels mean for a fit.

use super::*;

/// Coefficients of a fit to the end.
fn coefficients(table: &Table, size: TrainingSize, settings: LogisticSettings) -> (Vec<f64>, f64) {
    let settings = LogisticSettings {
        max_iter: vec![1000],
        tol: 1e-13,
        ..settings
    };
    let trained = train(&table.batches(table.rows.len()), size, &settings, &SEARCH, PLENTY).unwrap();
    let Coefficients::F64(coefficients) = trained.model.linear().unwrap().coefficients() else {
        panic!("not small?")
    };
    (coefficients, trained.objective.unwrap())
}

fn without_folds(rows: usize) -> (Table, TrainingSize) {
    let (mut table, size) = table(rows);
    table.split.iter_mut().for_each(|split| *split = 0);
    (table, size)
}

#[test]
fn a_row_of_weight_two_is_the_row_twice_and_one_of_weight_zero_is_none() {
    let (plain, size) = without_folds(200);
    let mut weighted = plain.clone();
    let weight = |row: usize| row % 3;
    weighted.weights = Some((0..200).map(|row| weight(row) as f64).collect());
    let repeated: Vec<usize> = (0..200)
        .flat_map(|row| std::iter::repeat_n(row, weight(row)))
        .collect();
    let repeated = Table {
        labels: repeated.iter().map(|row| plain.labels[*row]).collect(),
        numbers: None,
        rows: repeated.iter().map(|row| plain.rows[*row].clone()).collect(),
        split: vec![0; repeated.len()],
        fold: vec![0; repeated.len()],
        weights: None,
    };
    // The unbiased deviation tells how reliable rows are, not how often they are there: leave it out.
    let settings = || LogisticSettings {
        standardization: false,
        ..settings(0.01)
    };
    let (got, objective) = coefficients(&weighted, size, settings());
    let (expected, same) = coefficients(&repeated, size, settings());
    assert!((objective - same).abs() < 1e-10 * same, "{objective} {same}");
    for (got, expected) in got.iter().zip(&expected) {
        assert!((got - expected).abs() < 1e-4, "{got} {expected}");
    }
}

#[test]
fn the_only_class_is_certain() {
    let (mut table, size) = without_folds(90);
    // Fold 0 has every row but those of class 2, so that the fit without it knows class 2 alone.
    for row in 0..90 {
        table.fold[row] = u8::from(table.labels[row] == 2);
    }
    let search = SearchSettings {
        folds: 2,
        halving: None,
        choose: Choice::Minimum,
        seconds: None,
        metric: Metric::Accuracy,
    };
    for family in [Family::Multinomial, Family::Binomial] {
        let mut table = table.clone();
        let mut size = size;
        if family == Family::Binomial {
            size.classes = 2;
            table
                .labels
                .iter_mut()
                .for_each(|label| *label = i32::from(*label == 2));
        }
        let settings = LogisticSettings {
            reg_param: vec![0.1, 0.2].into(),
            family,
            ..settings(0.1)
        };
        let trained = train(&table.batches(90), size, &settings, &search, PLENTY).unwrap();
        for point in &trained.search {
            assert_eq!(point.scores[0], 0.0, "all of fold 0 is taken for class 2");
        }
    }
    // Weights can leave one class too.
    table.weights = Some(table.labels.iter().map(|label| f64::from(*label == 1)).collect());
    let (got, objective) = coefficients(&table, size, settings(0.1));
    assert_eq!(objective, 0.0);
    let (features, intercepts) = got.split_at(size.features * size.classes);
    assert!(features.iter().all(|w| *w == 0.0));
    assert!(
        intercepts[1] - intercepts[0] >= 40.0 && intercepts[0] == intercepts[2],
        "{intercepts:?}"
    );
}

#[test]
fn the_search_predicts_by_thresholds() {
    let (table, size) = table(600);
    let batches = table.batches(600);
    let score = |thresholds: Vec<f64>| {
        let thresholds = Thresholds::from_values(thresholds).unwrap();
        let trainer = logistic_search(&grid(), &SEARCH, size, thresholds, PLENTY).unwrap();
        let trained = drive(trainer, &batches).unwrap();
        trained.search[0].score.unwrap()
    };
    let plain = score(vec![0.5; 3]);
    assert!(plain > 0.5, "{plain}");
    // Class 0 is predicted for all but the rows where it has no probability at all.
    assert!(score(vec![0.0, 0.5, 0.5]) < 0.3);
}
