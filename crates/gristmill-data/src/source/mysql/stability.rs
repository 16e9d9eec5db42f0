//! Whether MySQL and MariaDB give the same rows of a query each time, as the server's own text of it says.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use crate::source::mysql::dialect::{quoted, skipped};
use crate::source::stability::{Stability, words};

/// Functions that give another value at each call.
const VOLATILE: [&str; 13] = [
    "connection_id",
    "encrypt",
    "last_insert_id",
    "rand",
    "random_bytes",
    "uuid",
    "uuid_short",
    "uuid_v4",
    "uuid_v7",
    "sys_guid",
    "sysdate",
    "row_count",
    "found_rows",
];

/// Functions that are stored in the databases and not declared to give the same value each time.
const UNDECLARED: &str = "SELECT routine_name FROM information_schema.routines \
    WHERE routine_type = 'FUNCTION' AND is_deterministic = 'NO' AND routine_schema <> 'sys'";

/// The text of views that the account may see.
const VIEWS: &str =
    "SELECT table_name, view_definition FROM information_schema.views WHERE table_schema <> 'sys'";

/// Looks at the query as it is written and as the server understands it, and at the views that either names.
pub(super) async fn of(
    connection: &mut Conn,
    query: &str,
    backslash: bool,
) -> mysql_async::Result<Stability> {
    let explain = format!("EXPLAIN EXTENDED {query}");
    let _plan: Vec<Row> = match connection.query(explain).await {
        Ok(plan) => plan,
        // MySQL says so without being asked for it.
        Err(mysql_async::Error::Server(_)) => connection.query(format!("EXPLAIN {query}")).await?,
        Err(error) => return Err(error),
    };
    let understood: Vec<(String, u32, String)> = connection.query("SHOW WARNINGS").await?;
    let mut views: Vec<(String, String)> = connection.query(VIEWS).await?;
    let undeclared: Vec<String> = connection.query(UNDECLARED).await?;
    let mut texts: Vec<String> = understood.into_iter().map(|(.., text)| text).collect();
    texts.push(query.to_owned());
    let mut stability = Stability::Stable;
    while let Some(text) = texts.pop() {
        let words = words(&text, |text, at| skipped(text, at, backslash));
        stability = stability.and(of_words(&words));
        let calls = |name: &&String| {
            text.contains(&format!("{}(", quoted(name)))
                || words
                    .windows(2)
                    .any(|pair| pair[1] == "(" && pair[0].eq_ignore_ascii_case(name))
        };
        if let Some(name) = undeclared.iter().find(calls) {
            let why = format!("{name}(), which is not declared DETERMINISTIC");
            stability = stability.and(Stability::Once(why));
        }
        // A view that is not merged into the query stands there by its name alone.
        let named = views.extract_if(.., |(name, _)| {
            text.contains(&quoted(name)) || words.iter().any(|word| word.eq_ignore_ascii_case(name))
        });
        texts.extend(named.map(|(_, definition)| definition));
    }
    Ok(stability)
}

fn of_words(words: &[&str]) -> Stability {
    let stability = Stability::of_words(words, &VOLATILE);
    // A variable that one row sets and the next one reads depends on the order of the rows.
    let sets = words.windows(2).any(|pair| pair == [":", "="]);
    match sets {
        true => stability.and(Stability::Once("a variable (:=)".to_owned())),
        false => stability,
    }
}
