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

#[test]
fn a_child_that_may_inherit_a_charge_has_one_to_inherit() {
    let sequence = pinfold_contract::parse("# pinfold 1\nfork p1\n").unwrap().sequence;
    let divergence = Divergence {
        op_index: 0,
        oracle: Oracle::Accounting,
        predicted: "p1 vm_pin 0".to_owned(),
        seen: "p1 vm_pin 129".to_owned(),
        class: "child.vm_pin.more".to_owned(),
        detail: String::new(),
    };
    let text = c_program(&Reproduction {
        sequence: &sequence,
        profile: Profile::newest(),
        title: "a test",
        seen_on: &[],
        divergence: Some(&divergence),
    });
    assert!(text.contains("\tmake_landing();"), "{text}");
}

/// The name that a line of C at file scope declares, if it does.
fn declared(line: &str) -> Option<&str> {
    let end = line.strip_prefix("static ")?.find(['(', ';', '[', '=']).map(|end| end + 7)?;
    line[..end].trim_end().rsplit([' ', '*']).next()
}

#[test]
fn a_wrong_field_of_a_completion_is_compared_under_names_of_its_own() {
    let text = "# pinfold 1\nmap 0..1 anon private rw\nreg mr0 0..1 local_write|remote_atomic\n\
                cas mr0+0 0 1\n";
    let sequence = pinfold_contract::parse(text).unwrap().sequence;
    let divergence = Divergence {
        op_index: 2,
        oracle: Oracle::Completion,
        predicted: "request opcode: comp_swap".to_owned(),
        seen: "request opcode: fetch_add".to_owned(),
        class: "request-opcode-comp_swap-fetch_add".to_owned(),
        detail: String::new(),
    };
    let text = c_program(&Reproduction {
        sequence: &sequence,
        profile: Profile::newest(),
        title: "a test",
        seen_on: &[],
        divergence: Some(&divergence),
    });
    assert!(text.contains("as_text(ended[1].opcode), \"3\""), "{text}");
    let mut names: Vec<&str> = text.lines().filter_map(declared).collect();
    assert!(names.contains(&"as_text") && names.contains(&"number"), "{names:?}");
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "a name is declared twice in\n{text}");
}
