//! Tests of the MusicBrainz recipes, on a PostgreSQL server of their own.
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use gristmill_learn::registry::built_in;
use gristmill_run::settings::PipelineFile;
use gristmill_testkit::TempPostgres;
use tempfile::TempDir;

const SCHEMA: &str = include_str!("../../../../examples/musicbrainz/schema.sql");

/// Two countries; a district of a city of a province; a city that moved; a circle; a place in no country.
const AREAS: &str = "
    SET search_path TO musicbrainz;
    INSERT INTO area (id, gid, name, type)
    SELECT id, md5(id::text)::uuid, name, type
    FROM (VALUES (1, 'Utopia', 1), (2, 'Arcadia', 1), (3, '[Worldwide]', NULL), (10, 'Province', 2), (20, 'City', 3),
        (30, 'District', 5), (21, 'Moved City', 3), (22, 'Lost City', 3), (40, 'Hen', 3), (41, 'Egg', 3),
        (50, 'Overseas', 1)) AS t (id, name, type);
    INSERT INTO country_area VALUES (1), (2), (3), (50);
    INSERT INTO link (id, link_type, ended) VALUES (7, 356, true);
    INSERT INTO link_type (id, gid, entity_type0, entity_type1, name, link_phrase, reverse_link_phrase, long_link_phrase)
    VALUES (999, md5('other')::uuid, 'area', 'area', 'twinned', '', '', '');
    INSERT INTO link (id, link_type) VALUES (9, 999);
    INSERT INTO l_area_area (link, entity0, entity1)
    VALUES (118734, 1, 10), (118734, 10, 20), (118734, 20, 30), (7, 2, 21), (118734, 1, 21), (9, 2, 20), (9, 2, 22),
        (118734, 40, 41), (118734, 41, 40), (118734, 2, 50);
";

const ARTISTS: &str = "
    INSERT INTO artist (id, gid, name, sort_name, begin_date_year, type, area, gender)
    SELECT id, md5(id::text)::uuid, name, name, begin, type, area, gender
    FROM (VALUES (11, 'Ann', 1970, 1, 1, 2), (12, 'Ben', NULL, 1, 30, 1), (14, 'Cy', NULL, NULL, 21, NULL),
        (15, 'Dee', NULL, 2, 22, NULL), (16, 'Eve', NULL, 1, 40, NULL), (17, 'Flo', NULL, 1, NULL, NULL),
        (18, 'Gus', NULL, 1, 3, NULL), (40, 'Hal', NULL, 2, 50, NULL), (41, 'Ida', NULL, 1, 2, 5)
    ) AS t (id, name, begin, type, area, gender);
    INSERT INTO artist_alias (id, artist, name, locale, sort_name)
    VALUES (103, 11, 'Annie', 'en', ''), (101, 11, 'A.', NULL, ''), (105, 12, 'Benny', 'de', ''), (107, 17, 'Florence', NULL, '');
";

fn recipe(name: &str) -> PathBuf {
    gristmill_testkit::repository()
        .join("examples/musicbrainz")
        .join(name)
}

fn read(name: &str, url: &str) -> PipelineFile {
    let path = recipe(name);
    let text = std::fs::read_to_string(&path).unwrap();
    let environment = |variable: &str| (variable == "DATABASE_URL").then(|| url.to_owned());
    PipelineFile::parse(&path, &text, &environment, &built_in())
        .unwrap_or_else(|problems| panic!("{}", problems.iter().map(|p| p.render(false)).collect::<String>()))
}

fn query(name: &str) -> String {
    read(name, "postgres://localhost/musicbrainz")
        .pipeline
        .source
        .query
        .to_string()
}

fn server() -> TempPostgres {
    let server = TempPostgres::start();
    server.execute(SCHEMA);
    server
}

#[test]
fn country_walks_up_to_the_nearest_country() {
    let server = server();
    server.execute(&format!("{AREAS}{ARTISTS}"));
    let rows = server.execute(&format!(
        "SELECT * FROM ({}) AS q ORDER BY id",
        query("country.toml")
    ));
    assert_eq!(
        rows.lines().collect::<Vec<_>>(),
        [
            "11|Ann|A. Annie|Person|Female|1970|Utopia",
            "12|Ben|Benny|Person|Male||Utopia",
            "14|Cy|||||Utopia",
            "40|Hal||Group|||Overseas",
            "41|Ida||Person|Non-binary||Arcadia",
        ]
    );
}

#[test]
fn original_has_one_row_an_artist_and_alias() {
    let server = server();
    server.execute(&format!("{AREAS}{ARTISTS}"));
    let rows = server.execute(&format!(
        "SELECT * FROM ({}) AS q ORDER BY id",
        query("original.toml")
    ));
    assert_eq!(
        rows.lines().collect::<Vec<_>>(),
        [
            "101|11|Ann|A.||Utopia",
            "103|11|Ann|Annie|en|Utopia",
            "105|12|Ben|Benny|de|District"
        ]
    );
}

