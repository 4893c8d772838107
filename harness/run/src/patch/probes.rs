//! Probes at the code of changed lines, for modules of a kernel that others built: its code says nothing of itself, but a
//! kernel with kprobes can be asked about any instruction.

use std::collections::BTreeMap;

use super::lines::Lines;
use crate::blocks::{Instruction, LineTable};

/// So many places of one line are looked at: a line may be inlined often.
const PLACES_MOST: usize = 3;

/// Where the code of the changed lines is, with the numbers of probes there as blocks; and the probes, as the kernel names
/// them, in the order of their numbers. The functions around the lines have probes where they begin.
pub(super) fn probes(
    lines: &Lines,
    code: &BTreeMap<&str, Vec<Instruction>>,
) -> (LineTable, Vec<String>) {
    let mut set = Set::default();
    for (module, instructions) in code {
        for instruction in instructions {
            // What is compiled is known of every line, and what ran of those that are looked for.
            set.table.note(&instruction.file, instruction.line, &[]);
        }
        for spot in lines.wanted.iter().flat_map(super::lines::Wanted::spots) {
            let here = |i: &&Instruction| i.file == spot.file;
            let own: Vec<&Instruction> =
                instructions.iter().filter(here).filter(|i| i.line == spot.line).collect();
            let of_statement = |i: &&Instruction| spot.statement.contains(&i.line);
            let found = if own.is_empty() {
                instructions.iter().filter(here).filter(of_statement).collect()
            } else {
                own
            };
            for instruction in found.into_iter().take(PLACES_MOST) {
                let Instruction { file, line, symbol, offset } = instruction;
                let number = set.number(format!("{module}:{symbol}+{offset:#x}"));
                set.table.note(file, *line, &[number]);
                let entry = set.number(format!("{module}:{symbol}"));
                set.table.note(file, *spot.function.start(), &[entry]);
            }
        }
    }
    (set.table, set.names)
}

#[derive(Default)]
struct Set {
    table: LineTable,
    names: Vec<String>,
    numbers: BTreeMap<String, u32>,
}

impl Set {
    fn number(&mut self, name: String) -> u32 {
        let next = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        *self.numbers.entry(name).or_insert_with_key(|name| {
            self.names.push(name.clone());
            next
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use pinfold_machine::diff::Overlay;

    use super::super::lines::lines;
    use super::*;

    const OLD: &str = "int f(int a)\n{\n\treturn a;\n}\n";

    fn instruction(line: u32, offset: u64) -> Instruction {
        Instruction { file: "a.c".to_owned(), line, symbol: "f".to_owned(), offset }
    }

    #[test]
    fn a_changed_line_and_the_function_around_it_have_probes_and_what_was_hit_ran() {
        let overlay =
            |text: &str| Overlay::from([("a.c".to_owned(), Some(text.as_bytes().to_vec()))]);
        let new = OLD.replace("\treturn", "\tif (a)\n\t\treturn 2;\n\treturn");
        let changed = lines(&overlay(OLD), &overlay(&new), &|_| None);
        let code = BTreeMap::from([(
            "m",
            vec![instruction(1, 0), instruction(3, 4), instruction(4, 9), instruction(5, 12)],
        )]);
        let (table, names) = probes(&changed, &code);
        assert_eq!(names, ["m:f+0x4", "m:f", "m:f+0x9"]);
        let reach = changed.reach(&table, &BTreeSet::from([0, 1]));
        assert_eq!(
            (reach.ran, reach.not_run),
            (vec!["a.c:3".to_owned()], vec!["a.c:4".to_owned()])
        );
        assert!(changed.around_missed(&table, &BTreeSet::from([0])).contains(&1));
    }
}
