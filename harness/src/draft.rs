//! The draft of a series file, for a kernel that was probed: `profile/series/vMAJOR_MINOR.rs`.
//!
//! It compiles where the registry looks for such files. What it cannot know is why a value is what it is: whoever adopts
//! the kernel reads that in its source, and says so.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use pinfold_contract::Series;

use crate::probe::{Fit, Fitted};
use crate::profile::{FIELDS, Field, Import, Profile};

/// As rustfmt.toml has it.
const COLUMNS_MAX: usize = 100;

/// What a series file is called.
pub fn file_name(series: Series) -> String {
    format!("v{}.rs", series.to_string().replace('.', "_"))
}

/// The file for `series`, probed in the release `release`: what `fitted` changes over the rules of `before`, the series
/// before it.
pub fn series_file(series: Series, release: &str, before: &Profile, fitted: &Fitted) -> String {
    let mut imports =
        BTreeSet::from([Import { is_of_contract: false, name: "Profile".to_owned() }]);
    let mut lines = Vec::new();
    for field in changed(before, &fitted.profile) {
        let expression = (field.expression)(&fitted.profile);
        let of = fitted.fits.iter().find(|fit| fit.field == field.name);
        let of = of.and_then(|fit| fit.series.as_deref()).unwrap_or("no other kernel");
        lines.push(format!("// As {of}, by corpus/probes/{}.seq.", field.name));
        lines.push(format!("{}: {},", field.name, expression.text));
        imports.extend(expression.import);
    }
    for field in without_a_value(&fitted.fits) {
        lines.push(format!("// No value of {field} fits: see corpus/probes/{field}.seq."));
    }
    if lines.is_empty() {
        lines.push(format!("// No probe tells it from {}.", before.series));
    }
    let lines: String = lines.iter().map(|line| format!("        {line}\n")).collect();
    let uses: String =
        [true, false].map(|is_of_contract| import(&imports, is_of_contract)).concat();
    let before = before.series;
    format!(
        "//! Linux {series}, probed in {release}: what changed since {before}.\n\n{uses}/// The rules of {series}. The \
         sources stand at the fields of [`Profile`].\npub(super) const fn rules(before: &Profile) -> Profile {{\n    \
         Profile {{\n{lines}        ..*before\n    }}\n}}\n"
    )
}

/// The fields in which `to` is not `from`.
pub fn changed<'a>(
    from: &'a Profile,
    to: &'a Profile,
) -> impl Iterator<Item = &'static Field> + 'a {
    FIELDS.iter().filter(|field| {
        let mut with = *from;
        (field.take)(&mut with, to);
        with != *from
    })
}

/// The fields of which no value explains what the kernel did.
pub fn without_a_value(fits: &[Fit]) -> impl Iterator<Item = &'static str> + '_ {
    fits.iter().filter(|fit| fit.series.is_none()).map(|fit| fit.field)
}

/// The `use` of one crate's types, and a blank line.
fn import(imports: &BTreeSet<Import>, is_of_contract: bool) -> String {
    let path = if is_of_contract { "pinfold_contract" } else { "crate::profile" };
    let of = imports.iter().filter(|import| import.is_of_contract == is_of_contract);
    let names: Vec<&str> = of.map(|import| import.name.as_str()).collect();
    let line = match names.as_slice() {
        [] => return String::new(),
        [name] => format!("use {path}::{name};"),
        names => format!("use {path}::{{{}}};", names.join(", ")),
    };
    if line.len() <= COLUMNS_MAX {
        return format!("{line}\n\n");
    }
    let mut lines = vec![String::new()];
    for name in names {
        let line = lines.last().map_or(0, String::len);
        // Blanks before the line, and what separates it from the name.
        if line + name.len() + 6 > COLUMNS_MAX {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            let gap = if line.is_empty() { "    " } else { " " };
            write!(line, "{gap}{name},").expect("a string takes everything");
        }
    }
    format!("use {path}::{{\n{}\n}};\n\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use pinfold_contract::{Errno, Observe, Sequence, Trace};

    use super::*;
    use crate::model::perform;
    use crate::probe::fit;
    use crate::profile::{KsmSwap, OnDemand, linux};

    fn probed(kernel: &Profile, before: &Profile) -> Fitted {
        let run = |sequence: &Sequence| {
            Ok::<Trace, Infallible>(perform(kernel, None, sequence, Observe::Each))
        };
        fit(before, run).unwrap()
    }

    #[test]
    fn a_draft_is_a_series_file_with_the_changes_alone() {
        let before = linux("6.12");
        let kernel = Profile { ksm_swap: KsmSwap::Works, ..*before };
        let draft = series_file(Series::new(7, 0), "7.0.1", before, &probed(&kernel, before));
        let expected = "\
//! Linux 7.0, probed in 7.0.1: what changed since 6.12.

use crate::profile::{KsmSwap, Profile};

/// The rules of 7.0. The sources stand at the fields of [`Profile`].
pub(super) const fn rules(before: &Profile) -> Profile {
    Profile {
        // As FITS, by corpus/probes/ksm_swap.seq.
        ksm_swap: KsmSwap::Works,
        ..*before
    }
}
";
        let fits = draft.lines().find_map(|line| line.trim().strip_prefix("// As ")).unwrap();
        let fits = fits.split_once(',').unwrap().0;
        assert_eq!(draft, expected.replace("FITS", fits));
        assert_eq!(file_name(Series::new(7, 0)), "v7_0.rs");
    }

    #[test]
    fn a_kernel_that_no_probe_tells_from_the_one_before_changes_nothing_and_says_so() {
        let before = linux("6.12");
        let draft = series_file(Series::new(7, 0), "7.0.1", before, &probed(before, before));
        assert!(draft.contains("\nuse crate::profile::Profile;\n"), "{draft}");
        assert!(
            draft.contains("        // No probe tells it from 6.12.\n        ..*before\n"),
            "{draft}"
        );
    }

    #[test]
    fn a_rule_that_nobody_has_is_left_to_the_reader() {
        let before = linux("6.12");
        let kernel = Profile { on_demand: OnDemand::Refused(Errno::EPERM), ..*before };
        let draft = series_file(Series::new(7, 0), "7.0.1", before, &probed(&kernel, before));
        assert!(draft.contains("// No value of on_demand fits"), "{draft}");
    }

    /// What a series file of ours says is what a draft for that series would say, as far as probes see it.
    #[test]
    fn the_draft_of_every_series_that_has_rules_names_each_field_that_its_file_changes() {
        for pair in Profile::all().windows(2) {
            let [kernel, before] = pair else { unreachable!("windows of two") };
            let fitted = probed(kernel, before);
            let draft = series_file(kernel.series, "1.2.3", before, &fitted);
            for field in changed(before, &fitted.profile) {
                let line =
                    format!("        {}: {},\n", field.name, (field.expression)(kernel).text);
                assert!(draft.contains(&line), "{draft}\nlacks {line}");
            }
            let in_file = changed(before, kernel).count();
            let in_draft = changed(before, &fitted.profile).count();
            assert_eq!(in_draft, in_file, "{draft}");
            assert!(draft.lines().all(|line| line.len() <= COLUMNS_MAX), "{draft}");
        }
    }
}
