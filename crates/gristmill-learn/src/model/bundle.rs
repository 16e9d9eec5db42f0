//! The model bundle: one portable safetensors file with all that prediction needs, and where the model came from.
//!
//! Layout: the tensors `coefficients` (features × sets), `intercepts` (sets) and, if there are any, `thresholds` (classes);
//! one tensor `step<i>.<name>` an array of
//! step `i` (text as `….bytes` with `….offsets`); and under the metadata key `gristmill` a JSON object: format version,
//! steps, model, provenance, checksum. Nothing in it depends on how the model was computed (batches, threads, time,
//! machine), so that the same data gives the same bytes. Any safetensors reader opens it.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::array::{Float32Array, Float64Array, PrimitiveArray, UInt32Array, UInt64Array};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float32Type, Float64Type, UInt32Type, UInt64Type};
use safetensors::tensor::{Metadata, TensorInfo, TensorView};
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xxhash_rust::xxh3::Xxh3;

use crate::contract::step::StepSpec;
use crate::error::{Error, Result};
use crate::model::thresholds::Thresholds;
use crate::model::{Coefficients, LinearModel, ModelKind};

/// The version of the layout that this build writes; it reads this one only.
const FORMAT: u32 = 1;
/// The metadata key.
const KEY: &str = "gristmill";
/// Bytes that a bundle may have.
const MAX_BYTES: u64 = 64 << 30;

#[cfg(target_endian = "big")]
compile_error!("tensors are read and written in place, which needs a little-endian machine");

/// A model with its transformers and its provenance.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The fitted steps before the model.
    pub steps: Vec<StepSpec>,
    /// The model.
    pub model: LinearModel,
    /// Where it came from.
    pub provenance: Provenance,
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
    format: u32,
    model: ModelHeader,
    steps: Vec<StepHeader>,
    provenance: Provenance,
    /// XXH3-128 over names and bytes of the tensors, in the order of their names.
    checksum: String,
}

#[derive(Serialize, Deserialize)]
struct ModelHeader {
    kind: String,
    classes: usize,
    features: usize,
    sets: usize,
}

#[derive(Serialize, Deserialize)]
struct StepHeader {
    kind: String,
    settings: Value,
}

/// A named tensor on its way to or from a file.
struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Buffer,
}

impl Bundle {
    /// Writes the bundle.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let tensors = self.tensors().map_err(io::Error::other)?;
        let header = Header {
            format: FORMAT,
            model: ModelHeader {
                kind: self.model.kind().name().to_owned(),
                classes: self.model.classes(),
                features: self.model.features(),
                sets: self.model.sets(),
            },
            steps: self
                .steps
                .iter()
                .map(|s| StepHeader {
                    kind: s.kind.clone(),
                    settings: s.settings.clone(),
                })
                .collect(),
            provenance: self.provenance.clone(),
            checksum: checksum(tensors.iter().map(|(n, t)| (n.as_str(), t.bytes.as_slice()))),
        };
        write_tensors(
            tensors,
            HashMap::from([(KEY.to_owned(), serde_json::to_string(&header)?)]),
            out,
        )
    }

    /// Reads a bundle.
    ///
    /// # Errors
    /// `Bundle` when the file cannot be read, is no bundle, cut short, damaged, or of another format version.
    pub fn read(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(|e| bad(path, e))?;
        let length = file.metadata().map_err(|e| bad(path, e))?.len();
        if length > MAX_BYTES {
            return Err(bad(
                path,
                format!("it has {length} bytes, more than the limit of {MAX_BYTES}"),
            ));
        }
        let mut bytes = Vec::with_capacity(length as usize);
        file.read_to_end(&mut bytes).map_err(|e| bad(path, e))?;
        let (_, metadata) = SafeTensors::read_metadata(&bytes)
            .map_err(|e| bad(path, format!("{e}; it is cut short, or not a model at all")))?;
        let header = metadata
            .metadata()
            .as_ref()
            .and_then(|m| m.get(KEY))
            .ok_or_else(|| bad(path, "it is a safetensors file, but not written by gristmill"))?;
        let version: Value = serde_json::from_str(header).map_err(|e| bad(path, e))?;
        if version.get("format").and_then(Value::as_u64) != Some(u64::from(FORMAT)) {
            let given = version.get("format").unwrap_or(&Value::Null);
            return Err(bad(
                path,
                format!("its format is version {given}; this build reads version {FORMAT}"),
            ));
        }
        let header: Header = serde_json::from_value(version).map_err(|e| bad(path, e))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| bad(path, e))?;
        let tensors: BTreeMap<String, TensorView<'_>> = tensors.tensors().into_iter().collect();
        if checksum(tensors.iter().map(|(n, t)| (n.as_str(), t.data()))) != header.checksum {
            return Err(bad(path, "its checksum does not match: the file is damaged"));
        }
        let model = read_model(&header.model, &tensors).map_err(|why| bad(path, why))?;
        let steps = header.steps.into_iter().enumerate().map(|(i, step)| {
            let arrays = read_arrays(&format!("step{i}."), &tensors).map_err(|why| bad(path, why))?;
            Ok(StepSpec {
                kind: step.kind,
                settings: step.settings,
                arrays,
            })
        });
        Ok(Self {
            steps: steps.collect::<Result<_>>()?,
            model,
            provenance: header.provenance,
        })
    }

    fn tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut tensors = BTreeMap::new();
        let sets = self.model.sets();
        let split = self.model.features() * sets;
        let (dtype, size, all) = match self.model.coefficients() {
            Coefficients::F32(c) => (Dtype::F32, 4, Buffer::from_vec(c)),
            Coefficients::F64(c) => (Dtype::F64, 8, Buffer::from_vec(c)),
        };
        let tensor = |shape, bytes| Tensor { dtype, shape, bytes };
        let coefficients = tensor(
            vec![self.model.features(), sets],
            all.slice_with_length(0, split * size),
        );
        tensors.insert("coefficients".to_owned(), coefficients);
        tensors.insert(
            "intercepts".to_owned(),
            tensor(vec![sets], all.slice(split * size)),
        );
        if let Some(thresholds) = self.model.thresholds().values() {
            let bytes = Buffer::from_vec(thresholds.to_vec());
            let shape = vec![thresholds.len()];
            let dtype = Dtype::F64;
            tensors.insert("thresholds".to_owned(), Tensor { dtype, shape, bytes });
        }
        for (i, step) in self.steps.iter().enumerate() {
            for (name, array) in &step.arrays {
                add_array(&mut tensors, format!("step{i}.{name}"), array)?;
            }
        }
        Ok(tensors)
    }
}

