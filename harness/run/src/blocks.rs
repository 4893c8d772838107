//! The blocks of a kernel that notes which of them ran, one after which: where its source has them, and how many that is.
//!
//! A block begins with a call of `__sanitizer_cov_trace_pc()`, whose return address names it. Where those calls are stands in
//! the machine code, and to which line they belong in the image's DWARF.

mod rows;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

use addr2line::gimli::{Dwarf, DwarfSections, EndianSlice, LittleEndian, Reader, SectionId};
use object::{Object, ObjectSection, ObjectSymbol};
use pinfold_contract::Edge;
use serde::{Deserialize, Serialize};

pub(crate) use rows::{Instruction, LineTable, instructions, line_table};

/// What each block calls, and where the kernel's text begins.
const COLLECTOR: &str = "__sanitizer_cov_trace_pc";
const TEXT: &str = "_stext";

/// The code whose blocks are counted apart.
const INFINIBAND: &str = "drivers/infiniband/";

/// Length of `call rel32` and its first byte, on x86-64.
const CALL_BYTES: usize = 5;
const CALL: u8 = 0xe8;

/// Bytes of text that a number of a block stands for.
const BYTES_PER_BLOCK: u64 = 4;

/// Why the blocks of an image are not known.
#[derive(Debug, thiserror::Error)]
pub enum BlocksError {
    /// No such file, or one that cannot be read.
    #[error("cannot read {path}: see that it is there and may be read")]
    Read {
        /// The image.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// An image of something else.
    #[error("{path} is no kernel whose blocks have lines ({reason}): use one of the variant +kcov")]
    Image {
        /// The image.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Where a block is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, below the root of the source.
    pub file: String,
    /// The line.
    pub line: u32,
    /// The function whose line it is, wherever it was inlined.
    pub function: String,
}

/// Every block of a kernel.
#[derive(Clone, Debug, Default)]
pub struct BlockMap(BTreeMap<u32, Place>);

/// Blocks that ran, how many there are, and the edges between those that ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockCount {
    /// That ran.
    pub ran: usize,
    /// That there are.
    pub there: usize,
    /// That ran, in `drivers/infiniband`.
    pub ran_infiniband: usize,
    /// That there are, in `drivers/infiniband`.
    pub there_infiniband: usize,
    /// Edges that were taken, from one block to the next in the same context.
    #[serde(default)]
    pub edges: usize,
    /// Those that begin and end in `drivers/infiniband`, or enter it first of all.
    #[serde(default)]
    pub edges_infiniband: usize,
}

/// `4123 of 20456 blocks, 2310 of 9870 in drivers/infiniband; 9214 edges, 4020 in drivers/infiniband`.
impl fmt::Display for BlockCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BlockCount { ran, there, ran_infiniband, there_infiniband, .. } = self;
        let BlockCount { edges, edges_infiniband, .. } = self;
        let folder = INFINIBAND.trim_end_matches('/');
        write!(f, "{ran} of {there} blocks, {ran_infiniband} of {there_infiniband} in {folder}; ")?;
        write!(f, "{edges} edges, {edges_infiniband} in {folder}")
    }
}

impl BlockMap {
    /// The blocks of the kernel `image`.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is no image with blocks and lines.
    pub fn of(image: &Path) -> Result<BlockMap, BlocksError> {
        let path = || image.to_owned();
        let bytes = fs::read(image).map_err(|source| BlocksError::Read { path: path(), source })?;
        let read = || -> Result<BlockMap, String> {
            let file = object::File::parse(&*bytes).map_err(|error| error.to_string())?;
            let returns = return_addresses(&file)?;
            placed(&file, returns)
        };
        let map = read().map_err(|reason| BlocksError::Image { path: path(), reason })?;
        if map.0.is_empty() {
            let reason = "none of its code notes that it ran".to_owned();
            return Err(BlocksError::Image { path: path(), reason });
        }
        Ok(map)
    }

    /// How many of them ran, where the kernel took `edges`.
    pub fn count(&self, edges: &BTreeSet<Edge>) -> BlockCount {
        let ran = reached(edges);
        let known = || ran.iter().filter_map(|number| self.0.get(number));
        let infiniband = |place: &&Place| place.file.starts_with(INFINIBAND);
        let is_in = |block: u32| self.0.get(&block).as_ref().is_some_and(infiniband);
        let within = |edge: &&Edge| is_in(edge.to) && (edge.from == 0 || is_in(edge.from));
        BlockCount {
            ran: known().count(),
            there: self.0.len(),
            ran_infiniband: known().filter(infiniband).count(),
            there_infiniband: self.0.values().filter(infiniband).count(),
            edges: edges.len(),
            edges_infiniband: edges.iter().filter(within).count(),
        }
    }

