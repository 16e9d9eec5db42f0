//! What naive Bayes refuses.

use super::*;

#[test]
fn a_negative_feature_is_refused_where_it_would_be_counted() {
    let (mut table, size) = table(100);
    let row = table.split.iter().position(|split| *split == 1).unwrap();
    table.rows[row][0].1 = -0.5;
    assert!(
        bayes(&table.batches(100), size, &[1.0], PLENTY).is_ok(),
        "a row that is not for training"
    );
    table.split[row] = 0;
    let error = bayes(&table.batches(100), size, &[1.0], PLENTY).unwrap_err();
    let expected = table.rows[row][0].0;
    assert!(
        matches!(error, Error::NegativeFeature { index, value: -0.5, .. } if index == expected),
        "{error}"
    );
}