fn add_array(tensors: &mut BTreeMap<String, Tensor>, name: String, array: &ArrayRef) -> Result<()> {
    fn primitive<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, dtype: Dtype) -> Tensor {
        Tensor {
            dtype,
            shape: vec![array.len()],
            bytes: array.values().inner().clone(),
        }
    }
    let unsupported = || Error::State {
        pass: "bundle",
        why: format!("{name}: {}", array.data_type()),
    };
    if array.null_count() > 0 {
        return Err(unsupported());
    }
    let tensor = match array.data_type() {
        DataType::UInt32 => primitive(array.as_primitive::<UInt32Type>(), Dtype::U32),
        DataType::UInt64 => primitive(array.as_primitive::<UInt64Type>(), Dtype::U64),
        DataType::Float32 => primitive(array.as_primitive::<Float32Type>(), Dtype::F32),
        DataType::Float64 => primitive(array.as_primitive::<Float64Type>(), Dtype::F64),
        DataType::Utf8 => {
            let text = array.as_string::<i32>();
            let first = text.value_offsets()[0];
            let offsets: Vec<u32> = text.value_offsets().iter().map(|o| (o - first) as u32).collect();
            let length = offsets.last().copied().unwrap_or(0) as usize;
            let bytes = text.values().slice_with_length(first as usize, length);
            tensors.insert(
                format!("{name}.bytes"),
                Tensor {
                    dtype: Dtype::U8,
                    shape: vec![length],
                    bytes,
                },
            );
            let shape = vec![offsets.len()];
            let offsets = Tensor {
                dtype: Dtype::U32,
                shape,
                bytes: Buffer::from_vec(offsets),
            };
            tensors.insert(format!("{name}.offsets"), offsets);
            return Ok(());
        }
        _ => return Err(unsupported()),
    };
    tensors.insert(name, tensor);
    Ok(())
}

fn read_model(
    header: &ModelHeader,
    tensors: &BTreeMap<String, TensorView<'_>>,
) -> std::result::Result<LinearModel, String> {
    let kind = ModelKind::deserialize(Value::from(header.kind.as_str())).map_err(|_| {
        format!(
            "it is a model of kind `{}`, which this build does not know",
            header.kind
        )
    })?;
    let tensor = |name: &str| {
        tensors
            .get(name)
            .ok_or_else(|| format!("tensor `{name}` is missing"))
    };
    let (coefficients, intercepts) = (tensor("coefficients")?, tensor("intercepts")?);
    if coefficients.dtype() != intercepts.dtype() {
        return Err("coefficients and intercepts have different types".to_owned());
    }
    let bytes = [coefficients.data(), intercepts.data()].concat();
    let coefficients = match coefficients.dtype() {
        Dtype::F32 => Coefficients::F32(numbers::<Float32Type>(&bytes)),
        Dtype::F64 => Coefficients::F64(numbers::<Float64Type>(&bytes)),
        other => return Err(format!("coefficients of type {other:?}")),
    };
    let finite = match &coefficients {
        Coefficients::F32(c) => c.iter().all(|c| c.is_finite()),
        Coefficients::F64(c) => c.iter().all(|c| c.is_finite()),
    };
    if !finite {
        return Err("a coefficient is not a number".to_owned());
    }
    let model =
        LinearModel::from_coefficients(kind, header.features, header.sets, header.classes, &coefficients)
            .ok_or("the coefficients do not have the shape that the header states")?;
    let Some(thresholds) = tensors.get("thresholds") else {
        return Ok(model);
    };
    let values = numbers::<Float64Type>(thresholds.data());
    let fit = thresholds.dtype() == Dtype::F64 && values.len() == header.classes;
    let thresholds = fit.then(|| Thresholds::from_values(values)).flatten();
    Ok(model.with_thresholds(thresholds.ok_or("the thresholds are not one number a class")?))
}

