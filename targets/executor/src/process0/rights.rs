//! With which rights and under which limit `p0` registers and locks.

use std::io;

use pinfold_contract::{BOUNCE_PINS, PAGE_BYTES};

use crate::cgroup::{Limited, SwapLimit};
use crate::failure::{Doing, Failure};
use crate::privileged::Privileged;
use crate::sys;

/// The rights of the moment. Without either when a sequence begins.
#[derive(Debug)]
pub(super) struct Rights {
    privileged: Option<Privileged>,
    limited: Option<Limited>,
    swap: Option<SwapLimit>,
    holds_ipc_lock: bool,
    is_limited: bool,
    /// RLIMIT_MEMLOCK, in bytes.
    memlock_bytes: u64,
}

/// What `p0` has registered for itself, in bytes.
const OWN_BYTES: u64 = BOUNCE_PINS * PAGE_BYTES as u64;

impl Rights {
    /// With what the sequence needs at some time.
    pub(super) fn new(
        privileged: Option<Privileged>,
        limited: Option<Limited>,
        swap: Option<SwapLimit>,
    ) -> Rights {
        let (holds_ipc_lock, is_limited, memlock_bytes) = (false, false, u64::MAX);
        Rights { privileged, limited, swap, holds_ipc_lock, is_limited, memlock_bytes }
    }

    /// From now on with CAP_IPC_LOCK, or without.
    pub(super) fn hold_ipc_lock(&mut self, held: bool) {
        self.holds_ipc_lock = held;
    }

    /// From now on under this RLIMIT_MEMLOCK.
    pub(super) fn limit_locked_memory(&mut self, bytes: u64) -> io::Result<()> {
        sys::limit_locked_memory(bytes)?;
        self.memlock_bytes = bytes;
        Ok(())
    }

    /// From now on in the limited control group, which may be charged for so many more pages.
    pub(super) fn limit_memory(&mut self, more_pages: Option<u16>) -> Result<(), Failure> {
        self.is_limited = true;
        self.limited.as_ref().map_or(Ok(()), |limited| limited.limit(more_pages))
    }

    /// From now on pages may be swapped out, or not. Says whether there is anything to swap to.
    pub(super) fn allow_swap(&mut self, on: bool) -> Result<bool, Failure> {
        let Some(swap) = &mut self.swap else { return Ok(false) };
        swap.lift(on)?;
        Ok(true)
    }

    /// Does `call` while nothing is swapped out: reclaim of a whole group would choose the pages itself.
    pub(super) fn without_swap(
        &mut self,
        call: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match &mut self.swap {
            Some(swap) if swap.is_lifted() => {
                swap.lift(false)?;
                call()?;
                swap.lift(true)
            }
            _ => call(),
        }
    }

    /// Pages that are charged to the limited control group. None before the first limit.
    pub(super) fn charged_pages(&self) -> Result<i64, Failure> {
        match &self.limited {
            Some(limited) if self.is_limited => limited.charged_pages(),
            _ => Ok(0),
        }
    }

    /// Does `call` with CAP_IPC_LOCK if it is held.
    pub(super) fn lock<T: Send>(&mut self, call: impl FnOnce() -> T + Send) -> Result<T, Failure> {
        match &mut self.privileged {
            Some(privileged) if self.holds_ipc_lock => privileged.run(call),
            _ => Ok(call()),
        }
    }

    /// Does `call`, a registration, under RLIMIT_MEMLOCK and what `p0` has registered for itself: the kernel counts both,
    /// and the limit is the sequence's alone. A limit of nothing stays one, since that refuses for another reason.
    ///
    /// Source: `can_do_mlock()`, mm/mlock.c, and `ib_umem_get()`, drivers/infiniband/core/umem.c, 6.1 and 6.12;
    /// `__ib_umem_get_va()`, ditto, 7.3. Nothing else that a registration does asks for RLIMIT_MEMLOCK.
    pub(super) fn register<T: Send>(
        &mut self,
        unshare: impl FnOnce(),
        call: impl FnOnce() -> T + Send,
    ) -> Result<T, Failure> {
        let limit = self.memlock_bytes;
        if matches!(limit, 0 | u64::MAX) {
            return self.register_charged(unshare, call);
        }
        sys::limit_locked_memory(limit.saturating_add(OWN_BYTES)).doing("raise RLIMIT_MEMLOCK")?;
        let result = self.register_charged(unshare, call);
        sys::limit_locked_memory(limit).doing("lower RLIMIT_MEMLOCK")?;
        result
    }

    /// Does `call`, a registration, with CAP_IPC_LOCK if it is held, and in the limited control
    /// group if there has been a limit. `unshare` comes first there: else the call could have to
    /// copy pages of the executor, and the group would be charged for them.
    fn register_charged<T: Send>(
        &mut self,
        unshare: impl FnOnce(),
        call: impl FnOnce() -> T + Send,
    ) -> Result<T, Failure> {
        if !self.is_limited || self.limited.is_none() {
            return self.lock(call);
        }
        unshare();
        // Since 7.2 a page that was unmapped while it waited to be put onto a list stays charged until then:
        // `free_pages_and_swap_cache()`, mm/swap_state.c, and `munmap` no longer have that done.
        sys::drain_page_lists().doing("drain the lists of pages")?;
        let enter = |rights: &Rights| rights.limited.as_ref().map_or(Ok(()), Limited::enter);
        let leave = |rights: &Rights| rights.limited.as_ref().map_or(Ok(()), Limited::leave);
        enter(self)?;
        let result = self.lock(call);
        leave(self)?;
        result
    }
}
