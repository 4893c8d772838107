//! What a process sees of itself, without changing it.

use std::fs::File;
use std::os::unix::fs::FileExt;

use pinfold_contract::{ARENA_BASE, ARENA_PAGES, PAGE_BYTES, PageView, Position, Proc, ProcView};

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
        let pages = self.pages()?;
        let pss_kib = pss_kib(&pages)?;
        Ok(ProcView {
            proc,
            rss_anon: charges.rss_anon - own.rss_anon,
            rss_shmem: charges.rss_shmem - own.rss_shmem,
            rss_file: charges.rss_file - own.rss_file,
            vm_lck: charges.vm_lck - own.vm_lck,
            vm_swap: charges.vm_swap - own.vm_swap,
            pss_kib,
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
