//! The rows of a prediction in a table: the right ones with the right types, and what becomes of a table that is there.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use gristmill_testkit::TempPostgres;

use super::{Database, ROWS, TRAINED, refused};
use crate::support::{parquet, pipeline, stderr, table};

#[test]
fn a_table_has_the_right_rows_and_types_and_a_rerun_does_nothing() {
    for database in Database::all() {
        let said = database.done("scores", "");
        assert!(said.contains("300 rows written to table `scores` of "), "{said}");
        database.assert_all("scores", "created");
        let types: &[&str] = match &database {
            Database::Postgres(_) => &[
                "id|bigint",
                "prediction|text",
                "probability|double precision",
                "prediction_2|text",
                "probability_2|double precision",
                "model|text",
                "predicted_at|timestamp with time zone",
            ],
            Database::MariaDb(_) => &[
                "id|bigint(20)",
                "prediction|longtext",
                "probability|double",
                "prediction_2|longtext",
                "probability_2|double",
                "model|longtext",
                "predicted_at|timestamp(6)",
            ],
            Database::Sqlite(_) => &[
                "id|INTEGER",
                "prediction|TEXT",
                "probability|REAL",
                "prediction_2|TEXT",
                "probability_2|REAL",
                "model|TEXT",
                "predicted_at|TEXT",
            ],
        };
        database.done("likely", "--top 2");
        let sql = match &database {
            Database::Postgres(_) => {
                "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'likely' ORDER BY \
                 ordinal_position"
            }
            Database::MariaDb(_) => {
                "SELECT column_name, column_type FROM information_schema.columns WHERE table_name = 'likely' ORDER BY \
                 ordinal_position"
            }
            Database::Sqlite(_) => "SELECT name, type FROM pragma_table_info('likely')",
        };
        assert_eq!(database.rows(sql), types);

        let said = database.done("scores", "");
        assert!(
            said.contains("300 rows of this prediction are in table `scores`"),
            "{said}"
        );
        assert_eq!(database.number("SELECT count(*) FROM scores"), ROWS);
        // Another prediction, for which the table is not.
        let said = database.refused("scores", "--prefix new_", 2);
        assert!(
            said.contains("is there already; --if-exists append adds rows"),
            "{said}"
        );
        let said = database.refused("scores", "--fresh", 2);
        assert!(said.contains("is there already"), "{said}");
        // It is gone, and so it is written again.
        database.rows("DROP TABLE scores");
        database.done("scores", "");
        database.assert_all("scores", "created again");
        // Rows that others removed are not said to be there.
        for deleted in ["DELETE FROM scores WHERE id > 100", "DELETE FROM scores"] {
            database.rows(deleted);
            let said = database.refused("scores", "", 2);
            assert!(said.contains("others removed some since"), "{said}");
        }
        database.done("scores", "--fresh --if-exists replace");
        database.assert_all("scores", "written again");
    }
}

#[test]
fn rows_are_added_replaced_or_merged_as_asked() {
    for database in Database::all() {
        let time = |table: &str| database.rows(&format!("SELECT max(predicted_at) FROM {table}"));
        database.done("added", "");
        for rows in [2 * ROWS, 2 * ROWS] {
            database.done("added", "--if-exists append");
            assert_eq!(database.number("SELECT count(*) FROM added"), rows);
        }
        database.done("added", "--if-exists append --fresh");
        assert_eq!(database.number("SELECT count(*) FROM added"), 3 * ROWS);

        let said = database.refused("added", "--if-exists upsert", 2);
        assert!(
            said.contains("no unique index tells its keys apart; CREATE UNIQUE INDEX"),
            "{said}"
        );
        database.done("merged", "--if-exists upsert");
        let before = time("merged");
        database.rows("DELETE FROM merged WHERE id > 100");
        database.rows("UPDATE merged SET prediction = 'nowhere'");
        database.done("merged", "--if-exists upsert --fresh --batch-rows 7");
        database.assert_all("merged", "merged");
        assert_ne!(time("merged"), before);

        database.rows("CREATE TABLE replaced (other INTEGER)");
        database.rows("INSERT INTO replaced VALUES (1)");
        database.done("replaced", "--if-exists replace");
        database.assert_all("replaced", "replaced");
        let said = database.done("replaced", "--if-exists replace");
        assert!(said.contains("nothing was to be done"), "{said}");
        database.done("replaced", "--if-exists replace --fresh");
        database.assert_all("replaced", "replaced again");
        // Another takes its place, and then the first has to be made anew.
        database.done("replaced", "--if-exists replace --top 2");
        let said = database.done("replaced", "--if-exists replace");
        assert!(said.contains("300 rows written to table"), "{said}");
        database.assert_all("replaced", "replaced in turn");
        assert_eq!(database.tables(), ["added", "merged", "replaced"]);
    }
}

