//! Reads the settings of a kind by the keys that it states.

use gristmill_learn::contract::encoder::{EncoderKind, Feature};
use gristmill_learn::contract::learner::{ModelKind, ModelSettings};
use gristmill_learn::contract::registry::Registry;
use gristmill_learn::features::choose::{AUTO, Auto};
use gristmill_learn::settings::{Key, LabelKind, Preset, Values};
use serde_json::{Map, Value as Json, json};
use toml::de::{DeTable, DeValue};

use super::keys;
use super::reader::{Reader, Section, Value};

/// A `[[feature]]`; `None` if its encoder is unknown.
pub(super) fn feature<'t>(r: &mut Reader<'t>, s: &Section<'t>, kinds: &Registry) -> Option<Feature> {
    let words: Vec<_> = (kinds.encoders().iter())
        .map(|kind| (kind.name(), Some(*kind)))
        .chain([(AUTO, None)])
        .collect();
    let given = r.get(s, "encode", |r, name, v| r.choice(name, v, &words));
    let unknown = given.is_none() && !r.usable(&format!("{}.encode", s.path));
    let kind: Option<&'static dyn EncoderKind> = given.flatten();
    let column = r.require(
        s,
        "column",
        "column = \"…\": a column of the query",
        |r, name, v| match kind {
            None if !unknown => r.text(name, v).map(|column| Some(json!(column))),
            kind => columns(r, name, v, kind).map(Some),
        },
    );
    if unknown {
        return None;
    }
    let keys_of = |kind: &dyn EncoderKind| kind.keys().iter().map(|key| key.name);
    let known: Vec<&str> = (keys::of_table("feature").iter().copied())
        .chain(kind.into_iter().flat_map(keys_of))
        .collect();
    let encode = kind.map_or(AUTO, EncoderKind::name);
    r.keys(s, &known, |key| {
        let mut others = kinds.encoders().iter();
        let other = others.find(|other| keys_of(**other).any(|name| name == key))?;
        Some(format!(
            "it goes with encode = \"{}\", not \"{encode}\"",
            other.name()
        ))
    });
    let Some(kind) = kind else {
        let column = column.as_ref().and_then(Json::as_str).unwrap_or_default();
        return Some(Auto::feature(column));
    };
    let mut settings = r.settings(s, kind.keys(), &[]);
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

/// What `kind = "auto"` chooses from, by what the label and the features are.
const CHOSEN: [&str; 3] = ["logistic_regression", "factorized_softmax", "linear_regression"];
/// What it chooses from with `preset = "spark"`.
const OF_SPARK: [&str; 2] = ["logistic_regression", "linear_regression"];

