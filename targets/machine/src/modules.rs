//! Which kernel modules are loaded, and in which order. Pure: asks its caller what stands in a module.
//!
//! The facts are those that each module carries in its section `.modinfo`: Debian's packages bring no `modules.dep`,
//! which `depmod` writes where a package is installed, and nothing is installed here.

use std::collections::BTreeSet;

/// A module that a guest needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name, as `modprobe` takes it.
    pub name: &'static str,
    /// What needs it.
    pub reason: &'static str,
    /// Whether a kernel may do without it.
    pub may_be_absent: bool,
}

const fn wanted(name: &'static str, reason: &'static str) -> Wanted {
    Wanted { name, reason, may_be_absent: false }
}

/// What a guest with a stock kernel needs beside what is built in.
pub const WANTED: [Wanted; 9] = [
    wanted("virtio_pci", "the wire"),
    wanted("virtio_console", "the wire"),
    wanted("dummy", "the network device below rxe"),
    // rxe asks for the algorithm by name and no module says that it is needed: `rxe_icrc_init()`,
    // drivers/infiniband/sw/rxe/rxe_icrc.c (6.1 and 6.12). Later kernels have it in their library.
    Wanted { name: "crc32_generic", reason: "rdma_rxe", may_be_absent: true },
    wanted("ib_core", "verbs"),
    wanted("ib_uverbs", "verbs"),
    wanted("rdma_rxe", "verbs"),
    wanted("brd", "the disk"),
    wanted("ext4", "the disk"),
];

/// What a module says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleInfo {
    /// The kernel it is for, as `6.12.117+deb12-amd64`; nothing if it does not say.
    pub release: Option<String>,
    /// Modules whose symbols it uses.
    pub needs: Vec<String>,
    /// Modules or aliases that are better loaded before it.
    pub likes_before: Vec<String>,
}

/// Where a module is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the kernel image.
    BuiltIn,
    /// A file of its own.
    File(ModuleInfo),
    /// Nowhere.
    Absent,
}

/// Why there is no order.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError<E> {
    /// A module that is needed is not there.
    #[error("no module {name}, which {needed_by} needs")]
    Missing {
        /// The module.
        name: String,
        /// Who needs it: another module, or a purpose.
        needed_by: String,
    },
    /// The caller could not tell.
    #[error(transparent)]
    Asking(E),
}

/// The modules that are loaded to have all of `wanted`, each once, behind all that it needs. What is built in is left
/// out. `ask` is called with each name at most a few times, with underscores for hyphens.
///
/// # Errors
///
/// If a module is missing that something needs, or `ask` fails.
pub fn load_order<E>(
    wanted: &[Wanted],
    ask: &mut dyn FnMut(&str) -> Result<Place, E>,
) -> Result<Vec<String>, OrderError<E>> {
    let mut search = Search { ask, seen: BTreeSet::new(), order: Vec::new() };
    for want in wanted {
        let absent = matches!(search.place(want.name)?, Place::Absent);
        if !(absent && want.may_be_absent) {
            search.visit(want.name, want.reason)?;
        }
    }
    Ok(search.order)
}

struct Search<'a, E> {
    ask: &'a mut dyn FnMut(&str) -> Result<Place, E>,
    seen: BTreeSet<String>,
    order: Vec<String>,
}

