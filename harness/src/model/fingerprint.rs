//! The model step by step, and whether it was in this state before.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use pinfold_contract::{Op, Outcome, Proc, Runs};

use super::frame::FrameId;
use super::state::{Process, State, SwapEntry};
use super::step;
use super::vma::{FileId, Object, Vma};
use crate::profile::Profile;

/// The model between two ops of a sequence.
#[derive(Clone, Debug)]
pub struct Steps<'a> {
    state: State<'a>,
}

impl<'a> Steps<'a> {
    /// Before the first op.
    pub fn new(profile: &'a Profile) -> Steps<'a> {
        Steps { state: State::new(profile, None) }
    }

    /// Carries out `op`.
    pub fn step(&mut self, op: &Op) -> Outcome {
        let outcome = step(&mut self.state, op).expected().clone();
        // Notes for those who compare this step.
        self.state.copied_perhaps.clear();
        self.state.copies.clear();
        self.state.take_limit_reached();
        outcome
    }

    /// A number that is the same for two states that are the same but for the names of their frames, and for the values
    /// of their bytes. Two other states have the same one once in 2^64.
    pub fn fingerprint(&self) -> u64 {
        let mut print = Print::new(&self.state);
        print.whole();
        print.hasher.finish()
    }
}

/// New names, given in the order in which something is first met.
#[derive(Debug)]
struct Names<T>(BTreeMap<T, usize>);

impl<T: Ord> Names<T> {
    /// The new name of `old`, and whether it is met for the first time.
    fn name(&mut self, old: T) -> (usize, bool) {
        let next = self.0.len();
        let name = *self.0.entry(old).or_insert(next);
        (name, name == next)
    }
}

/// A state that is being taken in, from what is named by it to what that leads to.
#[derive(Debug)]
struct Print<'s, 'a> {
    state: &'s State<'a>,
    hasher: DefaultHasher,
    frames: Names<FrameId>,
    files: Names<u32>,
    anon_vmas: Names<u32>,
    bytes: Names<u8>,
}

impl<'s, 'a> Print<'s, 'a> {
    fn new(state: &'s State<'a>) -> Print<'s, 'a> {
        let mut bytes = Names(BTreeMap::new());
        // A page of zeroes is what it is.
        bytes.name(0);
        Print {
            state,
            hasher: DefaultHasher::new(),
            frames: Names(BTreeMap::new()),
            files: Names(BTreeMap::new()),
            anon_vmas: Names(BTreeMap::new()),
            bytes,
        }
    }

    fn add(&mut self, value: impl Hash) {
        value.hash(&mut self.hasher);
    }

    fn whole(&mut self) {
        let state = self.state;
        for proc in Proc::all() {
            self.add(state.is_live(proc));
            if state.is_live(proc) {
                self.process(state.process(proc));
            }
        }
        for (mr, known) in &state.mrs {
            self.add((mr, known.live, known.range, known.access, known.iova, known.pd));
            self.add((known.pinned_for_writing, known.keeps_pages, known.frames.len()));
            known.frames.iter().for_each(|frame| self.frame(*frame));
        }
        for (mw, known) in &state.mws {
            self.add((mw, known));
        }
        // Shared anonymous memory is met where it is mapped.
        let named = (0u32..).zip(&state.files).filter(|(_, file)| file.kind.is_some());
        named.for_each(|(index, _)| self.file(index));
        self.add((state.ipc_lock, state.limit_bytes, state.charge, state.may_swap));
        self.add(state.huge_pool());
        let (procs, stable, items) = state.ksm.known();
        self.add(procs);
        stable.iter().for_each(|frame| self.frame(*frame));
        for (place, item) in items {
            self.add((place, item.content()));
            item.sharer_of().into_iter().for_each(|frame| self.frame(frame));
        }
    }

    fn process(&mut self, process: &Process) {
        let Process { vmas, ptes, swapped, pte_bits, has_table, pinned_vm, locked_vm, .. } =
            process;
        vmas.iter().for_each(|vma| self.mapping(vma));
        for (page, (frame, bits)) in ptes.iter().zip(pte_bits).enumerate() {
            if let Some(frame) = frame {
                self.add((page, bits));
                self.frame(*frame);
            }
        }
        for (page, entry) in swapped.iter().enumerate() {
            if let Some(SwapEntry { frame, exclusive }) = entry {
                self.add((page, exclusive));
                self.frame(*frame);
            }
        }
        self.add(&process.guards);
        self.add((has_table, pinned_vm, locked_vm));
        self.add((process.new_flags, process.own_locked, process.limit_bytes));
    }

    fn mapping(&mut self, vma: &Vma) {
        self.add((vma.first, vma.end, vma.sharing, vma.prot, vma.flags));
        if let Object::File { file: FileId(index), bias }
        | Object::Huge { file: FileId(index), bias } = vma.object
        {
            self.add(bias);
            self.file(index);
        } else {
            self.add(vma.object);
        }
        let anon_vma = vma.anon_vma.map(|it| (self.anon_vmas.name(it.id()).0, it.is_singular()));
        self.add(anon_vma);
    }

    fn file(&mut self, index: u32) {
        let (name, is_new) = self.files.name(index);
        self.add(name);
        if !is_new {
            return;
        }
        let state = self.state;
        let file = &state.files[index as usize];
        self.add((file.len_bytes, file.seals, file.cache.len()));
        for (page, frame) in &file.cache {
            self.add(page);
            self.frame(*frame);
        }
        self.add(file.huge.as_ref().map(|promises| &promises.regions));
        for (page, content) in file.stored() {
            self.add(page);
            self.content(content);
        }
    }

    fn frame(&mut self, id: FrameId) {
        let (name, is_new) = self.frames.name(id);
        self.add(name);
        if is_new {
            let state = self.state;
            self.add(state.frames[id].marks());
            self.content(&state.frames[id].content);
        }
    }

    fn content(&mut self, content: &Runs) {
        for (len, byte) in content.iter() {
            let (name, _) = self.bytes.name(byte);
            self.add((len, name));
        }
    }
}
