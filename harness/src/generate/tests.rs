//! What the generated sequences are like.

use std::collections::{BTreeMap, BTreeSet};

use pinfold_contract::{
    Access, Advice, Backing, ByteRange, Chore, FILE_PAGES, File, Handle, Key, MwKind, Pd, Position,
    RegCall, Rereg, Sharing, parse, print,
};
use sha2::{Digest, Sha256};

use super::*;
use crate::slots::is_skipped;

const COUNT: usize = 2400;

/// Many generated sequences, and what is in them.
struct Many(Vec<Sequence>);

impl Many {
    fn generated() -> Many {
        Many((0..COUNT as u64).map(|index| Generator::new(1).sequence(index)).collect())
    }

    /// How many have it.
    fn share(&self, has_it: impl Fn(&[Op]) -> bool) -> usize {
        self.0.iter().filter(|sequence| has_it(&sequence.ops)).count()
    }

    #[track_caller]
    fn covered(&self, what: &str, has_it: impl Fn(&[Op]) -> bool) {
        let count = self.share(has_it);
        assert!(count >= 6, "{what}: only {count} of {COUNT}");
    }

    /// How many of all their ops are `wanted`.
    fn ops_that(&self, wanted: impl Fn(&Op) -> bool) -> usize {
        self.0.iter().flat_map(|sequence| &sequence.ops).filter(|op| wanted(op)).count()
    }
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
    assert_eq!(hash, "569a142815dca85f");
}

#[test]
fn every_sequence_has_a_text_and_its_length() {
    let many = Many::generated();
    for sequence in &many.0 {
        assert_eq!(&parse(&print(sequence)).unwrap().sequence, sequence);
        let longest = OPS_MOST;
        assert!((12..=longest).contains(&sequence.ops.len()), "{}", sequence.ops.len());
    }
    assert!(many.share(|ops| ops.len() > 50) < 80);
    assert!(many.share(|ops| ops.len() > 50) > 20);
}

#[test]
fn rng_seed_and_index_each_change_the_sequence() {
    let texts: BTreeSet<String> =
        (0..20).flat_map(|a| (0..20).map(move |b| print(&Generator::new(a).sequence(b)))).collect();
    assert_eq!(texts.len(), 400);
}

#[test]
fn every_kind_is_in_some_sequences_and_not_in_others() {
    let many = Many::generated();
    // Swapping is a story of its own.
    for kind in OpKind::ALL.into_iter().filter(|kind| *kind != OpKind::Swap) {
        let count = many.share(|ops| ops.iter().any(|op| op.kind() == kind));
        let is_rare = [OpKind::Chore, OpKind::Seal, OpKind::MemLimit].contains(&kind);
        assert!(count > if is_rare { 60 } else { 140 }, "{kind} in {count} of {COUNT}");
        let always = [OpKind::Map, OpKind::Reg, OpKind::Write].contains(&kind);
        assert!(always || count < 2376, "{kind} in {count} of {COUNT}");
    }
}

#[test]
fn every_third_sequence_has_the_classic_kinds_alone() {
    let many = Many::generated();
    let classic = &OpKind::ALL[..12];
    let count = many.share(|ops| ops.iter().all(|op| classic.contains(&op.kind())));
    assert!((680..1120).contains(&count), "{count} of {COUNT}");
}

#[test]
fn what_is_slow_is_rare() {
    let many = Many::generated();
    let with = |wanted: fn(&Op) -> bool| many.share(|ops| ops.iter().any(wanted));
    let merges = with(|op| matches!(op, Op::Chore { chore: Chore::KsmMerge }));
    let chores = with(|op| matches!(op, Op::Chore { .. }));
    let seals = with(|op| op.kind() == OpKind::Seal);
    let limits = with(|op| op.kind() == OpKind::MemLimit);
    assert!(merges <= 72, "{merges}");
    assert!(chores <= 144, "{chores}");
    assert!(seals <= 132 && limits <= 132, "{seals} {limits}");
}

#[test]
fn most_ops_have_something_to_work_on() {
    let many = Many::generated();
    let mut skipped: BTreeMap<OpKind, (usize, usize)> = BTreeMap::new();
    for sequence in &many.0 {
        let mut sketch = Sketch::default();
        for &op in &sequence.ops {
            let entry = skipped.entry(op.kind()).or_default();
            entry.0 += usize::from(is_skipped(&sketch, &op));
            entry.1 += 1;
            sketch.note(op);
        }
    }
    for (kind, (skipped, all)) in skipped {
        assert!(skipped * 10 < all * 3, "{kind}: {skipped} of {all} are skipped");
    }
}

