//! Which modules of a stock kernel a patch touches. Pure: reads names and text that its caller brings.

use std::collections::BTreeSet;

/// The folders whose modules can be built anew.
pub(super) const CORE: &str = "drivers/infiniband/core";
/// See [`CORE`].
pub(super) const RXE: &str = "drivers/infiniband/sw/rxe";

/// The folders of headers that may be used by RDMA alone.
const HEADERS: [&str; 2] = ["include/rdma/", "include/uapi/rdma/"];

/// What is in a kernel tree and not in a kernel.
const NO_CODE: [&str; 7] =
    ["Documentation/", "LICENSES/", "MAINTAINERS", "CREDITS", ".mailmap", "samples/", "tools/"];

/// A module that can be built anew. In the order of loading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StockModule {
    /// `ib_core`.
    Core,
    /// `ib_uverbs_support`, which was cut off from `ib_uverbs` behind 6.12.
    Support,
    /// `ib_uverbs`, which has the registration of memory in it.
    Uverbs,
    /// `rdma_rxe`.
    Rxe,
}

impl StockModule {
    /// All that there may be.
    pub const ALL: [StockModule; 4] =
        [StockModule::Core, StockModule::Support, StockModule::Uverbs, StockModule::Rxe];

    /// Those that a kernel has, where the Makefile of drivers/infiniband/core is `core_makefile`.
    pub(super) fn all_of(core_makefile: &str) -> Vec<StockModule> {
        let is_there = |module: &StockModule| match module {
            StockModule::Support => core_makefile.contains("ib_uverbs_support-y"),
            StockModule::Core | StockModule::Uverbs | StockModule::Rxe => true,
        };
        StockModule::ALL.into_iter().filter(is_there).collect()
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            StockModule::Core => "ib_core",
            StockModule::Support => "ib_uverbs_support",
            StockModule::Uverbs => "ib_uverbs",
            StockModule::Rxe => "rdma_rxe",
        }
    }

    /// The folder of the kernel tree that it is made in.
    pub(super) fn folder(self) -> &'static str {
        match self {
            StockModule::Core | StockModule::Support | StockModule::Uverbs => CORE,
            StockModule::Rxe => RXE,
        }
    }
}

/// A patch that a stock kernel cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{file} {why}: of a stock kernel only the modules ib_core, ib_uverbs, ib_uverbs_support and rdma_rxe are built \
     anew, so test this patch with uml, or with a kernel that you built"
)]
pub struct BuiltIn {
    /// The file that the patch touches.
    pub file: String,
    /// Why it is out of reach.
    pub why: String,
}

/// What has to be known of the tree that is patched.
#[derive(Clone, Debug)]
pub struct Tree<'a> {
    /// The Makefile of drivers/infiniband/core, as it is with the patch.
    pub core_makefile: &'a str,
    /// The headers of RDMA that other code includes, which may be built in.
    pub shared_headers: &'a BTreeSet<String>,
}

/// The modules that have to be built anew where the files `names` change, in the order of loading.
///
/// # Errors
///
/// For the first file whose code is not in one of these modules alone.
pub fn touches<'a>(
    names: impl IntoIterator<Item = &'a str>,
    tree: &Tree<'_>,
) -> Result<Vec<StockModule>, BuiltIn> {
    let mut touched = BTreeSet::new();
    for name in names {
        if let Some(first) = first_touched(name, tree)? {
            // What uses its symbols, too: the kernel refuses a user if a symbol changes its type (CONFIG_MODVERSIONS).
            let all = StockModule::all_of(tree.core_makefile).into_iter();
            touched.extend(all.filter(|module| *module >= first));
        }
    }
    Ok(touched.into_iter().collect())
}

