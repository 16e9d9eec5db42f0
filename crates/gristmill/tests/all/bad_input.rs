//! Bad input of every kind: what the user reads, and the exit code.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use gristmill_testkit::TempPostgres;
use insta::assert_snapshot;

use crate::support::{Place, failure, pipeline, stderr, stdout, table};

/// Rows of the table that most tests read.
const ROWS: u64 = 60;

/// What the run of an edited pipeline on [`table`] says.
fn edited(edits: &[(&str, &str)], code: i32) -> String {
    changed("", edits, code)
}

/// The same after `sql` changed the table.
fn changed(sql: &str, edits: &[(&str, &str)], code: i32) -> String {
    let place = Place::with(&format!("{} {sql}", table(ROWS)), &pipeline(edits));
    failure(&place.gristmill("run pipeline.toml"), code)
}

/// What the run of an edited pipeline on a PostgreSQL server with [`table`] says, its port left open.
fn postgres(sql: &str, edits: &[(&str, &str)], code: i32) -> String {
    let server = TempPostgres::shared();
    server.execute(&format!("DROP TABLE IF EXISTS artist; {} {sql}", table(ROWS)));
    let url = server.url();
    let edits = [&[("sqlite:data.db", url.as_str())], edits].concat();
    let place = Place::with("", &pipeline(&edits));
    failure(&place.gristmill("run pipeline.toml"), code).replace(&server.port().to_string(), "PORT")
}

#[test]
fn an_unreachable_database() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = format!("postgres://me@127.0.0.1:{port}/music");
    assert_snapshot!(edited(&[("sqlite:data.db", &url)], 1).replace(&port.to_string(), "PORT"));
}

#[test]
fn a_wrong_password() {
    const WRONG: &str = "Wrong/Secret-9";
    let server = TempPostgres::shared();
    let url = server.url_with_password(WRONG);
    let said = edited(&[("sqlite:data.db", &url)], 1);
    assert_snapshot!(said.replace(&server.port().to_string(), "PORT"));
    // From the environment, and with all that libraries have to say.
    let place = Place::with("", &pipeline(&[("sqlite:data.db", "${DATABASE_URL}")]));
    for flags in ["", "-vv", "--log-format json -vv"] {
        for command in ["run", "check"] {
            let command = format!("{command} pipeline.toml {flags}");
            let output = place
                .command(&command)
                .env("DATABASE_URL", &url)
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(1));
            let said = stderr(&output) + &stdout(&output);
            for secret in [WRONG, "Secret-9"] {
                assert!(!said.contains(secret), "{command}: {said}");
            }
        }
    }
    // The right one is not left anywhere either.
    server.execute(&table(ROWS));
    let right = server.url_with_password(TempPostgres::PASSWORD);
    let output = place
        .command("run pipeline.toml -v")
        .env("DATABASE_URL", &right)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let mut left = crate::support::files(&place.path("run"));
    left.insert("stderr".into(), output.stderr);
    left.insert("stdout".into(), output.stdout);
    for (path, content) in left {
        let secret = b"right-pass";
        let found = content.windows(secret.len()).any(|part| part == secret);
        assert!(!found, "{}", path.display());
    }
}

#[test]
fn a_password_in_a_file_that_others_can_read() {
    let server = TempPostgres::shared();
    let url = format!("postgres://keeper@127.0.0.1:{}/postgres", server.port());
    let place = Place::with(
        "",
        &pipeline(&[("sqlite:data.db", &url), ("artist\"", "password_file\"")]),
    );
    server.execute(&table(5).replace("artist", "password_file"));
    place.write(".pgpass", format!("*:*:*:*:{}", TempPostgres::PASSWORD));
    for (variable, file) in [("HOME", ""), ("PGPASSFILE", ".pgpass")] {
        for (mode, code) in [(0o644, 1), (0o600, 0)] {
            std::fs::set_permissions(place.path(".pgpass"), std::fs::Permissions::from_mode(mode)).unwrap();
            let check = &mut place.command("check pipeline.toml");
            let output = check
                .env_remove("PGPASSFILE")
                .env(variable, place.path(file))
                .output()
                .unwrap();
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(code), "{said}");
            assert_eq!(
                said.contains("has group or world access; it takes chmod 0600"),
                code == 1
            );
            assert!(!said.contains(TempPostgres::PASSWORD));
        }
    }
}