#[test]
fn every_word_of_the_vocabulary_is_used() {
    let many = Many::generated();
    for (advice, name, _) in Advice::ALL {
        let of = |op: &Op| matches!(op, Op::Advise { advice: a, .. } if *a == advice);
        assert!(many.ops_that(of) > 6, "{name}");
    }
    for (chore, name) in Chore::ALL {
        assert!(many.ops_that(|op| *op == Op::Chore { chore }) > 6, "{name}");
    }
    for (scope, name) in LockScope::ALL {
        assert!(
            many.ops_that(|op| matches!(op, Op::LockAll { scope: s, .. } if *s == scope)) > 6,
            "{name}"
        );
    }
    for file in File::all() {
        let maps = |op: &Op| matches!(op, Op::Map { backing: Backing::File { file: f, .. }, .. } if *f == file);
        assert!(many.ops_that(maps) > 60, "{file}");
        assert!(
            many.ops_that(|op| matches!(op, Op::FileWrite { file: f, .. } if *f == file)) > 6,
            "{file}"
        );
        assert!(
            many.ops_that(|op| matches!(op, Op::Truncate { file: f, .. } if *f == file)) > 6,
            "{file}"
        );
        assert!(
            many.ops_that(|op| matches!(op, Op::Punch { file: f, .. } if *f == file)) > 6,
            "{file}"
        );
    }
    let zero = |op: &Op| matches!(op, Op::Map { backing: Backing::DevZero { .. }, .. });
    assert!(many.ops_that(zero) > 20);
    let calls: [fn(RegCall) -> bool; 5] = [
        |call| call == RegCall::Legacy,
        |call| matches!(call, RegCall::Iova2 { iova: Some(_) }),
        |call| call == RegCall::Iova2 { iova: None },
        |call| matches!(call, RegCall::Raw { iova: Some(_) }),
        |call| call == RegCall::Raw { iova: None },
    ];
    for (index, is_it) in calls.into_iter().enumerate() {
        assert!(
            many.ops_that(|op| matches!(*op, Op::Reg { call, .. } if is_it(call))) > 50,
            "{index}"
        );
    }
    for bit in [Rereg::TRANS, Rereg::PD, Rereg::ACCESS] {
        assert!(
            many.ops_that(|op| matches!(op, Op::Rereg { what, .. } if *what == bit)) > 20,
            "{bit}"
        );
    }
    for kind in [MwKind::Type1, MwKind::Type2] {
        let of = |op: &Op| matches!(op, Op::AllocMw { kind: k, .. } if *k == kind);
        assert!(many.ops_that(of) > 50, "{kind}");
    }
    let second = |op: &Op| matches!(op, Op::Reg { pd, .. } if *pd != Pd::FIRST);
    assert!(many.ops_that(second) > 100);
}

#[test]
fn every_subset_of_the_good_rights_is_asked_for() {
    let many = Many::generated();
    for subset in (0..32).map(Access) {
        let of = |op: &Op| matches!(op, Op::Reg { access, .. } if *access == subset);
        let count = many.ops_that(of);
        assert!(count >= 12, "{subset}: {count}");
    }
    for flag in [Access::FLUSH_PERSISTENT, Access::FLUSH_GLOBAL, Access::RELAXED_ORDERING] {
        let of = |op: &Op| matches!(op, Op::Reg { access, .. } if access.has(flag));
        assert!(many.ops_that(of) >= 20, "{flag}");
    }
}

#[test]
fn windows_are_used_while_bound_and_after() {
    let many = Many::generated();
    let by_window = |op: &Op| {
        let (Op::RemoteRead { target, .. } | Op::RemoteWrite { target, .. }) = op else {
            return false;
        };
        matches!(target.key, Key::Of(Handle::Mw(_)))
    };
    many.covered("bind, then access by the key of a window", |ops| {
        ops.windows(2).any(|two| two[0].kind() == OpKind::Bind && by_window(&two[1]))
    });
    many.covered("invalidate, then access by the key of a window", |ops| {
        ops.windows(2).any(|two| two[0].kind() == OpKind::Invalidate && by_window(&two[1]))
    });
    many.covered("the key before the newest", |ops| {
        ops.iter().any(|op| {
            let (Op::RemoteRead { target, .. } | Op::RemoteWrite { target, .. }) = op else {
                return false;
            };
            matches!(target.key, Key::Of(Handle::OldMw(_)))
        })
    });
    many.covered("an invalidating send", |ops| {
        ops.iter().any(|op| matches!(op, Op::Send { invalidate: Some(Handle::Mw(_)), .. }))
    });
}

#[test]
fn known_good_patterns_are_there() {
    let many = Many::generated();
    many.covered("mprotect r, reg, mprotect rw, write", |ops| {
        ops.windows(4).any(|four| match four {
            [
                Op::Protect { prot: Prot::R, pages, .. },
                Op::Reg { .. },
                Op::Protect { prot: Prot::RW, pages: again, .. },
                Op::Write { .. },
            ] => pages == again,
            _ => false,
        })
    });
    many.covered("fork, write here, read there", |ops| {
        ops.windows(3).any(|three| match three {
            [Op::Fork { .. }, Op::Write { proc, .. }, Op::Read { proc: other, .. }] => {
                proc != other
            }
            _ => false,
        })
    });
    many.covered("mergeable, merge, write", |ops| {
        let at = |wanted: fn(&Op) -> bool| ops.iter().position(wanted);
        let merge = at(|op| matches!(op, Op::Chore { chore: Chore::KsmMerge }));
        let advice = at(|op| matches!(op, Op::Advise { advice: Advice::Mergeable, .. }));
        merge.is_some() && advice.is_some() && advice < merge
    });
    many.covered("mem_limit, reg", |ops| {
        ops.windows(2).any(|two| matches!(two, [Op::MemLimit { pages: Some(_) }, Op::Reg { .. }]))
    });
    many.covered("reg, rereg, access", |ops| {
        ops.windows(2).any(|two| matches!(two, [Op::Reg { .. }, Op::Rereg { .. }]))
    });
    many.covered("many MRs", |ops| ops.iter().filter(|op| op.kind() == OpKind::Reg).count() > 30);
    many.covered("mlock, reg", |ops| {
        ops.windows(2).any(|two| matches!(two, [Op::Lock { .. }, Op::Reg { .. }]))
    });
}

