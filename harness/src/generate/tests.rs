//! What the generated sequences are like.

use std::collections::BTreeSet;

use pinfold_contract::{parse, print};
use sha2::{Digest, Sha256};

use super::*;

fn many() -> Vec<Sequence> {
    (0..400).map(|index| Generator::new(1).sequence(index)).collect()
}

/// How many of many sequences have it.
fn share(has_it: impl Fn(&[Op]) -> bool) -> usize {
    many().iter().filter(|sequence| has_it(&sequence.ops)).count()
}

#[track_caller]
fn covered(what: &str, has_it: impl Fn(&[Op]) -> bool) {
    let count = share(has_it);
    assert!(count >= 4, "{what}: only {count} of 400");
}

#[test]
fn what_a_number_gives_never_changes() {
    let mut hash = Sha256::new();
    for rng_seed in [0, 1, u64::MAX] {
        for index in 0..64 {
            hash.update(print(&Generator::new(rng_seed).sequence(index)));
        }
    }
    let hash: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    // A change here makes every stored (rng seed, index) mean another sequence.
    assert_eq!(hash, "a48a3919a859bc05");
}

#[test]
fn every_sequence_has_a_text_and_its_length() {
    for sequence in many() {
        assert_eq!(parse(&print(&sequence)).unwrap().sequence, sequence);
        assert!((12..=44).contains(&sequence.ops.len()), "{}", sequence.ops.len());
    }
}

#[test]
fn rng_seed_and_index_each_change_the_sequence() {
    let texts: BTreeSet<String> =
        (0..20).flat_map(|a| (0..20).map(move |b| print(&Generator::new(a).sequence(b)))).collect();
    assert_eq!(texts.len(), 400);
}

#[test]
fn every_kind_is_in_some_sequences_and_not_in_others() {
    for kind in OpKind::ALL {
        let count = share(|ops| ops.iter().any(|op| op.kind() == kind));
        assert!(count > 60, "{kind} in {count} of 400");
        let always = [OpKind::Map, OpKind::Reg, OpKind::Write].contains(&kind);
        assert!(always || count < 396, "{kind} in {count} of 400");
    }
}

#[test]
fn a_registration_is_written_under_and_then_read() {
    covered("reg, write, read_remote", |ops| {
        ops.windows(3).any(|three| match three {
            [
                Op::Reg { mr, range, access },
                Op::Write { at, .. },
                Op::RemoteRead { mr: read, .. },
            ] => mr == read && *at == range.start() && !access.has_any(Access::LOCAL_WRITE),
            _ => false,
        })
    });
}

#[test]
fn forks_come_before_and_after_registrations() {
    let at = |ops: &[Op], kind| ops.iter().position(|op| op.kind() == kind);
    covered("fork, reg", |ops| at(ops, OpKind::Fork) < at(ops, OpKind::Reg));
    covered("reg, fork", |ops| at(ops, OpKind::Reg) < at(ops, OpKind::Fork));
    covered("a child of a child", |ops| {
        ops.iter().any(|op| matches!(op, Op::Fork { proc, .. } if *proc != Proc::P0))
    });
    covered("a child writes", |ops| {
        ops.iter().any(|op| matches!(op, Op::Write { proc, .. } if *proc != Proc::P0))
    });
}

#[test]
fn memory_changes_under_a_live_mr() {
    covered("unmap under an MR", |ops| {
        let mut live: Option<ByteRange> = None;
        ops.iter().any(|&op| {
            if let Op::Reg { range, .. } = op {
                live = Some(range);
            }
            let Op::Unmap { proc: Proc::P0, pages } = op else { return false };
            live.is_some_and(|range| {
                pages.pages().any(|page| Position::page(page) == range.start())
            })
        })
    });
    covered("a file mapped private and shared by one process", |ops| {
        let maps = |wanted: Sharing| {
            ops.iter().any(|op| {
                matches!(op, Op::Map { proc: Proc::P0, backing: Backing::Memfd { page: 0, .. }, sharing, .. }
                    if *sharing == wanted)
            })
        };
        maps(Sharing::Private) && maps(Sharing::Shared)
    });
    covered("beyond the end of a file", |ops| {
        ops.iter().any(|&op| {
            let Op::Map { pages, backing: Backing::Memfd { page, .. }, .. } = op else {
                return false;
            };
            page + pages.page_count() > FILE_PAGES
        })
    });
}

#[test]
fn registrations_and_keys_are_good_and_bad() {
    let any_reg = |test: fn(ByteRange, Access) -> bool| {
        move |ops: &[Op]| {
            ops.iter().any(|op| matches!(*op, Op::Reg { range, access, .. } if test(range, access)))
        }
    };
    covered("zero length", any_reg(|range, _| range.len_bytes() == 0));
    covered("unaligned", any_reg(|range, _| range.start().page_offset() != 0));
    covered("unknown flags", any_reg(|_, access| access.0 >= 1 << 10));
    covered("writable", any_reg(|_, access| access.has(Access::LOCAL_WRITE)));
    let key = |wanted: fn(Key) -> bool| {
        move |ops: &[Op]| {
            ops.iter().any(|&op| {
                let (Op::RemoteRead { key, .. } | Op::RemoteWrite { key, .. }) = op else {
                    return false;
                };
                wanted(key)
            })
        }
    };
    covered("a stale key", key(|key| key == Key::Stale));
    covered("another's key", key(|key| matches!(key, Key::Of(_))));
    covered("a slot used again", |ops| {
        let dereg = ops.iter().position(|op| op.kind() == OpKind::Dereg);
        dereg.is_some_and(|at| {
            let Op::Dereg { mr } = ops[at] else { return false };
            ops[at..].iter().any(|op| matches!(op, Op::Reg { mr: again, .. } if *again == mr))
        })
    });
    covered("a limit near the need", |ops| {
        ops.iter().any(|op| matches!(*op, Op::Limit { bytes } if bytes / 4096 > BOUNCE_PAGES && bytes < 1 << 30))
    });
}
