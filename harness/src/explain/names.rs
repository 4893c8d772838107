//! Names for frames that a person can compare.

use std::collections::BTreeMap;

use pinfold_contract::{Checkpoint, PageView};

/// What each frame is called.
#[derive(Debug, Default)]
pub(super) struct Names {
    model: BTreeMap<u64, String>,
    /// The number of the target's frame that each frame of the model was first seen as.
    numbers: BTreeMap<u64, u64>,
    /// Names of frames of the target that stand for none of the model's.
    unmatched: BTreeMap<u64, String>,
}

impl Names {
    /// Gives names to the frames of one state and says how those of the model
    /// and those of the target are called in it.
    ///
    /// A frame of the target takes the name of the model's frame in whose place
    /// it stands, if neither stands for another: in this state, and for the
    /// model's frame ever before.
    pub(super) fn of(
        &mut self,
        predicted: Option<&Checkpoint>,
        seen: Option<&Checkpoint>,
    ) -> (impl Fn(&PageView) -> String + use<>, impl Fn(&PageView) -> String + use<>) {
        let mut target: BTreeMap<u64, String> = BTreeMap::new();
        for view in predicted.into_iter().flat_map(|c| &c.procs) {
            for page in &view.pages {
                let name = self.name_model(page.frame);
                let Some(other) = seen.and_then(|c| page_of(c, view.proc, page.page)) else {
                    continue;
                };
                if target.contains_key(&other.frame) {
                    continue;
                }
                // A number may come back behind a new frame; a frame may not move.
                if *self.numbers.entry(page.frame).or_insert(other.frame) == other.frame {
                    target.insert(other.frame, name);
                }
            }
        }
        for page in seen.into_iter().flat_map(|c| &c.procs).flat_map(|view| &view.pages) {
            target.entry(page.frame).or_insert_with(|| self.name_unmatched(page.frame));
        }
        let lookup = |names: BTreeMap<u64, String>| {
            move |page: &PageView| names.get(&page.frame).cloned().unwrap_or_default()
        };
        (lookup(self.model.clone()), lookup(target))
    }

    fn name_model(&mut self, frame: u64) -> String {
        let next = self.model.keys().filter(|&&frame| frame != 0).count();
        let name = || if frame == 0 { "0".to_owned() } else { letters(next, 'A') };
        self.model.entry(frame).or_insert_with(name).clone()
    }

    /// A lower case name, the same as before if it had one.
    fn name_unmatched(&mut self, frame: u64) -> String {
        let next = self.unmatched.len();
        self.unmatched.entry(frame).or_insert_with(|| letters(next, 'a')).clone()
    }
}

fn page_of(checkpoint: &Checkpoint, proc: pinfold_contract::Proc, page: u8) -> Option<&PageView> {
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

    #[test]
    fn letters_do_not_run_out() {
        assert_eq!(letters(0, 'A'), "A");
        assert_eq!(letters(25, 'a'), "z");
        assert_eq!(letters(27, 'A'), "B1");
    }
}