    /// The functions and lines that have blocks, each with whether one of `edges` leads to one of them, in the form of lcov,
    /// which `genhtml` and others read. A function stands at the first line of its own.
    pub fn lcov(&self, edges: &BTreeSet<Edge>) -> String {
        let ran = reached(edges);
        let mut files: BTreeMap<&str, InFile<'_>> = BTreeMap::new();
        for (number, place) in &self.0 {
            let (file, ran) = (files.entry(&place.file).or_default(), ran.contains(number));
            *file.lines.entry(place.line).or_default() |= ran;
            let (first, any) = file.functions.entry(&place.function).or_insert((place.line, false));
            (*first, *any) = ((*first).min(place.line), *any || ran);
        }
        let mut text = String::new();
        for (name, InFile { functions, lines }) in files {
            _ = writeln!(text, "SF:{name}");
            for (function, (line, _)) in &functions {
                _ = writeln!(text, "FN:{line},{function}");
            }
            for (function, (_, ran)) in &functions {
                _ = writeln!(text, "FNDA:{},{function}", u8::from(*ran));
            }
            let hit = functions.values().filter(|(_, ran)| *ran).count();
            _ = writeln!(text, "FNF:{}\nFNH:{hit}", functions.len());
            for (line, ran) in &lines {
                _ = writeln!(text, "DA:{line},{}", u8::from(*ran));
            }
            let hit = lines.values().filter(|ran| **ran).count();
            _ = writeln!(text, "LF:{}\nLH:{hit}\nend_of_record", lines.len());
        }
        text
    }
}

/// The blocks that `edges` lead to.
fn reached(edges: &BTreeSet<Edge>) -> BTreeSet<u32> {
    edges.iter().map(|edge| edge.to).collect()
}

/// What of a file has blocks, with whether one of them ran.
#[derive(Default)]
struct InFile<'m> {
    /// With its first line.
    functions: BTreeMap<&'m str, (u32, bool)>,
    lines: BTreeMap<u32, bool>,
}

/// The number of each call of the collector, with the address that it returns to.
fn return_addresses(file: &object::File<'_>) -> Result<Vec<(u32, u64)>, String> {
    let address_of = |name: &str| {
        let mut symbols = file.symbols();
        let symbol = symbols.find(|symbol| symbol.name() == Ok(name));
        symbol.map(|symbol| symbol.address()).ok_or_else(|| format!("it has no {name}"))
    };
    let (collector, text) = (address_of(COLLECTOR)?, address_of(TEXT)?);
    let mut found = Vec::new();
    for section in file.sections().filter(|section| section.kind() == object::SectionKind::Text) {
        let bytes = section.data().map_err(|error| error.to_string())?;
        for (offset, call) in (0_u64..).zip(bytes.windows(CALL_BYTES)) {
            let [CALL, distance @ ..] = call else { continue };
            let distance: [u8; 4] = distance.try_into().map_err(|_| "a short call".to_owned())?;
            let back = section.address() + offset + CALL_BYTES as u64;
            let to = back.wrapping_add_signed(i32::from_le_bytes(distance).into());
            let number = back.checked_sub(text).map(|bytes| bytes / BYTES_PER_BLOCK);
            if let (true, Some(Ok(number))) = (to == collector, number.map(u32::try_from)) {
                found.push((number, back));
            }
        }
    }
    Ok(found)
}

/// The DWARF of `file`.
fn sections_of<'d>(file: &object::File<'d>) -> Result<DwarfSections<Cow<'d, [u8]>>, String> {
    let section = |id: SectionId| -> Result<Cow<'d, [u8]>, addr2line::gimli::Error> {
        let section = file.section_by_name(id.name());
        Ok(section.and_then(|section| section.uncompressed_data().ok()).unwrap_or_default())
    };
    DwarfSections::load(section).map_err(|error| error.to_string())
}

/// Where the blocks are whose calls return to these addresses.
fn placed(file: &object::File<'_>, returns: Vec<(u32, u64)>) -> Result<BlockMap, String> {
    let sections = sections_of(file)?;
    let dwarf: Dwarf<EndianSlice<'_, LittleEndian>> =
        sections.borrow(|section| EndianSlice::new(section, LittleEndian));
    let context = addr2line::Context::from_dwarf(dwarf).map_err(|error| error.to_string())?;
    let mut map = BTreeMap::new();
    for (number, back) in returns {
        // The call itself: what it returns to may belong to another line.
        if let Some(place) = place_of(&context, back - 1).map_err(|error| error.to_string())? {
            map.insert(number, place);
        }
    }
    shorten(&mut map);
    Ok(BlockMap(map))
}

