//! A safetensors file of named arrays and one text of metadata: written under a seal, read within limits.
//!
//! The text is a JSON object whose first member is `checksum`, so that its 32 digits stand at a fixed place of the file.
//! They are the XXH3-128 of the whole file with zeros in their place: no byte can change unnoticed. Files of format 1
//! have a checksum of names and bytes of the tensors at another place; they are read, and checked by that.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};

use arrow::buffer::{Buffer, MutableBuffer};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use xxhash_rust::xxh3::Xxh3;

/// Bytes that a file may have.
pub(super) const MAX_BYTES: u64 = 4 << 30;
/// Bytes that its header may have: settings, scores, and names and shapes of the tensors.
pub(super) const MAX_HEADER: u64 = 16 << 20;
/// The digits of a checksum that is not known yet.
pub(super) const NO_CHECKSUM: &str = "00000000000000000000000000000000";

/// The metadata key of the text.
const KEY: &str = "gristmill";
/// How a header begins, up to the digits of the checksum.
const START: &str = r#"{"__metadata__":{"gristmill":"{\"checksum\":\""#;
/// Bytes of the number at the start of a file, which is the length of the header.
const LENGTH: usize = size_of::<u64>();

#[cfg(target_endian = "big")]
compile_error!("tensors are read and written in place, which needs a little-endian machine");

/// A named array on its way to or from a file.
#[derive(Debug, Clone)]
pub(super) struct Tensor {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// Aligned for every type.
    pub(super) bytes: Buffer,
}

/// The header of a file whose tensors have not been read yet.
pub(super) struct Header {
    /// The text of the metadata.
    pub(super) text: String,
    layout: Metadata,
    /// The digits of the checksum at its fixed place, if it is there.
    sealed: Option<String>,
    seal: Xxh3,
    file: Xxh3,
}

/// The tensors of a file.
pub(super) struct Tensors {
    pub(super) by_name: BTreeMap<String, Tensor>,
    /// The XXH3-128 of the file, in hexadecimal.
    pub(super) hash: String,
    sealed: Option<String>,
    seal: String,
}

impl Header {
    /// Reads the header of a file of so many bytes, and checks that the tensors it names fill the rest exactly.
    pub(super) fn read(from: &mut impl Read, length: u64) -> Result<Self, String> {
        const CUT: &str = "it is cut short, or not a model at all";
        if length > MAX_BYTES {
            return Err(format!(
                "it has {length} bytes, and a model has {MAX_BYTES} at most"
            ));
        }
        let mut size = [0; LENGTH];
        from.read_exact(&mut size).map_err(|_| CUT)?;
        let header_bytes = u64::from_le_bytes(size);
        let left = length.saturating_sub(LENGTH as u64);
        if header_bytes > left {
            return Err(format!("its header is longer than the file; {CUT}"));
        }
        if header_bytes > MAX_HEADER {
            return Err(format!(
                "its header has {header_bytes} bytes, and that of a model has {MAX_HEADER} at most"
            ));
        }
        let mut header = vec![0; header_bytes as usize];
        from.read_exact(&mut header).map_err(|e| format!("{e}; {CUT}"))?;
        let layout: Metadata = serde_json::from_slice(&header).map_err(|e| format!("{e}; {CUT}"))?;
        let tensor_bytes = layout.data_len() as u64;
        if tensor_bytes != left - header_bytes {
            return Err(format!(
                "its tensors would have {tensor_bytes} bytes, and {} are there; {CUT}",
                left - header_bytes
            ));
        }
        let text = layout.metadata().as_ref().and_then(|texts| texts.get(KEY));
        let text = text.ok_or("it is a safetensors file, but not written by gristmill")?;
        let text = text.clone();

        let mut file = Xxh3::new();
        file.update(&size);
        file.update(&header);
        let sealed = take_digits(&mut header);
        let mut seal = Xxh3::new();
        seal.update(&size);
        seal.update(&header);
        Ok(Self {
            text,
            layout,
            sealed,
            seal,
            file,
        })
    }

    /// Reads the tensors.
    pub(super) fn tensors(mut self, from: &mut impl Read) -> Result<Tensors, String> {
        let mut by_name = BTreeMap::new();
        for name in self.layout.offset_keys() {
            let Some(info) = self.layout.info(&name) else {
                continue;
            };
            // No more than the file has, as `read` has checked.
            let mut bytes = MutableBuffer::from_len_zeroed(info.data_offsets.1 - info.data_offsets.0);
            from.read_exact(bytes.as_slice_mut()).map_err(|e| e.to_string())?;
            self.seal.update(bytes.as_slice());
            self.file.update(bytes.as_slice());
            let tensor = Tensor {
                dtype: info.dtype,
                shape: info.shape.clone(),
                bytes: bytes.into(),
            };
            by_name.insert(name, tensor);
        }
        Ok(Tensors {
            by_name,
            hash: hex(&self.file),
            sealed: self.sealed,
            seal: hex(&self.seal),
        })
    }
}

