//! The frames oracle: which pages share a frame.
//!
//! Checks, for every process, which pages of the arena are present, whether each
//! is a file's and whether it is mapped once; and that model frames and page
//! frame numbers correspond one to one, within one look at the state and from
//! one look to the next: a frame that the model keeps must stay where it is. A
//! page frame number may come back under a new frame of the model once the old
//! one is out of sight, but not under a copy of the old one.
//!
//! Does not check frames that no process maps, such as those only an MR holds:
//! their numbers cannot be seen from user space. Does not check what a frame
//! holds (coherence does). Nothing migrates, merges or swaps pages but what a
//! sequence orders. In the op of the chore that compacts memory a frame may go
//! elsewhere unless an MR holds it; which pages share one is compared all the
//! same. Which frame stays when equal pages are merged, the model says; it also
//! names the few frames that a write may have copied although nobody else maps them.

use std::collections::BTreeMap;

use pinfold_contract::{Checkpoint, PAGE_BYTES, PageView, Proc, ProcView, page_bytes, page_name};

use super::{Finding, who};

/// The page frame number behind each frame of the model, as far as seen.
#[derive(Debug, Default)]
pub(super) struct Correspondence {
    numbers: BTreeMap<u64, u64>,
}

/// One page of one process.
type Place = (Proc, u8);

impl Correspondence {
    /// Compares one look at the state, and remembers it.
    ///
    /// `stays` says of a frame of the model whether it must be where it was.
    pub(super) fn check(
        &mut self,
        predicted: &Checkpoint,
        seen: &Checkpoint,
        stays: impl Fn(u64) -> bool,
    ) -> Option<Finding> {
        // Who is there at all is compared by the coherence oracle.
        let procs = || predicted.procs.iter().zip(&seen.procs);
        procs()
            .find_map(|(a, b)| presence_differs(a, b))
            .or_else(|| procs().find_map(|(a, b)| flags_differ(a, b)))
            .or_else(|| self.sharing_differs(predicted, seen, stays))
    }

    /// Compares what the op copied with the originals, whose numbers are those of the last look: asked
    /// before [`Correspondence::check`], which remembers this one.
    pub(super) fn check_copies(
        &self,
        predicted: &Checkpoint,
        seen: &Checkpoint,
        copies: &[(u64, u64)],
    ) -> Option<Finding> {
        let number_of = |frame| self.numbers.get(frame).copied();
        copies.iter().find_map(|(from, to)| {
            let place = places(predicted, seen).find(|(_, frame, _)| frame == to);
            let (place, _, number) =
                place.filter(|(.., number)| number_of(from) == Some(*number))?;
            Some(kept(place, number))
        })
    }

    /// Walks the pages of all processes, so that of two pages that break the
    /// correspondence both can be named.
    fn sharing_differs(
        &mut self,
        predicted: &Checkpoint,
        seen: &Checkpoint,
        stays: impl Fn(u64) -> bool,
    ) -> Option<Finding> {
        let mut places_by_frame: BTreeMap<u64, (Place, u64)> = BTreeMap::new();
        let mut places_by_number: BTreeMap<u64, (Place, u64)> = BTreeMap::new();
        for (a, b) in predicted.procs.iter().zip(&seen.procs) {
            for (page, other) in a.pages.iter().zip(&b.pages) {
                let place = (a.proc, page.page);
                let (frame, number) = (page.frame, other.frame);
                let &mut (first, first_number) =
                    places_by_frame.entry(frame).or_insert((place, number));
                if first_number != number {
                    return Some(pair(first, place, "shared", "split"));
                }
                let &mut (first, first_frame) =
                    places_by_number.entry(number).or_insert((place, frame));
                if first_frame != frame {
                    return Some(pair(first, place, "split", "shared"));
                }
            }
        }
        let mut kept = places_by_frame.iter();
        let moved = kept.find_map(|(frame, &(place, number))| {
            let before = *self.numbers.get(frame)?;
            (before != number && stays(*frame)).then(|| moved(place, before, number))
        });
        // What is out of sight may have gone as well.
        self.numbers.retain(|frame, _| stays(*frame));
        let now = places_by_frame.into_iter().map(|(frame, (_, number))| (frame, number));
        self.numbers.extend(now);
        moved
    }
}

