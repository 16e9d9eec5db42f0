//! Which files a URL names: a path, a folder or a pattern, with the options of the format.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::source::files::guess::Typed;

/// What follows `parquet:`, `csv:` or `delta:`, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Location {
    pub(super) url: String,
    pub(super) format: Format,
    path: String,
}

/// What the files are, and how they are read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Format {
    Parquet,
    Csv(CsvFormat),
    /// One JSON object a line: read for prediction only.
    JsonLines,
    Delta {
        /// `None` is the latest.
        version: Option<u64>,
    },
}

/// How CSV is written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CsvFormat {
    /// `None` goes by the file's name: a tab for `.tsv`, else a comma.
    pub(super) delimiter: Option<u8>,
    /// Whether the first line names the columns.
    pub(super) header: bool,
    /// Whether a value may be in quotation marks; without, they are characters of it.
    pub(super) quotes: bool,
    /// Whether a byte is a character, as in Latin-1 and Windows-1252; else the files are UTF-8.
    pub(super) latin1: bool,
    /// Values that are null, besides the empty one.
    pub(super) nulls: Vec<String>,
    /// The types that columns have by order, and the one that all others have.
    pub(super) types: Vec<(String, Typed)>,
    pub(super) all: Option<Typed>,
}

impl Default for CsvFormat {
    fn default() -> Self {
        Self {
            delimiter: None,
            header: true,
            quotes: true,
            latin1: false,
            nulls: Vec::new(),
            types: Vec::new(),
            all: None,
        }
    }
}

impl CsvFormat {
    /// The type that a column has by order.
    pub(super) fn typed(&self, column: &str) -> Option<Typed> {
        let own = self.types.iter().rev().find(|(name, _)| name == column);
        own.map(|(_, typed)| *typed).or(self.all)
    }

    /// Takes `types=text`, or `types=zip:text,day:date`.
    fn take_types(&mut self, value: &str) -> Result<(), String> {
        for part in value.split(',') {
            let (column, name) = match part.rsplit_once(':') {
                Some((column, name)) => (Some(decoded(column)), name),
                None => (None, part),
            };
            let Some(typed) = Typed::named(name) else {
                return Err(format!(
                    "types={value}: there is no type `{name}`; the types are {}",
                    Typed::names()
                ));
            };
            match column {
                Some(column) => self.types.push((column, typed)),
                None => self.all = Some(typed),
            }
        }
        Ok(())
    }
}

fn decoded(value: &str) -> String {
    percent_encoding::percent_decode_str(value)
        .decode_utf8_lossy()
        .into_owned()
}

impl Location {
    /// Takes a URL apart; `rest` is what follows `scheme:`.
    pub(super) fn parse(url: &str, scheme: &str, rest: &str) -> Result<Self> {
        let failed = |why: String| Error::Url {
            url: url.to_owned(),
            why,
        };
        let mut format = match scheme {
            "csv" => Format::Csv(CsvFormat::default()),
            "jsonl" => Format::JsonLines,
            "delta" => Format::Delta { version: None },
            _ => Format::Parquet,
        };
        let (path, options) = options_of(rest);
        for (name, value) in options {
            match (&mut format, name) {
                (Format::Csv(csv), "delimiter") => {
                    csv.delimiter = Some(single_byte(value).ok_or_else(|| {
                        failed(format!(
                            "delimiter={value} is not one ASCII character (%09 is a tab)"
                        ))
                    })?);
                }
                (Format::Csv(csv), "header") if matches!(value, "true" | "false") => {
                    csv.header = value == "true";
                }
                (Format::Csv(csv), "quote") if value == "none" => csv.quotes = false,
                (Format::Csv(csv), "encoding") if matches!(value, "latin1" | "utf8") => {
                    csv.latin1 = value == "latin1";
                }
                (Format::Csv(csv), "null") => csv.nulls = value.split(',').map(decoded).collect(),
                (Format::Csv(csv), "types") => csv.take_types(value).map_err(failed)?,
                (Format::Delta { version }, "version") => {
                    let number = value.parse();
                    *version = Some(number.map_err(|_| failed(format!("version={value} is not a number")))?);
                }
                _ => {
                    let known = match format {
                        Format::Csv(_) => {
                            "delimiter=…, header=true or false, quote=none, null=NA,-, encoding=latin1 and types=text or \
                             types=column:text,…"
                        }
                        Format::Delta { .. } => "version=…",
                        Format::Parquet | Format::JsonLines => "none",
                    };
                    return Err(failed(format!(
                        "unknown option {name}={value}; the options of {scheme}: are {known}"
                    )));
                }
            }
        }
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.contains("://") {
            let why = "only files of this machine are read; copy them here, or mount what holds them";
            return Err(failed(why.to_owned()));
        }
        if path.is_empty() {
            return Err(failed("no path in it".to_owned()));
        }
        Ok(Self {
            url: url.to_owned(),
            format,
            path: path.to_owned(),
        })
    }

    /// A path without options.
    pub(super) fn of_path(path: &str, format: Format) -> Self {
        Self {
            url: path.to_owned(),
            format,
            path: path.to_owned(),
        }
    }

    /// The path as it was given.
    pub(super) fn path(&self) -> &Path {
        Path::new(&self.path)
    }

