//! The name under which divergences of one cause are one.

use std::fmt;

use pinfold_contract::Sequence;
use serde::{Deserialize, Serialize};

use crate::oracle::Divergence;

/// A short stable name: lower case letters, digits, `.`, `_` and `-`, so that it can name a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Signature(String);

/// Why a text is no signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no signature: it is made of a-z, 0-9, `.`, `_` and `-`")]
pub struct SignatureError {
    /// The text.
    pub text: String,
}

impl Signature {
    /// The signature of `divergence`, which was seen in `sequence`.
    pub fn of(_sequence: &Sequence, _divergence: &Divergence) -> Signature {
        unimplemented!()
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Signature {
    type Error = SignatureError;

    fn try_from(text: String) -> Result<Signature, SignatureError> {
        Ok(Signature(text))
    }
}

impl From<Signature> for String {
    fn from(signature: Signature) -> String {
        signature.0
    }
}

impl std::str::FromStr for Signature {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Signature, SignatureError> {
        Signature::try_from(text.to_owned())
    }
}
