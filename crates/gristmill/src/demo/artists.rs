//! The rows of the demo's database: areas, artists and their aliases, with the dirt of real data.

use rand::RngExt;
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand_chacha::ChaCha8Rng;
use rusqlite::{Statement, Transaction, params};

use super::names::{self, COUNTRIES, Name, Origin, pick};

const SUBDIVISIONS: usize = 5;
const CITIES: usize = 5;

// Shares, in percent.
const LIVES_ELSEWHERE: u32 = 12;
const NO_AREA: u32 = 5;
const IN_A_CITY: u32 = 55;
const IN_A_SUBDIVISION: u32 = 10;
const TWO_WAYS_UP: u32 = 6;
const GROUP: u32 = 22;
const DUPLICATE: u32 = 1;

/// The areas of one country.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) country: i64,
    pub(super) subdivisions: Vec<i64>,
    pub(super) cities: Vec<i64>,
}

/// Everything of an artist but its ids.
#[derive(Debug, Clone)]
struct Artist {
    name: Name,
    language: &'static str,
    kind: Option<u8>,
    gender: Option<u8>,
    begin_year: Option<u16>,
    area: Option<i64>,
    begin_area: Option<i64>,
    aliases: Vec<String>,
}

/// Writes every country with its subdivisions and cities, in the order of `COUNTRIES`.
pub(super) fn insert_areas(db: &Transaction<'_>, rng: &mut ChaCha8Rng) -> rusqlite::Result<Vec<Home>> {
    let mut area = db.prepare("INSERT INTO area (id, gid, name, type) VALUES (?, ?, ?, ?)")?;
    let mut part = db.prepare("INSERT INTO l_area_area (link, entity0, entity1) VALUES (118734, ?, ?)")?;
    let mut last_id = 0;
    let mut add = |name: &str, kind: u8, rng: &mut ChaCha8Rng| {
        last_id += rng.random_range(1..=9);
        area.execute(params![last_id, gid(rng), name, kind])
            .map(|_| last_id)
    };
    let mut homes = Vec::new();
    for country in COUNTRIES {
        let id = add(country.name, 1, rng)?;
        db.execute("INSERT INTO country_area (area) VALUES (?)", [id])?;
        db.execute(
            "INSERT INTO iso_3166_1 (area, code) VALUES (?, ?)",
            params![id, country.code],
        )?;
        let mut home = Home {
            country: id,
            subdivisions: Vec::new(),
            cities: Vec::new(),
        };
        for s in 1..=SUBDIVISIONS {
            let subdivision = add(&format!("{} Province {s}", country.name), 2, rng)?;
            part.execute([id, subdivision])?;
            home.subdivisions.push(subdivision);
            for c in 1..=CITIES {
                let city = add(&format!("{} City {s}.{c}", country.name), 3, rng)?;
                part.execute([subdivision, city])?;
                if percent(TWO_WAYS_UP, rng) {
                    part.execute([id, city])?;
                }
                home.cities.push(city);
            }
        }
        homes.push(home);
    }
    Ok(homes)
}

/// Writes `rows` artists and their aliases; returns how many aliases.
pub(super) fn insert_artists(
    db: &Transaction<'_>,
    homes: &[Home],
    rows: u64,
    rng: &mut ChaCha8Rng,
    progress: &mut dyn FnMut(u64),
) -> anyhow::Result<u64> {
    let by_weight = WeightedIndex::new(COUNTRIES.iter().map(|country| country.weight))?;
    let mut artist = db.prepare(
        "INSERT INTO artist (id, gid, name, sort_name, begin_date_year, type, area, gender, begin_area)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    let mut alias = db.prepare(
        "INSERT INTO artist_alias (artist, name, locale, type, sort_name, primary_for_locale)
         VALUES (?, ?, ?, ?, ?, ?)",
    )?;
    let (mut id, mut aliases, mut previous) = (0, 0, None);
    for row in 0..rows {
        id += gap(rng);
        let next = match previous.take() {
            // The same artist entered again, under another id.
            Some(again) if percent(DUPLICATE, rng) => again,
            _ => draw(homes, &by_weight, rng),
        };
        insert_artist(&mut artist, id, &next, rng)?;
        aliases += insert_aliases(&mut alias, id, &next, rng)?;
        previous = Some(next);
        if (row + 1) % 10_000 == 0 || row + 1 == rows {
            progress(row + 1);
        }
    }
    Ok(aliases)
}