    /// The files, in the order of their names.
    pub(super) fn files(&self) -> Result<Vec<PathBuf>> {
        let path = self.path();
        let mut files = Vec::new();
        if path.is_dir() {
            self.collect(path, &mut files)?;
        } else if path.is_file() || !self.path.contains(['*', '?', '[']) {
            files.push(path.to_owned());
        } else {
            let found = glob::glob(&self.path).map_err(|e| Error::Url {
                url: self.url.clone(),
                why: format!("{e} in its pattern"),
            })?;
            files.extend(found.flatten().filter(|path| path.is_file()));
        }
        files.sort_unstable();
        match files.first() {
            Some(first) if first.is_file() => Ok(files),
            Some(missing) => Err(self.failed(format!("there is no file {}", missing.display()))),
            None => Err(self.failed(format!(
                "there is no {} file in {}",
                self.endings().join(" or "),
                self.path
            ))),
        }
    }

    /// The files of a folder and of those in it; what begins with a dot or an underscore is none, as with Spark.
    fn collect(&self, folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
        let entries = fs::read_dir(folder).map_err(|e| self.failed(format!("{}: {e}", folder.display())))?;
        for entry in entries.flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if name.starts_with(['.', '_']) {
                continue;
            }
            if path.is_dir() {
                if name.contains('=') {
                    return Err(self.failed(format!(
                        "the folder {} holds a partition, whose column is in no file; name the files of one with a \
                         pattern such as {}/*, or make a Delta table of them",
                        path.display(),
                        path.display()
                    )));
                }
                self.collect(&path, files)?;
            } else if self.endings().iter().any(|ending| name.ends_with(ending)) {
                files.push(path);
            }
        }
        Ok(())
    }

    fn endings(&self) -> &'static [&'static str] {
        match self.format {
            Format::Csv(_) => &[".csv", ".tsv", ".csv.gz", ".tsv.gz"],
            Format::JsonLines => &[".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz"],
            Format::Parquet | Format::Delta { .. } => &[".parquet"],
        }
    }

    /// The files cannot be read.
    pub(super) fn failed(&self, why: String) -> Error {
        Error::NoFile {
            url: self.url.clone(),
            why,
        }
    }
}

/// The path, and what follows its last `?` where that looks like `name=value`: in a pattern `?` stands for a character.
fn options_of(rest: &str) -> (&str, Vec<(&str, &str)>) {
    let Some((path, options)) = rest.rsplit_once('?') else {
        return (rest, Vec::new());
    };
    let options: Option<Vec<_>> = options.split('&').map(|option| option.split_once('=')).collect();
    match options {
        Some(options) if options.iter().all(|(name, _)| !name.contains(['/', '.', '*'])) => (path, options),
        _ => (rest, Vec::new()),
    }
}

fn single_byte(value: &str) -> Option<u8> {
    let bytes: Vec<u8> = percent_encoding::percent_decode_str(value).collect();
    match bytes[..] {
        [byte] if byte.is_ascii() => Some(byte),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Result<Location> {
        let (scheme, rest) = url.split_once(':').unwrap();
        Location::parse(url, scheme, rest)
    }

    #[test]
    fn options_follow_the_last_question_mark() {
        for (url, path, format) in [
            (
                "parquet:a b/part-?.parquet",
                "a b/part-?.parquet",
                Format::Parquet,
            ),
            ("parquet:///data/x.parquet", "/data/x.parquet", Format::Parquet),
            (
                "csv:a?.csv?delimiter=%09&header=false",
                "a?.csv",
                Format::Csv(CsvFormat {
                    delimiter: Some(b'\t'),
                    header: false,
                    ..CsvFormat::default()
                }),
            ),
            (
                "csv:a.csv?null=NA,-&types=zip:text,day%3Aof:date&encoding=latin1",
                "a.csv",
                Format::Csv(CsvFormat {
                    latin1: true,
                    nulls: vec!["NA".to_owned(), "-".to_owned()],
                    types: vec![
                        ("zip".to_owned(), Typed::Text),
                        ("day:of".to_owned(), Typed::Date),
                    ],
                    ..CsvFormat::default()
                }),
            ),
            (
                "csv:a.csv?delimiter=;",
                "a.csv",
                Format::Csv(CsvFormat {
                    delimiter: Some(b';'),
                    ..CsvFormat::default()
                }),
            ),
            (
                "csv:a.tsv?quote=none",
                "a.tsv",
                Format::Csv(CsvFormat {
                    quotes: false,
                    ..CsvFormat::default()
                }),
            ),
            ("delta:t?version=7", "t", Format::Delta { version: Some(7) }),
        ] {
            let location = parsed(url).unwrap();
            assert_eq!((location.path.as_str(), location.format), (path, format), "{url}");
        }
    }

    #[test]
    fn what_is_not_read_is_said() {
        for (url, why) in [
            (
                "parquet:s3://bucket/x.parquet",
                "only files of this machine are read",
            ),
            ("parquet:x.parquet?version=1", "the options of parquet: are none"),
            ("csv:x.csv?delimiter=ab", "is not one ASCII character"),
            ("csv:x.csv?header=maybe", "unknown option header=maybe"),
            ("csv:x.csv?quote='", "unknown option quote='"),
            ("csv:x.csv?types=money", "there is no type `money`"),
            ("csv:x.csv?encoding=ebcdic", "unknown option encoding=ebcdic"),
            ("delta:t?version=last", "version=last is not a number"),
            ("csv:", "no path in it"),
        ] {
            let message = parsed(url).unwrap_err().to_string();
            assert!(message.contains(why), "{message}");
        }
    }
}
