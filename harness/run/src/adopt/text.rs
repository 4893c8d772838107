//! What was found out of a kernel, for a person.

use std::fmt::{self, Display, Formatter};

use pinfold::draft::{changed, without_a_value};

use super::{Adoption, Defect, DefectState, Replays, TRIES, Unsettled, UnsettledKind};
use crate::sources::{Change, Compared};

impl Display for Adoption {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let before = self.before.series;
        writeln!(f, "linux {}, {}", self.version, self.image.display())?;
        writeln!(f, "rules: {}", self.fitted.describe())?;
        self.rules(f)?;
        writeln!(f, "\nreplayed, checked against these rules:")?;
        for replays in &self.replays {
            sums(f, replays)?;
        }
        for unsettled in self.replays.iter().flat_map(|replays| &replays.unsettled) {
            writeln!(f, "{unsettled}")?;
        }
        writeln!(f, "\nknown divergences:")?;
        for defect in &self.defects {
            writeln!(f, "{defect}")?;
        }
        writeln!(f, "\ncitations of {before}, as they are in {}:", self.version)?;
        self.cited(f)?;
        writeln!(f, "\nwritten: {}; summary.txt and citations.txt beside it", self.draft.display())
    }
}

impl Adoption {
    /// What the draft says, and what it cannot say.
    fn rules(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let before = self.before.series;
        let mut is_changed = false;
        for field in changed(self.before, &self.fitted.profile) {
            is_changed = true;
            let of = |profile| (field.expression)(profile).text;
            let (old, new) = (of(self.before), of(&self.fitted.profile));
            writeln!(f, "  {}: {old} in {before}, {new} here", field.name)?;
        }
        if !is_changed {
            writeln!(f, "  no probe tells it from {before}")?;
        }
        for field in without_a_value(&self.fitted.fits) {
            writeln!(f, "  {field}: no value fits, so it is left as in {before}: read its source")?;
        }
        writeln!(
            f,
            "  not probed: what only x86 has, and failed_send; these are left as in {before}"
        )
    }

    /// The functions that are not what they were, by name; the differences are in a file.
    fn cited(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let comparison = match &self.citations {
            Ok(comparison) => comparison,
            Err(error) => return writeln!(f, "  not compared: {error}"),
        };
        for Compared { item, change } in &comparison.items {
            match change {
                Change::Unchanged => {}
                Change::Changed { .. } => writeln!(f, "  changed: {item}")?,
                Change::Moved { file, diff } if diff.is_empty() => {
                    writeln!(f, "  moved: {item}, to {file}, and is the same")?;
                }
                Change::Moved { file, .. } => {
                    writeln!(f, "  moved and changed: {item}, to {file}")?
                }
                Change::Gone => writeln!(f, "  gone: {item}")?,
            }
        }
        writeln!(f, "  {}", comparison.counts)
    }
}

fn sums(f: &mut Formatter<'_>, replays: &Replays) -> fmt::Result {
    let count = |wanted: fn(&UnsettledKind) -> bool| {
        replays.unsettled.iter().filter(|unsettled| wanted(&unsettled.standing)).count()
    };
    writeln!(
        f,
        "  {}: {} sequences; {} unexplained, {} known of other kernels, {} expectations not met, {} inconclusive",
        replays.folder,
        replays.counts.runs,
        count(|standing| matches!(standing, UnsettledKind::Unexplained)),
        count(|standing| matches!(standing, UnsettledKind::Known(_))),
        count(|standing| matches!(standing, UnsettledKind::Unmet)),
        count(|standing| matches!(standing, UnsettledKind::Inconclusive)),
    )
}

impl Display for Unsettled {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Unsettled { file, what, standing } = self;
        match standing {
            UnsettledKind::Unexplained => write!(f, "  unexplained: {file}: {what}"),
            UnsettledKind::Known(title) => write!(f, "  known: {file}: {what}: {title}"),
            UnsettledKind::Unmet => write!(f, "  not met: {file}: {what}"),
            UnsettledKind::Inconclusive => write!(f, "  inconclusive: {file}: {what}"),
        }
    }
}

impl Display for Defect {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Defect { title, shown_by, state, .. } = self;
        match state {
            DefectState::Seen => write!(f, "  seen: {title} ({shown_by})"),
            DefectState::NotSeen => {
                write!(f, "  not seen in {TRIES} runs: {title} ({shown_by})")
            }
            DefectState::Other(signature) => {
                write!(f, "  other: {title} ({shown_by}): shows {signature}")
            }
            DefectState::Inconclusive(why) => {
                write!(f, "  inconclusive: {title} ({shown_by}): {why}")
            }
            DefectState::NotLookedFor(why) => {
                write!(f, "  not looked for: {title} ({shown_by}): {why}")
            }
        }
    }
}