impl Tensors {
    /// Whether the file is what was sealed.
    pub(super) fn seal_holds(&self) -> bool {
        self.sealed.as_ref() == Some(&self.seal)
    }

    /// The checksum of format 1: names and bytes of the tensors, in the order of their names.
    pub(super) fn checksum_of_format_1(&self) -> String {
        let mut hash = Xxh3::new();
        for (name, tensor) in &self.by_name {
            hash.update(&(name.len() as u64).to_le_bytes());
            hash.update(name.as_bytes());
            hash.update(&(tensor.bytes.len() as u64).to_le_bytes());
            hash.update(&tensor.bytes);
        }
        hex(&hash)
    }
}

/// Takes the digits of the checksum out of a header and leaves zeros; `None` where they are not at their place.
fn take_digits(header: &mut [u8]) -> Option<String> {
    if !header.starts_with(START.as_bytes()) {
        return None;
    }
    let digits = header.get_mut(START.len()..START.len() + NO_CHECKSUM.len())?;
    let text = str::from_utf8(digits).ok()?.to_owned();
    digits.copy_from_slice(NO_CHECKSUM.as_bytes());
    Some(text)
}

/// Writes a file. `text` is a JSON object that begins with `{"checksum":"` and [`NO_CHECKSUM`].
///
/// # Errors
/// `InvalidData` when it would be longer than what [`Header::read`] reads; else those of `to`.
pub(super) fn write(text: String, tensors: BTreeMap<String, Tensor>, to: &mut dyn Write) -> io::Result<()> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    // As the format's own writer has it: by type, the widest first, then by name, so that every tensor is aligned.
    let mut tensors: Vec<(String, Tensor)> = tensors.into_iter().collect();
    tensors.sort_by(|(a, left), (b, right)| right.dtype.cmp(&left.dtype).then(a.cmp(b)));
    let mut end = 0;
    let layout = tensors.iter().map(|(name, tensor)| {
        let start = end;
        end += tensor.bytes.len();
        let info = TensorInfo {
            dtype: tensor.dtype,
            shape: tensor.shape.clone(),
            data_offsets: (start, end),
        };
        (name.clone(), info)
    });
    let texts = HashMap::from([(KEY.to_owned(), text)]);
    let layout = Metadata::new(Some(texts), layout.collect()).map_err(|e| invalid(e.to_string()))?;
    let mut header = serde_json::to_vec(&layout)?;
    header.resize(header.len().next_multiple_of(LENGTH), b' ');
    let size = header.len() as u64;
    let whole = LENGTH as u64 + size + end as u64;
    if size > MAX_HEADER || whole > MAX_BYTES {
        return Err(invalid(format!(
            "the model would have {whole} bytes, {size} of them header, and may have {MAX_BYTES} and {MAX_HEADER}; \
             use fewer features, categories or classes"
        )));
    }
    if take_digits(&mut header).as_deref() != Some(NO_CHECKSUM) {
        return Err(invalid("the text does not begin with its checksum".to_owned()));
    }
    let mut seal = Xxh3::new();
    seal.update(&size.to_le_bytes());
    seal.update(&header);
    for (_, tensor) in &tensors {
        seal.update(&tensor.bytes);
    }
    header[START.len()..][..NO_CHECKSUM.len()].copy_from_slice(hex(&seal).as_bytes());
    to.write_all(&size.to_le_bytes())?;
    to.write_all(&header)?;
    for (_, tensor) in &tensors {
        to.write_all(&tensor.bytes)?;
    }
    to.flush()
}

fn hex(hash: &Xxh3) -> String {
    format!("{:032x}", hash.digest128())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_read_is_not_written() {
        let text = |length: u64| {
            let long = "x".repeat(length as usize);
            format!("{{\"checksum\":\"{NO_CHECKSUM}\",\"long\":\"{long}\"}}")
        };
        let mut bytes = Vec::new();
        let refused = write(text(MAX_HEADER), BTreeMap::new(), &mut bytes).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        assert!(refused.to_string().contains("use fewer features"), "{refused}");
        assert!(bytes.is_empty());
        write(text(MAX_HEADER - 1_000), BTreeMap::new(), &mut bytes).unwrap();
        assert!(Header::read(&mut &bytes[..], bytes.len() as u64).is_ok());
    }
}
