//! Whether a long sequence diverges by a cause that a short one has shown already.
//!
//! A sequence that was not minimized in time may diverge in another way than the short one, and by the same cause. If it no
//! longer diverges so without the op that makes the short one diverge, that is probable. It is no proof: the op may be
//! needed for another cause as well. So such a finding is listed below the short one, and never left out.

use pinfold_contract::{Advice, Chore, Op, OpKind, Sequence};

/// `long` without each op that stands where the last op of `short` does: behind the ops of `short` before it, in their order,
/// with any arguments. None if it has no such op.
///
/// `short` is minimal, and ends with the op that diverges.
pub fn without_cause(long: &Sequence, short: &Sequence) -> Option<Sequence> {
    let (last, before) = short.ops.split_last()?;
    let mut wanted = before.iter().map(kind).peekable();
    let mut ops = long.ops.clone();
    ops.retain(|op| {
        if wanted.next_if_eq(&kind(op)).is_some() {
            return true;
        }
        wanted.peek().is_some() || kind(op) != kind(last)
    });
    (ops.len() < long.ops.len()).then_some(Sequence { ops })
}

/// What kind of op it is; ops of one kind with another advice or chore are of other kinds.
fn kind(op: &Op) -> (OpKind, Option<Advice>, Option<Chore>) {
    let advice = if let Op::Advise { advice, .. } = *op { Some(advice) } else { None };
    let chore = if let Op::Chore { chore } = *op { Some(chore) } else { None };
    (op.kind(), advice, chore)
}

#[cfg(test)]
mod tests {
    use pinfold_contract::{parse, print};

    use super::*;

    fn read(text: &str) -> Sequence {
        parse(&format!("# pinfold 1\n{text}")).unwrap().sequence
    }

    fn without(long: &str, short: &str) -> Option<String> {
        let text = print(&without_cause(&read(long), &read(short))?);
        text.strip_prefix("# pinfold 1\n").map(str::to_owned)
    }

    const SHORT: &str = "map 0..1 anon private rw\nreg mr0 0..1 remote_read\ndereg mr0\n";

    #[test]
    fn each_op_that_may_be_the_cause_is_taken_out_whatever_its_arguments() {
        let kept = "map 4..6 anon private rw\nreg mr1 4..6 local_write\n";
        let long = format!("dereg mr3\n{kept}dereg mr1\nread 0 8\ndereg mr2\n");
        assert_eq!(without(&long, SHORT).unwrap(), format!("dereg mr3\n{kept}read 0 8\n"));
    }

    #[test]
    fn what_has_not_the_ops_of_the_short_one_has_another_cause() {
        assert_eq!(without("map 0..1 anon private rw\ndereg mr0\n", SHORT), None);
        let short = "map 0..1 anon private rw\nadvise 0..1 dontneed\n";
        assert_eq!(without("map 0..1 anon private rw\nadvise 0..1 dontfork\n", short), None);
    }
}
