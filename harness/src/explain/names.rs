//! Names for frames that a person can compare.

use std::collections::BTreeMap;

use pinfold_contract::{Checkpoint, PageView, Proc, ProcView};

use crate::model::Held;

/// What each frame is called.
#[derive(Debug, Default)]
pub(crate) struct Names {
    model: BTreeMap<u64, String>,
    /// The number of the target's frame that each frame of the model was first seen as.
    numbers: BTreeMap<u64, u64>,
    /// Names of frames of the target that stand for none of the model's.
    unmatched: BTreeMap<u64, String>,
    /// Names of the target's frames that stand for one of the model's, when last looked at.
    matched: BTreeMap<u64, String>,
    /// The number of the target's zero page, once it showed itself.
    zero: Option<u64>,
}

/// What the frames of one state are called.
#[derive(Clone, Debug, Default)]
pub(crate) struct Named {
    model: BTreeMap<u64, String>,
    target: BTreeMap<u64, String>,
}

/// The zero page, on both sides.
pub(crate) const ZERO: &str = "0";

impl Named {
    /// The name of a frame of the model.
    pub(crate) fn model(&self, frame: u64) -> &str {
        self.model.get(&frame).map_or("", String::as_str)
    }

    /// The name of a frame of the target.
    pub(crate) fn target(&self, frame: u64) -> &str {
        self.target.get(&frame).map_or("", String::as_str)
    }
}

impl Names {
    /// Gives names to the frames of one state and says how those of the model
    /// and those of the target are called in it.
    ///
    /// A frame of the target takes the name of the model's frame of its kind in
    /// whose place it stands, if neither stands for another: in this state, and
    /// for the model's frame ever before. It keeps that name as long as it is
    /// in sight, wherever it is then.
    pub(crate) fn of(
        &mut self,
        predicted: Option<&Checkpoint>,
        held: &[Held],
        seen: Option<&Checkpoint>,
    ) -> Named {
        for view in predicted.into_iter().flat_map(|c| &c.procs) {
            view.pages.iter().for_each(|page| self.name_model(page.frame));
        }
        held.iter().flat_map(|held| &held.frames).for_each(|held| self.name_model(held.frame));
        let target = seen.map(|seen| self.name_target(predicted, seen)).unwrap_or_default();
        Named { model: self.model.clone(), target }
    }

    fn name_target(
        &mut self,
        predicted: Option<&Checkpoint>,
        seen: &Checkpoint,
    ) -> BTreeMap<u64, String> {
        self.zero = self.zero.or_else(|| seen.procs.iter().find_map(zero_frame));
        let pages = || seen.procs.iter().flat_map(|view| &view.pages);
        let mut target: BTreeMap<u64, String> = BTreeMap::new();
        for page in pages() {
            if self.zero == Some(page.frame) {
                target.insert(page.frame, ZERO.to_owned());
            } else if let Some(name) = self.matched.get(&page.frame) {
                target.insert(page.frame, name.clone());
            }
        }
        for view in predicted.into_iter().flat_map(|c| &c.procs) {
            for page in &view.pages {
                let Some(other) = page_of(seen, view.proc, page.page) else { continue };
                // Where the target's zero page is known, no other frame is one.
                if page.frame == 0 && self.zero.is_some() {
                    continue;
                }
                if target.contains_key(&other.frame) || page.file_or_shared != other.file_or_shared
                {
                    continue;
                }
                // A number may come back behind a new frame; a frame may not move.
                if *self.numbers.entry(page.frame).or_insert(other.frame) == other.frame {
                    target.insert(other.frame, self.model[&page.frame].clone());
                }
            }
        }
        self.matched.clone_from(&target);
        for page in pages() {
            target.entry(page.frame).or_insert_with(|| self.name_unmatched(page.frame));
        }
        target
    }

    fn name_model(&mut self, frame: u64) {
        let next = self.model.keys().filter(|&&frame| frame != 0).count();
        let name = || if frame == 0 { ZERO.to_owned() } else { letters(next, 'A') };
        self.model.entry(frame).or_insert_with(name);
    }

