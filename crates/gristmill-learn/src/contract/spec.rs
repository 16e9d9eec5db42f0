//! Writing and reading specs. Whatever is read is checked: a spec may come from a foreign file.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, make_array};
use arrow::datatypes::{Field, Schema};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::contract::lists::one_list;
use crate::error::{Error, Result};

/// Keys of the metadata of a spec's schema.
const KIND: &str = "kind";
const SETTINGS: &str = "settings";

/// What a fitted step or a pass is rebuilt from: a name, small settings, and large arrays kept apart so that a bundle can store them raw.
#[derive(Debug, Clone)]
pub struct StepSpec {
    /// The registered name, e.g. `one_hot`.
    pub kind: String,
    /// Small settings, as JSON.
    pub settings: Value,
    /// Large content. Allowed types of those in a bundle: UInt32, UInt64, Float32, Float64, Utf8; no nulls.
    pub arrays: BTreeMap<String, ArrayRef>,
}

/// The typed settings of a kind from the values of its keys.
///
/// # Errors
/// `Spec` when one is missing or has another type than its key says.
pub fn read_settings<T: DeserializeOwned>(kind: &str, settings: Value) -> Result<T> {
    T::deserialize(settings).map_err(|error| Error::Spec {
        kind: kind.to_owned(),
        why: error.to_string(),
    })
}

impl StepSpec {
    /// A spec of this kind, without arrays.
    pub fn new(kind: &str, settings: Value) -> Self {
        Self {
            kind: kind.to_owned(),
            settings,
            arrays: BTreeMap::new(),
        }
    }

    /// The same with an array.
    pub fn with(mut self, name: &str, array: impl Array + 'static) -> Self {
        // An array of any type is not wrapped once more: it would no longer be found by its type.
        let array = make_array(array.to_data());
        self.arrays.insert(name.to_owned(), array);
        self
    }

    /// Its settings.
    ///
    /// # Errors
    /// `Spec` when they are not of this type.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.settings).map_err(|error| self.bad(error.to_string()))
    }

    /// An array of any type, which shares its memory with the spec's.
    pub(crate) fn any_array(&self, name: &str) -> Result<ArrayRef> {
        let array = self.arrays.get(name);
        array
            .cloned()
            .ok_or_else(|| self.bad(format!("it has no array `{name}`")))
    }

    /// One of its arrays.
    ///
    /// # Errors
    /// `Spec` when it is not there, has another type, or has nulls.
    pub fn array<A: Array + 'static>(&self, name: &str) -> Result<&A> {
        let array = self
            .arrays
            .get(name)
            .ok_or_else(|| self.bad(format!("it has no array `{name}`")))?;
        array
            .as_any()
            .downcast_ref()
            .filter(|typed: &&A| typed.null_count() == 0)
            .ok_or_else(|| {
                self.bad(format!(
                    "array `{name}` has nulls or the wrong type {}",
                    array.data_type()
                ))
            })
    }

    /// A spec that holds others: their arrays are named after their places, as `0.weights`.
    pub fn nested(kind: &str, settings: Value, inner: Vec<Self>) -> Self {
        let mut specs = Vec::with_capacity(inner.len());
        let mut arrays = BTreeMap::new();
        for (place, spec) in inner.into_iter().enumerate() {
            specs.push(json!({"kind": spec.kind, "settings": spec.settings}));
            let named = spec.arrays.into_iter();
            arrays.extend(named.map(|(name, array)| (format!("{place}.{name}"), array)));
        }
        Self {
            kind: kind.to_owned(),
            settings: json!({"settings": settings, "inner": specs}),
            arrays,
        }
    }

    /// The settings and the specs of [`StepSpec::nested`].
    ///
    /// # Errors
    /// `Spec` when it is none of those, or its settings are not of this type.
    pub fn unnested<T: DeserializeOwned>(&self) -> Result<(T, Vec<Self>)> {
        #[derive(Deserialize)]
        struct Inner {
            kind: String,
            settings: Value,
        }
        #[derive(Deserialize)]
        struct Nested<T> {
            settings: T,
            inner: Vec<Inner>,
        }
        let nested: Nested<T> = self.settings()?;
        let inner = nested.inner.into_iter().enumerate().map(|(place, inner)| {
            let prefix = format!("{place}.");
            let arrays = self.arrays.iter();
            let arrays = arrays.filter_map(|(name, array)| {
                Some((name.strip_prefix(&prefix)?.to_owned(), Arc::clone(array)))
            });
            Self {
                kind: inner.kind,
                settings: inner.settings,
                arrays: arrays.collect(),
            }
        });
        Ok((nested.settings, inner.collect()))
    }

    /// The spec as an Arrow IPC stream, to be sent to another process: one row with the list of each array, and kind and
    /// settings in the metadata of the schema.
    ///
    /// # Errors
    /// When the arrays cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let lists: Vec<ArrayRef> = self
            .arrays
            .values()
            .cloned()
            .map(one_list)
            .collect::<Result<_>>()?;
        let names = self.arrays.keys().zip(&lists);
        let fields: Vec<Field> = names
            .map(|(name, list)| Field::new(name, list.data_type().clone(), false))
            .collect();
        let metadata = [(KIND, self.kind.clone()), (SETTINGS, self.settings.to_string())];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
        let schema = Arc::new(Schema::new(fields).with_metadata(metadata.into()));
        let one_row = RecordBatchOptions::new().with_row_count(Some(1));
        let row = RecordBatch::try_new_with_options(Arc::clone(&schema), lists, &one_row)?;
        let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
        writer.write(&row)?;
        Ok(writer.into_inner()?)
    }

    /// The spec that [`StepSpec::to_bytes`] wrote.
    ///
    /// # Errors
    /// When these are no such bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let bad = |why: &str| Error::Spec {
            kind: "unknown".to_owned(),
            why: why.to_owned(),
        };
        let mut reader = StreamReader::try_new(bytes, None)?;
        let schema = reader.schema();
        let (Some(kind), Some(settings)) = (schema.metadata().get(KIND), schema.metadata().get(SETTINGS))
        else {
            return Err(bad("the stream has no kind or no settings"));
        };
        let row = reader.next().transpose()?;
        let row = row
            .filter(|row| row.num_rows() == 1)
            .ok_or_else(|| bad("the stream is not one row"))?;
        let mut arrays = BTreeMap::new();
        for (field, list) in schema.fields().iter().zip(row.columns()) {
            let list = list.as_list_opt::<i64>().filter(|list| list.is_valid(0));
            let list = list.ok_or_else(|| bad("an array is not in a list"))?;
            arrays.insert(field.name().clone(), list.value(0));
        }
        Ok(Self {
            kind: kind.clone(),
            settings: serde_json::from_str(settings).map_err(|error| bad(&error.to_string()))?,
            arrays,
        })
    }

    /// `Spec`: why nothing can be rebuilt from it.
    pub fn bad(&self, why: impl Into<String>) -> Error {
        Error::Spec {
            kind: self.kind.clone(),
            why: why.into(),
        }
    }
}
