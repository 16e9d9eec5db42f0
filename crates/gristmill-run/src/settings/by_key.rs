//! Reads the settings of a kind by the keys that it states.

use gristmill_learn::contract::encoder::{EncoderKind, Feature};
use gristmill_learn::contract::learner::{ModelKind, ModelSettings};
use gristmill_learn::contract::registry::Registry;
use gristmill_learn::settings::{Key, Values};
use serde_json::{Map, Value as Json, json};
use toml::de::{DeTable, DeValue};

use super::keys;
use super::reader::{Reader, Section, Value};

/// A `[[feature]]`; `None` if its encoder is unknown.
pub(super) fn feature<'t>(r: &mut Reader<'t>, s: &Section<'t>, kinds: &Registry) -> Option<Feature> {
    let words: Vec<_> = kinds.encoders().iter().map(|kind| (kind.name(), *kind)).collect();
    let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
    let example = format!("encode = {}", alternatives(&names));
    let kind = r.require(s, "encode", &example, |r, name, v| {
        r.choice(name, v, &words).map(Some)
    });
    let column = r.require(
        s,
        "column",
        "column = \"…\": a column of the query",
        |r, name, v| columns(r, name, v, kind).map(Some),
    );
    let kind = kind?;
    let keys_of = |kind: &dyn EncoderKind| kind.keys().iter().map(|key| key.name);
    let known: Vec<&str> = (keys::of_table("feature").iter().copied())
        .chain(keys_of(kind))
        .collect();
    r.keys(s, &known, |key| {
        let mut others = kinds.encoders().iter();
        let other = others.find(|other| keys_of(**other).any(|name| name == key))?;
        Some(format!(
            "it goes with encode = \"{}\", not \"{}\"",
            other.name(),
            kind.name()
        ))
    });
    let mut settings = r.settings(s, kind.keys());
    // What is missing has been reported.
    let nameless = || match *kind.columns().end() {
        1 => json!(""),
        _ => json!([""]),
    };
    settings.insert("column".to_owned(), column.unwrap_or_else(nameless));
    match kind.feature(Json::Object(settings)) {
        Ok(feature) => Some(feature),
        Err(error) => {
            r.contradiction(s, error);
            None
        }
    }
}

/// `[model]`. Of an unknown kind it is the first one, so that reading goes on behind it; `None` where there is no kind at all.
pub(super) fn model<'t>(
    r: &mut Reader<'t>,
    root: &'t DeTable<'t>,
    kinds: &Registry,
) -> Option<ModelSettings> {
    let s = r.section(root, "model");
    let words: Vec<_> = kinds.models().iter().map(|kind| (kind.name(), *kind)).collect();
    let (example, _) = words.first()?;
    let kind = r.require(&s, "kind", &format!("kind = \"{example}\""), |r, name, v| {
        r.choice(name, v, &words).map(Some)
    });
    fn keys_of(kind: &dyn ModelKind) -> impl Iterator<Item = &'static str> {
        kind.keys().iter().map(|key| key.name)
    }
    let of_kind: Vec<&str> = match kind {
        Some(kind) => keys_of(kind).collect(),
        // Without a kind the keys of all are fine.
        None => kinds.models().iter().flat_map(|kind| keys_of(*kind)).collect(),
    };
    let known: Vec<&str> = keys::of_table("model").iter().copied().chain(of_kind).collect();
    r.keys(&s, &known, |key| {
        let mut others = kinds.models().iter();
        let other = others.find(|other| keys_of(**other).any(|name| name == key))?;
        Some(format!(
            "it goes with kind = \"{}\", not \"{}\"",
            other.name(),
            kind?.name()
        ))
    });
    let kind = kind.or_else(|| kinds.models().first().copied())?;
    let settings = r.settings(&s, kind.keys());
    match kind.settings(Json::Object(settings)) {
        Ok(settings) => Some(settings),
        Err(error) => {
            r.contradiction(&s, error);
            None
        }
    }
}

/// The column of a feature as JSON: a name, or a list of names where its kind may read more than one.
fn columns<'t>(
    r: &mut Reader<'t>,
    name: &str,
    v: Value<'t>,
    kind: Option<&'static dyn EncoderKind>,
) -> Option<Json> {
    let allowed = kind.map_or(1..=usize::MAX, EncoderKind::columns);
    if allowed == (1..=1) {
        return r.text(name, v).map(Json::from);
    }
    let columns = r.axis(name, v, Reader::text)?;
    if allowed.contains(&columns.len()) {
        return Some(json!(columns));
    }
    let expected = match allowed.end() {
        &usize::MAX => format!("a list of {} columns or more", allowed.start()),
        most => format!("a list of {} to {most} columns", allowed.start()),
    };
    r.not_allowed(name, v, &expected)
}

impl<'t> Reader<'t> {
    /// The settings of a section by these keys, with the defaults of those that are not given.
    pub(super) fn settings(&mut self, section: &Section<'t>, keys: &[Key]) -> Map<String, Json> {
        let mut settings = Map::new();
        for key in keys {
            let given = self.get(section, key.name, |r, name, v| r.value(name, v, key.values));
            if let Some(value) = given.or_else(|| key.default_json()) {
                settings.insert(key.name.to_owned(), value);
            }
        }
        settings
    }

    /// A value of these, as JSON.
    fn value(&mut self, name: &str, v: Value<'t>, values: Values) -> Option<Json> {
        let expected = values.expected();
        Some(match values {
            Values::Boolean => json!(self.boolean(name, v)?),
            Values::Integer { least, most } => json!(self.integer(name, v, least..=most)?),
            Values::Number(numbers) => {
                json!(self.number(name, v, &expected, |number| numbers.contain(number))?)
            }
            Values::Words(words) => json!(self.word(name, v, words)?),
            Values::WordOrNumber(words) => match v.get_ref() {
                DeValue::String(text) if text.parse::<f64>().is_ok() => {
                    return self.not_allowed(name, v, &expected);
                }
                DeValue::String(_) => json!(self.word(name, v, words)?),
                _ => json!(self.number(name, v, &expected, |number| number.abs() <= Values::LARGEST)?),
            },
            Values::Pair { least, most, .. } => {
                let ends = self.list(name, v, &expected, |r, name, v| r.integer(name, v, least..=most))?;
                match ends.as_slice() {
                    [smaller, larger] if smaller <= larger => json!(ends),
                    _ => return self.not_allowed(name, v, &expected),
                }
            }
            Values::Axis(one) => json!(self.axis(name, v, |r, name, v| r.value(name, v, *one))?),
            Values::Thresholds => {
                let table = self.by_class(name, v, "a number, 0 or more", |x| x >= 0.0)?;
                if table.values().filter(|threshold| **threshold == 0.0).count() > 1 {
                    return self.not_allowed(name, v, &expected);
                }
                json!(table)
            }
        })
    }

    fn word(&mut self, name: &str, v: Value<'t>, words: &[&'static str]) -> Option<&'static str> {
        let words: Vec<_> = words.iter().map(|word| (*word, *word)).collect();
        self.choice(name, v, &words)
    }

    /// Reports settings of a section that contradict each other.
    pub(super) fn contradiction(&mut self, section: &Section<'t>, error: gristmill_learn::Error) {
        let why = match error {
            gristmill_learn::Error::Spec { why, .. } => why,
            other => other.to_string(),
        };
        let problem = self.at(section.span.clone(), why);
        self.problems.push(problem);
    }
}

/// `"a", "b" or "c"`
fn alternatives(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    match quoted.as_slice() {
        [names @ .., last] if !names.is_empty() => format!("{} or {last}", names.join(", ")),
        names => names.concat(),
    }
}
