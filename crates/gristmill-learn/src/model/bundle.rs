//! The model bundle: one portable safetensors file with all that prediction needs, and where the model came from.
//!
//! Layout of format 5: the tensors of the model (of a linear one `coefficients`, features × sets, and `intercepts`, sets)
//! and, if there are any, `thresholds` (classes); one tensor `step<i>.<name>` for each array of step `i` (text as
//! `….bytes` with `….offsets`); and
//! under the metadata key `gristmill` a JSON object: checksum of the whole file, format, the oldest reader that can read
//! it, model, steps (cleaning of text, encoders, label, split), input columns, provenance. Nothing in it depends on how
//! the model was computed (batches, threads, time, machine), so that the same data gives the same bytes. Any safetensors
//! reader opens it. In format 4 n-grams were of characters as they are, without a form of Unicode. In format 3 the input columns did not say what their text stands for, nor which of them was not cleaned. In format 2 n-grams were hashed with XXH3, and a step did not say with what. Format 1 had no input columns, kept the cleaning in the provenance only, and had a checksum of the
//! tensors alone.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};
use arrow::datatypes::Float64Type;
use safetensors::Dtype;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::contract::model::{Model, ModelSpec, ModelTensor};
use crate::contract::registry::Registry;
use crate::contract::step::StepSpec;
use crate::contract::thresholds::Thresholds;
use crate::error::{Error, Result};
use crate::features::Assembler;
use crate::model::arrays::{add_array, add_tensor, numbers, read_arrays, read_tensors};
use crate::model::input::InputColumn;
use crate::model::tensors::{self, NO_CHECKSUM, Tensor};
use crate::settings::LabelKind;

/// The version of the layout that this build writes.
const FORMAT: u32 = 5;
/// The oldest format whose readers can read what this build writes. Raise it when something is added that a reader must
/// not pass over; what may be passed over (members of JSON objects, tensors that no step asks for) is added without.
const MIN_READER: u32 = 5;
/// Bytes of the coefficients that a model may be trained with: the steps' arrays have the rest of a file.
pub const MAX_COEFFICIENT_BYTES: u64 = tensors::MAX_BYTES / 4 * 3;
/// The kind of the first step: what is done to text before the encoders see it.
pub const CLEAN: &str = "clean";

/// A model with its transformers and its provenance, as a file holds them: they fit each other.
pub struct Bundle {
    /// What is done to text first: a step of kind [`CLEAN`].
    pub clean: StepSpec,
    /// The fitted steps before the model.
    pub assembler: Assembler,
    /// The model.
    pub model: Arc<dyn Model>,
    /// How its probabilities become a predicted class.
    pub thresholds: Thresholds,
    /// The columns that the steps read in training; empty in a bundle of format 1.
    pub input: Vec<InputColumn>,
    /// Where it came from.
    pub provenance: Provenance,
    /// The XXH3-128 of the file, in hexadecimal.
    pub hash: String,
}

/// What a bundle is written from.
#[derive(Clone, Copy)]
pub struct Contents<'a> {
    /// As [`Bundle::clean`].
    pub clean: &'a StepSpec,
    /// As [`Bundle::assembler`].
    pub assembler: &'a Assembler,
    /// As [`Bundle::model`].
    pub model: &'a dyn Model,
    /// As [`Bundle::thresholds`].
    pub thresholds: &'a Thresholds,
    /// As [`Bundle::input`].
    pub input: &'a [InputColumn],
    /// As [`Bundle::provenance`].
    pub provenance: &'a Provenance,
}

/// Where a model came from: only what is the same whenever the same data is trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The version of Gristmill that trained it.
    pub gristmill: String,
    /// The settings that shape the model.
    pub settings: Value,
    /// Their hash.
    pub settings_hash: String,
    /// The content hash of the dataset.
    pub dataset_hash: String,
    /// The hash of the model that the training started from, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_start: Option<String>,
    /// Rows of the dataset, and of each split.
    pub rows: Value,
    /// The chosen point of the grid.
    pub best: Value,
    /// The scores of each split.
    pub metrics: Value,
}

#[derive(Serialize, Deserialize)]
struct Header {
    /// First, where [`tensors`] finds it.
    checksum: String,
    format: u32,
    /// The oldest format whose readers can read this file; format 1 did not say.
    #[serde(default)]
    min_reader: u32,
    model: ModelHeader,
    steps: Vec<StepHeader>,
    #[serde(default)]
    input: Vec<InputColumn>,
    provenance: Provenance,
}

