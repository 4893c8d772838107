//! Explanations of what the model does with faults planted in it.

use pinfold::{
    explain::explain,
    generate::Generator,
    model::{Fault, perform, predict},
    oracle::{Verdict, judge},
    profile::Profile,
};
use pinfold_contract::{Observe, Sequence, parse};

fn explained(fault: Option<Fault>, sequence: &Sequence) -> (String, Verdict) {
    let predicted = predict(Profile::newest(), sequence, Observe::Each);
    let trace = perform(Profile::newest(), fault, sequence, Observe::Each);
    let verdict = judge(sequence, &predicted, &trace);
    (explain(sequence, &predicted, &trace, &verdict), verdict)
}

#[test]
fn an_explanation_fits_and_marks_a_difference_exactly_where_there_is_one() {
    for (fault, name) in Fault::ALL {
        for index in 0..30 {
            let sequence = Generator::new(2).sequence(index);
            let (text, verdict) = explained(Some(fault), &sequence);
            let widest = text.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(100), "{name}:\n{text}");
            let marked = text.lines().any(|line| line.starts_with('!') || line.contains(" | "));
            assert_eq!(marked, verdict != Verdict::Agrees, "{name}:\n{text}");
        }
    }
}

#[test]
fn a_stale_pin_shows_as_another_frame_and_then_as_old_bytes() {
    let text = "# pinfold 1\nmap 0..1 anon private rw\nreg mr0 0..1 remote_read\n\
                write 0 4096 0x22\nread_remote mr0+0 8\n";
    let sequence = parse(text).unwrap().sequence;
    let (text, _) = explained(Some(Fault::StaleReadOnlyPin), &sequence);
    println!("{text}");
    let differs = |label: &str, target: &str| {
        let row =
            |line: &&str| line.starts_with(&format!("!    {label} ")) && line.ends_with(target);
        assert!(text.lines().any(|line| row(&line)), "no {label} {target} in\n{text}");
    };
    differs("mr0", " 0x00");
    differs("outcome", " 0x00");
}

#[test]
fn a_registration_has_its_bill_and_a_divergence_says_what_each_mr_holds() {
    let text = "# pinfold 1\nmap 0..2 anon private rw\nreg mr0 0..2 remote_read\n";
    let (text, _) = explained(Some(Fault::StaleReadOnlyPin), &parse(text).unwrap().sequence);
    let has = |label: &str, model: &str, target: &str| {
        let row = format!("     {label:<14}{model:<40} {target}\n");
        assert!(text.contains(&row), "no {row} in\n{text}");
    };
    has("bill", "2 frames, 0 COW, pin 8 KiB, rss 8 KiB", "0 frames, 0 COW, pin 8 KiB, rss 0 KiB");
    has("mr0 holds", "A B", "(no kernel tells)");
}
