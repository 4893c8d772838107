//! What the model makes of generated sequences: they get somewhere, and the
//! oracles find nothing where there is nothing.

use pinfold::{
    generate::Generator,
    model::{perform, predict},
    oracle::{Inconclusive, Verdict, judge},
    profile::Profile,
    tally::Tally,
};
use pinfold_contract::Observe;

const SEQUENCES: u64 = 1000;

/// Most of [`SEQUENCES`] that may end at an op whose effects are left open, even of a right kernel.
const NOT_FOLLOWED_MOST: usize = 3;

fn tally_of(profile: &Profile) -> Tally {
    let (mut tally, mut not_followed) = (Tally::default(), Vec::new());
    for index in 0..SEQUENCES {
        let sequence = Generator::new(7).sequence_on(profile, index);
        let predicted = predict(profile, &sequence, Observe::Each);
        let trace = perform(profile, None, &sequence, Observe::Each);
        let verdict = judge(&sequence, &predicted, &trace);
        if verdict == (Verdict::Inconclusive { reason: Inconclusive::NotFollowed }) {
            not_followed.push(index);
        } else {
            assert_eq!(verdict, Verdict::Agrees, "{}", pinfold_contract::print(&sequence));
        }
        tally.record_predicted(&sequence, &predicted, &trace);
        tally.record(&sequence, &trace, &verdict, None);
    }
    assert!(not_followed.len() <= NOT_FOLLOWED_MOST, "{}: {not_followed:?}", profile.series);
    tally
}

#[test]
fn the_model_agrees_with_itself_and_every_op_is_exercised() {
    for profile in Profile::all() {
        let tally = tally_of(profile);
        println!("{}\n{}", profile.series, tally.to_text());
        assert!(tally.executed_ops_median() >= 12, "{}", tally.executed_ops_median());
        assert_eq!(tally.never_done(), [], "{}", profile.series);
        for (kind, counts) in &tally.kinds {
            let executed = counts.done + counts.refused_count();
            // What the model always refuses here cannot work more often.
            let can_work = counts.predicted.keys().any(|name| name == "ok" || name == "value");
            assert!(
                !can_work || counts.done * 3 >= executed,
                "{kind} works too seldom:\n{}",
                tally.to_text()
            );
        }
    }
}
