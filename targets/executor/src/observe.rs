//! What a process sees of itself, without changing it.

use std::fs::File;
use std::os::unix::fs::FileExt;

use pinfold_contract::{ARENA_BASE, ARENA_PAGES, PAGE_BYTES, PageView, Position, Proc, ProcView};

use crate::counters::{Charges, Status};
use crate::cpu;
use crate::failure::{Doing, Failure};
use crate::pagemap::{ENTRY_BYTES, Entry};
use crate::runs;

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
        let pages = self.pages()?;
        Ok(ProcView {
            proc,
            rss_anon: charges.rss_anon - own.rss_anon,
            rss_shmem: charges.rss_shmem - own.rss_shmem,
            vm_pin: charges.vm_pin - own.vm_pin,
            pages,
        })
    }

    fn pages(&mut self) -> Result<Vec<PageView>, Failure> {
        let mut entries = [0u8; PAGEMAP_BYTES];
        let at = ARENA_BASE / u64::from(PAGE_BYTES) * ENTRY_BYTES as u64;
        self.pagemap.read_exact_at(&mut entries, at).doing("read /proc/self/pagemap")?;
        let entries = entries.as_chunks::<ENTRY_BYTES>().0;
        let mut pages = Vec::with_capacity(entries.len());
        for (page, &bytes) in (0..ARENA_PAGES).zip(entries) {
            let entry = Entry::from_bytes(bytes);
            // To look at an absent page would bring it in.
            if !entry.present() {
                continue;
            }
            let readable = cpu::load(Position::page(page).address(), &mut self.page).is_ok();
            pages.push(PageView {
                page,
                frame: entry.frame(),
                file_or_shared: entry.file_or_shared(),
                exclusively_mapped: entry.exclusively_mapped(),
                bytes: readable.then(|| runs::of(&self.page)),
            });
        }
        Ok(pages)
    }
}

fn open_pagemap() -> Result<File, Failure> {
    File::open("/proc/self/pagemap").doing("open /proc/self/pagemap")
}