#[test]
fn no_such_database_file() {
    let place = Place::new();
    place.write("pipeline.toml", pipeline(&[]));
    assert_snapshot!(failure(&place.gristmill("run pipeline.toml"), 2));
    assert!(!place.path("data.db").exists(), "it was created");
}

#[test]
fn a_database_file_that_is_none() {
    let place = Place::new();
    place.write("pipeline.toml", pipeline(&[]));
    place.write("data.db", "id,name\n1,Ann\n".repeat(100));
    assert_snapshot!(failure(&place.gristmill("run pipeline.toml"), 1));
}

#[test]
fn no_such_column() {
    assert_snapshot!(
        "no_such_column_sqlite",
        edited(&[("name, kind", "nmae, kind")], 2)
    );
    assert_snapshot!(
        "no_such_column_postgres",
        postgres("", &[("name, kind", "nmae, kind")], 2)
    );
}

#[test]
fn no_such_table() {
    assert_snapshot!(
        "no_such_table_sqlite",
        edited(&[("FROM artist", "FROM artists")], 2)
    );
    assert_snapshot!(
        "no_such_table_postgres",
        postgres("", &[("FROM artist", "FROM artists")], 2)
    );
}

#[test]
fn a_feature_of_no_column() {
    assert_snapshot!(edited(&[("column = \"kind\"", "column = \"knid\"")], 2));
}

#[test]
fn the_key_is_missing_from_the_query() {
    assert_snapshot!(edited(&[("SELECT id, ", "SELECT ")], 2));
}

#[test]
fn a_key_without_an_order() {
    for (of, expression) in [("json", "json_build_array(id)"), ("point", "point(id, id)")] {
        let select = format!("SELECT {expression} AS id, ");
        assert_snapshot!(
            format!("a_key_without_an_order_{of}"),
            postgres("", &[("SELECT id, ", &select)], 2)
        );
    }
}

#[test]
fn a_column_of_a_type_without_counterpart() {
    let select = ("kind, size", "kind, point(size, size) AS size");
    assert_snapshot!(postgres("", &[select], 2));
}

#[test]
fn text_where_a_number_is_needed() {
    assert_snapshot!(edited(
        &[
            ("column = \"size\"", "column = \"country_code\""),
            ("size, country", "kind AS country_code, country")
        ],
        2
    ));
}

/// SQLite keeps whatever it is given.
#[test]
fn a_value_that_is_not_of_its_column() {
    assert_snapshot!(changed("UPDATE artist SET size = 'tall' WHERE id = 41;", &[], 2));
}

#[test]
fn an_empty_result() {
    assert_snapshot!(edited(&[("FROM artist", "FROM artist WHERE id < 0")], 2));
}

#[test]
fn everything_dropped_by_cleaning() {
    let clean = "[clean]\nfilter = \"size > 1000\"\nrequire = [\"kind\"]\n\n[label]";
    assert_snapshot!(edited(&[("[label]", clean)], 2));
}

#[test]
fn a_filter_that_is_not_sql() {
    for (name, filter) in [
        ("syntax", "size >"),
        ("column", "sice > 3"),
        ("type", "size + 1"),
        ("function", "sizes(size) > 3"),
        ("arguments", "length(size, 3) > 3"),
        ("comparison", "size > interval '1 day'"),
        ("cast", "CAST(name AS INT) > 3"),
        ("zero", "id / 0 > 3"),
    ] {
        let clean = format!("[clean]\nfilter = \"{filter}\"\n\n[label]");
        // All rows are one batch: of several, any may be the first to fail.
        let edits = [("[label]", clean.as_str()), ("rows = 25", "rows = 60")];
        let place = Place::with(&table(ROWS), &pipeline(&edits));
        // A check finds what the run does.
        for command in ["check pipeline.toml", "run pipeline.toml"] {
            assert_snapshot!(format!("a_filter_{name}"), failure(&place.gristmill(command), 2));
        }
    }
}