/// Types of a table that the user made, keys that are text in a file of text, and keys that come twice.
#[test]
fn values_fit_the_table_that_is_there_or_are_refused_by_their_row() {
    for database in Database::all() {
        let (double, time) = match &database {
            Database::Postgres(_) => ("DOUBLE PRECISION", "TIMESTAMPTZ"),
            Database::MariaDb(_) => ("DOUBLE", "TIMESTAMP(6) NULL"),
            Database::Sqlite(_) => ("REAL", "TEXT"),
        };
        database.rows(&format!(
            "CREATE TABLE mine (note VARCHAR(9) DEFAULT 'mine', id INTEGER PRIMARY KEY, prediction VARCHAR(20), \
             probability {double}, model VARCHAR(40), predicted_at {time})"
        ));
        let place = &TRAINED.place;
        place.write(
            "twice.csv",
            "id,name,kind,size\n7,schuber,person,1\n8,kato,person,2\n7,kato,person,2\n",
        );
        let into = |file: &str, more: &str| {
            let command = format!(
                "predict run/model --input {file} --output {} --table mine {more}",
                database.url()
            );
            place.gristmill(&command)
        };
        let output = into("twice.csv", "--if-exists upsert");
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(
            database.rows("SELECT note, id, prediction FROM mine ORDER BY id"),
            ["mine|7|Japan", "mine|8|Japan"],
            "{}",
            database.name()
        );
        for odd in ["x1", "007"] {
            place.write(
                "odd.csv",
                format!("id,name,kind,size\n1,kato,person,2\n{odd},kato,person,2\n"),
            );
            let said = refused(&into("odd.csv", "--if-exists append"), 1);
            let why = format!("row 2: `{odd}` of column `id` does not fit");
            assert!(said.contains(&why), "{}: {said}", database.name());
        }
        if let Database::Sqlite(_) = &database {
            let columns = "prediction TEXT, probability REAL, model TEXT, predicted_at TEXT";
            database.rows(&format!("CREATE TABLE numbers (id DECIMAL(10), {columns})"));
            let command = "predict run/model --input csv:odd.csv?types=id:text --key id --if-exists append --table numbers";
            let output = place.gristmill(&format!("{command} --output {}", database.url()));
            let said = refused(&output, 2);
            assert!(
                said.contains("its column `id` is declared DECIMAL(10), of which SQLite makes numbers"),
                "{said}"
            );
        }
        place.write("null.csv", "id,name,kind,size\n1,kato,person,2\n,kato,person,2\n");
        let said = refused(&into("null.csv", "--if-exists upsert"), 1);
        assert!(said.contains("row 2: the key `id` is null"), "{said}");
        assert_eq!(database.number("SELECT count(*) FROM mine"), 2);
        let said = refused(&into("rows.parquet", "--if-exists append --top 2"), 2);
        assert!(
            said.contains("it has no column `prediction_2`; its columns are: note, id,"),
            "{said}"
        );
        let said = refused(&into("rows.parquet", "--key ident --if-exists append"), 2);
        assert!(
            said.contains("the input has no column `ident` for --key; its columns are: id, "),
            "{said}"
        );
    }
}