    /// A lower case name, the same as before if it had one.
    fn name_unmatched(&mut self, frame: u64) -> String {
        let next = self.unmatched.len();
        self.unmatched.entry(frame).or_insert_with(|| letters(next, 'a')).clone()
    }
}

/// The zero page of a process that shows it: the one anonymous frame that it is not charged for.
fn zero_frame(view: &ProcView) -> Option<u64> {
    let anonymous = || view.pages.iter().filter(|page| !page.file_or_shared);
    let uncharged = i64::try_from(anonymous().count()).ok()? - view.rss_anon;
    let is_zero = |page: &&PageView| {
        let mut runs = page.bytes.iter().flat_map(|runs| runs.iter());
        !page.exclusively_mapped && runs.all(|(_, byte)| byte == 0)
    };
    let frame = anonymous().find(is_zero)?.frame;
    let shown = anonymous().filter(|page| page.frame == frame).count();
    (i64::try_from(shown).ok()? == uncharged).then_some(frame)
}

fn page_of(checkpoint: &Checkpoint, proc: Proc, page: u8) -> Option<&PageView> {
    let view = checkpoint.procs.iter().find(|view| view.proc == proc)?;
    view.pages.iter().find(|view| view.page == page)
}

/// A, B, ... Z, A1, B1, ...
fn letters(index: usize, first: char) -> String {
    let offset = u8::try_from(index % 26).expect("below 26");
    let letter = char::from(u8::try_from(first).expect("an ASCII letter") + offset);
    match index / 26 {
        0 => letter.to_string(),
        round => format!("{letter}{round}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(rss_anon: i64, pages: &[(u8, u64, bool)]) -> Checkpoint {
        let page = |&(page, frame, exclusively_mapped): &(u8, u64, bool)| PageView {
            page,
            frame,
            file_or_shared: false,
            exclusively_mapped,
            bytes: None,
        };
        let pages = pages.iter().map(page).collect();
        let view = ProcView { rss_anon, pages, ..ProcView::empty(Proc::P0) };
        Checkpoint { procs: vec![view], ..Checkpoint::default() }
    }

    #[test]
    fn letters_do_not_run_out() {
        assert_eq!(letters(0, 'A'), "A");
        assert_eq!(letters(25, 'a'), "z");
        assert_eq!(letters(27, 'A'), "B1");
    }

    #[test]
    fn the_zero_page_is_the_one_that_nobody_is_charged_for() {
        let model = state(2, &[(0, 1, true), (1, 2, true)]);
        let target = state(1, &[(0, 0x99, false), (1, 0x77, true)]);
        let named = Names::default().of(Some(&model), &[], Some(&target));
        assert_eq!((named.model(1), named.target(0x99)), ("A", ZERO));
        assert_eq!((named.model(2), named.target(0x77)), ("B", "B"));
    }

    #[test]
    fn a_frame_keeps_its_name_where_the_model_has_moved_on() {
        let mut names = Names::default();
        let before = state(1, &[(0, 1, true)]);
        names.of(Some(&before), &[], Some(&state(1, &[(0, 70, true)])));
        let after = state(1, &[(0, 2, true)]);
        let named = names.of(Some(&after), &[], Some(&state(1, &[(0, 70, true)])));
        assert_eq!((named.model(2), named.target(70)), ("B", "A"));
    }

    #[test]
    fn a_number_that_comes_back_is_another_frame() {
        let mut names = Names::default();
        names.of(Some(&state(1, &[(0, 1, true)])), &[], Some(&state(1, &[(0, 70, true)])));
        names.of(Some(&state(0, &[])), &[], Some(&state(0, &[])));
        let (model, target) = (state(1, &[(3, 2, true)]), state(1, &[(3, 70, true)]));
        let named = names.of(Some(&model), &[], Some(&target));
        assert_eq!((named.model(2), named.target(70)), ("B", "B"));
    }
}
