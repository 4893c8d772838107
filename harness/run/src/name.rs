//! The name of a target, as people write it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use pinfold::model::Fault;
use pinfold::profile::Profile;
use pinfold_contract::Series;
use pinfold_machine::Variant;

/// Which system under test: `uml:6.12`, `uml:6.1+kasan`, `uml:6.12+fixed`, `uml:PATH`, `qemu:6.12`, `qemu:PATH`, `local`,
/// `local:DEVICE`, `model:6.12`, `model:6.12+FAULT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetName {
    /// The model in the place of a target.
    Model {
        /// Whose rules it follows.
        profile: &'static Profile,
        /// The bug it has, if any.
        fault: Option<Fault>,
    },
    /// A kernel of a packaged series, run as User Mode Linux.
    Uml {
        /// The series.
        series: Series,
        /// What is switched on in it.
        variant: Variant,
        /// Whether the fixes of all defects are in it (`+fixed`).
        is_fixed: bool,
    },
    /// A User Mode Linux that somebody else built.
    UmlImage {
        /// The program.
        image: PathBuf,
    },
    /// Debian's own kernel of a series, in QEMU.
    Qemu {
        /// The series.
        series: Series,
        /// Whether it says what it called (`+ftrace`), as feedback for an engine.
        is_traced: bool,
        /// Whether its modules have the fixes of all defects that touch nothing else (`+fixed`).
        is_fixed: bool,
    },
    /// A kernel that somebody else built, in QEMU.
    QemuImage {
        /// The bzImage.
        image: PathBuf,
    },
    /// The kernel of this machine.
    Local {
        /// The RDMA device; nothing for the first one of rxe.
        device: Option<String>,
    },
}

/// A name that is no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing of ours is called so.
    #[error("no target is called `{name}`: {why}; the targets are {}", targets())]
    Unknown {
        /// What was asked for.
        name: String,
        /// What is wrong with it.
        why: String,
    },
}

/// The name of the target that is taken where none is given: the newest series that has rules.
pub fn default_target() -> String {
    format!("uml:{}", default_series())
}

/// The newest series that has rules, as in the name of a kernel.
pub fn default_series() -> String {
    Profile::newest().series.to_string()
}

/// Every series that has rules, the newest first.
pub fn all_series() -> Vec<Series> {
    Profile::all().iter().map(|profile| profile.series).collect()
}

/// Those of them that are kept up for years.
pub fn long_term_series() -> Vec<Series> {
    Profile::long_term()
}

/// What a target may be called, for a person.
pub fn targets() -> String {
    let all: Vec<String> = all_series().iter().map(ToString::to_string).collect();
    format!(
        "uml:SERIES, with +kasan, +debug, +kcov or +fixed; uml:PATH (with a slash); qemu:SERIES, with +ftrace or \
         +fixed; qemu:PATH (a bzImage, with a slash); local, local:DEVICE; model:SERIES, with +FAULT (`pinfold doctor` lists the faults); \
         SERIES is one of {}",
        all.join(", ")
    )
}

/// A series that has rules.
fn series(text: &str) -> Result<Series, String> {
    let unknown = || format!("there is no kernel series `{text}`, and a path has a slash");
    text.parse().ok().filter(|series| all_series().contains(series)).ok_or_else(unknown)
}

impl FromStr for TargetName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<TargetName, NameError> {
        let unknown = |why: String| NameError::Unknown { name: name.to_owned(), why };
        let (kind, rest) = name.split_once(':').unwrap_or((name, ""));
        match kind {
            "model" => model(rest).map_err(unknown),
            "uml" => uml(rest).map_err(unknown),
            "qemu" => qemu(rest).map_err(unknown),
            "local" if name == "local:" => Err(unknown("it names no RDMA device".to_owned())),
            "local" => {
                Ok(TargetName::Local { device: (!rest.is_empty()).then(|| rest.to_owned()) })
            }
            _ => {
                let kinds = "it begins with none of `uml:`, `qemu:`, `local` and `model:`";
                Err(unknown(kinds.to_owned()))
            }
        }
    }
}

fn model(rest: &str) -> Result<TargetName, String> {
    let (series, fault) = match rest.split_once('+') {
        Some((series, fault)) => (series, Some(fault)),
        None => (rest, None),
    };
    let profile =
        Profile::of_series(series).ok_or_else(|| format!("the model has no series `{series}`"))?;
    let find = |name| Fault::from_name(name).ok_or_else(|| format!("no fault is called `{name}`"));
    Ok(TargetName::Model { profile, fault: fault.map(find).transpose()? })
}

