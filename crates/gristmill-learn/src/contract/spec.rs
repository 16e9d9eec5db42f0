//! Writing and reading step specs. Whatever is read is checked: a spec may come from a foreign file.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::Array;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::contract::step::StepSpec;
use crate::error::{Error, Result};

impl StepSpec {
    pub(crate) fn new(kind: &str, settings: Value) -> Self {
        Self {
            kind: kind.to_owned(),
            settings,
            arrays: BTreeMap::new(),
        }
    }

    pub(crate) fn with(mut self, name: &str, array: impl Array + 'static) -> Self {
        self.arrays.insert(name.to_owned(), Arc::new(array));
        self
    }

    pub(crate) fn settings<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.settings).map_err(|error| self.bad(error.to_string()))
    }

    pub(crate) fn array<A: Array + 'static>(&self, name: &str) -> Result<&A> {
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

    pub(crate) fn bad(&self, why: impl Into<String>) -> Error {
        Error::Spec {
            kind: self.kind.clone(),
            why: why.into(),
        }
    }
}