/// The first module that `name` is part of.
fn first_touched(name: &str, tree: &Tree<'_>) -> Result<Option<StockModule>, BuiltIn> {
    let refused = |why: &str| Err(BuiltIn { file: name.to_owned(), why: why.to_owned() });
    if NO_CODE.iter().any(|place| name.starts_with(place)) {
        return Ok(None);
    }
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    if file.starts_with("Kconfig") {
        return refused("changes the configuration, which is fixed");
    }
    if HEADERS.iter().any(|place| name.starts_with(place)) {
        if tree.shared_headers.contains(name) {
            return refused(
                "is included by code outside of drivers/infiniband, some of it built in",
            );
        }
        return Ok(Some(StockModule::Core));
    }
    match folder {
        RXE => Ok(Some(StockModule::Rxe)),
        CORE => match file.strip_suffix(".c") {
            None => Ok(Some(StockModule::Core)),
            Some(object) => match module_of(object, tree.core_makefile).as_deref() {
                Some("ib_core") => Ok(Some(StockModule::Core)),
                Some("ib_uverbs") => Ok(Some(StockModule::Uverbs)),
                Some("ib_uverbs_support") => Ok(Some(StockModule::Support)),
                Some(other) => refused(&format!("is part of the module {other}")),
                None => refused("is part of no module"),
            },
        },
        _ => refused("is built in, or part of another module"),
    }
}

/// The module whose list of objects in `makefile` has `object`.
///
/// Source: Documentation/kbuild/makefiles.rst, on composite objects: `MODULE-y := a.o b.o`.
fn module_of(object: &str, makefile: &str) -> Option<String> {
    let wanted = format!("{object}.o");
    let joined = makefile.replace("\\\n", " ");
    joined.lines().find_map(|line| {
        let (target, objects) = line.split_once('=')?;
        let target = target.trim_end_matches([':', '+', ' ', '\t']);
        let module = target.strip_suffix("-y").or_else(|| Some(target.split_once("-$(")?.0))?;
        let is_listed = objects.split_whitespace().any(|listed| listed == wanted);
        (is_listed && module != "obj").then(|| module.to_owned())
    })
}

/// The headers of RDMA that code outside of drivers/infiniband includes, directly or through another of them.
///
/// `includes` has a line for each `#include` in the tree that names `rdma/`, as `FILE:#include <rdma/NAME>`.
pub fn shared_headers(includes: &str) -> BTreeSet<String> {
    let pairs: Vec<(&str, [String; 2])> = includes.lines().filter_map(include).collect();
    let is_ours = |file: &str| file.starts_with("drivers/infiniband/");
    let is_header = |file: &str| HEADERS.iter().any(|place| file.starts_with(place));
    let mut shared: BTreeSet<String> = BTreeSet::new();
    loop {
        let before = shared.len();
        for (file, headers) in &pairs {
            if (!is_ours(file) && !is_header(file)) || shared.contains(*file) {
                shared.extend(headers.iter().cloned());
            }
        }
        if shared.len() == before {
            return shared;
        }
    }
}

