//! A disk that fills under a pull, a run or a prediction: told clearly, and once there is room, the outcome is the undisturbed
//! one.

use std::process::Command;

use gristmill_testkit::{TempPostgres, cases};

use crate::support::{Place, pipeline, stderr, table};

const ROWS: u64 = 400;

/// Mounts a small disk on `run`, pulls into it, makes it larger in steps up to what is enough, and copies what is there then. The mount is seen by this process only, and gone with it.
const ON_A_SMALL_DISK: &str = r#"
mkdir run && mount -t tmpfs -o size=64k none run || exit 77
for size in SIZES 64m; do
    mount -o remount,size=$size none run || exit 77
    echo "size $size" >>said
    "$@" pull pipeline.toml >>said 2>&1
    echo "code $?" >>said
done
cp -R run kept
"#;

/// Pulls, then runs again and again with one page of memory more each time, until there is enough. Then predicts with no page
/// left.
const PAGE_BY_PAGE: &str = r#"
mkdir run && mount -t tmpfs -o size=64m none run || exit 77
"$@" pull pipeline.toml 2>said || exit 78
used=$(df -k --output=used run | tail -1)
step=0
code=1
while [ $code != 0 ] && [ $step -lt 90 ]; do
    step=$((step + 1))
    mount -o remount,size=$((used + 4 * step))k none run || exit 77
    echo "size $step" >>said
    "$@" run pipeline.toml >>said 2>&1
    code=$?
    echo "code $code" >>said
done
used=$(df -k --output=used run | tail -1)
mount -o remount,size=$((used))k none run || exit 77
for output in run/predictions.csv run/predictions.parquet run/predictions.jsonl delta:run/scores; do
    "$@" predict run/model --input rows.csv --output $output >>predicted 2>&1
    echo "code $?" >>predicted
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

/// Runs a script that mounts.
fn on_a_small_disk(place: &Place, text: &str) {
    let mut unshare = Command::new("unshare");
    if !nix::unistd::Uid::effective().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let output = script(unshare.args(["--mount", "sh"]), place, text);
    assert!(
        output.status.success(),
        "cannot mount a small disk; where that is not allowed, set GRISTMILL_NO_MOUNT=1: {}",
        stderr(&output)
    );
}

/// A file of messages, without the breaks of their lines.
fn words(place: &Place, file: &str) -> String {
    let text = String::from_utf8(place.read(file)).unwrap();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
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
    let small = cases(3);
    let sizes = (0..small).map(|step| format!("{}k", 64 + 536 * step / (small - 1)));
    let sizes = sizes.collect::<Vec<_>>().join(" ");
    on_a_small_disk(&place, &ON_A_SMALL_DISK.replace("SIZES", &sizes));
    let said = words(&place, "said");
    let steps: Vec<&str> = said.split("size ").skip(1).collect();
    let (last, steps) = steps.split_last().unwrap();
    assert_eq!(steps.len(), small as usize, "{said}");
    for step in steps {
        assert!(step.contains("code 1"), "{said}");
        assert!(
            step.contains("what is finished is kept, and the next run goes on after it")
                && step.contains("the disk is full; make room and run again"),
            "{said}"
        );
    }
    assert!(last.contains("code 0"), "{said}");
    assert_same(&place, "kept", &undisturbed);
}

/// See above for where mounting is not allowed.
#[test]
fn a_disk_that_is_full_for_any_file_of_a_run_is_told_and_the_next_run_goes_on() {
    if std::env::var_os("GRISTMILL_NO_MOUNT").is_some() {
        return;
    }
    let mut all = String::new();
    let mut predicted = String::new();
    // What becomes free when a file takes the place of an earlier one is room for those after it, so that not every file meets
    // the end of the disk. With more rows others do.
    for rows in [60, 600] {
        let new = || {
            let edits = [("threads = 2", "threads = 2\ncheckpoint_seconds = 0")];
            Place::with(&table(rows), &pipeline(&edits))
        };
        let undisturbed = new();
        undisturbed.run();
        let place = new();
        let asked: Vec<String> = (0..2_000)
            .map(|id| format!("{id},kato{id},person,{id}\n"))
            .collect();
        place.write("rows.csv", format!("id,name,kind,size\n{}", asked.concat()));
        on_a_small_disk(&place, PAGE_BY_PAGE);
        let said = words(&place, "said");
        let steps: Vec<&str> = said.split("size ").skip(1).collect();
        let (last, steps) = steps.split_last().unwrap();
        assert!(last.ends_with("code 0"), "{said}");
        for step in steps {
            assert!(
                step.contains("the disk is full; make room and run again"),
                "{step}"
            );
            assert!(step.trim_end().ends_with("code 1"), "{step}");
            assert!(step.matches("no checkpoint: ").count() <= 1, "told once: {step}");
        }
        assert!(place.model("kept") == undisturbed.model("run"));
        let names = |place: &Place, run: &str| -> Vec<String> {
            let entries = std::fs::read_dir(place.path(run)).unwrap();
            let mut names: Vec<String> = entries
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort_unstable();
            names
        };
        for folder in ["", "/model", "/features"] {
            let (found, expected) = (format!("kept{folder}"), format!("run{folder}"));
            assert_eq!(names(&place, &found), names(&undisturbed, &expected));
        }
        all.push_str(&said);
        predicted = words(&place, "predicted");
    }
    for file in [
        "fit.parquet",
        "part-000000.parquet",
        "manifest.json",
        "train.checkpoint",
        "model.safetensors",
        "summary.txt",
        "metrics.json",
        "run.json",
    ] {
        // Where a file is not in its place yet, its hidden name may be told.
        let told = [": the", ".unfinished: the"].map(|end| format!("{file}{end} disk is full"));
        assert!(told.iter().any(|told| all.contains(told)), "{file}: {all}");
    }
    for format in ["csv", "parquet", "jsonl"] {
        let told = format!("run/predictions.{format}: the disk is full; make room and run again code 1");
        assert!(predicted.contains(&told), "{predicted}");
    }
    assert!(
        predicted.contains("scores.unfinished/")
            && predicted.ends_with("the disk is full; make room and run again code 1"),
        "{predicted}"
    );
    assert_eq!(predicted.matches("code 1").count(), 4, "{predicted}");
}

/// A finished run and one with its training to do, on a disk that is read-only for a while.
const READ_ONLY: &str = r#"
mount --bind run run && mount -o remount,ro,bind run || exit 77
for pipeline in pipeline.toml other.toml; do
    for command in run pull; do
        "$@" $command $pipeline >>said 2>&1
        echo "code $?" >>said
    done
done
"$@" verify run/dataset >verified 2>&1 || exit 78
"#;

/// See above for where mounting is not allowed.
#[test]
fn a_read_only_disk_is_told_and_nothing_is_lost() {
    if std::env::var_os("GRISTMILL_NO_MOUNT").is_some() {
        return;
    }
    let place = Place::with(&table(60), &pipeline(&[]));
    place.write("other.toml", pipeline(&[("bits = 8", "bits = 9")]));
    place.run();
    let before = crate::support::files(&place.path("run"));
    on_a_small_disk(&place, READ_ONLY);
    let said = words(&place, "said");
    assert_eq!(said.matches("code 1").count(), 4, "{said}");
    assert_eq!(said.matches("Read-only file system").count(), 4, "{said}");
    assert_eq!(said.matches("run/.gristmill").count(), 4, "{said}");
    assert!(
        crate::support::files(&place.path("run")) == before,
        "something is lost"
    );
    let said = place.run();
    assert_eq!(said.matches("skipped: ").count(), 5, "{said}");
}
