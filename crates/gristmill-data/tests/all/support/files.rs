//! Temporary Parquet, CSV and Delta files.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder of files that goes with the test.
pub struct TempFiles {
    pub dir: TempDir,
}

impl TempFiles {
    pub fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `scheme:` and the path.
    pub fn url(&self, scheme: &str, name: &str) -> String {
        format!("{scheme}:{}", self.path(name).display())
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), content).unwrap();
    }

    /// Writes rows as Parquet, in row groups of so many.
    pub fn parquet(&self, name: &str, rows: &RecordBatch, group_rows: usize) {
        write_parquet(&self.path(name), rows, group_rows);
    }

    /// Writes a table whose files hold these rows, each with its values of the columns it is partitioned by, which are text
    /// in the log; `extra` is added to the action that adds the file.
    pub fn delta(&self, name: &str, columns: &Schema, files: &[(RecordBatch, Value)], extra: &Value) {
        let dir = self.path(name);
        fs::create_dir_all(dir.join("_delta_log")).unwrap();
        let kind = |kind: &DataType| match kind {
            DataType::Int64 => "long".to_owned(),
            DataType::Float64 => "double".to_owned(),
            DataType::Boolean => "boolean".to_owned(),
            DataType::Date32 => "date".to_owned(),
            DataType::Timestamp(..) => "timestamp".to_owned(),
            _ => "string".to_owned(),
        };
        let fields: Vec<Value> = columns
            .fields()
            .iter()
            .map(|field| {
                json!({"name": field.name(), "type": kind(field.data_type()), "nullable": true, "metadata": {}})
            })
            .collect();
        let partition: Vec<&String> = files
            .iter()
            .take(1)
            .flat_map(|(_, values)| values.as_object().unwrap().keys())
            .collect();
        let mut log = vec![
            json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}),
            json!({"metaData": {
                "id": "5b8d0f5e-0d6f-4f7e-9f4e-0c9f6f1a2b3c", "format": {"provider": "parquet", "options": {}},
                "schemaString": json!({"type": "struct", "fields": fields}).to_string(),
                "partitionColumns": partition, "configuration": extra["configuration"].as_object().cloned().unwrap_or_default(),
            }}),
        ];
        for (number, (rows, values)) in files.iter().enumerate() {
            let file = format!("part-{number}.parquet");
            write_parquet(&dir.join(&file), rows, 1000);
            let size = fs::metadata(dir.join(&file)).unwrap().len();
            let mut add = json!({
                "path": file, "partitionValues": values, "size": size, "modificationTime": 0, "dataChange": true,
                "stats": format!("{{\"numRecords\":{}}}", rows.num_rows()),
            });
            if let Some(vector) = extra.get("deletionVector") {
                add["deletionVector"] = vector.clone();
                log[0] = json!({"protocol": {
                    "minReaderVersion": 3, "minWriterVersion": 7,
                    "readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"],
                }});
            }
            log.push(json!({ "add": add }));
        }
        let text: String = log.iter().map(|action| format!("{action}\n")).collect();
        fs::write(dir.join("_delta_log/00000000000000000000.json"), text).unwrap();
    }
}

pub fn write_parquet(path: &Path, rows: &RecordBatch, group_rows: usize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(group_rows))
        .build();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), rows.schema(), Some(properties)).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
}

/// A batch of these columns.
pub fn columns(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), true))
        .collect();
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}
