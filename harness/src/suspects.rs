//! Which broken rules a sequence would bring to light.
//!
//! A sequence is worth the time of a kernel if a kernel that breaks a rule would be seen to do so. The model can break its
//! rules one by one (`model/planted.rs`), in a small part of the time that a kernel takes for the same sequence.

use pinfold_contract::{Observe, Sequence};

use crate::model::{Fault, at_stake, perform, predict};
use crate::oracle::{Verdict, judge};
use crate::profile::Profile;

/// Those of the `wanted` that a kernel of `profile` could not hide if it did `sequence`.
pub fn shown(profile: &Profile, sequence: &Sequence, wanted: &[Fault]) -> Vec<Fault> {
    let mut faults: Vec<Fault> = at_stake(profile, sequence);
    faults.retain(|fault| wanted.contains(fault));
    if faults.is_empty() {
        return faults;
    }
    let predicted = predict(profile, sequence, Observe::End);
    faults.retain(|fault| {
        let trace = perform(profile, Some(*fault), sequence, Observe::End);
        matches!(judge(sequence, &predicted, &trace), Verdict::Diverges(_))
    });
    faults
}

#[cfg(test)]
mod tests {
    use pinfold_contract::parse;

    use super::*;
    use crate::generate::Generator;
    use crate::profile::Profile;

    fn all() -> Vec<Fault> {
        Fault::ALL.into_iter().map(|(fault, _)| fault).collect()
    }

    #[test]
    fn a_sequence_shows_what_depends_on_the_rule() {
        let file = parse("# pinfold 1\nmap 0..1 anon private rw\nreg mr0 0..1 none\ndereg mr0\n");
        let sequence = file.map(|file| file.sequence).unwrap_or_default();
        let shown = shown(Profile::newest(), &sequence, &all());
        assert!(shown.contains(&Fault::VmPinKept), "{shown:?}");
        assert!(!shown.contains(&Fault::ForkSharesPinned), "there is no fork: {shown:?}");
    }

    #[test]
    fn no_fault_shows_that_no_rule_asked_for() {
        let generator = Generator::new(2);
        for index in 0..200 {
            let sequence = generator.sequence(index);
            let (predicted, asked) = (
                predict(Profile::newest(), &sequence, Observe::End),
                at_stake(Profile::newest(), &sequence),
            );
            for fault in all().into_iter().filter(|fault| !asked.contains(fault)) {
                let trace = perform(Profile::newest(), Some(fault), &sequence, Observe::End);
                let verdict = judge(&sequence, &predicted, &trace);
                assert!(!matches!(verdict, Verdict::Diverges(_)), "{fault:?} in {index}");
            }
        }
    }

    #[test]
    fn what_is_drawn_shows_most_faults_sooner_or_later() {
        let generator = Generator::new(1);
        let mut hidden = all();
        for index in 0..2000 {
            let found = shown(Profile::newest(), &generator.sequence(index), &hidden);
            hidden.retain(|fault| !found.contains(fault));
        }
        assert!(hidden.len() <= 4, "{hidden:?}");
    }
}
