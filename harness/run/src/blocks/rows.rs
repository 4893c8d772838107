//! Which blocks run the code of a line, for every line that has code.
//!
//! A block begins with a call of the collector. An instruction belongs to the call before it from which a straight way
//! leads to it; else to the one that it leads straight to, since a register may be set for a block before the call of it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use addr2line::gimli::{self, Dwarf, EndianSlice, LittleEndian};
use iced_x86::{Decoder, DecoderOptions, FlowControl};
use object::{Object, ObjectSection, ObjectSymbol};

use super::{BlocksError, return_addresses, sections_of};

/// The lines of some sources that have code, each with the blocks that run it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LineTable(BTreeMap<String, BTreeMap<u32, BTreeSet<u32>>>);

/// Reads the lines of `files`, which are named below the root of the source, out of the kernel `image`.
///
/// # Errors
///
/// If it cannot be read, or is no image with lines.
pub(crate) fn line_table(image: &Path, files: &BTreeSet<String>) -> Result<LineTable, BlocksError> {
    let path = || image.to_owned();
    let bytes = fs::read(image).map_err(|source| BlocksError::Read { path: path(), source })?;
    let read = || -> Result<LineTable, String> {
        let file = object::File::parse(&*bytes).map_err(|error| error.to_string())?;
        let owners = owners(&file)?;
        let rows = rows(&file, files)?;
        let mut table = LineTable::default();
        for Row { file, line, address } in rows {
            let blocks = table.0.entry(file).or_default().entry(line).or_default();
            blocks.extend(owners.get(&address));
        }
        Ok(table)
    };
    read().map_err(|reason| BlocksError::Image { path: path(), reason })
}

impl LineTable {
    /// Of one file, by line. `None` if nothing of it is in the image.
    pub(crate) fn of(&self, file: &str) -> Option<&BTreeMap<u32, BTreeSet<u32>>> {
        self.0.get(file)
    }

    /// Notes that `line` of `file` has code, which `blocks` run.
    pub(crate) fn note(&mut self, file: &str, line: u32, blocks: &[u32]) {
        let lines = self.0.entry(file.to_owned()).or_default();
        lines.entry(line).or_default().extend(blocks);
    }

    #[cfg(test)]
    pub(crate) fn from_rows(rows: &[(&str, u32, &[u32])]) -> LineTable {
        let mut table = LineTable::default();
        rows.iter().for_each(|(file, line, blocks)| table.note(file, *line, blocks));
        table
    }
}

/// An instruction with which code of a line begins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instruction {
    pub(crate) file: String,
    pub(crate) line: u32,
    /// The symbol before it, and how many bytes behind that it is.
    pub(crate) symbol: String,
    pub(crate) offset: u64,
}

/// Where in `image` the code of `files` is, by symbols; each place once.
///
/// # Errors
///
/// If it cannot be read, or is no program.
pub(crate) fn instructions(
    image: &Path,
    files: &BTreeSet<String>,
) -> Result<BTreeSet<Instruction>, BlocksError> {
    let path = || image.to_owned();
    let bytes = fs::read(image).map_err(|source| BlocksError::Read { path: path(), source })?;
    let read = || -> Result<BTreeSet<Instruction>, String> {
        let parsed = object::File::parse(&*bytes).map_err(|error| error.to_string())?;
        let symbols: BTreeMap<u64, (u64, &str)> = parsed
            .symbols()
            .filter(|symbol| symbol.kind() == object::SymbolKind::Text && symbol.size() > 0)
            .filter_map(|symbol| Some((symbol.address(), (symbol.size(), symbol.name().ok()?))))
            .collect();
        let place = |Row { file, line, address }: Row| {
            let (begin, (size, name)) = symbols.range(..=address).next_back()?;
            let offset = address - begin;
            let symbol = (*name).to_owned();
            (offset < *size).then_some(Instruction { file, line, symbol, offset })
        };
        Ok(rows(&parsed, files)?.into_iter().filter_map(place).collect())
    };
    read().map_err(|reason| BlocksError::Image { path: path(), reason })
}

/// Where code of a line begins.
struct Row {
    file: String,
    line: u32,
    address: u64,
}

fn rows(file: &object::File<'_>, files: &BTreeSet<String>) -> Result<Vec<Row>, String> {
    let sections = sections_of(file)?;
    let dwarf: Dwarf<EndianSlice<'_, LittleEndian>> =
        sections.borrow(|section| EndianSlice::new(section, LittleEndian));
    let mut found = Vec::new();
    let mut units = dwarf.units();
    let mut read = || -> Result<(), gimli::Error> {
        while let Some(header) = units.next()? {
            rows_of(&dwarf, &dwarf.unit(header)?, files, &mut found)?;
        }
        Ok(())
    };
    read().map_err(|error| error.to_string())?;
    Ok(found)
}

type Slice<'d> = EndianSlice<'d, LittleEndian>;

