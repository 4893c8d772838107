//! SIGINT and SIGTERM: the first asks to end well, the second ends at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// What came in.
#[derive(Debug)]
pub(crate) struct Signals {
    /// Set by a signal when something listens to it.
    stop: Arc<AtomicBool>,
    /// Whether the next signal ends the process where it stands.
    is_final: Arc<AtomicBool>,
    received: Arc<AtomicUsize>,
}

impl Signals {
    /// Listens. Until [`Signals::stop_well`] any signal ends the process at once: nothing can be lost yet, and whatever
    /// machine there is dies with this process.
    pub(crate) fn listen() -> io::Result<Signals> {
        let stop = Arc::new(AtomicBool::new(false));
        let is_final = Arc::new(AtomicBool::new(true));
        let received = Arc::new(AtomicUsize::new(0));
        for (signal, number) in [(SIGINT, 2), (SIGTERM, 15)] {
            // In this order: the signal that sets `is_final` must not see it set.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&is_final))?;
            flag::register(signal, Arc::clone(&is_final))?;
            flag::register_usize(signal, Arc::clone(&received), number)?;
            flag::register(signal, Arc::clone(&stop))?;
        }
        Ok(Signals { stop, is_final, received })
    }

    /// What a signal sets. It ends the process all the same, until [`Signals::stop_well`].
    pub(crate) fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// From now on the first signal only sets what this gives.
    pub(crate) fn stop_well(&self) -> Arc<AtomicBool> {
        self.is_final.store(false, Ordering::SeqCst);
        Arc::clone(&self.stop)
    }

    /// The last signal that came.
    pub(crate) fn received(&self) -> Option<u8> {
        match self.received.load(Ordering::SeqCst) {
            0 => None,
            signal => u8::try_from(signal).ok(),
        }
    }
}