fn uml(rest: &str) -> Result<TargetName, String> {
    if rest.contains('/') {
        return Ok(TargetName::UmlImage { image: PathBuf::from(rest) });
    }
    let (series, variant) = rest.split_at(rest.find('+').unwrap_or(rest.len()));
    let series = self::series(series)?;
    let (is_fixed, variant) = without_fixed(variant);
    let variant = variant.parse().map_err(|error| format!("{error}; or +fixed"))?;
    Ok(TargetName::Uml { series, variant, is_fixed })
}

/// What is left of `+kasan+fixed` without `+fixed`, and whether that was there.
fn without_fixed(variant: &str) -> (bool, String) {
    let names = || variant.split('+').filter(|name| !name.is_empty());
    let others = names().filter(|name| *name != FIXED).map(|name| format!("+{name}"));
    (names().any(|name| name == FIXED), others.collect())
}

/// The variant with the fixes of all defects.
const FIXED: &str = "fixed";

fn qemu(rest: &str) -> Result<TargetName, String> {
    if rest.contains('/') {
        return Ok(TargetName::QemuImage { image: PathBuf::from(rest) });
    }
    let (series, variant) = rest.split_at(rest.find('+').unwrap_or(rest.len()));
    let (is_fixed, variant) = without_fixed(variant);
    let is_traced = match &*variant {
        "" => false,
        "+ftrace" => true,
        _ => {
            let why =
                "Debian's kernels have no variants but +ftrace and +fixed, and a path has a slash";
            return Err(why.to_owned());
        }
    };
    let series = self::series(series)?;
    Ok(TargetName::Qemu { series, is_traced, is_fixed })
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetName::Model { profile, fault: None } => write!(f, "model:{}", profile.series),
            TargetName::Model { profile, fault: Some(fault) } => {
                write!(f, "model:{}+{fault}", profile.series)
            }
            TargetName::Uml { series, variant, is_fixed } => {
                write!(f, "uml:{series}{variant}{}", if *is_fixed { "+fixed" } else { "" })
            }
            TargetName::UmlImage { image } => write!(f, "uml:{}", image.display()),
            TargetName::Qemu { series, is_traced, is_fixed } => {
                let traced = if *is_traced { "+ftrace" } else { "" };
                write!(f, "qemu:{series}{traced}{}", if *is_fixed { "+fixed" } else { "" })
            }
            TargetName::QemuImage { image } => write!(f, "qemu:{}", image.display()),
            TargetName::Local { device: None } => f.write_str("local"),
            TargetName::Local { device: Some(device) } => write!(f, "local:{device}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_they_are_read() {
        for name in [
            "uml:6.12",
            "uml:6.1",
            "uml:6.12+kasan",
            "uml:6.1+debug+kasan",
            "uml:./linux+mine",
            "qemu:6.12",
            "qemu:6.1",
            "qemu:6.12+ftrace",
            "qemu:6.12+ftrace+fixed",
            "uml:6.12+fixed",
            "uml:6.12+kasan+fixed",
            "qemu:./bzImage+mine",
            "local",
            "local:mlx5_0",
            "model:6.1",
            "model:6.12+pin_leak",
        ] {
            assert_eq!(name.parse::<TargetName>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn fixed_stands_anywhere_among_the_variants() {
        for name in ["uml:6.1+fixed+kasan", "uml:6.1+kasan+fixed"] {
            assert_eq!(name.parse::<TargetName>().unwrap().to_string(), "uml:6.1+kasan+fixed");
        }
        assert_eq!("qemu:6.1+fixed".parse::<TargetName>().unwrap().to_string(), "qemu:6.1+fixed");
    }

    #[test]
    fn every_fault_makes_a_target() {
        for (fault, name) in Fault::ALL {
            let target: TargetName = format!("model:6.12+{name}").parse().unwrap();
            let TargetName::Model { fault: found, .. } = target else { panic!("{target}") };
            assert_eq!(found, Some(fault));
        }
    }

    #[test]
    fn a_wrong_name_says_what_is_wrong_and_what_there_is() {
        let check = |name: &str, why: &str| {
            let error = name.parse::<TargetName>().unwrap_err();
            let text = error.to_string();
            assert!(text.contains(why) && text.contains("uml:SERIES, with +kasan"), "{text}");
        };
        check("", "begins with none");
        check("uml", "no kernel series ``");
        check("uml:5.10", "no kernel series `5.10`");
        check("uml:linux", "a path has a slash");
        check("uml:6.12+kasn", "kasn");
        check("model:7.0", "no series `7.0`");
        check("model:6.12+pinleak", "no fault is called `pinleak`");
        check("qemu:6.12+kasan", "no variants");
        check("qemu:bzImage", "a path has a slash");
        check("vmware:6.12", "begins with none");
        check("local:", "names no RDMA device");
    }
}