#[test]
fn a_registration_is_written_under_and_then_read() {
    let many = Many::generated();
    many.covered("reg, write, read_remote", |ops| {
        ops.windows(3).any(|three| match three {
            [
                Op::Reg { mr, span, access, .. },
                Op::Write { at, .. },
                Op::RemoteRead { target, .. },
            ] => *mr == target.mr && *at == span.start && !access.has_any(Access::LOCAL_WRITE),
            _ => false,
        })
    });
}

#[test]
fn forks_come_before_and_after_registrations() {
    let many = Many::generated();
    let at = |ops: &[Op], kind| ops.iter().position(|op| op.kind() == kind);
    many.covered("fork, reg", |ops| at(ops, OpKind::Fork) < at(ops, OpKind::Reg));
    many.covered("reg, fork", |ops| at(ops, OpKind::Reg) < at(ops, OpKind::Fork));
    many.covered("a child of a child", |ops| {
        ops.iter().any(|op| matches!(op, Op::Fork { proc, .. } if *proc != Proc::P0))
    });
    many.covered("a child writes", |ops| {
        ops.iter().any(|op| matches!(op, Op::Write { proc, .. } if *proc != Proc::P0))
    });
}

#[test]
fn memory_changes_under_a_live_mr() {
    let many = Many::generated();
    many.covered("unmap under an MR", |ops| {
        let mut live: Option<ByteRange> = None;
        ops.iter().any(|&op| {
            if let Op::Reg { span, .. } = op {
                live = span.range();
            }
            let Op::Unmap { proc: Proc::P0, pages } = op else { return false };
            live.is_some_and(|range| {
                pages.pages().any(|page| Position::page(page) == range.start())
            })
        })
    });
    many.covered("a file mapped private and shared by one process", |ops| {
        let maps = |wanted: Sharing| {
            ops.iter().any(|op| {
                matches!(op, Op::Map { proc: Proc::P0, backing: Backing::File { page: 0, .. }, sharing, .. }
                    if *sharing == wanted)
            })
        };
        maps(Sharing::Private) && maps(Sharing::Shared)
    });
    many.covered("beyond the end of a file", |ops| {
        ops.iter().any(|&op| {
            let Op::Map { pages, backing: Backing::File { page, .. }, .. } = op else {
                return false;
            };
            page + pages.page_count() > FILE_PAGES
        })
    });
}

#[test]
fn registrations_and_keys_are_good_and_bad() {
    let many = Many::generated();
    let any_reg = |test: fn(ByteRange, Access) -> bool| {
        move |ops: &[Op]| {
            ops.iter().any(|op| matches!(*op, Op::Reg { span, access, .. } if span.range().is_some_and(|range| test(range, access))))
        }
    };
    many.covered("zero length", any_reg(|range, _| range.len_bytes() == 0));
    many.covered("unaligned", any_reg(|range, _| range.start().page_offset() != 0));
    many.covered("unknown flags", any_reg(|_, access| access.0 >= 1 << 10));
    many.covered("more than there is", |ops| {
        ops.iter().any(|op| matches!(*op, Op::Reg { span, .. } if span.range().is_none()))
    });
    many.covered("writable", any_reg(|_, access| access.has(Access::LOCAL_WRITE)));
    let key = |wanted: fn(Key) -> bool| {
        move |ops: &[Op]| {
            ops.iter().any(|&op| {
                let (Op::RemoteRead { target, .. } | Op::RemoteWrite { target, .. }) = op else {
                    return false;
                };
                wanted(target.key)
            })
        }
    };
    many.covered("a stale key", key(|key| key == Key::Stale));
    many.covered("another's key", key(|key| matches!(key, Key::Of(_))));
    many.covered("a slot used again", |ops| {
        let dereg = ops.iter().position(|op| op.kind() == OpKind::Dereg);
        dereg.is_some_and(|at| {
            let Op::Dereg { mr } = ops[at] else { return false };
            ops[at..].iter().any(|op| matches!(op, Op::Reg { mr: again, .. } if *again == mr))
        })
    });
    many.covered("a limit near the need", |ops| {
        ops.iter().any(|op| matches!(*op, Op::Limit { bytes: 4096..0x4000_0000 }))
    });
}
