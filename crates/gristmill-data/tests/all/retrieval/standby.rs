//! Reading from a hot standby: one snapshot for all as anywhere, and conflicts with what the primary does.

use gristmill_data::settings::{SourceSettings, TextReading};
use gristmill_data::source::KeyAccess;
use gristmill_testkit::TempPostgres;
use tokio_postgres::NoTls;

use super::Case;

/// A case whose rows are read from a standby, and the standby.
fn case(settings: &[&str]) -> (Case, TempPostgres) {
    let mut case = Case::new();
    let standby = case.server.standby(settings);
    case.server.followed_by(&standby);
    case.url = standby.url();
    (case, standby)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_read_over_several_connections_too() {
    let (case, standby) = case(&[]);
    assert_eq!(standby.execute("SELECT pg_is_in_recovery()"), "t");
    let source = case.connect().await;
    assert_eq!(source.key_access(250).await.unwrap(), KeyAccess::Index);
    let (undisturbed, _) = case.pull("undisturbed", 1).await;
    let (pulled, said) = case
        .pull_from(case.connect().await, "four", 4, |number| {
            if number == 5 {
                case.server.execute("INSERT INTO item VALUES (1, 'new', 1)");
                case.server.followed_by(&standby);
            }
        })
        .await;
    assert!(said.warnings.is_empty(), "{:?}", said.warnings);
    assert_eq!(pulled.as_ref().unwrap().totals.snapshots, 1);
    case.assert_same("four", pulled, &undisturbed.unwrap());
}

/// Each takes from a standby what its readers see, and leaves the same rows.
const CONFLICTS: [(&str, &str); 2] = [
    ("rows removed", "UPDATE item SET size = size; VACUUM item"),
    (
        "table replaced",
        "BEGIN; CREATE TABLE other (LIKE item INCLUDING ALL); INSERT INTO other SELECT * FROM item; DROP TABLE item; \
         ALTER TABLE other RENAME TO item; COMMIT",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_with_the_primary_is_gone_on_after() {
    let (case, standby) = case(&["max_standby_streaming_delay=0"]);
    let (undisturbed, _) = case.pull("undisturbed", 1).await;
    for (what, sql) in CONFLICTS {
        for readers in [1, 4] {
            let name = format!("{what} {readers}");
            let (pulled, said) = case
                .pull_from(case.connect().await, &name, readers, |number| {
                    if number == 9 {
                        case.server.execute(sql);
                        case.server.followed_by(&standby);
                    }
                })
                .await;
            let told = |part: &str| said.warnings.iter().any(|warning| warning.contains(part));
            assert!(told("conflict with recovery"), "{name}: {:?}", said.warnings);
            assert!(told("connecting anew"), "{name}: {:?}", said.warnings);
            // The history tells that the rest is of a later instant.
            assert_eq!(said.resumed, [true], "{name}");
            assert_eq!(pulled.as_ref().unwrap().totals.snapshots, 2, "{name}");
            case.assert_same(&name, pulled, undisturbed.as_ref().unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_was_promoted_and_a_server_that_was_restarted_have_names_of_their_own() {
    let (case, standby) = case(&[]);
    let on = async |url: String| {
        let settings = SourceSettings {
            url: url.into(),
            query: "SELECT 1 AS id".into(),
            key: "id".into(),
            text: TextReading::default(),
            memory: gristmill_data::budget::RowBudget::ample(),
        };
        gristmill_data::source::open::connect(&settings)
            .await
            .unwrap()
            .snapshot()
    };
    let primary = on(case.server.url()).await;
    assert_eq!(on(case.server.url()).await, primary);
    standby.execute("SELECT pg_promote()");
    let promoted = on(standby.url()).await;
    // Both count the same transactions, each those of its own clients from here on.
    let transactions = |name: &str| name.split(" of ").next().map(str::to_owned);
    assert_eq!(transactions(&promoted), transactions(&primary));
    assert_ne!(promoted, primary);
    assert!(promoted.contains("timeline 00000002"), "{promoted}");
    // As after an older copy of the data was put in its place, or its log was reset.
    standby.restart();
    assert_ne!(on(standby.url()).await, promoted);
}

/// A standby does not list the transactions under way, so what it calls a snapshot stays the same while one of them is committed and
/// an older one is not.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_of_two_open_transactions_adds_gives_a_standby_another_name() {
    let (case, standby) = case(&[]);
    let open = async |id: i32| {
        let (client, connection) = tokio_postgres::connect(&case.server.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        let begin = format!("BEGIN; INSERT INTO item VALUES ({id}, 'open', 1)");
        client.batch_execute(&begin).await.unwrap();
        client
    };
    let state = async || {
        case.server.followed_by(&standby);
        let rows = standby.execute("SELECT count(*) FROM item");
        (case.connect().await.snapshot(), rows)
    };
    let (_oldest, second) = (open(-1).await, open(-2).await);
    case.server.execute("INSERT INTO item VALUES (-3, 'new', 1)");
    let (name, rows) = state().await;
    second.batch_execute("COMMIT").await.unwrap();
    let (next, more) = state().await;
    let transactions = |name: &str| name.split(" at ").next().map(str::to_owned);
    assert_eq!(transactions(&name), transactions(&next));
    assert_ne!(rows, more);
    assert_ne!(name, next);
}