fn read_arrays(
    prefix: &str,
    tensors: &BTreeMap<String, TensorView<'_>>,
) -> std::result::Result<BTreeMap<String, ArrayRef>, String> {
    let mut arrays: BTreeMap<String, ArrayRef> = BTreeMap::new();
    for (full, tensor) in tensors.iter().filter(|(name, _)| name.starts_with(prefix)) {
        let name = &full[prefix.len()..];
        let (name, array): (&str, ArrayRef) = match tensor.dtype() {
            Dtype::U32 if name.ends_with(".offsets") => continue,
            Dtype::U8 => {
                let name = name
                    .strip_suffix(".bytes")
                    .ok_or_else(|| format!("tensor `{full}` is not expected"))?;
                let offsets = tensors
                    .get(&format!("{prefix}{name}.offsets"))
                    .ok_or_else(|| format!("tensor `{full}` has no offsets"))?;
                (
                    name,
                    Arc::new(
                        text(tensor.data(), offsets.data()).ok_or_else(|| format!("`{full}` is damaged"))?,
                    ),
                )
            }
            Dtype::U32 => (
                name,
                Arc::new(UInt32Array::from(numbers::<UInt32Type>(tensor.data()))),
            ),
            Dtype::U64 => (
                name,
                Arc::new(UInt64Array::from(numbers::<UInt64Type>(tensor.data()))),
            ),
            Dtype::F32 => (
                name,
                Arc::new(Float32Array::from(numbers::<Float32Type>(tensor.data()))),
            ),
            Dtype::F64 => (
                name,
                Arc::new(Float64Array::from(numbers::<Float64Type>(tensor.data()))),
            ),
            other => return Err(format!("tensor `{full}` has type {other:?}")),
        };
        arrays.insert(name.to_owned(), array);
    }
    Ok(arrays)
}

fn text(bytes: &[u8], offsets: &[u8]) -> Option<StringArray> {
    let offsets: Option<Vec<i32>> = numbers::<UInt32Type>(offsets)
        .into_iter()
        .map(|o| i32::try_from(o).ok())
        .collect();
    let offsets = offsets.filter(|o| o.first() == Some(&0) && o.is_sorted())?;
    StringArray::try_new(
        OffsetBuffer::new(ScalarBuffer::from(offsets)),
        Buffer::from(bytes),
        None,
    )
    .ok()
}

/// Copies the bytes into an aligned vector; a remainder shorter than one number is left out.
fn numbers<T: ArrowPrimitiveType>(bytes: &[u8]) -> Vec<T::Native> {
    let count = bytes.len() / size_of::<T::Native>();
    // `Buffer::from` a slice copies into an allocation aligned for every Arrow type.
    let aligned = Buffer::from(&bytes[..count * size_of::<T::Native>()]);
    ScalarBuffer::<T::Native>::new(aligned, 0, count).to_vec()
}

/// Writes the layout of safetensors, whose own writer wants either all bytes in memory once more or a path. Tensors come in the
/// order of their types, the widest first, and then of their names.
fn write_tensors(
    tensors: impl IntoIterator<Item = (String, Tensor)>,
    metadata: HashMap<String, String>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut tensors: Vec<(String, Tensor)> = tensors.into_iter().collect();
    tensors.sort_by(|(name, tensor), (other_name, other)| {
        other.dtype.cmp(&tensor.dtype).then_with(|| name.cmp(other_name))
    });
    let mut end = 0;
    let infos = tensors.iter().map(|(name, tensor)| {
        let begin = end;
        end += tensor.bytes.len();
        let info = TensorInfo {
            dtype: tensor.dtype,
            shape: tensor.shape.clone(),
            data_offsets: (begin, end),
        };
        (name.clone(), info)
    });
    let metadata = Metadata::new(Some(metadata), infos.collect()).map_err(io::Error::other)?;
    let mut header = serde_json::to_vec(&metadata)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    tensors
        .iter()
        .try_for_each(|(_, tensor)| out.write_all(&tensor.bytes))
}

fn checksum<'a>(tensors: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut hash = Xxh3::new();
    for (name, bytes) in tensors {
        hash.update(&(name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    format!("{:032x}", hash.digest128())
}

fn bad(path: &Path, why: impl ToString) -> Error {
    Error::Bundle {
        file: path.display().to_string(),
        why: why.to_string(),
    }
}