fn presence_differs(predicted: &ProcView, seen: &ProcView) -> Option<Finding> {
    let missing = pages_without(predicted, seen);
    let extra = pages_without(seen, predicted);
    let class = match (missing.is_empty(), extra.is_empty()) {
        (true, true) => return None,
        (false, true) => "missing",
        (true, false) => "extra",
        (false, false) => "elsewhere",
    };
    let list = |view: &ProcView| pages_text(view.pages.iter().map(|page| page.page));
    let proc = predicted.proc;
    Some(Finding {
        predicted: format!("{proc} has pages {}", list(predicted)),
        seen: format!("{proc} has pages {}", list(seen)),
        mr: None,
        class: format!("{}-{class}", who(proc)),
        detail: format!(
            "{proc}: predicted pages {}, seen {}; missing {}, extra {}",
            list(predicted),
            list(seen),
            pages_text(missing.into_iter()),
            pages_text(extra.into_iter()),
        ),
    })
}

fn pages_without(view: &ProcView, other: &ProcView) -> Vec<u8> {
    let has = |page: u8| other.pages.iter().any(|view| view.page == page);
    view.pages.iter().map(|view| view.page).filter(|&page| !has(page)).collect()
}

fn pages_text(pages: impl Iterator<Item = u8>) -> String {
    let list: Vec<String> = pages.map(|page| page.to_string()).collect();
    if list.is_empty() { "none".to_owned() } else { list.join(",") }
}

fn flags_differ(predicted: &ProcView, seen: &ProcView) -> Option<Finding> {
    let proc = predicted.proc;
    predicted.pages.iter().zip(&seen.pages).find_map(|(a, b)| {
        let class = format!("{}-{}", standing(a), standing(b));
        let file = flag_differs(
            (proc, a, &class),
            ("file", "anonymous"),
            (a.file_or_shared, b.file_or_shared),
        );
        file.or_else(|| {
            let names = ("mapped once", "mapped more");
            flag_differs((proc, a, &class), names, (a.exclusively_mapped, b.exclusively_mapped))
        })
    })
}

/// Whose a page is: the process's `own`, or `common` to others, who may hold it through a file, through the zero page or
/// after a fork. How they do is not told apart, since a page that stayed common wrongly did so for one reason.
fn standing(page: &PageView) -> &'static str {
    if page.exclusively_mapped && !page.file_or_shared { "own" } else { "common" }
}

fn flag_differs(
    (proc, page, class): (Proc, &PageView, &str),
    (yes, no): (&str, &str),
    (predicted, seen): (bool, bool),
) -> Option<Finding> {
    let text = |flag| if flag { yes } else { no };
    (predicted != seen).then(|| Finding {
        predicted: text(predicted).to_owned(),
        seen: text(seen).to_owned(),
        mr: None,
        class: format!("{}-{class}{}", who(proc), size(page.page)),
        detail: format!(
            "{proc} page {}: predicted {}, seen {}",
            page_name(page.page),
            text(predicted),
            text(seen)
        ),
    })
}

/// What tells huge pages from small ones, which other code copies and shares.
fn size(page: u8) -> &'static str {
    if page_bytes(page) > PAGE_BYTES { "-huge" } else { "" }
}

fn pair(a: Place, b: Place, predicted: &str, seen: &str) -> Finding {
    let whose = if a.0 == b.0 {
        who(b.0).to_owned()
    } else {
        format!("{}.{}", who(a.0).min(who(b.0)), who(a.0).max(who(b.0)))
    };
    let (one, other) = (page_name(a.1), page_name(b.1));
    let places = format!("{} page {one} and {} page {other}", a.0, b.0);
    let text = |how: &str| match how {
        "shared" => "one frame",
        _ => "two frames",
    };
    Finding {
        predicted: text(predicted).to_owned(),
        seen: text(seen).to_owned(),
        mr: None,
        class: format!("{whose}-{predicted}-{seen}{}", size(a.1)),
        detail: format!("{places}: predicted {}, seen {}", text(predicted), text(seen)),
    }
}