#[derive(Serialize, Deserialize)]
struct ModelHeader {
    kind: String,
    classes: usize,
    features: usize,
    #[serde(flatten)]
    settings: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
struct StepHeader {
    kind: String,
    settings: Value,
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle")
            .field("provenance", &self.provenance)
            .finish_non_exhaustive()
    }
}

impl Contents<'_> {
    /// Writes the bundle.
    ///
    /// # Errors
    /// `InvalidData` when its parts do not fit each other or it is too large to be read again; else what `out` says.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        check(self.assembler, self.model, self.thresholds).map_err(invalid)?;
        let model = self.model.spec();
        let mut steps = vec![self.clean.clone()];
        steps.extend(self.assembler.specs());
        let header = Header {
            checksum: NO_CHECKSUM.to_owned(),
            format: FORMAT,
            min_reader: MIN_READER,
            model: ModelHeader {
                kind: model.kind,
                classes: model.classes,
                features: model.features,
                settings: model.settings,
            },
            steps: steps
                .iter()
                .map(|step| StepHeader {
                    kind: step.kind.clone(),
                    settings: step.settings.clone(),
                })
                .collect(),
            input: self.input.to_vec(),
            provenance: self.provenance.clone(),
        };
        let tensors =
            tensors_of(model.tensors, self.thresholds, &steps).map_err(|e| invalid(e.to_string()))?;
        tensors::write(serde_json::to_string(&header)?, tensors, out)
    }
}

impl Bundle {
    /// Reads a bundle, whose parts are of these kinds.
    ///
    /// # Errors
    /// `Bundle` when the file cannot be read, is no bundle, cut short, damaged, larger than a bundle may be, needs a newer
    /// reader, or holds parts that do not fit each other.
    pub fn read(path: &Path, kinds: &Registry) -> Result<Self> {
        let file = File::open(path).map_err(|e| bad(path, e))?;
        let length = file.metadata().map_err(|e| bad(path, e))?.len();
        read(&mut BufReader::new(file), length, Seal::Checked, kinds).map_err(|why| bad(path, why))
    }

    /// What it would be written from.
    pub fn contents(&self) -> Contents<'_> {
        Contents {
            clean: &self.clean,
            assembler: &self.assembler,
            model: self.model.as_ref(),
            thresholds: &self.thresholds,
            input: &self.input,
            provenance: &self.provenance,
        }
    }
}

/// Whether the checksum is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seal {
    Checked,
    /// A fuzzer cannot guess it, and an attacker can.
    #[cfg(any(test, feature = "fuzzing"))]
    Ignored,
}

/// Reads a bundle of so many bytes.
pub(crate) fn read(
    from: &mut impl Read,
    length: u64,
    seal: Seal,
    kinds: &Registry,
) -> std::result::Result<Bundle, String> {
    let file = tensors::Header::read(from, length)?;
    let json: Value = serde_json::from_str(&file.text).map_err(|e| e.to_string())?;
    let format = readable(&json)?;
    let file = file.tensors(from)?;
    let damaged = if format == 1 {
        json.get("checksum").and_then(Value::as_str) != Some(&file.checksum_of_format_1())
    } else {
        !file.seal_holds()
    };
    if damaged && seal == Seal::Checked {
        return Err("its checksum does not match: the file is damaged".to_owned());
    }
    let header: Header = serde_json::from_value(json).map_err(|e| e.to_string())?;
    let (tensors, hash) = (file.by_name, file.hash);
    let thresholds = read_thresholds(&tensors)?;
    let model = read_model(header.model, &tensors, kinds)?;
    let mut steps = Vec::with_capacity(header.steps.len() + 1);
    if format == 1 {
        let settings = header.provenance.settings.get(CLEAN);
        steps.push(StepSpec::new(CLEAN, settings.cloned().unwrap_or(Value::Null)));
    }
    let mut arrays = read_arrays(&tensors)?;
    for (i, step) in header.steps.into_iter().enumerate() {
        steps.push(StepSpec {
            kind: step.kind,
            settings: step.settings,
            arrays: arrays.remove(&i).unwrap_or_default(),
        });
    }
    drop(tensors);
    let mut steps = steps.into_iter();
    let clean = steps.next().ok_or("it has no steps")?;
    if clean.kind != CLEAN {
        return Err(format!("its first step is `{}`, not `{CLEAN}`", clean.kind));
    }
    let steps: Vec<StepSpec> = steps.collect();
    let assembler = Assembler::from_specs(&steps, kinds).map_err(|e| e.to_string())?;
    check(&assembler, model.as_ref(), &thresholds)?;
    Ok(Bundle {
        clean,
        assembler,
        model,
        thresholds,
        input: header.input,
        provenance: header.provenance,
        hash,
    })
}