/// Who includes, and the two headers that may be meant.
fn include(line: &str) -> Option<(&str, [String; 2])> {
    let (file, rest) = line.split_once(':')?;
    let (_, quoted) = rest.split_once(['<', '"'])?;
    let name = quoted.split(['>', '"']).next()?;
    let name = name.strip_prefix("uapi/").unwrap_or(name);
    let file = file.strip_prefix("./").unwrap_or(file);
    Some((file, [format!("include/{name}"), format!("include/uapi/{name}")]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAKEFILE: &str = "obj-$(CONFIG_INFINIBAND) +=\tib_core.o ib_cm.o\n\
        ib_core-y :=\tpacker.o verbs.o \\\n\t\tdevice.o\nib_core-$(CONFIG_CGROUP_RDMA) += cgroup.o\n\
        ib_cm-y := cm.o\nib_uverbs-y := uverbs_main.o\nib_uverbs-$(CONFIG_INFINIBAND_USER_MEM) += umem.o\n";

    const INCLUDES: &str = "net/devlink/leftover.c:#include <rdma/ib_verbs.h>\n\
        include/rdma/ib_verbs.h:#include <rdma/restrack.h>\ninclude/rdma/ib_verbs.h:# include <uapi/rdma/user.h>\n\
        include/rdma/uverbs_ioctl.h:#include \"rdma/ib_hidden.h\"\n\
        drivers/infiniband/core/umem.c:#include <rdma/ib_umem.h>\n";

    fn touched(names: &[&str]) -> Result<Vec<&'static str>, String> {
        let shared = shared_headers(INCLUDES);
        let tree = Tree { core_makefile: MAKEFILE, shared_headers: &shared };
        let found = touches(names.iter().copied(), &tree).map_err(|error| error.to_string())?;
        Ok(found.into_iter().map(StockModule::name).collect())
    }

    #[test]
    fn a_module_is_built_with_all_that_uses_it_and_no_other() {
        assert_eq!(touched(&["drivers/infiniband/sw/rxe/rxe_mr.c"]).unwrap(), ["rdma_rxe"]);
        let uverbs = ["ib_uverbs", "rdma_rxe"];
        assert_eq!(touched(&["drivers/infiniband/core/umem.c"]).unwrap(), uverbs);
        let all = ["ib_core", "ib_uverbs", "rdma_rxe"];
        for file in ["device.c", "cgroup.c", "core_priv.h", "Makefile"] {
            assert_eq!(touched(&[&format!("drivers/infiniband/core/{file}")]).unwrap(), all);
        }
        assert_eq!(touched(&["drivers/infiniband/sw/rxe/a.c", "include/rdma/new.h"]).unwrap(), all);
        assert_eq!(touched(&["Documentation/mm/gup.rst", "MAINTAINERS"]).unwrap(), [""; 0]);
    }

    #[test]
    fn the_module_that_was_cut_off_is_built_where_there_is_one() {
        let makefile = format!("{MAKEFILE}ib_uverbs_support-y := rdma_core.o \\\n\tucaps.o\n");
        let tree = Tree { core_makefile: &makefile, shared_headers: &BTreeSet::new() };
        let touched = |name: &str| touches([name], &tree).unwrap();
        let all = [StockModule::Core, StockModule::Support, StockModule::Uverbs, StockModule::Rxe];
        assert_eq!(touched("drivers/infiniband/core/ucaps.c"), all[1..]);
        assert_eq!(touched("drivers/infiniband/core/device.c"), all);
        assert_eq!(touched("drivers/infiniband/core/umem.c"), all[2..]);
    }

    #[test]
    fn a_patch_to_anything_else_is_refused_with_the_file_and_a_way_out() {
        for (file, why) in [
            ("mm/gup.c", "built in"),
            ("include/linux/mm.h", "built in"),
            ("drivers/infiniband/hw/mlx5/mr.c", "another module"),
            ("drivers/infiniband/core/cm.c", "the module ib_cm"),
            ("drivers/infiniband/core/nowhere.c", "no module"),
            ("drivers/infiniband/sw/rxe/Kconfig", "configuration"),
            ("include/rdma/ib_verbs.h", "outside of drivers/infiniband"),
        ] {
            let error = touched(&["drivers/infiniband/core/umem.c", file]).unwrap_err();
            assert!(error.starts_with(file) && error.contains(why), "{error}");
            assert!(error.contains("uml"), "{error}");
        }
    }

    #[test]
    fn a_header_is_shared_if_other_code_includes_it_even_through_another() {
        let shared = shared_headers(INCLUDES);
        for name in
            ["include/rdma/ib_verbs.h", "include/rdma/restrack.h", "include/uapi/rdma/user.h"]
        {
            assert!(shared.contains(name), "{name}");
        }
        for name in ["include/rdma/ib_umem.h", "include/rdma/ib_hidden.h"] {
            assert!(!shared.contains(name), "{name}");
        }
    }
}
