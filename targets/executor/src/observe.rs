//! What a process sees of itself, without changing it.

use std::fs::File;
use std::os::unix::fs::FileExt;

use pinfold_contract::{
    ALL_PAGES, ARENA_BASE, ARENA_PAGES, PAGE_BYTES, PageView, Position, Proc, ProcView, Runs,
    page_bytes,
};

use crate::counters::{Charges, Status};
use crate::cpu;
use crate::failure::{Doing, Failure};
use crate::pagemap::{ENTRY_BYTES, Entry};
use crate::{runs, smaps};

const PAGEMAP_BYTES: usize = ARENA_PAGES as usize * ENTRY_BYTES;

/// The eyes of one process.
#[derive(Debug)]
pub(crate) struct Observer {
    status: Status,
    pagemap: File,
    page: Vec<u8>,
}

impl Observer {
    /// For this process. A descendant must open its own.
    pub(crate) fn open() -> Result<Observer, Failure> {
        Ok(Observer {
            status: Status::open()?,
            pagemap: open_pagemap()?,
            page: vec![0; PAGE_BYTES as usize],
        })
    }

    /// Turns from the process that opened it to this one, its descendant.
    pub(crate) fn reopen(&mut self) -> Result<(), Failure> {
        self.status.reopen()?;
        self.pagemap = open_pagemap()?;
        Ok(())
    }

    /// The pagemap of this process.
    pub(crate) fn pagemap(&self) -> &File {
        &self.pagemap
    }

    /// What this process is charged for, the executor's own share included.
    pub(crate) fn charges(&mut self) -> Result<Charges, Failure> {
        self.status.charges()
    }

    /// This process as `proc`, less the executor's `own` share.
    pub(crate) fn view(&mut self, proc: Proc, own: Charges) -> Result<ProcView, Failure> {
        let charges = self.charges()?;
        let entries = self.entries()?;
        let guards = entries.iter().filter(|entry| entry.guard()).count();
        let mut pages = self.pages(&entries);
        let pss_kib = pss_kib(&pages)?;
        if charges.huge > 0 {
            pages.extend(self.huge_pages()?);
        }
        Ok(ProcView {
            proc,
            rss_anon: charges.rss_anon - own.rss_anon,
            rss_shmem: charges.rss_shmem - own.rss_shmem,
            rss_file: charges.rss_file - own.rss_file,
            vm_lck: charges.vm_lck - own.vm_lck,
            vm_swap: charges.vm_swap - own.vm_swap,
            pss_kib,
            vm_pin: charges.vm_pin - own.vm_pin,
            huge: charges.huge,
            guards: i64::try_from(guards).expect("an arena of a few pages"),
            pages,
        })
    }

    /// The entry of each small page of the arena.
    fn entries(&self) -> Result<Vec<Entry>, Failure> {
        let mut entries = [0u8; PAGEMAP_BYTES];
        let at = ARENA_BASE / u64::from(PAGE_BYTES) * ENTRY_BYTES as u64;
        self.pagemap.read_exact_at(&mut entries, at).doing("read /proc/self/pagemap")?;
        let entries = entries.as_chunks::<ENTRY_BYTES>().0;
        Ok(entries.iter().map(|bytes| Entry::from_bytes(*bytes)).collect())
    }

    /// The small pages that are present.
    fn pages(&mut self, entries: &[Entry]) -> Vec<PageView> {
        let mut pages = Vec::with_capacity(entries.len());
        for (page, entry) in (0..ARENA_PAGES).zip(entries) {
            pages.extend(self.page(page, *entry));
        }
        pages
    }

    /// The huge pages that are present. Each has an entry for each small page's worth of it, of which the first says all.
    fn huge_pages(&mut self) -> Result<Vec<PageView>, Failure> {
        let mut pages = Vec::new();
        for page in ARENA_PAGES..ALL_PAGES {
            let mut entry = [0u8; ENTRY_BYTES];
            let at = Position::page(page).address() / u64::from(PAGE_BYTES) * ENTRY_BYTES as u64;
            self.pagemap.read_exact_at(&mut entry, at).doing("read /proc/self/pagemap")?;
            pages.extend(self.page(page, Entry::from_bytes(entry)));
        }
        Ok(pages)
    }

    /// A page, if it is present. To look at an absent one would bring it in.
    fn page(&mut self, page: u8, entry: Entry) -> Option<PageView> {
        if !entry.present() {
            return None;
        }
        let (start, end) = (Position::page(page).address(), u64::from(page_bytes(page)));
        let mut bytes = Some(Runs::default());
        for at in (0..end).step_by(PAGE_BYTES as usize) {
            match cpu::load(start + at, &mut self.page) {
                Ok(()) => bytes.iter_mut().for_each(|bytes| runs::append(bytes, &self.page)),
                Err(_) => bytes = None,
            }
            if bytes.is_none() {
                break;
            }
        }
        Some(PageView {
            page,
            frame: entry.frame(),
            file_or_shared: entry.file_or_shared(),
            exclusively_mapped: entry.exclusively_mapped(),
            bytes,
        })
    }
}

/// `Pss` of the mappings of the arena, where `pages` are the present ones.
///
/// To read it costs much, and a page that is mapped once counts whole: smaps and the pagemap ask
/// for the same count of mappings (`smaps_account()` and `pte_to_pagemap_entry()`,
/// fs/proc/task_mmu.c, 6.1 and 6.12). So it is read when some page is not.
fn pss_kib(pages: &[PageView]) -> Result<i64, Failure> {
    if pages.iter().any(|page| !page.exclusively_mapped) {
        return smaps::arena_pss_kib();
    }
    let kib = pages.len() * PAGE_BYTES as usize / 1024;
    Ok(i64::try_from(kib).expect("an arena of a few pages"))
}

fn open_pagemap() -> Result<File, Failure> {
    File::open("/proc/self/pagemap").doing("open /proc/self/pagemap")
}
