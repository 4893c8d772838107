//! Kernel configuration: our fragments, the variants they make, and the proof that every option survived.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

const BASE: &str = include_str!("../../kernel/uml.config");
const KASAN: &str = include_str!("../../kernel/kasan.config");
const DEBUG: &str = include_str!("../../kernel/debug.config");
const KCOV: &str = include_str!("../../kernel/kcov.config");

/// Marks an option of a fragment that is wanted where the kernel knows it, and not missed where it does not.
const WHERE_KNOWN: &str = "#? ";

/// Marks a folder or a file of a fragment whose code notes which of its blocks ran.
const TRACED: &str = "#+ ";

/// Something switched on over the base configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// Assertions of memory management, lock order and object lifetimes.
    Debug,
    /// The kernel address sanitizer.
    Kasan,
    /// A note of the blocks that ran.
    Kcov,
}

impl Feature {
    /// Every feature there is.
    pub const ALL: [Feature; 3] = [Feature::Debug, Feature::Kasan, Feature::Kcov];

    /// Its name, as in `uml:6.12+kasan`.
    pub fn name(self) -> &'static str {
        match self {
            Feature::Debug => "debug",
            Feature::Kasan => "kasan",
            Feature::Kcov => "kcov",
        }
    }

    fn fragment(self) -> &'static str {
        match self {
            Feature::Debug => DEBUG,
            Feature::Kasan => KASAN,
            Feature::Kcov => KCOV,
        }
    }
}

/// The features a kernel is built with; none is the plain kernel. Written `+kasan+debug`, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variant(BTreeSet<Feature>);

/// A variant that does not exist.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no kernel variant is called {name:?}: choose from +kasan, +debug, +kcov")]
pub struct VariantError {
    /// What was asked for.
    pub name: String,
}

impl Variant {
    /// The kernel with nothing switched on over the base configuration.
    pub fn plain() -> Variant {
        Variant::default()
    }

    /// Whether it is built with `feature`.
    pub fn has(&self, feature: Feature) -> bool {
        self.0.contains(&feature)
    }

    /// The configuration fragment: what goes over `tinyconfig`.
    pub fn fragment(&self) -> String {
        let mut text = BASE.to_owned();
        for feature in &self.0 {
            text.push_str(feature.fragment());
        }
        text
    }
}

impl FromIterator<Feature> for Variant {
    fn from_iter<I: IntoIterator<Item = Feature>>(features: I) -> Variant {
        Variant(features.into_iter().collect())
    }
}

impl FromStr for Variant {
    type Err = VariantError;

    fn from_str(text: &str) -> Result<Variant, VariantError> {
        let names = text.split('+').filter(|name| !name.is_empty());
        let find = |name: &str| Feature::ALL.into_iter().find(|feature| feature.name() == name);
        names.map(|name| find(name).ok_or_else(|| VariantError { name: name.to_owned() })).collect()
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|feature| write!(f, "+{}", feature.name()))
    }
}

/// The lines of `fragment` as Kconfig reads them. A later line for the same option wins, as it does there.
pub fn kconfig_lines(fragment: &str) -> String {
    let options = fragment.lines().map(|line| line.strip_prefix(WHERE_KNOWN).unwrap_or(line));
    options.filter(|line| line.starts_with("CONFIG_")).map(|line| format!("{line}\n")).collect()
}

/// The folders and files, below the root of the source, whose code is to note which of its blocks ran.
pub fn traced(fragment: &str) -> impl Iterator<Item = &str> {
    fragment.lines().filter_map(|line| line.strip_prefix(TRACED))
}

/// The options that `fragment` demands and `config`, a finished `.config`, does not have, as `CONFIG_X=y`.
pub fn lost_options(fragment: &str, config: &str) -> Vec<String> {
    let has = assignments(config);
    let demanded = assignments(fragment);
    let value_of = |option: &str| has.get(option).copied().unwrap_or("n");
    let lost = demanded.iter().filter(|(option, value)| value_of(option) != **value);
    lost.map(|(option, value)| format!("{option}={value}")).collect()
}

fn assignments(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter(|line| line.starts_with("CONFIG_"))
        .filter_map(|line| line.split_once('='))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_that_kconfig_dropped_or_changed_is_lost() {
        let fragment = "CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=n\nCONFIG_D=17\n# CONFIG_E=y\n";
        let config = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=y\nCONFIG_D=18\n";
        assert_eq!(lost_options(fragment, config), ["CONFIG_B=y", "CONFIG_C=n", "CONFIG_D=17"]);
    }

    #[test]
    fn an_option_switched_off_may_be_absent() {
        assert_eq!(lost_options("CONFIG_A=n\n", ""), [""; 0]);
        assert_eq!(lost_options("CONFIG_A=n\n", "# CONFIG_A is not set\n"), [""; 0]);
    }

    #[test]
    fn an_option_wanted_where_known_is_asked_for_but_not_missed() {
        let fragment = "#? CONFIG_OLD=y\n# a comment\nCONFIG_NEW=y\n";
        assert_eq!(kconfig_lines(fragment), "CONFIG_OLD=y\nCONFIG_NEW=y\n");
        assert_eq!(lost_options(fragment, "CONFIG_NEW=y\n"), [""; 0]);
    }

    #[test]
    fn a_later_fragment_overrides_an_earlier_one() {
        assert_eq!(lost_options("CONFIG_A=n\nCONFIG_A=y\n", "CONFIG_A=y\n"), [""; 0]);
    }

    #[test]
    fn variants_are_written_in_one_order_however_they_are_read() {
        let variant: Variant = "+kasan+debug".parse().unwrap();
        assert_eq!(variant.to_string(), "+debug+kasan");
        assert_eq!(variant, "debug+kasan".parse().unwrap());
        assert_eq!("".parse::<Variant>().unwrap(), Variant::plain());
        assert_eq!(Variant::plain().to_string(), "");
    }

    #[test]
    fn an_unknown_variant_is_told_which_there_are() {
        let error = "+kmsan".parse::<Variant>().unwrap_err().to_string();
        assert!(error.contains("kmsan") && error.contains("+kasan, +debug"), "{error}");
        assert!(Feature::ALL.iter().all(|feature| error.contains(feature.name())));
    }

    #[test]
    fn every_line_of_our_fragments_is_a_comment_or_an_assignment() {
        for feature in Feature::ALL {
            let variant: Variant = [feature].into_iter().collect();
            for line in variant
                .fragment()
                .lines()
                .filter(|line| !(line.is_empty() || *line == "#" || line.starts_with("# ")))
                .filter(|line| !line.starts_with(TRACED))
            {
                let option = line.strip_prefix(WHERE_KNOWN).unwrap_or(line);
                let well_formed = option.split_once('=').is_some_and(|(name, value)| {
                    name.starts_with("CONFIG_")
                        && !value.is_empty()
                        && !value.contains(char::is_whitespace)
                });
                assert!(well_formed, "{line:?}");
            }
        }
    }
}