/// Each source, and that what is missing is bad input, by its own name.
#[test]
fn a_source_that_is_not_there() {
    for (name, url) in [
        ("sqlite", "sqlite:nowhere.db"),
        ("csv", "csv:nowhere.csv"),
        ("parquet", "parquet:nowhere/*.parquet"),
        ("delta", "delta:nowhere"),
    ] {
        for command in ["check pipeline.toml", "run pipeline.toml"] {
            let place = Place::with("", &pipeline(&[("sqlite:data.db", url)]));
            assert_snapshot!(format!("no_source_{name}"), failure(&place.gristmill(command), 2));
        }
    }
}

#[test]
fn a_query_over_files_that_is_wrong() {
    for (name, query) in [
        ("column", "SELECT id, nam FROM input"),
        ("table", "SELECT id FROM artist"),
        ("syntax", "SELECT id FROM"),
        ("changing", "SELECT id, random() AS name FROM input"),
    ] {
        let place = Place::with(
            "",
            &pipeline(&[
                ("sqlite:data.db", "csv:rows.csv"),
                ("SELECT id, name, kind, size, country FROM artist", query),
            ]),
        );
        place.write("rows.csv", "id,name\n1,a\n");
        let said = failure(&place.gristmill("check pipeline.toml"), 2);
        assert!(!said.contains("database"), "{said}");
        assert_snapshot!(format!("file_query_{name}"), said);
    }
}

#[test]
fn one_class_only() {
    assert_snapshot!(changed("UPDATE artist SET country = 'Japan';", &[], 2));
}

#[test]
fn every_class_too_rare() {
    assert_snapshot!(edited(
        &[("column = \"country\"", "column = \"country\"\nmin_rows = 1_000")],
        2
    ));
}

#[test]
fn a_label_all_null() {
    assert_snapshot!(changed("UPDATE artist SET country = NULL;", &[], 2));
}

#[test]
fn no_row_to_train_on() {
    // Row 4 is one to test with.
    assert_snapshot!(changed("DELETE FROM artist WHERE id <> 4;", &[], 2));
}

#[test]
fn fewer_rows_of_a_class_than_folds() {
    let rows = "UPDATE artist SET country = 'Malta' WHERE id <= 6;";
    let place = Place::with(
        &format!("{} {rows}", table(ROWS)),
        &pipeline(&[("folds = 2", "folds = 10")]),
    );
    let said = place.run();
    let start = said
        .find("warning: class")
        .unwrap_or_else(|| panic!("no warning: {said}"));
    let end = said.find("     fit").unwrap();
    assert_snapshot!(&said[start..end]);
    assert!(place.path("run/metrics.json").exists());
}

/// NaN is as good as no value at all.
#[test]
fn nan_counts_as_missing() {
    let server = TempPostgres::shared();
    server.execute(&table(ROWS));
    let nan = "kind, CASE WHEN id % 4 = 0 THEN 'NaN' ELSE size END AS size";
    let null = "kind, CASE WHEN id % 4 = 0 THEN NULL ELSE size END AS size";
    let outcomes = [nan, null].map(|size| {
        let place = Place::with(
            "",
            &pipeline(&[("sqlite:data.db", &server.url()), ("kind, size", size)]),
        );
        place.run();
        let mut metrics = place.metrics("run");
        for (key, value) in metrics.as_object_mut().unwrap() {
            if ["stages", "seconds", "peak_rss_bytes"].contains(&key.as_str()) {
                value.take();
            }
        }
        (metrics, place.read("run/fit.parquet"))
    });
    assert!(outcomes[0] == outcomes[1]);
}

