//! The seal of a commit: a hash of its text, in which the seal of the commit before stands, so that a log that was edited is
//! told from one that was written here.

use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

/// The entries of `commitInfo` that hold the seal and that of the last sealed commit before.
const SEAL: &str = "gristmillSeal";
const AFTER: &str = "gristmillAfter";

/// What stands in the place of the seal while it is made.
const BLANK: &str = "00000000000000000000000000000000";

/// A seal; that of no commit is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Seal(String);

/// The text of a commit after the one with the seal `after`, and its own seal. The first action is the `commitInfo`.
pub(crate) fn sealed(mut actions: Vec<Value>, after: &Seal) -> (String, Seal) {
    if let Some(info) = actions
        .first_mut()
        .and_then(|action| action.get_mut("commitInfo"))
    {
        info[AFTER] = json!(after.0);
        info[SEAL] = json!(BLANK);
    }
    let text: String = actions.iter().map(|action| format!("{action}\n")).collect();
    let seal = format!("{:032x}", xxh3_128(text.as_bytes()));
    (text.replacen(&entry(BLANK), &entry(&seal), 1), Seal(seal))
}

/// The seal of a commit and the one that it states of the commit before; `None` where it has no seal or was edited.
pub(crate) fn check(text: &str, info: &Value) -> Option<(Seal, Seal)> {
    let (seal, after) = (info[SEAL].as_str()?, info[AFTER].as_str()?);
    let blank = text.replacen(&entry(seal), &entry(BLANK), 1);
    let whole = format!("{:032x}", xxh3_128(blank.as_bytes())) == seal;
    whole.then(|| (Seal(seal.to_owned()), Seal(after.to_owned())))
}

fn entry(seal: &str) -> String {
    format!("\"{SEAL}\":\"{seal}\"")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn info(text: &str) -> Value {
        serde_json::from_str::<Value>(text.lines().next().unwrap()).unwrap()["commitInfo"].take()
    }

    #[test]
    fn any_byte_that_is_changed_breaks_the_seal() {
        let first = Seal("of the first".to_owned());
        let actions = vec![
            json!({"commitInfo": {"note": format!("{} in a text", entry(BLANK)), "n": 7}}),
            json!({"add": {"path": "a"}}),
        ];
        let (text, seal) = sealed(actions, &first);
        assert_eq!(check(&text, &info(&text)), Some((seal, first)));
        for at in 0..text.len() {
            let mut edited = text.clone().into_bytes();
            edited[at] ^= 1;
            let Ok(edited) = String::from_utf8(edited) else {
                continue;
            };
            let line = serde_json::from_str::<Value>(edited.lines().next().unwrap_or_default());
            let Ok(mut line) = line else { continue };
            assert_eq!(check(&edited, &line["commitInfo"].take()), None, "{at}: {edited}");
        }
        for edited in [format!("{text}\n"), text.replace("\n", "\r\n")] {
            assert_eq!(check(&edited, &info(&edited)), None, "{edited}");
        }
    }
}
