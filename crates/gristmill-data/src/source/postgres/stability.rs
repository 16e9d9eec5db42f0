//! Whether PostgreSQL gives the same rows of a query each time, as its plan and its catalogue say.

use std::collections::BTreeSet;

use serde_json::Value;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::source::sql::skipped;
use crate::source::stability::{Stability, words};

/// Of functions by their names: whether each that is volatile is the server's or an extension's. What users write is volatile
/// unless they say otherwise, and most often gives the same value all the same. What gives no value (`pg_sleep`) changes none.
const VOLATILE: &str = "SELECT p.proname::text, bool_and(p.oid < 16384 OR EXISTS (SELECT FROM pg_depend d WHERE \
    d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')) FROM pg_proc p \
    WHERE p.proname = ANY ($1::text[]) AND p.prokind <> 'p' AND p.prorettype <> 'void'::regtype GROUP BY 1 HAVING bool_or(p.provolatile = 'v' \
    OR EXISTS (SELECT FROM pg_aggregate a JOIN pg_proc s ON s.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn) \
    WHERE a.aggfnoid = p.oid AND s.provolatile = 'v')) ORDER BY 1";

/// Operators and types that users made, and that work by a volatile function: an expression names them, and not the function.
const BY_VOLATILE: &str = "SELECT o.oprname::text FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode \
    WHERE o.oid >= 16384 AND p.provolatile = 'v' \
    UNION SELECT '::' || format_type(c.casttarget, NULL) FROM pg_cast c JOIN pg_proc p ON p.oid = c.castfunc \
    WHERE c.oid >= 16384 AND p.provolatile = 'v'";

/// Of each session its own.
const OF_SESSIONS: [&str; 3] = ["pg_backend_pid", "inet_client_port", "pg_export_snapshot"];

/// Looks at the plan of a query, which shows what is behind its views.
pub(super) async fn of(client: &Client, sql: &str) -> Result<Stability, tokio_postgres::Error> {
    let words = words(sql, skipped);
    let has = |text: &str| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    let distinct_on = words
        .windows(2)
        .any(|pair| pair[0].eq_ignore_ascii_case("distinct") && pair[1].eq_ignore_ascii_case("on"));
    let mut found = Found {
        stability: Stability::Stable,
        called: BTreeSet::new(),
        expressions: Vec::new(),
        drops_rows: distinct_on || !(has("distinct") || has("union")),
    };
    match plan(client, sql).await? {
        Some(plan) => found.look(&plan),
        None => {
            found.stability = Stability::of_words(&words, &[]);
            found.called = called(sql).into_iter().collect();
            found.expressions.push(sql.to_owned());
        }
    }
    let mut stability = found.stability;
    if let Some(name) = OF_SESSIONS.iter().find(|name| found.called.contains(**name)) {
        stability = stability.and(Stability::volatile(&format!("{name}()")));
    }
    for row in client.query(BY_VOLATILE, &[]).await? {
        let name: String = row.try_get(0)?;
        if found
            .expressions
            .iter()
            .any(|expression| expression.contains(&name))
        {
            let why = format!("`{name}`, which works by a function that is declared VOLATILE");
            stability = stability.and(Stability::Once(why));
        }
    }
    let called: Vec<String> = found.called.into_iter().collect();
    for row in client.query(VOLATILE, &[&called]).await? {
        let (name, known): (String, bool) = (row.try_get(0)?, row.try_get(1)?);
        let name = format!("{name}()");
        stability = stability.and(match known {
            true => Stability::volatile(&name),
            false => Stability::Once(format!("{name}, which is declared VOLATILE")),
        });
    }
    Ok(stability)
}

/// The plan; `None` where the server cannot send it, as it holds text of the query in an encoding that is not known.
async fn plan(client: &Client, sql: &str) -> Result<Option<Value>, tokio_postgres::Error> {
    client.simple_query("SAVEPOINT stability").await?;
    let explain = format!("EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON) {sql}");
    let plan = match client.simple_query(&explain).await {
        Ok(messages) => {
            let plan = messages.iter().find_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0),
                _ => None,
            });
            plan.and_then(|plan| serde_json::from_str(plan).ok())
        }
        Err(error) if error.code() == Some(&SqlState::CHARACTER_NOT_IN_REPERTOIRE) => None,
        Err(error) => return Err(error),
    };
    client
        .simple_query("ROLLBACK TO SAVEPOINT stability; RELEASE SAVEPOINT stability")
        .await?;
    Ok(plan)
}

struct Found {
    stability: Stability,
    /// The names of functions.
    called: BTreeSet<String>,
    /// The expressions.
    expressions: Vec<String>,
    /// Whether making rows unique may drop rows that differ, as `DISTINCT ON` does and `DISTINCT` and `UNION` do not. What a
    /// view does is not known.
    drops_rows: bool,
}

impl Found {
    /// Looks at a plan and the plans below it.
    fn look(&mut self, plan: &Value) {
        match plan {
            Value::Array(parts) => parts.iter().for_each(|part| self.look(part)),
            Value::Object(parts) => {
                self.look_at_node(plan);
                parts.values().for_each(|part| self.look(part));
            }
            Value::String(expression) => {
                self.called.extend(called(expression));
                self.expressions.push(expression.clone());
            }
            _ => {}
        }
    }

    fn look_at_node(&mut self, node: &Value) {
        let found = match node["Node Type"].as_str() {
            Some("Limit") => Stability::Once("LIMIT".to_owned()),
            Some("WindowAgg") => Stability::Once("a window function (OVER)".to_owned()),
            Some("Unique") if self.drops_rows => Stability::Once("DISTINCT ON".to_owned()),
            Some("Sample Scan") if node["Repeatable Seed"].is_null() => {
                Stability::volatile("TABLESAMPLE without REPEATABLE")
            }
            Some("Sample Scan") => Stability::Once("TABLESAMPLE".to_owned()),
            _ => return,
        };
        let before = std::mem::replace(&mut self.stability, Stability::Stable);
        self.stability = before.and(found);
    }
}

/// The names of the functions that an expression of a plan calls.
fn called(expression: &str) -> Vec<String> {
    // A name in quotes may be a function's too.
    let unquoted = |text: &str, at: usize| skipped(text, at).filter(|_| !text[at..].starts_with('"'));
    let words = words(expression, unquoted);
    let words: Vec<&str> = words.into_iter().filter(|word| *word != "\"").collect();
    let calls = words.windows(2).filter(|pair| pair[1] == "(");
    calls.map(|pair| pair[0].to_owned()).collect()
}