#[test]
fn an_infinity() {
    assert_snapshot!(
        "an_infinity_sqlite",
        changed("UPDATE artist SET size = 9e999 WHERE id = 5;", &[], 2)
    );
    assert_snapshot!(
        "an_infinity_postgres",
        postgres("UPDATE artist SET size = '-Infinity' WHERE id = 5;", &[], 2)
    );
}

#[test]
fn a_category_never_seen_in_training() {
    // A kind for each row from 50 on: those on the sides of validation and test are never seen.
    let sql = format!(
        "{} UPDATE artist SET kind = coalesce(kind, 'person'); UPDATE artist SET kind = 'kind ' || id WHERE id >= 50;",
        table(ROWS)
    );
    let unseen = |what: &str| {
        Place::with(
            &sql,
            &pipeline(&[("\"one_hot\"", &format!("\"one_hot\"\nunseen = \"{what}\""))]),
        )
    };

    let keep = unseen("keep");
    keep.run();
    assert_eq!(keep.metrics("run")["rows"]["kept"], ROWS);

    let skip = unseen("skip");
    skip.run();
    let rows = &skip.metrics("run")["rows"];
    let dropped = rows["dropped"]["unseen"].as_u64().unwrap();
    assert!(dropped > 0);
    assert_eq!(rows["kept"].as_u64().unwrap() + dropped, ROWS);

    assert_snapshot!(failure(&unseen("error").gristmill("run pipeline.toml"), 2));
}

#[test]
fn a_pipeline_changed_since_the_dataset_was_made() {
    let place = Place::with(&table(ROWS), &pipeline(&[]));
    place.run();
    let before = crate::support::files(&place.path("run"));
    let filter = "[clean]\nfilter = \"size > 3\"\n\n[label]";
    for (name, edit) in [
        ("query", ("FROM artist", "FROM artist WHERE id > 2")),
        ("filter", ("[label]", filter)),
    ] {
        place.write("pipeline.toml", pipeline(&[edit]));
        let said = failure(&place.gristmill("run pipeline.toml"), 2);
        assert_snapshot!(format!("a_changed_{name}"), said);
        assert!(
            crate::support::files(&place.path("run")) == before,
            "something was written"
        );
    }
}

#[test]
fn a_budget_too_small() {
    // Whatever the features, this is not enough, so nothing is begun.
    let small = [("threads = 2", "threads = 2\nmemory = \"64MB\"")];
    let place = Place::with(&table(ROWS), &pipeline(&small));
    assert_snapshot!(
        "a_budget_too_small",
        &failure(&place.gristmill("run pipeline.toml"), 2),
    );
    assert!(!place.path("run").exists());
    // Found when the features are known: by the run, and then by the check.
    let sql = format!(
        "{} UPDATE artist SET country = 'country ' || (id % 90), name = printf('%d %d', id * id * 7919, id * id * id * 31);",
        table(3_000)
    );
    let many = [
        ("bits = 8", "bits = 24\nrange = [1, 8]"),
        ("threads = 2", "threads = 2\nmemory = \"400MB\""),
    ];
    let place = Place::with(&sql, &pipeline(&many));
    assert_snapshot!(
        "too_many_features",
        &failure(&place.gristmill("run pipeline.toml"), 2),
    );
    // Of so few rows, the check cannot tell what the training will find in them.
    let output = place.gristmill("check pipeline.toml");
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("fits only if duplicate rows or columns can be merged"));
    let epochs = [
        many[0],
        many[1],
        ("max_iter = 5", "max_iter = 5\nsolver = \"adagrad\""),
    ];
    place.write("pipeline.toml", pipeline(&epochs));
    let output = place.gristmill("check pipeline.toml");
    assert_eq!(output.status.code(), Some(2));
    assert!(stdout(&output).contains("does not hold"));
    assert_snapshot!("too_many_features_checked", &stderr(&output));
}