#[tokio::test]
async fn every_column_the_recipes_name_is_in_their_query() {
    let server = server();
    for name in ["original.toml", "country.toml"] {
        let file = read(name, &server.url());
        let source = gristmill_data::source::open::connect(&file.pipeline.source)
            .await
            .unwrap();
        let schema = source.schema();
        let problems: Vec<String> = file
            .check_columns(&schema)
            .iter()
            .map(|p| p.render(false))
            .collect();
        assert_eq!(problems, [""; 0]);
    }
}

/// A batch costs its own rows: PostgreSQL takes the range into the query, to the primary key, in the order of the key.
#[test]
fn key_ranges_use_the_primary_key() {
    let server = server();
    server.execute(AREAS);
    server.execute(
        "SET search_path TO musicbrainz;
         INSERT INTO artist (id, gid, name, sort_name, type, area)
         SELECT i, md5(i::text)::uuid, 'Artist ' || i, '', 1 + i % 2, (ARRAY[1, 2, 10, 20, 30, NULL])[1 + i % 6]
         FROM generate_series(1, 100000) AS i;
         INSERT INTO artist_alias (artist, name, sort_name)
         SELECT 1 + i * 7 % 100000, 'Alias ' || i, '' FROM generate_series(1, 50000) AS i;
         ANALYZE;",
    );
    for (name, index, table) in [
        ("country.toml", "artist_pkey", "artist"),
        ("original.toml", "artist_alias_pkey", "artist_alias"),
    ] {
        let query = query(name);
        for statement in [
            format!("SELECT * FROM ({query}) AS q WHERE q.id > 20000 AND q.id <= 21000 ORDER BY q.id"),
            format!("SELECT q.id FROM ({query}) AS q WHERE q.id > 20000 ORDER BY q.id LIMIT 1 OFFSET 999"),
        ] {
            let plan = server.execute(&format!("EXPLAIN (COSTS OFF) {statement}"));
            assert!(
                plan.contains(&format!("using {index} on {table}")),
                "{name}:\n{plan}"
            );
            assert!(
                plan.contains("Index Cond: ((id > 20000)") || plan.contains("Index Cond: (id > 20000)"),
                "{plan}"
            );
            assert!(
                !plan.contains(&format!("Seq Scan on {table}\n")),
                "{name}:\n{plan}"
            );
        }
    }
}

fn gzip(dir: &TempDir, name: &str, content: &str) {
    let file = File::create(dir.path().join(name)).unwrap();
    let mut child = Command::new("gzip")
        .stdin(Stdio::piped())
        .stdout(file)
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(content.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

fn load(server: &TempPostgres, dir: &TempDir) -> Output {
    Command::new(recipe("load_csv.sh"))
        .arg(server.url())
        .arg(dir.path())
        .output()
        .unwrap()
}

#[test]
fn csv_files_load_into_the_schema() {
    let server = server();
    let dir = TempDir::new().unwrap();
    gzip(&dir, "area.csv.gz", "id,name\n1,Utopian\n7,Arcadian\n");
    gzip(
        &dir,
        "artist.csv.gz",
        "id,name,sort_name,area,type,gender,begin_year\n\
         5,Ann,\"Ann, the Elder\",7,1,2,1650\n6,Guild of St. Luke,,1,2,,\n9,Anonymous,Anonymous,,3,,\n",
    );
    gzip(
        &dir,
        "artist_alias.csv.gz",
        "artist,name,locale\n5,Anna,de\n5,\"A., Ann\",\n",
    );
    let output = load(&server, &dir);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");

    assert_eq!(
        server.execute(&format!(
            "SELECT * FROM ({}) AS q ORDER BY id",
            query("country.toml")
        )),
        "5|Ann|Anna A., Ann|Person|Female|1650|Arcadian\n6|Guild of St. Luke||Group|||Utopian"
    );
    assert_eq!(
        server.execute(&format!(
            "SELECT * FROM ({}) AS q ORDER BY id",
            query("original.toml")
        )),
        "1|5|Ann|Anna|de|Arcadian\n2|5|Ann|A., Ann||Arcadian"
    );
    assert_eq!(
        server.execute(
            "SELECT sort_name, gid = md5('artist ' || id)::uuid FROM musicbrainz.artist ORDER BY id"
        ),
        "Ann, the Elder|t\nGuild of St. Luke|t\nAnonymous|t"
    );
    // The next ids do not collide with what was loaded.
    let next =
        "INSERT INTO musicbrainz.artist (gid, name, sort_name) VALUES (md5('')::uuid, '', '') RETURNING id";
    assert_eq!(server.execute(next), "10");
}

#[test]
fn csv_files_load_without_aliases_and_a_failed_load_leaves_nothing() {
    let server = server();
    let dir = TempDir::new().unwrap();
    gzip(&dir, "area.csv.gz", "id,name\n1,Utopian\n");
    gzip(
        &dir,
        "artist.csv.gz",
        "id,name,sort_name,area,type,gender,begin_year\n5,Ann,Ann,one,1,,\n",
    );
    let output = load(&server, &dir);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("one"));
    assert_eq!(server.execute("SELECT count(*) FROM musicbrainz.area"), "0");

    gzip(
        &dir,
        "artist.csv.gz",
        "id,name,sort_name,area,type,gender,begin_year\n5,Ann,Ann,1,1,,\n",
    );
    let output = load(&server, &dir);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(server.execute("SELECT count(*) FROM musicbrainz.artist"), "1");
}