/// The key of a file of text has the type that it had in training, or that the URL gives.
#[test]
fn a_key_of_text_has_its_type_in_a_table_that_is_made() {
    let place = &TRAINED.place;
    place.write(
        "keys.csv",
        "id,name,kind,size\n7,schuber,person,1\n8,kato,person,2\n",
    );
    place.write(
        "keys.jsonl",
        "{\"id\": 7, \"name\": \"kato\", \"kind\": \"person\", \"size\": 1}\n",
    );
    for database in Database::all() {
        let (integer, text) = match &database {
            Database::Postgres(_) => ("bigint", "text"),
            Database::MariaDb(_) => ("bigint", "longtext"),
            Database::Sqlite(_) => ("INTEGER", "TEXT"),
        };
        for (number, (input, kind)) in [
            ("keys.csv", integer),
            ("csv:keys.csv", integer),
            ("csv:keys.csv?types=id:text", text),
            ("csv:keys.csv?types=name:text", integer),
            ("keys.jsonl", integer),
            ("keys.csv --key name", text),
        ]
        .into_iter()
        .enumerate()
        {
            let command = format!(
                "predict run/model --input {input} --output {} --table made{number} --if-exists replace",
                database.url()
            );
            let output = place.gristmill(&command);
            assert_eq!(output.status.code(), Some(0), "{input}: {}", stderr(&output));
            let sql = match &database {
                Database::Sqlite(_) => format!("SELECT type FROM pragma_table_info('made{number}')"),
                _ => format!(
                    "SELECT data_type FROM information_schema.columns WHERE table_name = 'made{number}' ORDER BY \
                     ordinal_position"
                ),
            };
            assert_eq!(database.rows(&sql)[0], kind, "{}, {input}", database.name());
        }
        place.write(
            "odd.csv",
            "id,name,kind,size\n7,schuber,person,1\nx8,kato,person,2\n",
        );
        let command = |more: &str| {
            format!(
                "predict run/model --input {more} --output {} --table odd --if-exists replace",
                database.url()
            )
        };
        let said = refused(&place.gristmill(&command("odd.csv")), 1);
        assert!(said.contains("row 2: `x8` of column `id` does not fit"), "{said}");
        // Nothing is left of what could not take the place of a table.
        assert!(
            database.tables().iter().all(|table| table.starts_with("made")),
            "{:?}",
            database.tables()
        );
        let output = place.gristmill(&command("csv:odd.csv?types=id:text"));
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(database.rows("SELECT id FROM odd ORDER BY id"), ["7", "x8"]);
    }
}

/// What depends on a table, and whether that keeps it from being replaced.
#[test]
fn a_table_that_others_depend_on_is_not_replaced() {
    for database in Database::all() {
        database.done("scores", "--if-exists upsert");
        let postgres: &[(&str, &str)] = &[
            ("CREATE VIEW seen AS SELECT id FROM scores", "view seen"),
            ("CREATE VIEW row_of AS SELECT s FROM scores s", "view row_of"),
            (
                "CREATE MATERIALIZED VIEW kept AS SELECT id FROM scores",
                "view kept",
            ),
            (
                "CREATE TABLE of_scores (id bigint CONSTRAINT of_it REFERENCES scores (id))",
                "foreign key of_it of of_scores",
            ),
            ("CREATE TABLE child () INHERITS (scores)", "table child"),
            (
                "CREATE TABLE parent (id bigint); ALTER TABLE scores INHERIT parent",
                "parent table parent",
            ),
            ("CREATE TABLE has_row (s scores)", "column s of table has_row"),
        ];
        let mariadb: &[(&str, &str)] = &[(
            "CREATE TABLE of_scores (id bigint, CONSTRAINT of_it FOREIGN KEY (id) REFERENCES scores (id))",
            "foreign key of_it of test.of_scores",
        )];
        let sqlite: &[(&str, &str)] = &[(
            "CREATE TABLE of_scores (id INTEGER REFERENCES scores (id))",
            "foreign key of of_scores",
        )];
        let (refusing, harmless): (_, &[&str]) = match &database {
            Database::Postgres(_) => (
                postgres,
                &[
                    "CREATE INDEX of_prediction ON scores (prediction)",
                    "ALTER TABLE scores ADD COLUMN parent bigint REFERENCES scores (id)",
                    "ALTER TABLE scores ADD COLUMN own serial",
                ],
            ),
            Database::MariaDb(_) => (
                mariadb,
                &[
                    "CREATE VIEW seen AS SELECT id FROM scores",
                    "ALTER TABLE scores ADD COLUMN parent bigint, ADD FOREIGN KEY (parent) REFERENCES scores (id)",
                ],
            ),
            Database::Sqlite(_) => (
                sqlite,
                &[
                    "CREATE VIEW seen AS SELECT id FROM scores",
                    "ALTER TABLE scores ADD COLUMN parent INTEGER REFERENCES scores (id)",
                ],
            ),
        };
        for (statement, told) in refusing {
            database.rows(statement);
            let before = database.tables();
            let said = database.refused("scores", "--if-exists replace", 2);
            assert!(
                said.contains("it cannot be replaced, for others depend on it"),
                "{statement}: {said}"
            );
            assert!(said.contains(told), "{statement}: {said}");
            assert_eq!(database.tables(), before, "{statement}");
        }
        database.assert_all("scores", "not replaced");
        database.rows(match &database {
            Database::Postgres(_) => {
                "DROP VIEW seen, row_of; DROP MATERIALIZED VIEW kept; ALTER TABLE scores NO INHERIT parent; \
                 DROP TABLE of_scores, child, has_row, parent"
            }
            _ => "DROP TABLE of_scores",
        });
        for statement in harmless {
            database.rows(statement);
        }
        database.done("scores", "--if-exists replace");
        database.assert_all("scores", "replaced");
    }
}

