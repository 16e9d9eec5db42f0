//! Names of artists, made from the `fake` crate's locales, and the countries they come from.

use fake::locales::{
    AR_SA, CY_GB, DE_DE, Data, EN, FA_IR, FR_FR, IT_IT, JA_JP, NL_NL, PT_BR, PT_PT, TR_TR, ZH_CN, ZH_TW,
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Where names come from: one locale.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    /// ISO 639-1 code.
    pub(super) language: &'static str,
    first: &'static [&'static str],
    last: &'static [&'static str],
    template: &'static str,
}

/// A country of the demo.
#[derive(Debug)]
pub(super) struct Country {
    pub(super) name: &'static str,
    /// ISO 3166-1 alpha-2 code.
    pub(super) code: &'static str,
    /// How many artists come from it, relative to the others.
    pub(super) weight: u32,
    /// The locales of its names, as often as each is drawn. Countries that share a locale look alike, as in life.
    pub(super) origins: &'static [Origin],
}

/// A name, with the form it is sorted by.
#[derive(Debug, Clone)]
pub(super) struct Name {
    pub(super) name: String,
    pub(super) sort_name: String,
}

const ENGLISH: Origin = Origin::of::<EN>("en");
const WELSH: Origin = Origin::of::<CY_GB>("cy");
const GERMAN: Origin = Origin::of::<DE_DE>("de");
const FRENCH: Origin = Origin::of::<FR_FR>("fr");
const ITALIAN: Origin = Origin::of::<IT_IT>("it");
const DUTCH: Origin = Origin::of::<NL_NL>("nl");
const BRAZILIAN: Origin = Origin::of::<PT_BR>("pt");
const PORTUGUESE: Origin = Origin::of::<PT_PT>("pt");
const TURKISH: Origin = Origin::of::<TR_TR>("tr");
const JAPANESE: Origin = Origin::of::<JA_JP>("ja");
const CHINESE: Origin = Origin::of::<ZH_CN>("zh");
const TAIWANESE: Origin = Origin::of::<ZH_TW>("zh");
const ARABIC: Origin = Origin::of::<AR_SA>("ar");
const PERSIAN: Origin = Origin::of::<FA_IR>("fa");

/// Every country, the largest first.
pub(super) const COUNTRIES: &[Country] = &[
    country("United States", "US", 280, &[ENGLISH]),
    country("Japan", "JP", 100, &[JAPANESE]),
    country("United Kingdom", "GB", 90, &[ENGLISH, WELSH]),
    country("Germany", "DE", 90, &[GERMAN]),
    country("France", "FR", 80, &[FRENCH]),
    country("Brazil", "BR", 60, &[BRAZILIAN]),
    country("Italy", "IT", 60, &[ITALIAN]),
    country("China", "CN", 40, &[CHINESE]),
    country("Canada", "CA", 35, &[ENGLISH, ENGLISH, ENGLISH, FRENCH, FRENCH]),
    country("Netherlands", "NL", 35, &[DUTCH]),
    country("Portugal", "PT", 25, &[PORTUGUESE]),
    country("Iran", "IR", 25, &[PERSIAN]),
    country("Turkey", "TR", 25, &[TURKISH]),
    country("Belgium", "BE", 20, &[DUTCH, DUTCH, DUTCH, FRENCH, FRENCH]),
    country("Taiwan", "TW", 20, &[TAIWANESE]),
    country("Austria", "AT", 15, &[GERMAN]),
    country("Saudi Arabia", "SA", 10, &[ARABIC]),
];

const fn country(name: &'static str, code: &'static str, weight: u32, origins: &'static [Origin]) -> Country {
    Country {
        name,
        code,
        weight,
        origins,
    }
}

impl Origin {
    const fn of<L: Data>(language: &'static str) -> Self {
        Self {
            language,
            first: L::NAME_FIRST_NAME,
            last: L::NAME_LAST_NAME,
            template: L::NAME_TPL,
        }
    }

    /// A person's full name and its parts.
    pub(super) fn person(&self, rng: &mut ChaCha8Rng) -> Name {
        let first = pick(self.first, rng);
        let last = pick(self.last, rng);
        let name = self
            .template
            .replace("{FirstName}", first)
            .replace("{LastName}", last);
        // Scripts without capitals sort by the name as it is written.
        let sort_name = if last.is_ascii() || self.is_latin() {
            format!("{last}, {first}")
        } else {
            name.clone()
        };
        Name { name, sort_name }
    }

    /// An invented group: two in three carry nothing of where it is from.
    pub(super) fn group(&self, rng: &mut ChaCha8Rng) -> Name {
        let name = if rng.random_ratio(1, 3) {
            format!(
                "{} {}",
                pick(self.last, rng),
                pick(&["Quartet", "Trio", "Ensemble", "Project"], rng)
            )
        } else {
            format!("The {} {}", invented(rng), invented(rng))
        };
        let sort_name = name
            .strip_prefix("The ")
            .map_or_else(|| name.clone(), |rest| format!("{rest}, The"));
        Name { name, sort_name }
    }

    fn is_latin(&self) -> bool {
        !matches!(self.language, "ja" | "zh" | "ar" | "fa")
    }
}

/// Another name of an artist called `of`: initials, the sorted form, a name in another script, or a stage name.
pub(super) fn alias(of: &Name, rng: &mut ChaCha8Rng) -> String {
    match rng.random_range(0..10) {
        0..=3 => initials(&of.name),
        4..=5 => of.sort_name.clone(),
        6..=7 => pick(&[ENGLISH, JAPANESE, CHINESE, ARABIC], rng).person(rng).name,
        8 => format!("DJ {}", invented(rng)),
        _ => of.name.to_uppercase(),
    }
}

/// `Ana Maria Braga` becomes `A. M. Braga`; one word stays as it is.
fn initials(name: &str) -> String {
    let words: Vec<&str> = name.split_whitespace().collect();
    let Some((last, rest)) = words.split_last() else {
        return name.to_owned();
    };
    let mut short: String = rest
        .iter()
        .filter_map(|word| word.chars().next())
        .map(|c| format!("{c}. "))
        .collect();
    short.push_str(last);
    short
}

fn invented(rng: &mut ChaCha8Rng) -> String {
    let word = pick(EN::LOREM_WORD, rng);
    let (head, tail) = word.split_at(1);
    head.to_uppercase() + tail
}

/// One of `all`, which is not empty.
pub(super) fn pick<T: Copy>(all: &[T], rng: &mut ChaCha8Rng) -> T {
    all[rng.random_range(0..all.len())]
}
