//! The CPUs that this process may use.

/// Their numbers, ascending. Empty where the system does not tell.
pub fn allowed() -> Vec<usize> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else { return Vec::new() };
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect()
}

/// The one that this thread is on now, if this process may use it. Of several processes that begin at once each gets another,
/// as far as there are others: none has to know of the rest.
pub fn own() -> Option<usize> {
    let now = rustix::thread::sched_getcpu();
    allowed().into_iter().find(|cpu| *cpu == now)
}
