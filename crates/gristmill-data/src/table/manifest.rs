//! The manifest of a plain folder of Parquet files: it lists the parts with their content, is written last, and is checked
//! against the folder whenever that is opened.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::content::{FileContent, read_bounded};
use crate::durable::{io, write_whole};
use crate::error::{Error, Result};

/// Its name in the folder.
pub const MANIFEST: &str = "manifest.json";

/// The version of its layout and of that of the folder. Raise it when either changes.
const FORMAT: u32 = 1;

/// A part is listed in some 120 bytes, and has a million rows.
const MAX_BYTES: u64 = 64 << 20;

/// What is in a folder.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    format: u32,
    /// All rows.
    pub(crate) rows: u64,
    /// The parts, in the order of their rows.
    pub(crate) parts: Vec<Part>,
    /// What the writer said of the rows.
    pub(crate) metadata: BTreeMap<String, String>,
}

/// One file of a folder.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) rows: u64,
    #[serde(flatten)]
    pub(crate) content: FileContent,
}

impl Manifest {
    pub(crate) fn new(parts: Vec<Part>, metadata: BTreeMap<String, String>) -> Self {
        Self {
            format: FORMAT,
            rows: total(&parts),
            parts,
            metadata,
        }
    }

    /// Writes it into the folder that it is about.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(MANIFEST);
        let text = serde_json::to_string_pretty(self).map_err(|e| broken(dir, e))?;
        write_whole(&path, format!("{text}\n").as_bytes())
    }

    /// Reads the manifest of a folder and compares the folder with it: every part, to its last byte, and no other.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(MANIFEST);
        let text = match read_bounded(&path, MAX_BYTES) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(broken(dir, format!("there is no {MANIFEST} in it")));
            }
            read => read.map_err(io(&path))?,
        };
        let unreadable = |error| broken(dir, format!("{MANIFEST} cannot be read: {error}"));
        let value: serde_json::Value = serde_json::from_slice(&text).map_err(unreadable)?;
        let format = &value["format"];
        if *format != FORMAT {
            let why = format!("{MANIFEST} has the format {format}; this build reads {FORMAT}");
            return Err(broken(dir, why));
        }
        let manifest: Self = serde_json::from_value(value).map_err(unreadable)?;
        manifest.check(dir)?;
        Ok(manifest)
    }

    fn check(&self, dir: &Path) -> Result<()> {
        if self.rows != total(&self.parts) {
            return Err(broken(dir, format!("{MANIFEST} contradicts itself")));
        }
        for (number, part) in self.parts.iter().enumerate() {
            // Names are not taken on trust: they are those of the parts in their order.
            if part.name != part_name(number) {
                let why = format!("{MANIFEST} names {} where part {number} is due", part.name);
                return Err(broken(dir, why));
            }
            let checked = part.content.check(&dir.join(&part.name));
            checked.map_err(|why| broken(dir, format!("{}: {why}", part.name)))?;
        }
        for entry in fs::read_dir(dir).map_err(io(dir))? {
            let name = entry.map_err(io(dir))?.file_name();
            let name = name.to_string_lossy();
            let is_part = name.starts_with("part-") && name.ends_with(".parquet");
            if is_part && !self.parts.iter().any(|part| part.name == name) {
                return Err(broken(dir, format!("{MANIFEST} does not list {name}")));
            }
        }
        Ok(())
    }
}

fn total(parts: &[Part]) -> u64 {
    parts.iter().fold(0, |rows, part| rows.saturating_add(part.rows))
}

/// The name of a part.
pub(crate) fn part_name(number: usize) -> String {
    format!("part-{number:06}.parquet")
}