fn rows_of<'d>(
    dwarf: &Dwarf<Slice<'d>>,
    unit: &gimli::Unit<Slice<'d>>,
    files: &BTreeSet<String>,
    found: &mut Vec<Row>,
) -> Result<(), gimli::Error> {
    let Some(program) = unit.line_program.clone() else { return Ok(()) };
    let mut names: BTreeMap<u64, Option<String>> = BTreeMap::new();
    let mut rows = program.rows();
    while let Some((header, row)) = rows.next_row()? {
        let (false, Some(line)) = (row.end_sequence(), row.line()) else { continue };
        let name = match names.entry(row.file_index()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let path = match row.file(header) {
                    Some(file) => path_of(dwarf, unit, header, file)?,
                    None => String::new(),
                };
                place.insert(wanted(&path, files))
            }
        };
        let Some(file) = name else { continue };
        let Ok(line) = u32::try_from(line.get()) else { continue };
        found.push(Row { file: file.clone(), line, address: row.address() });
    }
    Ok(())
}

fn path_of<'d>(
    dwarf: &Dwarf<Slice<'d>>,
    unit: &gimli::Unit<Slice<'d>>,
    header: &gimli::LineProgramHeader<Slice<'d>>,
    file: &gimli::FileEntry<Slice<'d>>,
) -> Result<String, gimli::Error> {
    let text = |value| -> Result<String, gimli::Error> {
        Ok(dwarf.attr_string(unit, value)?.to_string_lossy().into_owned())
    };
    let name = text(file.path_name())?;
    let folder = file.directory(header).map(text).transpose()?.unwrap_or_default();
    Ok(format!("{folder}/{name}"))
}

/// Which of `files` is at `path`, whose root nobody knows.
fn wanted(path: &str, files: &BTreeSet<String>) -> Option<String> {
    let path = path.replace("/./", "/");
    let is_it = |file: &&String| path.strip_suffix(file.as_str()).is_some_and(|r| r.ends_with('/'));
    files.iter().filter(is_it).max_by_key(|file| file.len()).cloned()
}

/// The number of the block that an instruction belongs to, by its address, in every function that has blocks.
fn owners(file: &object::File<'_>) -> Result<BTreeMap<u64, u32>, String> {
    let returns: BTreeMap<u64, u32> =
        return_addresses(file)?.into_iter().map(|(number, back)| (back, number)).collect();
    let mut owners = BTreeMap::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == object::SymbolKind::Text) {
        let (begin, size) = (symbol.address(), symbol.size());
        if returns.range(begin..begin.saturating_add(size)).next().is_none() {
            continue;
        }
        let section = symbol.section_index().and_then(|index| file.section_by_index(index).ok());
        let Some(section) = section else { continue };
        let code = section.data_range(begin, size).map_err(|error| error.to_string())?;
        owners.extend(owners_in(begin, code.unwrap_or_default(), &returns));
    }
    Ok(owners)
}

/// The same in one function.
fn owners_in(begin: u64, code: &[u8], returns: &BTreeMap<u64, u32>) -> Vec<(u64, u32)> {
    let mut owners = Vec::new();
    let mut decoder = Decoder::with_ip(64, code, begin, DecoderOptions::NONE);
    let (mut last, mut straight): (Option<u32>, Option<u32>) = (None, None);
    // Instructions since a branch that no call of the collector has come behind yet.
    let mut pending: Vec<u64> = Vec::new();
    while decoder.can_decode() {
        let instruction = decoder.decode();
        if let Some(number) = returns.get(&instruction.next_ip()) {
            owners.extend(pending.drain(..).map(|address| (address, *number)));
            (last, straight) = (Some(*number), Some(*number));
        }
        match straight {
            Some(number) => owners.push((instruction.ip(), number)),
            None => pending.push(instruction.ip()),
        }
        let goes_on = matches!(
            instruction.flow_control(),
            FlowControl::Next | FlowControl::Call | FlowControl::IndirectCall
        );
        if !goes_on {
            // A piece without a call of its own, between two branches: one of the block before it.
            owners.extend(pending.drain(..).filter_map(|address| Some((address, last?))));
            straight = None;
        }
    }
    owners.extend(pending.into_iter().filter_map(|address| Some((address, last?))));
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: [u8; 5] = [0xe8, 0, 0, 0, 0];
    const NOP: u8 = 0x90;
    const RET: u8 = 0xc3;
    const JNE: [u8; 2] = [0x75, 0];

    #[test]
    fn an_instruction_belongs_to_the_call_that_a_straight_way_leads_from_or_to() {
        // nop, call, nop, jne; nop, call, ret; nop, ret
        let code = [&[NOP][..], &CALL, &[NOP], &JNE, &[NOP], &CALL, &[RET], &[NOP, RET]].concat();
        let returns = BTreeMap::from([(106, 1), (115, 2)]);
        let owners = owners_in(100, &code, &returns);
        let expected = [
            (100, 1),
            (101, 1),
            (106, 1),
            (107, 1),
            (109, 2),
            (110, 2),
            (115, 2),
            (116, 2),
            (117, 2),
        ];
        assert_eq!(owners, expected);
    }

    #[test]
    fn a_file_is_found_below_any_root() {
        let files = BTreeSet::from(["mm/gup.c".to_owned(), "include/linux/mm.h".to_owned()]);
        assert_eq!(wanted("/a/tree/mm/gup.c", &files).as_deref(), Some("mm/gup.c"));
        assert_eq!(
            wanted("/a/./include/linux/mm.h", &files).as_deref(),
            Some("include/linux/mm.h")
        );
        assert_eq!(wanted("/a/tree/comm/gup.c", &files), None);
    }
}
