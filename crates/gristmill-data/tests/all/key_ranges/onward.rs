//! Reading on along an integer key of PostgreSQL gives the rows of the range that a boundary ends, however the keys lie.

use futures::TryStreamExt;
use gristmill_data::Error;
use gristmill_data::key::{Bounds, Key, KeyRange};
use gristmill_data::source::Source;
use gristmill_testkit::TempPostgres;

use crate::support::{Rows, read, rows_in, source};

/// How keys lie: the key of the `n`-th of 20,000 rows, and how often their order or their number is not as expected.
const KEYS: [(&str, &str, std::ops::RangeInclusive<u32>); 9] = [
    ("dense", "n", 0..=0),
    ("repeated", "n / 3", 0..=0),
    ("negative", "n - 20000", 0..=0),
    ("at the end of all", "9223372036854755807 + n", 0..=0),
    (
        "gaps",
        "n + n / 1000 * 37 + CASE WHEN n > 7000 THEN 1000000000 ELSE 0 END",
        0..=3,
    ),
    ("ever denser", "(sqrt(n) * 1e6)::bigint", 0..=3),
    (
        "suddenly dense",
        "CASE WHEN n <= 5000 THEN n * 1000 ELSE 5000000 + (n - 5000) / 7 END",
        1..=3,
    ),
    (
        "one key of many",
        "CASE WHEN n BETWEEN 4000 AND 9000 THEN 4000 ELSE n END",
        1..=3,
    ),
    ("scattered", "n * 7919 % 20000", 1..=1),
];

/// Reads on from the first key to the last and compares with boundaries; returns how often rows had to be asked for again.
async fn check(source: &dyn Source, rows: u64) -> u32 {
    let (mut after, mut again) = (None, 0);
    loop {
        let found = loop {
            match read_on(source, after.as_ref(), rows).await {
                Err(Error::Disorder) => again += 1,
                found => break found.unwrap(),
            }
            assert!(again < 10);
        };
        let Some(until) = source.boundary(after.as_ref(), rows).await.unwrap() else {
            assert!(found.is_empty(), "{found:?}");
            return again;
        };
        let bounds = Bounds::Between {
            after,
            until: until.clone(),
        };
        let expected = read(source, &KeyRange { number: 0, bounds }).await.unwrap();
        let keys = |rows: &Rows| rows.iter().map(|row| row[0].clone()).collect::<Vec<_>>();
        assert_eq!(keys(&found), keys(&expected), "up to {until}");
        let sorted = |mut rows: Rows| {
            rows.sort();
            rows
        };
        assert_eq!(sorted(found), sorted(expected), "up to {until}");
        after = Some(until);
    }
}

async fn read_on(source: &dyn Source, after: Option<&Key>, rows: u64) -> gristmill_data::Result<Rows> {
    let open = source.read_on(after, rows).await?;
    Ok(rows_in(&open.rows.try_collect::<Vec<_>>().await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_that_are_read_on_end_where_boundaries_are() {
    let server = TempPostgres::shared();
    for (number, (name, key, disorders)) in KEYS.into_iter().enumerate() {
        let table = format!("onward{number}");
        server.execute(&format!(
            "CREATE TABLE {table} AS SELECT {key} AS id, n AS row FROM generate_series(1, 20000) AS n; \
             CREATE INDEX ON {table} (id); ANALYZE {table}"
        ));
        // The group joins by its number, as names of areas do.
        let query = format!(
            "SELECT id, row, part FROM {table} JOIN (SELECT g, 'part ' || g AS part FROM generate_series(0, 9) AS g) AS p \
             ON p.g = row % 10"
        );
        for rows in [700, 9_000] {
            let source = source(&server.url(), &query, "id").await;
            assert!(source.can_read_on());
            let again = check(source.as_ref(), rows).await;
            assert!(disorders.contains(&again) || rows > 700, "{name}: {again}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_not_asked_for_where_an_index_gives_them() {
    let server = TempPostgres::shared();
    server.execute(
        "CREATE TABLE in_order AS SELECT n AS id, 'name ' || n AS name FROM generate_series(1, 50000) AS n; \
         ALTER TABLE in_order ADD PRIMARY KEY (id); ANALYZE in_order",
    );
    let source = source(&server.url(), "SELECT * FROM in_order", "id").await;
    let asked = || {
        server.execute(
            "SELECT query FROM pg_stat_activity WHERE application_name = 'gristmill' AND query LIKE 'COPY %'",
        )
    };
    assert_eq!(read_on(source.as_ref(), None, 1_000).await.unwrap().len(), 1_000);
    assert!(asked().contains("ORDER BY"), "{}", asked());
    for after in [1_000, 2_000, 40_000] {
        let rows = read_on(source.as_ref(), Some(&Key::Int(after)), 1_000)
            .await
            .unwrap();
        assert_eq!(
            (rows.len(), rows[999][0].clone()),
            (1_000, (after + 1_000).to_string())
        );
        assert!(!asked().contains("ORDER BY"), "{}", asked());
    }
    // Where the rows end, the server tells.
    let rows = read_on(source.as_ref(), Some(&Key::Int(49_500)), 1_000)
        .await
        .unwrap();
    assert_eq!(rows.len(), 500);
    assert!(asked().contains("ORDER BY"), "{}", asked());
}
