//! The kernel with patches in it once more, so that its changed code says which of its blocks ran: with line tables and calls
//! of a collector in the objects that the patches change, and with nothing else in all others.
//!
//! Everything is said by files that are put over the source, so that the build is one like any other: a line for each
//! object at the end of the Makefile of its folder, and the collector in lib/.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{Patched, Workshop};
use crate::cache::CacheError;
use crate::config::Feature;
use crate::diff::Overlay;
use crate::kernel::{Kernel, KernelError};
use crate::progress::Watcher;

/// The collector, and where it is put.
const COLLECTOR: &[u8] = include_bytes!("../../../kernel/ran.c");
const COLLECTOR_STEM: &str = "pinfold_ran";
const COLLECTOR_FOLDER: &str = "lib";

/// What the objects are compiled with. Blocks are found by their calls, which a program below 2 GiB need not take from
/// registers.
const FLAGS: &str = "-g -fsanitize-coverage=trace-pc -mcmodel=small";

/// Of a header that more sources include only those in [`NEAR`] are compiled with line tables: the rest would take minutes.
const INCLUDERS_MAX: usize = 100;
const NEAR: [&str; 2] = ["drivers/infiniband/", "mm/"];

/// A kernel whose changed code says which of its blocks ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// The kernel.
    pub built: Patched,
    /// The sources whose blocks are noted, if they are compiled at all: those that the patches change, and those that
    /// include a header that they change.
    pub sources: BTreeSet<String>,
}

impl Workshop<'_> {
    /// As [`Workshop::patched`]; and what is compiled of `files`, which are sources and headers, notes its blocks.
    ///
    /// # Errors
    ///
    /// As [`Workshop::patched`].
    pub fn traced(
        &self,
        plain: &Kernel,
        overlay: &Overlay,
        files: &BTreeSet<String>,
        watch: &mut Watcher<'_>,
    ) -> Result<Traced, KernelError> {
        let is_source = |name: &&String| name.ends_with(".c");
        let mut sources: BTreeSet<String> = files.iter().filter(is_source).cloned().collect();
        let headers: Vec<&String> = files.iter().filter(|name| name.ends_with(".h")).collect();
        if !headers.is_empty() {
            sources.extend(self.includers(plain, &headers, watch)?);
        }
        let mut all = overlay.clone();
        for source in &sources {
            let Some((makefile, stem)) = self.makefile_of(&all, source) else { continue };
            self.append(&mut all, &makefile, &format!("CFLAGS_{stem}.o += {FLAGS}\n"))?;
        }
        // The variant has a collector of its own.
        if !self.plan.request.variant.has(Feature::Kcov) {
            let makefile = format!("{COLLECTOR_FOLDER}/Makefile");
            self.append(&mut all, &makefile, &format!("obj-y += {COLLECTOR_STEM}.o\n"))?;
            let collector = format!("{COLLECTOR_FOLDER}/{COLLECTOR_STEM}.c");
            all.insert(collector, Some(COLLECTOR.to_owned()));
        }
        Ok(Traced { built: self.patched(plain, &all, watch)?, sources })
    }

    /// The Makefile that says how `source` is compiled, and the name of its object there, without its ending.
    fn makefile_of(&self, overlay: &Overlay, source: &str) -> Option<(String, String)> {
        let path = Path::new(source.strip_suffix(".c")?);
        path.ancestors().skip(1).find_map(|folder| {
            // Kbuild takes the file of that name first.
            let mut names = ["Kbuild", "Makefile"].map(|name| folder.join(name)).into_iter();
            let makefile = names.find_map(|name| {
                let name = name.to_str()?.to_owned();
                self.content(overlay, &name).map(|_| name)
            })?;
            Some((makefile, path.strip_prefix(folder).ok()?.to_str()?.to_owned()))
        })
    }

    /// What is in the file `name` once `overlay` is over the source; `None` if there is none.
    fn content(&self, overlay: &Overlay, name: &str) -> Option<Vec<u8>> {
        match overlay.get(name) {
            Some(content) => content.clone(),
            None => fs::read(self.plan.tree.path.join(name)).ok(),
        }
    }

    fn append(&self, overlay: &mut Overlay, makefile: &str, line: &str) -> Result<(), KernelError> {
        let Some(mut content) = self.content(overlay, makefile) else {
            let gone = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(CacheError::io("read", Path::new(makefile))(gone).into());
        };
        content.push(b'\n');
        content.extend_from_slice(line.as_bytes());
        overlay.insert(makefile.to_owned(), Some(content));
        Ok(())
    }

    /// The sources that were compiled with one of `headers`, in the kernel without patches.
    fn includers(
        &self,
        plain: &Kernel,
        headers: &[&String],
        watch: &mut Watcher<'_>,
    ) -> Result<BTreeSet<String>, KernelError> {
        let _lock = self.lock(watch)?;
        let state = self.mirror(plain, watch)?;
        let objects = self.objects(&state, watch)?;
        let (root, mut found) = (self.mirrored(), BTreeSet::new());
        let mut folders = vec![objects];
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(&folder).map_err(CacheError::io("read", &folder))?;
            for entry in entries {
                let path = entry.map_err(CacheError::io("read", &folder))?.path();
                // A link leads to the source.
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path);
                } else if path.extension().is_some_and(|ending| ending == "cmd") {
                    let text = fs::read(&path).map_err(CacheError::io("read", &path))?;
                    let text = String::from_utf8_lossy(&text);
                    found.extend(includer(&text, &root.to_string_lossy(), headers));
                }
            }
        }
        if found.len() > INCLUDERS_MAX {
            found.retain(|name| NEAR.iter().any(|folder| name.starts_with(folder)));
        }
        Ok(found)
    }
}

/// The source below `root` whose object was made as `command`, a file that make keeps, says; if it includes one of
/// `headers`.
///
/// Source: `cmd_and_fixdep`, scripts/Kbuild.include, and scripts/basic/fixdep.c, 6.1 and 7.3.
fn includer(command: &str, root: &str, headers: &[&String]) -> Option<String> {
    let below = |word: &str| word.strip_prefix(root)?.strip_prefix('/').map(str::to_owned);
    let source = command.lines().find(|line| line.starts_with("source_"))?;
    let source = below(source.split_once(" := ")?.1.trim())?;
    let (_, dependencies) = command.split_once("\ndeps_")?;
    let mut files = dependencies.split_whitespace().filter_map(below);
    files.any(|file| headers.contains(&&file)).then_some(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_made_of_what_make_noted() {
        let command = "savedcmd_mm/gup.o := gcc -include /tree/include/linux/b.h -c -o mm/gup.o /tree/mm/gup.c\n\n\
            source_mm/gup.o := /tree/mm/gup.c\n\ndeps_mm/gup.o := \\\n    $(wildcard include/config/MMU) \\\n  \
            /tree/include/linux/mm.h \\\n  include/generated/c.h \\\n\nmm/gup.o: $(deps_mm/gup.o)\n";
        let find = |header: &str| includer(command, "/tree", &[&header.to_owned()]);
        assert_eq!(find("include/linux/mm.h").as_deref(), Some("mm/gup.c"));
        assert_eq!(find("include/linux/b.h"), None);
        assert_eq!(find("linux/mm.h"), None);
        assert_eq!(includer("savedcmd_a := ld -o a\n", "/tree", &[&"a".to_owned()]), None);
    }
}
