//! A value of a profile, as the source of Rust.

use std::any::type_name;
use std::fmt::Debug;

/// An expression, and the type that has to be imported for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    /// The expression: `Umem::AlwaysWrite`, `Access(768)`, `true`.
    pub text: String,
    /// Where its type comes from; none if it needs no import.
    pub import: Option<Import>,
}

/// A type to import.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// Whether the type is the contract's, and not that of the profile.
    pub is_of_contract: bool,
    /// Its name.
    pub name: String,
}

impl Expression {
    /// The expression of `value`, whose `Debug` is the derived one.
    pub(super) fn of<T: Debug>(value: &T) -> Expression {
        let text = format!("{value:?}");
        let Some((path, name)) = type_name::<T>().rsplit_once("::") else {
            return Expression { text, import: None };
        };
        // A struct names itself; a variant does not name its enum.
        let is_struct = text
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['(', ' ']));
        let text = if is_struct { text } else { format!("{name}::{text}") };
        let is_of_contract = path.starts_with("pinfold_contract");
        Expression { text, import: Some(Import { is_of_contract, name: name.to_owned() }) }
    }
}

#[cfg(test)]
mod tests {
    use pinfold_contract::Access;

    use super::*;
    use crate::profile::Umem;

    #[test]
    fn a_variant_names_its_enum_and_a_struct_itself() {
        assert_eq!(Expression::of(&Umem::AlwaysWrite).text, "Umem::AlwaysWrite");
        let access = Expression::of(&Access(768));
        assert_eq!(access.text, "Access(768)");
        let import = Import { is_of_contract: true, name: "Access".to_owned() };
        assert_eq!(access.import, Some(import));
        assert_eq!(Expression::of(&true), Expression { text: "true".to_owned(), import: None });
    }
}
