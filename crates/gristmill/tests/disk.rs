//! A disk that fills under a pull: told clearly, and once there is room, the dataset is the undisturbed one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::process::Command;

use gristmill_testkit::TempPostgres;

use support::{Place, pipeline, stderr, table};

const ROWS: u64 = 400;

/// Mounts a small disk on `run`, pulls into it, makes it larger in a few steps up to what is enough, and copies what is
/// there then. The mount is seen by this process only, and gone with it.
const ON_A_SMALL_DISK: &str = r#"
mkdir run && mount -t tmpfs -o size=64k none run || exit 77
for size in 64k 200k 600k 64m; do
    mount -o remount,size=$size none run || exit 77
    echo "size $size" >>said
    "$@" pull pipeline.toml >>said 2>&1
    echo "code $?" >>said
done
cp -R run kept
"#;

/// The pull fails to write files of more than so many blocks.
const WITH_A_LIMIT: &str = r#"
trap '' XFSZ
ulimit -f 48
exec "$@" pull pipeline.toml
"#;

/// A server with the table, and a pipeline that reads it over four connections. The second half of the rows is long.
fn four_readers(server: &TempPostgres) -> impl Fn() -> Place {
    server.execute(&table(ROWS));
    let url = format!("url = \"{}\"", server.url());
    let long = "concat(name, (SELECT string_agg(md5((id * 1000 + g)::text), '') FROM generate_series(1, \
                CASE WHEN id > 200 THEN 400 ELSE 0 END) AS g)) AS name";
    let query = format!("SELECT id, {long}, kind");
    let text = pipeline(&[
        ("url = \"sqlite:data.db\"", url.as_str()),
        ("SELECT id, name, kind", query.as_str()),
        ("rows = 25", "rows = 8\nconnections = 4"),
    ]);
    move || {
        let place = Place::new();
        place.write("pipeline.toml", &text);
        place
    }
}

fn pulled(place: &Place) {
    let output = place.gristmill("pull pipeline.toml");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

fn assert_same(place: &Place, run: &str, undisturbed: &Place) {
    let (found, expected) = (place.totals(run), undisturbed.totals("run"));
    assert_eq!(found.hash, expected.hash);
    assert_eq!(
        (found.rows_read, found.rows_kept, found.batches_read),
        (expected.rows_read, expected.rows_kept, expected.batches_read)
    );
    assert!(place.ids(run).into_iter().eq(1..=ROWS as i64));
}

/// `sh -c script sh gristmill`, in the place.
fn script(program: &mut Command, place: &Place, script: &str) -> std::process::Output {
    let gristmill = place.command("");
    let script = program.args(["-c", script, "sh"]).arg(gristmill.get_program());
    script.current_dir(place.path("")).output().unwrap()
}

#[test]
fn a_file_that_cannot_grow_is_told_and_the_next_pull_goes_on() {
    let server = TempPostgres::start();
    let new = four_readers(&server);
    let undisturbed = new();
    pulled(&undisturbed);
    let place = new();
    let output = script(&mut Command::new("sh"), &place, WITH_A_LIMIT);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("File too large") && said.contains("run/dataset/"),
        "{said}"
    );
    assert!(place.totals("run").rows_read < ROWS);
    pulled(&place);
    assert_same(&place, "run", &undisturbed);
}

/// Mounting needs the right to it. Where that is not to be had, `GRISTMILL_NO_MOUNT=1` leaves this test out.
#[test]
fn a_full_disk_is_told_and_once_there_is_room_the_next_pull_goes_on() {
    if std::env::var_os("GRISTMILL_NO_MOUNT").is_some() {
        return;
    }
    let server = TempPostgres::start();
    let new = four_readers(&server);
    let undisturbed = new();
    pulled(&undisturbed);
    let place = new();
    let mut unshare = Command::new("unshare");
    if !nix::unistd::Uid::effective().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let output = script(unshare.args(["--mount", "sh"]), &place, ON_A_SMALL_DISK);
    assert!(
        output.status.success(),
        "cannot mount a small disk; where that is not allowed, set GRISTMILL_NO_MOUNT=1: {}",
        stderr(&output)
    );
    let said = String::from_utf8(place.read("said")).unwrap();
    // Messages are broken into lines.
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let steps: Vec<&str> = said.split("size ").skip(1).collect();
    assert_eq!(steps.len(), 4, "{said}");
    for step in &steps[..3] {
        assert!(step.contains("code 1"), "{said}");
        assert!(
            step.contains("the disk is full; make room and run again, which goes on after what is finished"),
            "{said}"
        );
    }
    assert!(steps[3].contains("code 0"), "{said}");
    assert_same(&place, "kept", &undisturbed);
}