/// A table that the query reads, by whatever name, is not replaced by what is made of it.
#[test]
fn the_table_that_is_read_is_not_replaced() {
    for database in Database::all() {
        for statement in table(ROWS)
            .split_inclusive(';')
            .filter(|sql| !sql.trim().is_empty())
        {
            database.rows(statement);
        }
        database.rows("CREATE VIEW all_of_them AS SELECT * FROM artist");
        if let Database::Sqlite(_) = &database {
            database.rows("PRAGMA journal_mode = WAL");
        }
        let url = database.url();
        let predict = |query: &str, table: &str| {
            let mut command = TRAINED
                .place
                .command("predict run/model --key id --if-exists replace");
            command.args([
                "--input", &url, "--output", &url, "--query", query, "--table", table,
            ]);
            command.output().unwrap()
        };
        let columns = "SELECT id, name, kind, size FROM";
        for query in [
            format!("{columns} artist"),
            format!("{columns} artist AS scores"),
            format!("{columns} all_of_them"),
            format!("WITH a AS ({columns} artist) SELECT * FROM a"),
        ] {
            let said = refused(&predict(&query, "artist"), 2);
            assert!(
                said.contains("the query reads it, so that it cannot be replaced"),
                "{query}: {said}"
            );
            assert_eq!(
                database.number("SELECT count(*) FROM artist"),
                ROWS,
                "{}",
                database.name()
            );
        }
        database.rows("CREATE TABLE scores (id INTEGER)");
        let output = predict(&format!("{columns} artist AS scores"), "scores");
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}: {}",
            database.name(),
            stderr(&output)
        );
        database.assert_all("scores", "of another table");
    }
}

#[test]
fn a_query_is_predicted_back_into_its_database() {
    for database in Database::all() {
        for statement in table(ROWS)
            .split_inclusive(';')
            .filter(|sql| !sql.trim().is_empty())
        {
            database.rows(statement);
        }
        let query = "SELECT id, name, kind, size FROM artist";
        let url = database.url();
        if let Database::Sqlite(_) = &database {
            let mut command = TRAINED.place.command("predict run/model --key id --table scores");
            let output = command
                .args(["--input", &url, "--query", query, "--output", &url])
                .output();
            let said = refused(&output.unwrap(), 2);
            assert!(said.contains("PRAGMA journal_mode = WAL gives it one"), "{said}");
            database.rows("PRAGMA journal_mode = WAL");
        }
        let predict = |output: &[&str]| {
            let mut command = TRAINED
                .place
                .command("predict run/model --key id --batch-rows 64");
            command
                .args(["--input", &url, "--query", query, "--output"])
                .args(output);
            let output = command.output().unwrap();
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(0), "{}: {said}", database.name());
            said
        };
        let said = predict(&[&url, "--table", "scores"]);
        assert!(said.contains("300 rows written to table"), "{said}");
        database.assert_all("scores", "of a query");
        let said = predict(&[&url, "--table", "scores"]);
        assert!(said.contains("nothing was to be done"), "{said}");
        predict(&["query.parquet", "--overwrite"]);
        let batches = parquet(&TRAINED.place.path("query.parquet"));
        let ids = batches
            .iter()
            .flat_map(|batch| batch["id"].as_primitive::<Int64Type>().values().to_vec());
        assert!(ids.eq(1..=ROWS as i64), "{}", database.name());
        // The pipeline's own source, whose key need not be said again.
        let text = pipeline(&[("url = \"sqlite:data.db\"", &format!("url = \"{url}\""))]);
        TRAINED.place.write("back.toml", text);
        let command = format!("predict run/model --pipeline back.toml --output {url} --table back");
        let output = TRAINED.place.gristmill(&command);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        database.assert_all("back", "of a pipeline");
    }
}

/// The password of the output is a secret as that of a source is.
#[test]
fn the_password_of_an_output_is_not_told() {
    let server = TempPostgres::start();
    let url = server.url_with_password("wrong-SECRET");
    for more in ["", "-vv", "--log-format json"] {
        let command = format!("predict run/model --input rows.parquet --output {url} --table scores {more}");
        let output = TRAINED.place.gristmill(&command);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains("refused the password") && !said.contains("SECRET"),
            "{said}"
        );
    }
    let output = TRAINED
        .place
        .gristmill(&format!("predict run/model --input rows.parquet --output {url}"));
    assert!(
        refused(&output, 2).contains("--table says which"),
        "{}",
        stderr(&output)
    );
    assert!(!stderr(&output).contains("SECRET"));
}
