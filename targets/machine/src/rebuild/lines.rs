//! The modules with a patch in them once more, with line tables in the objects that it changes. The code is the same; where
//! it is in a module that runs is told by the symbol before it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use super::{CORE, ModuleWorkshop, RXE, RebuildError, StockModule};
use crate::cache::CacheError;
use crate::diff::Overlay;
use crate::progress::{Activity, Watcher};
use crate::run;
use crate::workshop::copy;

/// What is said of an object, and of all objects of a folder, to have line tables in them.
const FLAG: &str = "-g";

impl ModuleWorkshop<'_> {
    /// The modules of `overlay` as programs, which are not for running, with the lines of `files` in them. The same content
    /// is built once.
    ///
    /// # Errors
    ///
    /// As [`ModuleWorkshop::patched`].
    pub fn with_lines(
        &self,
        overlay: &Overlay,
        files: &BTreeSet<String>,
        watch: &mut Watcher<'_>,
    ) -> Result<Vec<(StockModule, PathBuf)>, RebuildError> {
        let modules = self.touched(overlay)?;
        let mut all = overlay.clone();
        for folder in [CORE, RXE] {
            let makefile = format!("{folder}/Makefile");
            let content = match overlay.get(&makefile) {
                Some(content) => content.clone().unwrap_or_default(),
                None => {
                    let path = self.tree.path.join(&makefile);
                    fs::read(&path).map_err(CacheError::io("read", &path))?
                }
            };
            all.insert(makefile, Some([content, lines_for(folder, files).into_bytes()].concat()));
        }
        let since = Instant::now();
        let place = self.folder.join("lines").join(&self.key(&all, &modules)[..16]);
        let file = |module: &StockModule| place.join(module.name());
        let found = modules.iter().map(|module| (*module, file(module))).collect();
        let _lock = self.cache.lock(&format!("modules-{}", self.stock.release), || {
            watch(&self.progress(Activity::WaitingForLock, since));
        })?;
        if !modules.iter().all(|module| file(module).is_file()) {
            let work = self.make_with(&all, watch)?;
            self.keep_in(&place, &self.folder.join("lines"), |made| {
                modules.iter().try_for_each(|module| self.link(&work, *module, made))
            })?;
        }
        Ok(found)
    }

    /// Gives the code of `module` addresses, by which its lines can be told apart from those of other sections.
    fn link(&self, work: &Path, module: StockModule, made: &Path) -> Result<(), RebuildError> {
        let mut link = Command::new("ld");
        self.compiler.prepare(&mut link);
        link.args(["--unresolved-symbols=ignore-all", "--no-warnings", "-e", "0", "-o"]);
        link.arg(made.join(module.name()));
        link.arg(work.join(module.folder()).join(format!("{}.ko", module.name())));
        run::logged(&mut link, &self.log, &mut |_| {})
            .map_err(|source| RebuildError::Compile { release: self.stock.release.clone(), source })
    }

    /// Builds `overlay`; gives the folder in which that was done.
    pub(super) fn make_with(
        &self,
        overlay: &Overlay,
        watch: &mut Watcher<'_>,
    ) -> Result<PathBuf, RebuildError> {
        fs::write(&self.log, "").map_err(CacheError::io("write", &self.log))?;
        let (base, work) = (self.base(watch)?, self.folder.join("work"));
        copy::objects(&base, &work, None)?;
        for (name, content) in overlay {
            copy::replace(&work.join(name), content.as_deref())?;
        }
        if overlay.keys().any(|name| name.starts_with("include/")) {
            // The objects were made of the header in the package, and make looks for changes there.
            super::remove_commands(&work)?;
        }
        if !overlay.is_empty() {
            self.make(&work, watch)?;
        }
        Ok(work)
    }
}

/// What the Makefile of `folder` says of `files` at its end. A header is in any object.
fn lines_for(folder: &str, files: &BTreeSet<String>) -> String {
    if files.iter().any(|file| file.ends_with(".h")) {
        return format!("\nccflags-y += {FLAG}\n");
    }
    let stem = |file: &String| {
        let name = file.strip_prefix(folder)?.strip_prefix('/')?.strip_suffix(".c")?;
        Some(format!("\nCFLAGS_{name}.o += {FLAG}\n"))
    };
    files.iter().filter_map(stem).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_that_change_have_line_tables_and_with_a_header_all_have() {
        let files = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let sources =
            files(&["drivers/infiniband/core/umem.c", "drivers/infiniband/sw/rxe/rxe_mr.c"]);
        assert_eq!(lines_for(CORE, &sources), "\nCFLAGS_umem.o += -g\n");
        assert_eq!(lines_for(RXE, &sources), "\nCFLAGS_rxe_mr.o += -g\n");
        let header = files(&["drivers/infiniband/sw/rxe/rxe_loc.h"]);
        assert_eq!(lines_for(CORE, &header), "\nccflags-y += -g\n");
    }
}
