//! Every series that Pinfold has rules for.
//!
//! One file a series, `series/vMAJOR_MINOR.rs`, and no list of them: `build.rs` finds the files. The oldest states every
//! rule (`RULES`); each later one says what it changes over the series before it (`rules`). `IS_LONG_TERM` stands in those
//! that are kept up for years.

use pinfold_contract::Series;

use super::{Platform, Profile};

include!(concat!(env!("OUT_DIR"), "/series.rs"));

/// User Mode Linux, the newest series first.
pub(super) static UML: [Profile; COUNT] = on(Platform::Uml);

/// PCs, the newest series first.
pub(super) static X86: [Profile; COUNT] = on(Platform::X86);