#[test]
fn the_binomial_family_of_three_classes() {
    for solver in ["lbfgs", "adagrad"] {
        let family = format!("max_iter = 5\nfamily = \"binomial\"\nsolver = \"{solver}\"");
        let said = edited(&[("max_iter = 5", &family)], 2);
        assert!(
            said.contains("the binomial family is for two classes, and the label has 3"),
            "{said}"
        );
        assert!(said.contains("family = \"binomial\""), "{said}");
        assert!(!said.contains("transform"), "{said}");
    }
}

/// Whoever may write anywhere cannot write below a file.
#[test]
fn a_run_directory_that_cannot_be() {
    assert_snapshot!(edited(&[("dir = \"run\"", "dir = \"data.db/run\"")], 1));
}

#[test]
fn a_read_only_run_directory() {
    let place = Place::with(&table(ROWS), &pipeline(&[]));
    std::fs::create_dir(place.path("run")).unwrap();
    let mut permissions = std::fs::metadata(place.path("run")).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(place.path("run"), permissions).unwrap();
    if std::fs::File::create(place.path("run/probe")).is_ok() {
        return; // root may write everywhere
    }
    let said = failure(&place.gristmill("run pipeline.toml"), 1);
    assert_eq!(
        said,
        "error: cannot work in run.dir = run; see to its permissions and its space, or set\n  another\n  caused by: run/.gristmill: Permission denied (os error 13)\n"
    );
}

#[test]
fn a_second_run_at_the_same_time() {
    let place = Place::with(&table(2_000), &pipeline(&[("rows = 25", "rows = 1")]));
    let mut first = place
        .command("run pipeline.toml")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !place.path("run/dataset/_delta_log").exists() {
        assert!(first.try_wait().unwrap().is_none(), "it ended");
        std::thread::sleep(Duration::from_millis(1));
    }
    let second = place.gristmill("run pipeline.toml");
    let still_running = first.try_wait().unwrap().is_none();
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(still_running);
    assert_snapshot!(failure(&second, 1));
}

/// A place with a finished run, and rows to predict.
fn trained() -> Place {
    let place = Place::with(&table(ROWS), &pipeline(&[]));
    place.run();
    place.write("rows.csv", "id,name,kind,size\n1,kato,person,3\n");
    place
}

const PREDICT: &str = "predict bad.safetensors --input rows.csv --output out.csv";

fn bad_model(place: &Place) -> String {
    let said = failure(&place.gristmill("inspect bad.safetensors"), 2);
    assert_eq!(failure(&place.gristmill(PREDICT), 2), said);
    assert!(!place.path("out.csv").exists());
    let warm = "run pipeline.toml --warm-start bad.safetensors";
    assert_eq!(failure(&place.gristmill(warm), 2), said);
    said
}

#[test]
fn a_bundle_cut_short() {
    let place = trained();
    let model = place.model("run");
    for keep in [0, 5, 100, model.len() / 2, model.len() - 1] {
        place.write("bad.safetensors", &model[..keep]);
        let said = bad_model(&place);
        if keep == model.len() / 2 {
            assert_snapshot!(said);
        }
    }
}

#[test]
fn a_damaged_bundle() {
    let place = trained();
    let mut model = place.model("run");
    *model.last_mut().unwrap() ^= 1;
    place.write("bad.safetensors", &model);
    assert_snapshot!(bad_model(&place));
}

#[test]
fn a_foreign_file_as_model() {
    let place = trained();
    place.write("bad.safetensors", "id,name\n1,Ann\n".repeat(100));
    assert_snapshot!("a_foreign_file", bad_model(&place));
    let empty = b"{\"t\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}";
    place.write(
        "bad.safetensors",
        [&(empty.len() as u64).to_le_bytes()[..], empty].concat(),
    );
    assert_snapshot!("a_foreign_safetensors_file", bad_model(&place));
}

