//! Text of the pipeline file in which variables of the environment were filled in.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize, Serializer};

/// A text with its `${VAR}` filled in, which may have brought a secret in.
///
/// It is used as the filled text. What is stored or shown is the text as it was written, and nothing that is computed from
/// the other; one that was read back is therefore good for showing only.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct Filled {
    written: String,
    value: String,
}

impl Filled {
    /// The text as the file has it, and with its variables filled in.
    pub fn new(written: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            written: written.into(),
            value: value.into(),
        }
    }

    /// The text as it was written.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// Whether anything was filled in.
    pub fn has_variables(&self) -> bool {
        self.written != self.value
    }
}

impl Deref for Filled {
    type Target = str;

    fn deref(&self) -> &str {
        &self.value
    }
}

/// A text without variables.
impl<T: Into<String>> From<T> for Filled {
    fn from(text: T) -> Self {
        let text = text.into();
        Self::new(text.clone(), text)
    }
}

impl Serialize for Filled {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.written)
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
    fn nothing_of_a_secret_is_stored_or_shown() {
        let filled = Filled::new("decrypt(x, '${KEY}')", "decrypt(x, 'hunter2')");
        assert_eq!(&*filled, "decrypt(x, 'hunter2')");
        let other = Filled::new("decrypt(x, '${KEY}')", "decrypt(x, 'other')");
        assert_ne!(filled, other);
        let stored = serde_json::to_string(&filled).unwrap();
        assert_eq!(stored, serde_json::to_string(&other).unwrap());
        assert_eq!(format!("{filled:?}"), "\"decrypt(x, '${KEY}')\"");
        let read: Filled = serde_json::from_str(&stored).unwrap();
        assert_eq!(read.written(), filled.written());
        assert_eq!(Filled::from("a").written(), "a");
    }
}