fn broken(dir: &Path, why: impl ToString) -> Error {
    Error::Folder {
        dir: dir.display().to_string(),
        why: why.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use arrow::array::{Int64Array, RecordBatch};

    use super::*;
    use crate::table::{PartWriter, TableVersion};

    /// A folder of three parts with two, two and one rows.
    fn folder(dir: &Path) -> (PathBuf, Vec<String>) {
        let folder = dir.join("features");
        let rows = Arc::new(Int64Array::from_iter_values(0..5)) as _;
        let rows = RecordBatch::try_from_iter([("id", rows)]).unwrap();
        let mut writer = PartWriter::create(&folder, rows.schema(), 2).unwrap();
        writer.write(&rows).unwrap();
        writer.finish(vec![("of".to_owned(), "this".to_owned())]).unwrap();
        let mut names: Vec<String> = (0..3).map(part_name).collect();
        names.push(MANIFEST.to_owned());
        (folder, names)
    }

    #[track_caller]
    fn refused(folder: &Path, case: &str, names: &str) {
        let error = TableVersion::open_parquet(folder).map(|table| table.rows);
        let error = error.expect_err(case).to_string();
        assert!(
            error.contains("features is not as it was written: ") && error.contains(names),
            "{case}: {error}"
        );
    }

    /// As a process leaves it that is killed while it removes the folder, whatever the order of the system is.
    #[test]
    fn a_folder_of_which_any_files_are_gone_is_refused() {
        for gone in 1..16 {
            let dir = tempfile::tempdir().unwrap();
            let (folder, names) = folder(dir.path());
            assert_eq!(TableVersion::open_parquet(&folder).unwrap().rows, 5);
            for (file, name) in names.iter().enumerate() {
                if gone >> file & 1 == 1 {
                    fs::remove_file(folder.join(name)).unwrap();
                }
            }
            refused(&folder, &format!("{gone:04b}"), "");
        }
    }

    #[test]
    fn any_change_of_a_part_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, names) = folder(dir.path());
        let before: Vec<Vec<u8>> = names
            .iter()
            .map(|name| fs::read(folder.join(name)).unwrap())
            .collect();
        let write = |file: usize, bytes: &[u8]| fs::write(folder.join(&names[file]), bytes).unwrap();
        for part in 0..3 {
            let content = &before[part];
            for cut in [0, content.len() / 2, content.len() - 1] {
                write(part, &content[..cut]);
                refused(&folder, &format!("part {part} cut to {cut}"), &names[part]);
            }
            write(part, &[&content[..], b"\n"].concat());
            refused(&folder, &format!("part {part} is longer"), &names[part]);
            for at in 0..content.len() {
                let mut edited = content.clone();
                edited[at] ^= 1;
                write(part, &edited);
                refused(&folder, &format!("part {part} edited at {at}"), &names[part]);
            }
            write(part, content);
        }
        write(0, &before[1]);
        write(1, &before[0]);
        refused(&folder, "exchanged", &names[0]);
        write(0, &before[0]);
        write(1, &before[1]);
        fs::write(folder.join(part_name(3)), &before[0]).unwrap();
        refused(&folder, "added", "does not list part-000003.parquet");
        fs::remove_file(folder.join(part_name(3))).unwrap();
        assert_eq!(TableVersion::open_parquet(&folder).unwrap().rows, 5);
    }

    #[test]
    fn a_manifest_that_is_none_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, _) = folder(dir.path());
        let path = folder.join(MANIFEST);
        let text = fs::read_to_string(&path).unwrap();
        for cut in [0, 1, text.len() / 2, text.len() - 3] {
            fs::write(&path, &text[..cut]).unwrap();
            refused(&folder, &format!("cut to {cut}"), "manifest.json cannot be read");
        }
        for (from, to, says) in [
            (
                "\"format\": 1",
                "\"format\": 2",
                "has the format 2; this build reads 1",
            ),
            ("\"rows\": 5", "\"rows\": 4", "contradicts itself"),
            ("part-000001", "part-000000", "where part 1 is due"),
            ("part-000001.parquet", "../../elsewhere", "where part 1 is due"),
        ] {
            assert!(text.contains(from), "{from}");
            fs::write(&path, text.replace(from, to)).unwrap();
            refused(&folder, from, says);
        }
    }

    #[test]
    fn a_folder_takes_the_place_of_another_whole() {
        let dir = tempfile::tempdir().unwrap();
        folder(dir.path());
        let before = TableVersion::open_parquet(&dir.path().join("features")).unwrap();
        let rows = Arc::new(Int64Array::from_iter_values(0..1)) as _;
        let rows = RecordBatch::try_from_iter([("id", rows)]).unwrap();
        let mut writer = PartWriter::create(&before.dir, rows.schema(), 2).unwrap();
        writer.write(&rows).unwrap();
        // Until it is finished, the other is there.
        assert_eq!(
            TableVersion::open_parquet(&before.dir).unwrap().files,
            before.files
        );
        let written = writer.finish(vec![]).unwrap();
        let opened = TableVersion::open_parquet(&before.dir).unwrap();
        assert_eq!((opened.rows, &opened.files), (1, &written.files));
        let entries: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(entries.len(), 1, "{entries:?}");
    }
}
