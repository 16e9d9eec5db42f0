//! Arrays of steps as tensors of a bundle, and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int64Type, UInt32Type, UInt64Type,
};
use safetensors::Dtype;

use crate::contract::model::ModelTensor;
use crate::error::{Error, Result};
use crate::model::tensors::Tensor;

/// Adds an array of numbers of this shape.
pub(super) fn add_tensor(
    tensors: &mut BTreeMap<String, Tensor>,
    name: String,
    array: &ArrayRef,
    shape: Vec<usize>,
) -> Result<()> {
    fn primitive<T: ArrowPrimitiveType>(array: &ArrayRef, dtype: Dtype) -> (Dtype, Buffer) {
        (dtype, array.as_primitive::<T>().values().inner().clone())
    }
    let (dtype, bytes) = match array.data_type() {
        DataType::UInt32 => primitive::<UInt32Type>(array, Dtype::U32),
        DataType::UInt64 => primitive::<UInt64Type>(array, Dtype::U64),
        DataType::Int64 => primitive::<Int64Type>(array, Dtype::I64),
        DataType::Float32 => primitive::<Float32Type>(array, Dtype::F32),
        DataType::Float64 => primitive::<Float64Type>(array, Dtype::F64),
        _ => return Err(unsupported(&name, array)),
    };
    if array.null_count() > 0 || length_of(&shape) != Some(array.len()) || tensors.contains_key(&name) {
        return Err(unsupported(&name, array));
    }
    tensors.insert(name, Tensor { dtype, shape, bytes });
    Ok(())
}

/// Numbers in a tensor of this shape.
fn length_of(shape: &[usize]) -> Option<usize> {
    let mut lengths = shape.iter();
    lengths.try_fold(1_usize, |product, length| product.checked_mul(*length))
}

fn unsupported(name: &str, array: &ArrayRef) -> Error {
    Error::State {
        pass: "bundle",
        why: format!("{name}: {} {}", array.len(), array.data_type()),
    }
}

/// Adds the tensors of an array.
pub(super) fn add_array(
    tensors: &mut BTreeMap<String, Tensor>,
    name: String,
    array: &ArrayRef,
) -> Result<()> {
    match array.data_type() {
        DataType::Utf8 if array.null_count() > 0 => Err(unsupported(&name, array)),
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
            Ok(())
        }
        _ => add_tensor(tensors, name, array, vec![array.len()]),
    }
}

/// The arrays of numbers of the model, which are all but those of steps, and that `is_its` says. Tensors of other types are
/// passed over.
pub(super) fn read_tensors(
    tensors: &BTreeMap<String, Tensor>,
    is_its: impl Fn(&str) -> bool,
) -> BTreeMap<String, ModelTensor> {
    let its = tensors
        .iter()
        .filter(|(name, _)| is_its(name) && step_of(name).is_none());
    its.filter_map(|(name, tensor)| {
        let (values, shape) = (numbers_of(tensor)?, tensor.shape.clone());
        let whole = length_of(&shape) == Some(values.len());
        whole.then(|| (name.clone(), ModelTensor { values, shape }))
    })
    .collect()
}

/// The step that a tensor belongs to, and its name there.
fn step_of(name: &str) -> Option<(usize, &str)> {
    let (step, name) = name.strip_prefix("step")?.split_once('.')?;
    Some((step.parse().ok()?, name))
}

/// The numbers of a tensor, if they are of a known type.
fn numbers_of(tensor: &Tensor) -> Option<ArrayRef> {
    fn primitive<T: ArrowPrimitiveType>(tensor: &Tensor) -> ArrayRef {
        Arc::new(PrimitiveArray::<T>::new(numbers::<T>(&tensor.bytes), None))
    }
    Some(match tensor.dtype {
        Dtype::U32 => primitive::<UInt32Type>(tensor),
        Dtype::U64 => primitive::<UInt64Type>(tensor),
        Dtype::I64 => primitive::<Int64Type>(tensor),
        Dtype::F32 => primitive::<Float32Type>(tensor),
        Dtype::F64 => primitive::<Float64Type>(tensor),
        _ => return None,
    })
}

/// The arrays of each step, by its number and their names. Tensors of other names and types are passed over: a later
/// format may have them.
pub(super) fn read_arrays(
    tensors: &BTreeMap<String, Tensor>,
) -> std::result::Result<BTreeMap<usize, BTreeMap<String, ArrayRef>>, String> {
    let mut steps: BTreeMap<usize, BTreeMap<String, ArrayRef>> = BTreeMap::new();
    for (full, tensor) in tensors {
        let Some((step, name)) = step_of(full) else {
            continue;
        };
        let (name, array): (&str, ArrayRef) = match (tensor.dtype, name.strip_suffix(".bytes")) {
            (Dtype::U8, Some(name)) => {
                let offsets = tensors.get(&format!("step{step}.{name}.offsets"));
                let offsets = offsets
                    .filter(|offsets| offsets.dtype == Dtype::U32)
                    .ok_or_else(|| format!("tensor `{full}` has no offsets"))?;
                let text = text(tensor.bytes.clone(), &offsets.bytes);
                (
                    name,
                    Arc::new(text.ok_or_else(|| format!("`{full}` is damaged"))?),
                )
            }
            (Dtype::U32, _) if name.ends_with(".offsets") => continue,
            _ => match numbers_of(tensor) {
                Some(array) => (name, array),
                None => continue,
            },
        };
        steps.entry(step).or_default().insert(name.to_owned(), array);
    }
    Ok(steps)
}

fn text(bytes: Buffer, offsets: &Buffer) -> Option<StringArray> {
    let offsets: Option<Vec<i32>> = numbers::<UInt32Type>(offsets)
        .iter()
        .map(|o| i32::try_from(*o).ok())
        .collect();
    let offsets = offsets.filter(|o| o.first() == Some(&0) && o.is_sorted())?;
    StringArray::try_new(OffsetBuffer::new(ScalarBuffer::from(offsets)), bytes, None).ok()
}

/// The numbers of an aligned buffer; a remainder shorter than one number is left out.
pub(super) fn numbers<T: ArrowPrimitiveType>(bytes: &Buffer) -> ScalarBuffer<T::Native> {
    ScalarBuffer::new(bytes.clone(), 0, bytes.len() / size_of::<T::Native>())
}
