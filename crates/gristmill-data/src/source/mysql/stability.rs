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

/// The views, and the text of those of which the account may see it; of others it is empty.
const VIEWS: &str = "SELECT table_schema, table_name, coalesce(view_definition, '') FROM information_schema.views WHERE table_schema <> 'sys'";

/// The server explains no query over a view of which the account may not see the text, or may not read the tables itself.
pub(super) const NO_EXPLAIN: u16 = 1345;

/// What is known of a query.
pub(super) struct Known {
    pub(super) stability: Stability,
    /// Whether the server explains it to this account.
    pub(super) explained: bool,
    /// The tables that it reads: schema and name.
    pub(super) tables: Vec<(String, String)>,
}

/// Looks at the query as it is written and as the server understands it, and at the views that it reads.
pub(super) async fn of(connection: &mut Conn, query: &str, backslash: bool) -> mysql_async::Result<Known> {
    let understood = understood(connection, query).await?;
    let mut views: Vec<(String, String, String)> = connection.query(VIEWS).await?;
    let undeclared: Vec<String> = connection.query(UNDECLARED).await?;
    let explained = understood.is_some();
    let mut texts = understood.unwrap_or_default();
    texts.push(query.to_owned());
    let mut stability = Stability::Stable;
    let mut tables = Vec::new();
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
        let read = tables_of(&text);
        // The server names a view that is not merged into the query, and any in a view, with its schema: another name may be an
        // alias. Where it explains nothing, a name is taken for a view's where it could be one.
        let named = views.extract_if(.., |(schema, name, _)| {
            let is_this = |(of, table): &(String, String)| {
                of.eq_ignore_ascii_case(schema) && table.eq_ignore_ascii_case(name)
            };
            read.iter().any(is_this) || !explained && may_be_table(&words, name)
        });
        for (schema, name, definition) in named {
            if definition.is_empty() {
                let why = format!(
                    "a view, `{name}`, of which the account may not see what it does (GRANT SHOW VIEW ON {} lets it)",
                    quoted(&name)
                );
                stability = stability.and(Stability::Once(why));
            }
            tables.push((schema, name));
            texts.push(definition);
        }
        tables.extend(read);
    }
    Ok(Known {
        stability,
        explained,
        tables,
    })
}

/// The query as the server understands it; `None` where it does not say that to this account.
async fn understood(connection: &mut Conn, query: &str) -> mysql_async::Result<Option<Vec<String>>> {
    let explain = format!("EXPLAIN EXTENDED {query}");
    let explained: mysql_async::Result<Vec<Row>> = match connection.query(explain).await {
        // MySQL says so without being asked for it.
        Err(mysql_async::Error::Server(error)) if error.code != NO_EXPLAIN => {
            connection.query(format!("EXPLAIN {query}")).await
        }
        explained => explained,
    };
    match explained {
        Ok(_) => {
            let understood: Vec<(String, u32, String)> = connection.query("SHOW WARNINGS").await?;
            Ok(Some(understood.into_iter().map(|(.., text)| text).collect()))
        }
        Err(mysql_async::Error::Server(error)) if error.code == NO_EXPLAIN => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a name stands where a table does.
fn may_be_table(words: &[&str], name: &str) -> bool {
    let before = ["from", "join", "straight_join", ",", ".", "("];
    words.windows(2).any(|pair| {
        pair[1].trim_matches('`').eq_ignore_ascii_case(name)
            && before.iter().any(|word| pair[0].eq_ignore_ascii_case(word))
    })
}

/// The tables that a text of the server names with their schema. Columns stand there with their table, or with schema and alias:
/// `` `s`.`t`.`c` ``.
fn tables_of(text: &str) -> Vec<(String, String)> {
    let parts: Vec<&str> = text.split('`').collect();
    // Every second part is in quotes.
    let named = parts.iter().enumerate().skip(1).step_by(2);
    named
        .filter_map(|(at, schema)| {
            let [before, between, table, after] =
                [at - 1, at + 1, at + 2, at + 3].map(|at| parts.get(at).copied());
            let is_pair = between? == "." && !before?.ends_with('.') && !after?.starts_with('.');
            is_pair.then(|| ((*schema).to_owned(), table.unwrap_or_default().to_owned()))
        })
        .collect()
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
