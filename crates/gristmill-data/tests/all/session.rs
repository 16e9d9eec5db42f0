//! Limits that a role, a user or a server puts on its sessions: whatever they are, all rows are read.

use std::time::Duration;

use futures::TryStreamExt;
use gristmill_data::Result;
use gristmill_data::pull::Planner;
use gristmill_data::source::open::connect;
use gristmill_testkit::{TempMariaDb, TempPostgres};

use crate::support::{failure, rows_of, settings, source};

const ROWS: usize = 60;

/// The rows of a query, whose connection rests a little before each batch.
async fn rows(url: &str, query: &str) -> Result<usize> {
    let source = connect(&settings(url, query, "id")).await?;
    let (mut planner, mut rows) = (Planner::new(25, None, 0), 0);
    while let Some(range) = planner.next(source.as_ref()).await? {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let batches: Vec<_> = source.read(&range).await?.try_collect().await?;
        rows += batches.iter().map(|batch| batch.num_rows()).sum::<usize>();
    }
    Ok(rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_a_role_are_lifted_from_the_first_statement_on() {
    let server = TempPostgres::start();
    server.execute(&format!(
        "CREATE TABLE line AS SELECT generate_series(1, {ROWS}) AS id; GRANT SELECT ON line TO public"
    ));
    let query = "SELECT id, CASE WHEN id % 20 = 1 THEN pg_sleep(0.01)::text END AS rest FROM line";
    for (number, set) in [
        &["statement_timeout = 1"][..],
        &["lock_timeout = 1"],
        &["idle_in_transaction_session_timeout = 1"],
        &["idle_session_timeout = 1"],
        &[
            "default_transaction_isolation = serializable",
            "default_transaction_read_only = on",
            "default_transaction_deferrable = on",
        ],
        &[
            "statement_timeout = 1",
            "idle_in_transaction_session_timeout = 1",
            "idle_session_timeout = 1",
        ],
    ]
    .into_iter()
    .enumerate()
    {
        let role = format!("role_{number}");
        let alter: String = set
            .iter()
            .map(|set| format!("ALTER ROLE {role} SET {set};"))
            .collect();
        server.execute(&format!("CREATE ROLE {role} LOGIN; {alter}"));
        let url = format!("postgres://{role}@127.0.0.1:{}/postgres", server.port());
        for _ in 0..4 {
            let read = rows(&url, query).await;
            assert_eq!(read.map_err(|error| format!("{set:?}: {error}")), Ok(ROWS));
        }
    }
    // What the URL sets holds, but for the limits.
    let url = format!(
        "{}?options=-c%20statement_timeout%3D1%20-c%20search_path%3Dpg_catalog",
        server.url()
    );
    let source = connect(&settings(
        &url,
        "SELECT 1 AS id, current_setting('search_path') AS path",
        "id",
    ))
    .await
    .unwrap();
    assert_eq!(
        crate::support::rows_of(source.as_ref(), 5).await,
        [["1", "pg_catalog"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_a_server_are_lifted_before_anything_is_read() {
    let server = TempMariaDb::start();
    server.execute(&format!(
        "CREATE TABLE line AS SELECT seq AS id FROM seq_1_to_{ROWS}"
    ));
    let query = "SELECT id, CASE WHEN id % 20 = 1 THEN SLEEP(0.03) END AS rest FROM line";
    for (name, value) in [
        ("sql_select_limit", "5"),
        ("max_join_size", "1"),
        ("sql_safe_updates", "1"),
        ("max_statement_time", "0.02"),
        ("wait_timeout", "1"),
        ("net_read_timeout", "1"),
        ("net_write_timeout", "1"),
        ("lock_wait_timeout", "1"),
        ("idle_transaction_timeout", "1"),
        ("idle_readonly_transaction_timeout", "1"),
    ] {
        let usual = server.execute(&format!("SELECT @@GLOBAL.{name}"));
        server.execute(&format!("SET GLOBAL {name} = {value}"));
        let read = rows(&server.url(), query).await;
        assert_eq!(
            read.map_err(|error| format!("{name}: {error}")),
            Ok(ROWS),
            "{name}"
        );
        server.execute(&format!("SET GLOBAL {name} = {usual}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_policy_hides_are_refused_unless_the_url_says_otherwise() {
    let server = TempPostgres::shared();
    server.execute(
        "CREATE TABLE owned AS SELECT g AS id, g % 2 AS part FROM generate_series(1, 100) g; CREATE TABLE open AS TABLE owned; \
         CREATE VIEW seen WITH (security_invoker) AS SELECT * FROM owned; \
         ALTER TABLE owned ENABLE ROW LEVEL SECURITY; CREATE POLICY half ON owned USING (part = 0); \
         CREATE ROLE tenant LOGIN; GRANT SELECT ON owned, open, seen TO tenant; \
         CREATE ROLE auditor LOGIN BYPASSRLS; GRANT SELECT ON owned TO auditor",
    );
    let of = |role: &str| server.url().replace("postgres@", &format!("{role}@"));
    let (tenant, auditor) = (of("tenant"), of("auditor"));
    for query in [
        "SELECT id FROM owned",
        "SELECT id FROM seen",
        "SELECT a.id FROM open a JOIN owned USING (id)",
    ] {
        let said = failure(&tenant, query, "id").await;
        assert!(
            said.contains("row-level security policy for table \"owned\""),
            "{said}"
        );
        assert!(said.contains("BYPASSRLS") && said.contains("?options="), "{said}");
    }
    let separator = if tenant.contains('?') { '&' } else { '?' };
    let willing = format!("{tenant}{separator}options=-c%20row_security%3Don");
    for (url, query, rows) in [
        (&tenant, "SELECT id FROM open", 100),
        (&auditor, "SELECT id FROM owned", 100),
        (&server.url(), "SELECT id FROM owned", 100),
        (&willing, "SELECT id FROM owned", 50),
    ] {
        let source = source(url, query, "id").await;
        assert_eq!(rows_of(source.as_ref(), 30).await.len(), rows, "{query}");
    }
}
