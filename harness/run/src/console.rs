//! Which op the kernel logged what in.

use pinfold_contract::{LOG_MARK, Step};

/// Gives each step what was logged while its op ran, and returns what was logged after the last of them.
///
/// The executor marks the log when an op begins. What comes before the first mark belongs to the first op: it is the
/// set-up. Times of arrival say nothing: the console may be read long after the wire was.
pub(crate) fn attribute(log: &str, steps: &mut [Step]) -> String {
    let mut rest = String::new();
    let mut op_index = 0;
    for line in log.split_inclusive('\n') {
        if let Some(marked) = mark(line) {
            op_index = marked;
            continue;
        }
        match steps.get_mut(op_index) {
            Some(step) => step.kernel_log.push_str(line),
            None => rest.push_str(line),
        }
    }
    rest
}

fn mark(line: &str) -> Option<usize> {
    let (_, op_index) = line.split_once(LOG_MARK)?;
    op_index.trim_end().parse().ok()
}

#[cfg(test)]
mod tests {
    use pinfold_contract::Outcome;

    use super::*;

    fn steps(count: usize) -> Vec<Step> {
        let step = Step {
            outcome: Outcome::Done,
            completions: Vec::new(),
            checkpoint: None,
            kernel_log: String::new(),
        };
        vec![step; count]
    }

    #[test]
    fn what_is_logged_belongs_to_the_op_that_was_marked_last() {
        let mut steps = steps(2);
        let log = "set-up\npinfold: op 0\na\n[    1.5] pinfold: op 1\nb\nc\npinfold: op 2\nend\n";
        assert_eq!(attribute(log, &mut steps), "end\n");
        assert_eq!(steps[0].kernel_log, "set-up\na\n");
        assert_eq!(steps[1].kernel_log, "b\nc\n");
    }

    #[test]
    fn what_is_logged_in_an_op_without_a_step_is_the_rest() {
        let mut steps = steps(1);
        assert_eq!(attribute("pinfold: op 0\npinfold: op 1\npanic", &mut steps), "panic");
        assert_eq!(steps[0].kernel_log, "");
    }
}