fn draw(homes: &[Home], by_weight: &WeightedIndex<u32>, rng: &mut ChaCha8Rng) -> Artist {
    let born = by_weight.sample(rng);
    // The noise no model can see through: a name from one country, a life in another.
    let lives = if percent(LIVES_ELSEWHERE, rng) {
        by_weight.sample(rng)
    } else {
        born
    };
    let origin: Origin = pick(COUNTRIES[born].origins, rng);
    let is_group = percent(GROUP, rng);
    let name = if is_group {
        origin.group(rng)
    } else {
        origin.person(rng)
    };
    let kind = if is_group { 2 } else { 1 };
    Artist {
        language: origin.language,
        kind: (!percent(10, rng)).then_some(kind),
        gender: (!is_group && !percent(20, rng)).then(|| pick(&[1, 1, 1, 2, 2, 5], rng)),
        begin_year: begin_year(is_group, rng),
        area: area(&homes[lives], rng),
        begin_area: percent(30, rng).then(|| pick(&homes[born].cities, rng)),
        aliases: (0..pick(&[0, 0, 0, 0, 0, 1, 1, 2, 2, 4], rng))
            .map(|_| names::alias(&name, rng))
            .collect(),
        name,
    }
}

fn area(home: &Home, rng: &mut ChaCha8Rng) -> Option<i64> {
    match rng.random_range(0..100) {
        p if p < NO_AREA => None,
        p if p < NO_AREA + IN_A_CITY => Some(pick(&home.cities, rng)),
        p if p < NO_AREA + IN_A_CITY + IN_A_SUBDIVISION => Some(pick(&home.subdivisions, rng)),
        _ => Some(home.country),
    }
}

fn begin_year(is_group: bool, rng: &mut ChaCha8Rng) -> Option<u16> {
    let years = if is_group { 1955..=2022 } else { 1900..=2004 };
    match rng.random_range(0..200) {
        0 => Some(rng.random_range(1..=99)), // the century forgotten
        1..=110 => Some(rng.random_range(years)),
        _ => None,
    }
}

fn insert_artist(
    insert: &mut Statement<'_>,
    id: i64,
    of: &Artist,
    rng: &mut ChaCha8Rng,
) -> rusqlite::Result<()> {
    let name = match rng.random_range(0..1000) {
        0..=1 => String::new(),
        2..=3 => "   ".to_owned(),
        4..=23 => format!("  {}\t", of.name.name),
        _ => of.name.name.clone(),
    };
    insert.execute(params![
        id,
        gid(rng),
        name,
        of.name.sort_name,
        of.begin_year,
        of.kind,
        of.area,
        of.gender,
        of.begin_area
    ])?;
    Ok(())
}

fn insert_aliases(
    insert: &mut Statement<'_>,
    id: i64,
    of: &Artist,
    rng: &mut ChaCha8Rng,
) -> rusqlite::Result<u64> {
    let mut has_primary = false;
    for name in &of.aliases {
        let locale = percent(50, rng).then_some(of.language);
        // At most one alias of an artist is the primary one of its locale; a search hint (3) has none.
        let is_primary = locale.is_some() && !has_primary;
        has_primary |= is_primary;
        let kind = if locale.is_some() {
            Some(1)
        } else {
            percent(50, rng).then_some(3)
        };
        insert.execute(params![id, name, locale, kind, name, is_primary])?;
    }
    Ok(of.aliases.len() as u64)
}

/// Distance to the next id: mostly the next number, at times a deleted row, rarely a large hole.
fn gap(rng: &mut ChaCha8Rng) -> i64 {
    match rng.random_range(0..1000) {
        0 => rng.random_range(100..=5000),
        1..=150 => rng.random_range(2..=10),
        _ => 1,
    }
}

fn percent(share: u32, rng: &mut ChaCha8Rng) -> bool {
    rng.random_ratio(share, 100)
}

/// A random (version 4) UUID.
fn gid(rng: &mut ChaCha8Rng) -> String {
    let bits = rng.random::<u128>() & !(0xf << 76) & !(0b11 << 62) | (4 << 76) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}