/// The place of an instruction, in the innermost of the functions that were inlined there.
fn place_of<R: Reader>(
    context: &addr2line::Context<R>,
    address: u64,
) -> Result<Option<Place>, addr2line::gimli::Error> {
    let Some(frame) = context.find_frames(address).skip_all_loads()?.next()? else {
        return Ok(None);
    };
    let Some((file, line)) = frame.location.and_then(|at| Some((at.file?, at.line?))) else {
        return Ok(None);
    };
    let function = match &frame.function {
        Some(function) => function.raw_name()?.into_owned(),
        None => String::new(),
    };
    Ok(Some(Place { file: file.to_owned(), line, function }))
}

/// Names files from the root of the source on: what the whole names have in common goes.
fn shorten(map: &mut BTreeMap<u32, Place>) {
    let mut whole = map.values().map(|place| &*place.file).filter(|file| file.starts_with('/'));
    let Some(first) = whole.next() else { return };
    let mut root = first.rsplit_once('/').map_or("", |(folder, _)| folder);
    for file in whole {
        while !file.strip_prefix(root).is_some_and(|rest| rest.starts_with('/')) {
            root = root.rsplit_once('/').map_or("", |(folder, _)| folder);
        }
    }
    let root = format!("{root}/");
    for place in map.values_mut() {
        if let Some(rest) = place.file.strip_prefix(&root) {
            place.file = rest.replace("/./", "/");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> BlockMap {
        let place = |file: &str, line, function: &str| {
            let (file, function) = (file.to_owned(), function.to_owned());
            Place { file, line, function }
        };
        BlockMap(BTreeMap::from([
            (10, place("drivers/infiniband/core/umem.c", 7, "ib_umem_get")),
            (20, place("drivers/infiniband/core/umem.c", 7, "ib_umem_get")),
            (30, place("drivers/infiniband/core/umem.c", 9, "ib_umem_get")),
            (40, place("mm/gup.c", 1, "unpin_user_page")),
        ]))
    }

    fn edges<const N: usize>(ends: [(u32, u32); N]) -> BTreeSet<Edge> {
        ends.map(|(from, to)| Edge { from, to }).into()
    }

    #[test]
    fn what_is_no_block_is_not_counted() {
        let count = map().count(&edges([(0, 20), (20, 40), (40, 50)]));
        let blocks = [count.ran, count.there, count.ran_infiniband, count.there_infiniband];
        assert_eq!(blocks, [2, 4, 1, 3]);
    }

    #[test]
    fn an_edge_of_a_folder_has_both_ends_there_or_enters_it_first() {
        let count = map().count(&edges([(0, 20), (0, 40), (20, 30), (20, 40), (40, 30), (30, 20)]));
        assert_eq!([count.edges, count.edges_infiniband], [6, 3]);
    }

    #[test]
    fn a_line_and_a_function_ran_if_one_of_their_blocks_did() {
        let text = map().lcov(&edges([(0, 20)]));
        let umem = "SF:drivers/infiniband/core/umem.c\nFN:7,ib_umem_get\nFNDA:1,ib_umem_get\nFNF:1\nFNH:1\n\
                    DA:7,1\nDA:9,0\nLF:2\nLH:1\nend_of_record\n";
        let gup = "SF:mm/gup.c\nFN:1,unpin_user_page\nFNDA:0,unpin_user_page\nFNF:1\nFNH:0\n\
                   DA:1,0\nLF:1\nLH:0\nend_of_record\n";
        assert_eq!(text, format!("{umem}{gup}"));
    }

    #[test]
    fn files_are_named_from_the_root_of_the_source_on() {
        let place = |file: &str| Place { file: file.to_owned(), line: 1, function: String::new() };
        let names = ["/a/tree/mm/gup.c", "/a/tree/mm/ksm.c", "/a/tree/./drivers/x.c", "odd.c"];
        let mut map: BTreeMap<u32, Place> = (0..).zip(names.map(place)).collect();
        shorten(&mut map);
        let short: Vec<&str> = map.values().map(|place| &*place.file).collect();
        assert_eq!(short, ["mm/gup.c", "mm/ksm.c", "./drivers/x.c", "odd.c"]);
    }

    #[test]
    fn a_program_without_blocks_is_refused() {
        let own = std::env::current_exe().unwrap();
        let error = BlockMap::of(&own).unwrap_err().to_string();
        assert!(error.contains("+kcov") && error.contains(COLLECTOR), "{error}");
    }
}