/// The format of a header, if this build can read it.
fn readable(header: &Value) -> std::result::Result<u64, String> {
    let number = |name: &str| header.get(name).and_then(Value::as_u64);
    let format = number("format").filter(|format| *format > 0);
    let needed = match format {
        None => return Err("it does not say which format it has".to_owned()),
        Some(1) => 1,
        Some(_) => number("min_reader").ok_or("it does not say which reader it needs")?,
    };
    if needed > u64::from(FORMAT) {
        let by = &header["provenance"]["gristmill"];
        let by = by.as_str().map_or("a later version", |version| version);
        return Err(format!(
            "it needs a reader of format {needed}, and this build reads formats 1 to {FORMAT}; \
             use gristmill {by}, which wrote it, or a later one"
        ));
    }
    Ok(format.unwrap_or_default())
}

/// Checks that a model is that of these features and this label, so that nothing needs to be checked where it is used.
///
/// # Errors
/// What does not fit.
pub fn check(
    assembler: &Assembler,
    model: &dyn Model,
    thresholds: &Thresholds,
) -> std::result::Result<(), String> {
    let number = assembler.label().kind() == LabelKind::Number;
    if number != (model.classes() == 0) {
        return Err(format!("its label is not one of a {}", model.kind()));
    }
    let sizes = [
        ("features", assembler.width() as usize, model.features()),
        ("classes", assembler.classes().len(), model.classes()),
    ];
    for (what, of_steps, of_model) in sizes {
        if of_steps != of_model {
            return Err(format!(
                "its steps give {of_steps} {what}, and its model has {of_model}"
            ));
        }
    }
    if thresholds
        .values()
        .is_some_and(|values| values.len() != model.classes())
    {
        return Err(THRESHOLDS_MISFIT.to_owned());
    }
    model.check()
}

const THRESHOLDS: &str = "thresholds";
const THRESHOLDS_MISFIT: &str = "the thresholds are not one number a class";

fn tensors_of(
    model: BTreeMap<String, ModelTensor>,
    thresholds: &Thresholds,
    steps: &[StepSpec],
) -> Result<BTreeMap<String, Tensor>> {
    let mut tensors = BTreeMap::new();
    for (name, ModelTensor { values, shape }) in model {
        if name == THRESHOLDS || name.starts_with("step") {
            return Err(Error::State {
                pass: "bundle",
                why: format!("a tensor of a model cannot be called `{name}`"),
            });
        }
        add_tensor(&mut tensors, name, &values, shape)?;
    }
    if let Some(thresholds) = thresholds.values() {
        let values: ArrayRef = Arc::new(Float64Array::from(thresholds.to_vec()));
        add_array(&mut tensors, THRESHOLDS.to_owned(), &values)?;
    }
    for (i, step) in steps.iter().enumerate() {
        for (name, array) in &step.arrays {
            add_array(&mut tensors, format!("step{i}.{name}"), array)?;
        }
    }
    Ok(tensors)
}

fn read_model(
    header: ModelHeader,
    tensors: &BTreeMap<String, Tensor>,
    kinds: &Registry,
) -> std::result::Result<Arc<dyn Model>, String> {
    let spec = ModelSpec {
        kind: header.kind,
        classes: header.classes,
        features: header.features,
        settings: header.settings,
        tensors: read_tensors(tensors, |name| name != THRESHOLDS),
    };
    kinds.model_from_spec(&spec).map_err(|error| match error {
        Error::Spec { why, .. } => why,
        other => other.to_string(),
    })
}

fn read_thresholds(tensors: &BTreeMap<String, Tensor>) -> std::result::Result<Thresholds, String> {
    let Some(thresholds) = tensors.get(THRESHOLDS) else {
        return Ok(Thresholds::default());
    };
    let values = numbers::<Float64Type>(&thresholds.bytes).to_vec();
    let of_this_type = (thresholds.dtype == Dtype::F64).then_some(values);
    let thresholds = of_this_type.and_then(Thresholds::from_values);
    thresholds.ok_or_else(|| THRESHOLDS_MISFIT.to_owned())
}

fn bad(path: &Path, why: impl ToString) -> Error {
    Error::Bundle {
        file: path.display().to_string(),
        why: why.to_string(),
    }
}
