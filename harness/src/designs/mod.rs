//! The ways to register memory that were proposed in 2012 and 2013, as rules of the model, and what becomes of them.
//!
//! A design is what `ib_umem_get()` asks for. What that gives depends on the GUP underneath, so there is a verdict for
//! each pair. [`decide`] reaches it by running every short sequence of a small universe, and random ones.

mod decide;
mod table;
mod universe;

pub use decide::{Bill, Counterexample, Decision, Explored, Kept, asked_of, decide};
pub use table::{Row, file_name, seq, table};
pub use universe::{ACTS, MAPS, OPS_MOST};

use pinfold_contract::Series;

use crate::profile::{NonCoherent, Platform, Profile, Umem, Unshare};

/// A design, by its row in the thread of March 2013, "rdma: don't make pages writeable if not requested".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Design {
    /// Row 1, the code of the day: always writable, by force where the adapter only reads.
    Umem2013,
    /// Row 2, the patch as it was submitted, with its arguments swapped.
    AsSubmitted,
    /// Row 3, the patch as corrected: writable if the adapter writes.
    AsCorrected,
    /// Row 4, FOLL_FOLLOW of 2012: where the adapter only reads, a write fault exactly where the process may write
    /// now. Read to the letter, it says so of shared mappings too: it dirties their pages, and Linux 6.12 refuses it where
    /// a file tracks what is dirty.
    FollFollow,
    /// Row 5, the mapping's permission decides whether copy-on-write is kept or broken. It speaks of copy-on-write
    /// alone, so it is read as row 4 for private mappings, while in shared ones, where nothing is copied, it only reads.
    VmaPermission,
    /// Row 6, a flag of the registration (NON_COHERENT, GIFT), beside the umem that belongs to the GUP: with it the
    /// pages are pinned as they are, and no right to write is given.
    NonCoherent,
}

/// The GUP under a design.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gup {
    /// That of 2013 as far as it matters for the thread: it never unshares. Everything else is of the newest series, also
    /// that a fork copies what is pinned, which Linux does since 5.9.
    Gup2013,
    /// That of a series: 6.1 unshares anonymous pages, 6.2 and later every page of a private mapping.
    Linux(Series),
}

impl Design {
    /// Every design, in the order of the thread.
    pub const ALL: [Design; 6] = [
        Design::Umem2013,
        Design::AsSubmitted,
        Design::AsCorrected,
        Design::FollFollow,
        Design::VmaPermission,
        Design::NonCoherent,
    ];

    /// Its name: `umem-2013`, `as-submitted`.
    pub fn name(self) -> &'static str {
        match self {
            Design::Umem2013 => "umem-2013",
            Design::AsSubmitted => "as-submitted",
            Design::AsCorrected => "as-corrected",
            Design::FollFollow => "foll-follow",
            Design::VmaPermission => "vma-permission",
            Design::NonCoherent => "non-coherent",
        }
    }

    /// What is asked of GUP for a registration without NON_COHERENT.
    fn umem(self, gup: Gup) -> Umem {
        match (self, gup) {
            (Design::Umem2013, _) => Umem::AlwaysWrite,
            (Design::AsSubmitted, _) => Umem::Swapped,
            (Design::AsCorrected, _) => Umem::WriteIfWritable,
            (Design::FollFollow, _) => Umem::FollowProcess,
            (Design::VmaPermission, _) => Umem::FollowPrivate,
            (Design::NonCoherent, Gup::Gup2013) => Umem::AlwaysWrite,
            (Design::NonCoherent, Gup::Linux(_)) => gup.linux().umem,
        }
    }
}

impl Gup {
    /// Every GUP that unshares otherwise than the one before it, the oldest first. A newer series that unshares as the last
    /// of them has the same answers.
    pub fn all() -> impl Iterator<Item = Gup> {
        let oldest_first = Profile::all().iter().rev();
        let changes = oldest_first.scan(None, |before, profile| {
            let differs = before.replace(profile.unshare) != Some(profile.unshare);
            Some(differs.then_some(Gup::Linux(profile.series)))
        });
        [Gup::Gup2013].into_iter().chain(changes.flatten())
    }

    /// Its name: `2013`, or the series.
    pub fn name(self) -> String {
        match self {
            Gup::Gup2013 => "2013".to_owned(),
            Gup::Linux(series) => series.to_string(),
        }
    }

    /// The kernel that all other rules are of.
    pub fn linux(self) -> &'static Profile {
        match self {
            Gup::Gup2013 => Profile::newest(),
            Gup::Linux(series) => Profile::nearest(series, Platform::Uml),
        }
    }

    fn unshare(self) -> Unshare {
        match self {
            Gup::Gup2013 => Unshare::Never,
            Gup::Linux(_) => self.linux().unshare,
        }
    }
}

/// A design over a GUP: `as-corrected/2013`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// What is asked for.
    pub design: Design,
    /// Of whom.
    pub gup: Gup,
}

impl Pair {
    /// Every pair, design by design.
    pub fn all() -> impl Iterator<Item = Pair> {
        let of = |design| Gup::all().map(move |gup| Pair { design, gup });
        Design::ALL.into_iter().flat_map(of)
    }

    /// Reads `DESIGN/GUP`, where GUP is `2013` or a series that has rules.
    pub fn from_name(name: &str) -> Option<Pair> {
        let (design, gup) = name.split_once('/')?;
        let design = Design::ALL.into_iter().find(|other| other.name() == design)?;
        let gup = match gup {
            "2013" => Gup::Gup2013,
            series => Gup::Linux(Profile::of_series(series)?.series),
        };
        Some(Pair { design, gup })
    }

    /// Its rules.
    pub fn profile(self) -> Profile {
        let Pair { design, gup } = self;
        let non_coherent = match design {
            Design::NonCoherent => NonCoherent::KeepsPages,
            Design::Umem2013
            | Design::AsSubmitted
            | Design::AsCorrected
            | Design::FollFollow
            | Design::VmaPermission => NonCoherent::Ignored,
        };
        let linux = *gup.linux();
        Profile { umem: design.umem(gup), unshare: gup.unshare(), non_coherent, ..linux }
    }
}

impl std::fmt::Display for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.design.name(), self.gup.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::linux;

    #[test]
    fn each_kernel_as_it_is_carries_out_a_design_of_the_thread() {
        let rules = |name: &str| Pair::from_name(name).unwrap().profile();
        assert_eq!(rules("umem-2013/6.1"), *linux("6.1"));
        for series in Profile::all().iter().filter(|profile| profile.series > Series::new(6, 1)) {
            assert_eq!(rules(&format!("as-corrected/{}", series.series)), *series);
        }
    }

    #[test]
    fn no_two_pairs_have_the_same_rules() {
        let rules: Vec<(Pair, Profile)> = Pair::all().map(|pair| (pair, pair.profile())).collect();
        for (index, (pair, profile)) in rules.iter().enumerate() {
            assert_eq!(Pair::from_name(&pair.to_string()), Some(*pair));
            for (other, its) in &rules[..index] {
                assert_ne!(profile, its, "{pair} and {other}");
            }
        }
    }
}