impl<E> Search<'_, E> {
    fn place(&mut self, name: &str) -> Result<Place, OrderError<E>> {
        (self.ask)(&canonical(name)).map_err(OrderError::Asking)
    }

    /// Puts `name` at the end of the order, and before it all that it needs and that is not there yet.
    fn visit(&mut self, name: &str, needed_by: &str) -> Result<(), OrderError<E>> {
        let name = canonical(name);
        if !self.seen.insert(name.clone()) {
            return Ok(());
        }
        let info = match self.place(&name)? {
            Place::BuiltIn => return Ok(()),
            Place::Absent => {
                return Err(OrderError::Missing { name, needed_by: needed_by.to_owned() });
            }
            Place::File(info) => info,
        };
        for liked in &info.likes_before {
            if let Some(module) = self.provider(liked)? {
                self.visit(&module, &name)?;
            }
        }
        for needed in &info.needs {
            self.visit(needed, &name)?;
        }
        self.order.push(name);
        Ok(())
    }

    /// The module that `liked` means: of that name, or the portable one of that algorithm. `None` if there is none,
    /// which is no mistake: it is only liked.
    fn provider(&mut self, liked: &str) -> Result<Option<String>, OrderError<E>> {
        // `MODULE_ALIAS_CRYPTO()`, include/linux/crypto.h, 6.1, and include/crypto/algapi.h, 6.12, gives a module the aliases NAME and crypto-NAME; the
        // portable C code of an algorithm is in NAME_generic.c.
        let algorithm = liked.strip_prefix("crypto-").unwrap_or(liked);
        for candidate in [liked.to_owned(), format!("{algorithm}_generic")] {
            if !matches!(self.place(&candidate)?, Place::Absent) {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }
}

/// The name of a module as the kernel writes it.
pub(crate) fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// The names in `modules.builtin`, which has a path a line.
pub fn built_in(text: &str) -> BTreeSet<String> {
    text.lines().filter_map(file_module).collect()
}

/// The module that the file `path` holds, by its name: `kernel/drivers/net/dummy.ko.xz` holds `dummy`.
pub(crate) fn file_module(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let (name, end) = file.split_once(".ko")?;
    (end.is_empty() || end.starts_with('.')).then(|| canonical(name))
}

/// Reads what the module `object`, an ELF file of 64 bits, says of itself; `None` if it is no module.
pub fn info(object: &[u8]) -> Option<ModuleInfo> {
    let mut info = ModuleInfo::default();
    for entry in section(object, ".modinfo")?.split(|byte| *byte == 0) {
        let entry = String::from_utf8_lossy(entry);
        let Some((key, value)) = entry.split_once('=') else { continue };
        match key {
            "depends" => {
                info.needs.extend(value.split(',').filter(|name| !name.is_empty()).map(canonical));
            }
            "softdep" => info.likes_before.extend(before(value)),
            "vermagic" => info.release = value.split(' ').next().map(str::to_owned),
            _ => {}
        }
    }
    Some(info)
}

/// Of `pre: A B post: C`, A and B.
fn before(softdep: &str) -> Vec<String> {
    let mut is_before = false;
    let mut names = Vec::new();
    for word in softdep.split_whitespace() {
        match word {
            "pre:" => is_before = true,
            "post:" => is_before = false,
            name if is_before => names.push(name.to_owned()),
            _ => {}
        }
    }
    names
}

/// What is in the section `name` of a little-endian ELF file of 64 bits.
///
/// Source: elf(5). Nothing in the file is trusted.
fn section<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    const HEADER_BYTES: usize = 64;
    if object.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let number = |place: usize, length_bytes: usize| -> Option<usize> {
        let bytes = object.get(place..place.checked_add(length_bytes)?)?;
        bytes
            .iter()
            .rev()
            .try_fold(0usize, |sum, &byte| Some(sum.checked_mul(256)? + usize::from(byte)))
    };
    let (table, count, names_index) = (number(0x28, 8)?, number(0x3c, 2)?, number(0x3e, 2)?);
    let header = |index: usize| table.checked_add(index.checked_mul(HEADER_BYTES)?);
    let content = |index: usize| -> Option<&'a [u8]> {
        let header = header(index)?;
        let (place, length_bytes) =
            (number(header.checked_add(0x18)?, 8)?, number(header.checked_add(0x20)?, 8)?);
        object.get(place..place.checked_add(length_bytes)?)
    };
    let names = content(names_index)?;
    let is_it = |index: &usize| -> Option<bool> {
        let rest = names.get(number(header(*index)?, 4)?..)?;
        Some(rest.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0)))
    };
    content((0..count).find(|index| is_it(index) == Some(true))?)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    /// Modules as `name: needs; likes`, and `=name` for one that is built in.
    fn order(wanted: &[Wanted], modules: &[&str]) -> Result<String, OrderError<Infallible>> {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        let mut places = BTreeMap::new();
        for line in modules {
            if let Some(name) = line.strip_prefix('=') {
                places.insert(name.to_owned(), Place::BuiltIn);
                continue;
            }
            let (name, rest) = line.split_once(':').unwrap();
            let (needs, likes) = rest.split_once(';').unwrap_or((rest, ""));
            let info =
                ModuleInfo { release: None, needs: words(needs), likes_before: words(likes) };
            places.insert(name.to_owned(), Place::File(info));
        }
        let mut ask = |name: &str| Ok(places.get(name).cloned().unwrap_or(Place::Absent));
        load_order(wanted, &mut ask).map(|order| order.join(" "))
    }

    #[test]
    fn a_module_comes_once_and_behind_all_that_it_needs() {
        let modules = ["rxe: core tunnel", "core: base", "tunnel: base", "base:", "other:"];
        let wanted = [wanted("core", "x"), wanted("rxe", "x")];
        assert_eq!(order(&wanted, &modules).unwrap(), "base core tunnel rxe");
    }

    #[test]
    fn what_is_built_in_is_neither_loaded_nor_missed() {
        let modules = ["rxe: core", "=core"];
        assert_eq!(order(&[wanted("rxe", "x"), wanted("core", "x")], &modules).unwrap(), "rxe");
    }

    #[test]
    fn a_missing_module_is_named_with_who_needs_it() {
        let error = order(&[wanted("rxe", "verbs")], &["rxe: core"]).unwrap_err();
        assert_eq!(error.to_string(), "no module core, which rxe needs");
        let error = order(&[wanted("rxe", "verbs")], &[]).unwrap_err();
        assert_eq!(error.to_string(), "no module rxe, which verbs needs");
        let optional = Wanted { may_be_absent: true, ..wanted("rxe", "verbs") };
        assert_eq!(order(&[optional], &[]).unwrap(), "");
        // That it may be absent says nothing of what it needs.
        assert!(order(&[optional], &["rxe: core"]).is_err());
    }

    #[test]
    fn an_algorithm_that_is_liked_before_is_the_portable_one_and_no_mistake_if_absent() {
        let modules = ["ext4: jbd2; crypto-crc32c zstd", "jbd2:", "crc32c_generic:"];
        assert_eq!(order(&[wanted("ext4", "x")], &modules).unwrap(), "crc32c_generic jbd2 ext4");
        assert_eq!(order(&[wanted("ext4", "x")], &["ext4:; crypto-crc32c"]).unwrap(), "ext4");
    }

    #[test]
    fn two_modules_that_like_each_other_before_are_both_loaded() {
        let modules = ["a:; b", "b:; a"];
        assert_eq!(order(&[wanted("a", "x")], &modules).unwrap(), "b a");
    }

    #[test]
    fn hyphens_and_underscores_are_one() {
        let modules = ["crc32c_intel:", "x: crc32c-intel"];
        assert_eq!(order(&[wanted("x", "x")], &modules).unwrap(), "crc32c_intel x");
        assert_eq!(
            file_module("kernel/arch/x86/crypto/crc32c-intel.ko.xz").unwrap(),
            "crc32c_intel"
        );
        assert_eq!(file_module("kernel/x.kobject"), None);
        assert_eq!(file_module("modules.order"), None);
        assert!(built_in("kernel/lib/crc32.ko\nkernel/mm/z-pool.ko\n").contains("z_pool"));
    }

    /// An ELF file with the sections `.modinfo` and the table of names.
    pub(crate) fn object(modinfo: &[u8]) -> Vec<u8> {
        let names = b"\0.modinfo_x\0.modinfo\0";
        let table = 64 + modinfo.len() + names.len();
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[0x28..0x30].copy_from_slice(&(table as u64).to_le_bytes());
        bytes[0x3c] = 2;
        bytes[0x3e] = 1;
        bytes.extend_from_slice(modinfo);
        bytes.extend_from_slice(names);
        for (name, place, length) in
            [(12u32, 64, modinfo.len()), (0, 64 + modinfo.len(), names.len())]
        {
            let mut header = [0u8; 64];
            header[..4].copy_from_slice(&name.to_le_bytes());
            header[0x18..0x20].copy_from_slice(&(place as u64).to_le_bytes());
            header[0x20..0x28].copy_from_slice(&(length as u64).to_le_bytes());
            bytes.extend_from_slice(&header);
        }
        bytes
    }

    #[test]
    fn a_module_tells_its_kernel_what_it_needs_and_what_it_likes() {
        let modinfo = b"license=GPL\0depends=jbd2,mb-cache\0softdep=pre: crypto-crc32c a post: b\0\
            vermagic=6.1.0-56-amd64 SMP preempt\0";
        let found = info(&object(modinfo)).unwrap();
        assert_eq!(found.release.as_deref(), Some("6.1.0-56-amd64"));
        assert_eq!(found.needs, ["jbd2", "mb_cache"]);
        assert_eq!(found.likes_before, ["crypto-crc32c", "a"]);
        assert_eq!(info(&object(b"depends=\0")).unwrap().needs, Vec::<String>::new());
    }

    #[test]
    fn a_damaged_module_is_no_module_and_nothing_else_happens() {
        let whole = object(b"depends=a\0");
        assert!(info(&whole).is_some());
        // Behind the size of the last section stands nothing that is read.
        for end in 0..whole.len() - 24 {
            assert_eq!(info(&whole[..end]), None, "cut at {end}");
        }
        for place in 0..64 {
            let mut changed = whole.clone();
            changed[place] = 0xff;
            let _ = info(&changed);
        }
        assert_eq!(info(b"MZ"), None);
    }
}
