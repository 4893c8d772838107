//! What was seen of defects, for a person.

use std::fmt::{self, Display, Formatter};

use super::{Case, Expected, Seen, Verification};

/// One line, and a second one where somebody has to do something.
impl Display for Case {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Case { slug, shown_by, signature, expected, seen, .. } = self;
        match seen {
            Seen::Shown if *expected == Expected::Cured => write!(f, "not cured  ")?,
            Seen::Agrees if *expected == Expected::Cured => write!(f, "cured      ")?,
            Seen::Shown => write!(f, "seen       ")?,
            Seen::Agrees | Seen::Other(_) => write!(f, "not seen   ")?,
            Seen::NotJudged(_) => write!(f, "not judged ")?,
        }
        write!(f, "{slug}/{shown_by} [{signature}]")?;
        match seen {
            Seen::Shown => {}
            Seen::Agrees if *expected == Expected::Cured => {}
            Seen::Agrees => write!(f, ": agrees")?,
            Seen::Other(others) => write!(f, ": {}", others.join(", "))?,
            Seen::NotJudged(why) => write!(f, ": {why}")?,
        }
        match (expected, seen) {
            (Expected::Verified, Seen::Agrees | Seen::Other(_)) => {
                write!(f, "\n    it was seen on this series before")
            }
            (Expected::Presumed, Seen::Agrees | Seen::Other(_)) => write!(
                f,
                "\n    it is presumed here: if the source says that this kernel does not have it, end the range, \
                 `affected` in {slug}/defect.toml"
            ),
            (Expected::Cured, Seen::Shown | Seen::Other(_)) => {
                write!(f, "\n    the fix of {slug} is in this kernel and did not cure it")
            }
            (Expected::Verified | Expected::Presumed, Seen::Shown)
            | (Expected::Cured, Seen::Agrees)
            | (_, Seen::NotJudged(_)) => Ok(()),
        }
    }
}

/// The sums.
impl Display for Verification {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let count =
            |wanted: &dyn Fn(&Case) -> bool| self.cases.iter().filter(|case| wanted(case)).count();
        let is_cure = |case: &Case| case.expected == Expected::Cured;
        let is_seen = |case: &Case| case.seen == Seen::Shown;
        let is_judged = |case: &Case| !matches!(case.seen, Seen::NotJudged(_));
        write!(
            f,
            "{} (linux {}): {} seen, {} not seen, {} not judged",
            self.target,
            self.version,
            count(&|case| !is_cure(case) && is_seen(case)),
            count(&|case| !is_cure(case) && is_judged(case) && !is_seen(case)),
            count(&|case| !is_judged(case)),
        )?;
        let (cured, fixed) =
            (count(&|case| is_cure(case) && case.seen == Seen::Agrees), count(&is_cure));
        match fixed {
            0 => Ok(()),
            _ => write!(f, "; {cured} of {fixed} cured by their fixes"),
        }
    }
}
