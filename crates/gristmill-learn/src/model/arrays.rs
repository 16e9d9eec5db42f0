//! Arrays of steps as tensors of a bundle, and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float32Type, Float64Type, UInt32Type, UInt64Type};
use safetensors::Dtype;

use crate::error::{Error, Result};
use crate::model::tensors::Tensor;

/// Adds the tensors of an array.
pub(super) fn add_array(
    tensors: &mut BTreeMap<String, Tensor>,
    name: String,
    array: &ArrayRef,
) -> Result<()> {
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

/// The arrays of each step, by its number and their names. Tensors of other names and types are passed over: a later
/// format may have them.
pub(super) fn read_arrays(
    tensors: &BTreeMap<String, Tensor>,
) -> std::result::Result<BTreeMap<usize, BTreeMap<String, ArrayRef>>, String> {
    fn primitive<T: ArrowPrimitiveType>(tensor: &Tensor) -> ArrayRef {
        Arc::new(PrimitiveArray::<T>::new(numbers::<T>(&tensor.bytes), None))
    }
    let mut steps: BTreeMap<usize, BTreeMap<String, ArrayRef>> = BTreeMap::new();
    for (full, tensor) in tensors {
        let parts = full.strip_prefix("step").and_then(|rest| rest.split_once('.'));
        let Some((Ok(step), name)) = parts.map(|(step, name)| (step.parse::<usize>(), name)) else {
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
            (Dtype::U32, _) => (name, primitive::<UInt32Type>(tensor)),
            (Dtype::U64, _) => (name, primitive::<UInt64Type>(tensor)),
            (Dtype::F32, _) => (name, primitive::<Float32Type>(tensor)),
            (Dtype::F64, _) => (name, primitive::<Float64Type>(tensor)),
            _ => continue,
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
