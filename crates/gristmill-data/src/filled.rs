//! Text of the pipeline file in which variables of the environment were filled in.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

/// A text with its `${VAR}` filled in, which may have brought a secret in.
///
/// It is used as the filled text. What is stored or shown is the text as it was written, and a digest that tells
/// whether the filled text is the same; one that was read back is therefore good for comparing only, not for use.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filled {
    written: String,
    digest: String,
    #[serde(skip)]
    value: Value,
}

/// Takes no part in comparing: the digest stands for it.
#[derive(Clone, Default)]
struct Value(String);

impl PartialEq for Value {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Value {}

impl Filled {
    /// The text as the file has it, and with its variables filled in.
    pub fn new(written: impl Into<String>, value: impl Into<String>) -> Self {
        let value = value.into();
        Self {
            written: written.into(),
            digest: format!("{:032x}", xxh3_128(value.as_bytes())),
            value: Value(value),
        }
    }

    /// The text as it was written.
    pub fn written(&self) -> &str {
        &self.written
    }
}

impl Deref for Filled {
    type Target = str;

    fn deref(&self) -> &str {
        &self.value.0
    }
}

/// A text without variables.
impl<T: Into<String>> From<T> for Filled {
    fn from(text: T) -> Self {
        let text = text.into();
        Self::new(text.clone(), text)
    }
}

impl fmt::Debug for Filled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.written.fmt(f)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_compared_but_neither_stored_nor_shown() {
        let filled = Filled::new("decrypt(x, '${KEY}')", "decrypt(x, 'hunter2')");
        assert_eq!(&*filled, "decrypt(x, 'hunter2')");
        let stored = serde_json::to_string(&filled).unwrap();
        assert!(
            !stored.contains("hunter2") && !format!("{filled:?}").contains("hunter2"),
            "{stored}"
        );
        let read: Filled = serde_json::from_str(&stored).unwrap();
        assert_eq!(read, filled);
        assert_ne!(read, Filled::new("decrypt(x, '${KEY}')", "decrypt(x, 'other')"));
        assert_eq!(Filled::from("a").written(), "a");
    }
}