/// Every place with the frame of the model and the page frame number there.
fn places<'a>(
    predicted: &'a Checkpoint,
    seen: &'a Checkpoint,
) -> impl Iterator<Item = (Place, u64, u64)> + 'a {
    predicted.procs.iter().zip(&seen.procs).flat_map(|(a, b)| {
        let pairs = a.pages.iter().zip(&b.pages);
        pairs.map(|(page, other)| ((a.proc, page.page), page.frame, other.frame))
    })
}

fn kept((proc, page): Place, number: u64) -> Finding {
    Finding {
        predicted: "a copy".to_owned(),
        seen: "the frame that was to be copied".to_owned(),
        mr: None,
        class: format!("{}-copied-kept{}", who(proc), size(page)),
        detail: format!(
            "{proc} page {}: predicted a copy, seen {number:#x} as before",
            page_name(page)
        ),
    }
}

fn moved((proc, page): Place, before: u64, now: u64) -> Finding {
    Finding {
        predicted: "the same frame as before".to_owned(),
        seen: "another frame".to_owned(),
        mr: None,
        class: format!("{}-kept-moved{}", who(proc), size(page)),
        detail: format!(
            "{proc} page {}: predicted the same frame as before, seen {now:#x} after {before:#x}",
            page_name(page)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(page: u8, frame: u64) -> PageView {
        PageView { page, frame, file_or_shared: false, exclusively_mapped: true, bytes: None }
    }

    fn procs(pages: &[&[(u8, u64)]]) -> Checkpoint {
        let view = |(proc, pages): (Proc, &&[(u8, u64)])| ProcView {
            pages: pages.iter().map(|&(at, frame)| page(at, frame)).collect(),
            ..ProcView::empty(proc)
        };
        Checkpoint { procs: Proc::all().zip(pages).map(view).collect(), ..Checkpoint::default() }
    }

    fn class(predicted: &Checkpoint, seen: &Checkpoint) -> Option<String> {
        Correspondence::default().check(predicted, seen, |_| true).map(|finding| finding.class)
    }

    #[test]
    fn any_numbers_will_do_if_they_share_alike() {
        let predicted = procs(&[&[(0, 1), (1, 0), (2, 0)], &[(0, 1), (1, 2)]]);
        let seen = procs(&[&[(0, 900), (1, 77), (2, 77)], &[(0, 900), (1, 5)]]);
        assert_eq!(class(&predicted, &seen), None);
    }

    #[test]
    fn a_missing_and_an_extra_page_are_told_apart() {
        let (one, two) = (procs(&[&[(0, 1)]]), procs(&[&[(0, 1), (1, 2)]]));
        assert_eq!(class(&two, &one).unwrap(), "registrar-missing");
        assert_eq!(class(&one, &two).unwrap(), "registrar-extra");
        assert_eq!(class(&procs(&[&[(1, 1)]]), &one).unwrap(), "registrar-elsewhere");
    }

    #[test]
    fn sharing_that_is_broken_or_kept_wrongly_is_seen() {
        let shared = procs(&[&[(0, 1)], &[(0, 1)]]);
        let split = procs(&[&[(0, 1)], &[(0, 2)]]);
        assert_eq!(class(&shared, &split).unwrap(), "child.registrar-shared-split");
        assert_eq!(class(&split, &shared).unwrap(), "child.registrar-split-shared");
        let aliases = procs(&[&[(0, 1), (1, 1)]]);
        let copies = procs(&[&[(0, 1), (1, 2)]]);
        assert_eq!(class(&aliases, &copies).unwrap(), "registrar-shared-split");
    }

    #[test]
    fn flags_are_compared() {
        let predicted = procs(&[&[(0, 1)]]);
        let mut seen = predicted.clone();
        seen.procs[0].pages[0].exclusively_mapped = false;
        assert_eq!(class(&predicted, &seen).unwrap(), "registrar-own-common");
        seen.procs[0].pages[0].file_or_shared = true;
        assert_eq!(class(&predicted, &seen).unwrap(), "registrar-own-common");
        assert_eq!(class(&seen, &predicted).unwrap(), "registrar-common-own");
        let mut alone = seen.clone();
        alone.procs[0].pages[0].exclusively_mapped = true;
        assert_eq!(class(&alone, &seen).unwrap(), "registrar-common-common");
    }

    #[test]
    fn a_frame_that_the_model_keeps_must_not_move() {
        let mut frames = Correspondence::default();
        let model = procs(&[&[(0, 1)]]);
        assert_eq!(frames.check(&model, &procs(&[&[(0, 70)]]), |_| true), None);
        let finding = frames.check(&model, &procs(&[&[(0, 71)]]), |_| true).unwrap();
        assert_eq!(finding.class, "registrar-kept-moved");
    }

    #[test]
    fn a_number_may_come_back_when_its_frame_is_gone() {
        let mut frames = Correspondence::default();
        let target = procs(&[&[(0, 70)]]);
        assert_eq!(frames.check(&procs(&[&[(0, 1)]]), &target, |_| true), None);
        assert_eq!(frames.check(&procs(&[&[(0, 2)]]), &target, |_| true), None);
    }

    #[test]
    fn a_new_frame_must_not_take_the_number_of_one_that_is_kept() {
        let mut frames = Correspondence::default();
        assert_eq!(frames.check(&procs(&[&[(0, 1)]]), &procs(&[&[(0, 70)]]), |_| true), None);
        let model = procs(&[&[(0, 1), (1, 2)]]);
        let finding = frames.check(&model, &procs(&[&[(0, 71), (1, 70)]]), |_| true).unwrap();
        assert_eq!(finding.class, "registrar-kept-moved");
    }

    #[test]
    fn a_copy_must_not_have_the_number_of_its_original() {
        let mut frames = Correspondence::default();
        let (target, copy) = (procs(&[&[(0, 70)]]), procs(&[&[(0, 2)]]));
        assert_eq!(frames.check(&procs(&[&[(0, 1)]]), &target, |_| true), None);
        let finding = frames.check_copies(&copy, &target, &[(1, 2)]).unwrap();
        assert_eq!(finding.class, "registrar-copied-kept");
        assert_eq!(frames.check_copies(&copy, &procs(&[&[(0, 71)]]), &[(1, 2)]), None);
        assert_eq!(frames.check_copies(&copy, &target, &[(5, 2)]), None, "never seen");
        assert_eq!(frames.check_copies(&copy, &target, &[(1, 3)]), None, "not there any more");
    }

    #[test]
    fn a_frame_that_may_move_is_followed_to_where_it_goes() {
        let mut frames = Correspondence::default();
        let model = procs(&[&[(0, 1)]]);
        assert_eq!(frames.check(&model, &procs(&[&[(0, 70)]]), |_| true), None);
        assert_eq!(frames.check(&model, &procs(&[&[(0, 71)]]), |_| false), None);
        assert_eq!(frames.check(&model, &procs(&[&[(0, 71)]]), |_| true), None);
        assert!(frames.check(&model, &procs(&[&[(0, 70)]]), |frame| frame == 1).is_some());
    }

    #[test]
    fn a_frame_that_may_move_out_of_sight_may_be_found_anywhere() {
        let mut frames = Correspondence::default();
        let (there, gone) = (procs(&[&[(0, 1)]]), procs(&[&[]]));
        assert_eq!(frames.check(&there, &procs(&[&[(0, 70)]]), |_| true), None);
        assert_eq!(frames.check(&gone, &gone, |_| false), None);
        assert_eq!(frames.check(&there, &procs(&[&[(0, 71)]]), |_| true), None);
        assert_eq!(frames.check(&gone, &gone, |_| true), None);
        assert!(frames.check(&there, &procs(&[&[(0, 70)]]), |_| true).is_some());
    }
}