#[test]
fn a_bundle_of_another_format_version() {
    let place = trained();
    let mut model = place.model("run");
    let version = br#"\"min_reader\":5"#;
    let at = model
        .windows(version.len())
        .position(|part| part == version)
        .unwrap();
    model[at + version.len() - 1] = b'9';
    place.write("bad.safetensors", &model);
    assert_snapshot!(bad_model(&place));
}

#[test]
fn no_model_there() {
    let place = trained();
    let said = failure(
        &place.gristmill("predict nowhere --input rows.csv --output out.csv"),
        2,
    );
    assert_snapshot!("no_model_predict", said);
    assert_snapshot!(
        "no_model_inspect",
        failure(&place.gristmill("inspect nowhere"), 2)
    );
    std::fs::create_dir(place.path("empty")).unwrap();
    assert_snapshot!(
        "no_model_in_directory",
        failure(&place.gristmill("inspect empty"), 2)
    );
}

#[test]
fn rows_that_cannot_be_predicted() {
    let place = trained();
    let predict = |input: &str, output: &str| {
        let said = failure(
            &place.gristmill(&format!("predict run/model --input {input} --output {output}")),
            2,
        );
        assert!(!place.path(output).exists() && !place.path("out.partial").exists());
        said
    };
    assert_snapshot!("no_input", predict("nowhere.csv", "out.csv"));
    assert_snapshot!("input_of_another_kind", predict("pipeline.toml", "out.csv"));
    assert_snapshot!("output_of_another_kind", predict("rows.csv", "out.xlsx"));
    place.write("narrow.csv", "id,name,kind\n1,kato,person\n");
    assert_snapshot!("input_lacks_a_column", predict("narrow.csv", "out.csv"));
    place.write(
        "text.csv",
        "id,name,kind,size\n1,kato,person,3\n2,gau,person,tall\n",
    );
    assert_snapshot!("input_has_text_for_a_number", predict("text.csv", "out.csv"));
    place.write("ragged.csv", "id,name,kind,size\n1,kato,person,3\n2,gau,person\n");
    assert_snapshot!("input_is_ragged", predict("ragged.csv", "out.csv"));
    place.write("text.parquet", "PAR1 it says");
    assert_snapshot!("input_is_no_parquet", predict("text.parquet", "out.csv"));
    place.write(
        "twice.csv",
        "id,name,kind,size,prediction\n1,kato,person,3,Japan\n",
    );
    assert_snapshot!("input_has_a_prediction", predict("twice.csv", "out.csv"));
    assert_snapshot!("output_in_no_directory", predict("rows.csv", "nowhere/out.csv"));
    // The input is not replaced, by whichever of its names it is given.
    let rows = std::fs::read(place.path("text.csv")).unwrap();
    let said = failure(
        &place.gristmill("predict run/model --input text.csv --output ./run/../text.csv"),
        2,
    );
    assert!(said.contains("it is the input"), "{said}");
    assert_eq!(std::fs::read(place.path("text.csv")).unwrap(), rows);
}

#[test]
fn weights_and_thresholds_that_do_not_fit() {
    let weight = ("column = \"country\"", "column = \"country\"\nweight = \"size\"");
    let sizes = "UPDATE artist SET size = 1; UPDATE artist SET size = -2.5 WHERE id = 7;";
    let said = changed(sizes, &[weight], 2);
    assert!(said.contains("column `size` holds -2.5 as the weight"), "{said}");
    assert!(said.contains("weight = \"size\""), "{said}");
    let class = (
        "column = \"country\"",
        "column = \"country\"\nclass_weight = { Spain = 2 }",
    );
    assert_snapshot!("a_weight_of_no_class", edited(&[class], 2));
    let thresholds = (
        "max_iter = 5",
        "max_iter = 5\nthresholds = { Japan = 0.5, France = 1 }",
    );
    assert_snapshot!("a_class_without_threshold", edited(&[thresholds], 2));
}
