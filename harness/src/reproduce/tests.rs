//! Every op has its C. That it compiles is tested where there is a compiler.

use pinfold_contract::{Checkpoint, OpKind, Outcome};

use super::*;
use crate::generate::Generator;
use crate::model::{PredictedStep, Prediction};
use crate::oracle::Oracle;
use crate::profile::Profile;

/// A prediction for each op, as if all of them worked.
fn all_work(sequence: &Sequence) -> Vec<PredictedStep> {
    let step = |_| PredictedStep {
        prediction: Prediction::only(Outcome::Done),
        checkpoint: Some(Checkpoint::default()),
        write_only: Vec::new(),
        copied_perhaps: Vec::new(),
        copies: Vec::new(),
        limit_reached: false,
        zero_page_exposed: false,
        held: Vec::new(),
    };
    sequence.ops.iter().map(step).collect()
}

fn program(sequence: &Sequence) -> String {
    let reproduction = Reproduction {
        sequence,
        profile: Profile::newest(),
        title: "a test",
        seen_on: &[],
        divergence: None,
    };
    page::page(&reproduction, &body::body(sequence, &all_work(sequence), None))
}

#[test]
fn every_op_is_a_step_of_its_program() {
    let mut left = OpKind::ALL.to_vec();
    for index in 0..200 {
        let sequence = Generator::new(1).sequence_on(Profile::newest(), index);
        let text = program(&sequence);
        let exits = sequence.ops.iter().filter(|op| op.kind() == OpKind::Exit).count();
        let steps = text.matches("check(WRONG,").count() + exits;
        assert!(steps >= sequence.ops.len(), "{steps} steps in\n{text}");
        left.retain(|kind| sequence.ops.iter().all(|op| op.kind() != *kind));
    }
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn braces_and_parentheses_are_paired() {
    for index in 0..200 {
        let text = program(&Generator::new(2).sequence_on(Profile::newest(), index));
        for (open, close) in [('{', '}'), ('(', ')')] {
            let count = |wanted| text.chars().filter(|c| *c == wanted).count();
            assert_eq!(count(open), count(close), "{text}");
        }
    }
}

#[test]
fn only_what_is_used_is_there() {
    let text = "# pinfold 1\nmap 0..1 anon private rw\nwrite 0 8 0x11\n";
    let text = program(&pinfold_contract::parse(text).unwrap().sequence);
    for word in ["ibv_", "cgroup", "ksm", "mremap", "pair", "/dev/shm"] {
        assert!(!text.contains(word), "{word} in\n{text}");
    }
}

/// The program for the last op of `text`, of which `divergence` was seen: oracle, predicted, seen and class.
fn program_for(text: &str, divergence: (Oracle, &str, &str, &str)) -> String {
    let sequence = pinfold_contract::parse(&format!("# pinfold 1\n{text}")).unwrap().sequence;
    let (oracle, predicted, seen, class) = divergence;
    let divergence = Divergence {
        op_index: sequence.ops.len() - 1,
        oracle,
        predicted: predicted.to_owned(),
        seen: seen.to_owned(),
        class: class.to_owned(),
        detail: String::new(),
    };
    c_program(&Reproduction {
        sequence: &sequence,
        profile: Profile::newest(),
        title: "a test",
        seen_on: &[],
        divergence: Some(&divergence),
    })
}

#[test]
fn a_child_that_may_inherit_a_charge_has_one_to_inherit() {
    let charge = ("p1 vm_pin 0", "p1 vm_pin 129", "child.vm_pin.more");
    let text = program_for("fork p1\n", (Oracle::Accounting, charge.0, charge.1, charge.2));
    assert!(text.contains("\tmake_landing();"), "{text}");
}

/// The name that a line of C at file scope declares, if it does.
fn declared(line: &str) -> Option<&str> {
    let end = line.strip_prefix("static ")?.find(['(', ';', '[', '=']).map(|end| end + 7)?;
    line[..end].trim_end().rsplit([' ', '*']).next()
}

#[test]
fn a_wrong_field_of_a_completion_is_compared_under_names_of_its_own() {
    let ops = "map 0..1 anon private rw\nreg mr0 0..1 local_write|remote_atomic\ncas mr0+0 0 1\n";
    let (predicted, seen) = ("request opcode: comp_swap", "request opcode: fetch_add");
    let class = "request-opcode-comp_swap-fetch_add";
    let text = program_for(ops, (Oracle::Completion, predicted, seen, class));
    assert!(text.contains("as_text(ended[1].opcode), \"3\""), "{text}");
    let mut names: Vec<&str> = text.lines().filter_map(declared).collect();
    assert!(names.contains(&"as_text") && names.contains(&"number"), "{names:?}");
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "a name is declared twice in\n{text}");
}