/// `[model]`: that of its kind, or those of which the label chooses one, and whether it is to be calibrated; `stated` is what other settings say that it is. Of an unknown
/// kind it is the first one, so that reading goes on behind it; none where there is no kind at all.
pub(super) fn model<'t>(
    r: &mut Reader<'t>,
    root: &'t DeTable<'t>,
    kinds: &Registry,
    stated: Option<LabelKind>,
) -> (Vec<ModelSettings>, bool) {
    let s = r.section(root, "model");
    let words: Vec<_> = (kinds.models().iter())
        .map(|kind| (kind.name(), Some(*kind)))
        .chain([(AUTO, None)])
        .collect();
    let chosen = r.get(&s, "kind", |r, name, v| r.choice(name, v, &words));
    let calibrate = r.get(&s, "calibrate", |r, name, v| {
        r.choice(name, v, &[("temperature", ())])
    });
    let preset = r.get(&s, "preset", |r, name, v| r.choice(name, v, &[("spark", ())]));
    let of_kind = |kind: &dyn ModelKind| kind.keys().iter().map(|key| key.name);
    let of_table = keys::of_table("model");
    let open = preset.map_or(&CHOSEN[..], |()| &OF_SPARK[..]);
    let candidates: Vec<&'static dyn ModelKind> = match chosen {
        Some(Some(kind)) => vec![kind],
        _ => (kinds.models().iter().copied())
            .filter(|kind| open.contains(&kind.name()))
            .collect(),
    };
    // A key that one kind alone has says that it is that kind.
    let has =
        |kind: &dyn ModelKind, key: &str| of_table.contains(&key) || of_kind(kind).any(|name| name == key);
    let fits = |kind: &&'static dyn ModelKind| s.given().all(|key| has(*kind, key));
    let fitting: Vec<_> = candidates.iter().copied().filter(fits).collect();
    let kinds_left = if fitting.is_empty() {
        &candidates[..]
    } else {
        &fitting
    };
    let is_open = !matches!(chosen, Some(Some(_)));
    // Without a kind the keys of all are fine.
    let all = kinds.models();
    let may_be = if is_open && !r.usable("model.kind") {
        all
    } else {
        kinds_left
    };
    let mut known = of_table.to_vec();
    for key in may_be.iter().flat_map(|kind| of_kind(*kind)) {
        if !known.contains(&key) {
            known.push(key);
        }
    }
    r.keys(&s, &known, |key| {
        let mut others = kinds.models().iter();
        let other = others.find(|other| of_kind(**other).any(|name| name == key))?;
        let name = match chosen {
            Some(Some(kind)) => kind.name(),
            _ => AUTO,
        };
        Some(format!(
            "it goes with kind = \"{}\", not \"{name}\"",
            other.name()
        ))
    });
    let mut settings = Vec::new();
    for (place, kind) in kinds_left.iter().enumerate() {
        let preset = preset.map_or(&[][..], |()| kind.spark());
        let told = r.problems.len();
        match kind.settings(Json::Object(r.settings(&s, kind.keys(), preset))) {
            Ok(model) => settings.push(model),
            Err(error) => r.contradiction(&s, error),
        }
        // What is wrong with the keys that all of them have was told of the first.
        if place > 0 {
            r.problems.truncate(told);
        }
    }
    if is_open
        && let Some(label) = stated
        && settings.iter().any(|model| model.label() == label)
    {
        settings.retain(|model| model.label() == label);
    }
    (settings, calibrate.is_some())
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
    /// The settings of a section by these keys, with the defaults of those that are not given: those of a preset, or else the usual
    /// ones.
    pub(super) fn settings(
        &mut self,
        section: &Section<'t>,
        keys: &[Key],
        preset: &[(&str, Preset)],
    ) -> Map<String, Json> {
        let mut settings = Map::new();
        for key in keys {
            let given = self.get(section, key.name, |r, name, v| r.value(name, v, key.values));
            let default = preset.iter().find(|(name, _)| *name == key.name);
            let default = default.map_or(key.default, |(_, default)| *default);
            let default = || Key { default, ..*key }.default_json();
            if let Some(value) = given.or_else(default) {
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
            Values::Subset(words) => {
                let DeValue::Array(items) = v.get_ref() else {
                    return self.wrong_type(name, v, &expected);
                };
                if items.is_empty() {
                    return self.not_allowed(name, v, &expected);
                }
                json!(self.axis(name, v, |r, name, v| r.word(name, v, words))?)
            }
            Values::Increasing => {
                let numbers = self.list(name, v, &expected, |r, name, v| {
                    r.number(name, v, "a number from -1e150 to 1e150", |x| {
                        x.abs() <= Values::LARGEST
                    })
                })?;
                if numbers.is_empty() || numbers.windows(2).any(|pair| pair[0] >= pair[1]) {
                    return self.not_allowed(name, v, &expected);
                }
                json!(numbers)
            }
            Values::Text => json!(self.text(name, v)?),
            Values::Axis(one) => json!(self.axis(name, v, |r, name, v| r.value(name, v, *one))?),
            Values::WordOr(words, other) => match v.get_ref() {
                DeValue::String(_) => json!(self.word(name, v, words)?),
                _ => self.value(name, v, *other)?,
            },
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
