//! Kernels that somebody else built: Debian's own images, taken out of their packages once, or an image of the user's.
//!
//! Of a package stays what a guest needs, about 15 MB of 400: the image, its configuration, and the modules of
//! [`modules::WANTED`].

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use pinfold_contract::Series;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::apt::Apt;
use crate::cache::{self, Cache, CacheError};
use crate::kernel::{hex, hex_digest};
use crate::module_tree::{ModuleTree, ModuleTreeError, Taken};
use crate::modules::{self, Wanted};
use crate::package::{self, Listed, PackageError, Query};
use crate::progress::{Activity, Progress, Watcher};
use crate::source::Freshness;

/// A kernel image with the modules that a guest loads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockKernel {
    /// The bzImage.
    pub image: PathBuf,
    /// What `uname -r` says in it.
    pub release: String,
    /// The Debian package version, for a kernel from a package.
    pub package_version: Option<String>,
    /// Unpacked modules, in the order in which they are to be loaded.
    pub modules: Vec<PathBuf>,
}

/// Why there is no such kernel.
#[derive(Debug, thiserror::Error)]
pub enum StockError {
    /// Debian's archive does not give the package.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The modules do not fit.
    #[error(transparent)]
    Modules(#[from] ModuleTreeError),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The package does not hold what such packages hold.
    #[error("package {package} holds no {wanted}: name a kernel image instead")]
    Content {
        /// The package.
        package: String,
        /// What was looked for in it.
        wanted: String,
    },
    /// A file that is no kernel image.
    #[error(
        "{path} is no x86 kernel image ({why}): name the bzImage, which is arch/x86/boot/bzImage in a build folder"
    )]
    NotAnImage {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl StockKernel {
    /// Its series, if its release tells one.
    pub fn series(&self) -> Option<Series> {
        Series::of_release(&self.release)
    }

    /// The same kernel with the modules `others` in the place of those that are called so.
    #[must_use]
    pub fn with_modules(&self, others: &[PathBuf]) -> StockKernel {
        let other =
            |own: &PathBuf| others.iter().find(|other| other.file_name() == own.file_name());
        let modules = self.modules.iter().map(|own| other(own).unwrap_or(own).clone()).collect();
        StockKernel { modules, ..self.clone() }
    }

    /// A folder lib/modules/RELEASE with these modules, which with the image names this kernel. The same modules are one
    /// folder; of all folders the newest are kept.
    ///
    /// # Errors
    ///
    /// If the cache cannot be used.
    pub fn module_tree(&self, cache: &Cache) -> Result<PathBuf, CacheError> {
        let mut contents = Vec::new();
        for module in &self.modules {
            contents.push(fs::read(module).map_err(CacheError::io("read", module))?);
        }
        let digests: Vec<String> =
            contents.iter().map(|content| hex(&Sha256::digest(content))).collect();
        let digest = hex_digest(&digests.iter().map(String::as_str).collect::<Vec<_>>());
        let trees = cache.folder("module-tree")?;
        let place = trees.join(&digest[..16]);
        let tree = place.join("lib/modules").join(&self.release);
        if tree.is_dir() {
            return Ok(tree);
        }
        let scratch = cache.scratch()?;
        let made = scratch.path().join("made");
        let folder = made.join("lib/modules").join(&self.release);
        let updates = folder.join("updates");
        fs::create_dir_all(&updates).map_err(CacheError::io("create", &updates))?;
        for (module, content) in self.modules.iter().zip(&contents) {
            let file = updates.join(module.file_name().unwrap_or_default());
            fs::write(&file, content).map_err(CacheError::io("write", &file))?;
        }
        let list = folder.join("modules.builtin");
        fs::write(&list, self.built_in()).map_err(CacheError::io("write", &list))?;
        cache.publish_folder(&made, &place)?;
        cache::keep_newest(&trees, MODULE_TREES_MAX);
        Ok(tree)
    }

    /// What of [`modules::WANTED`] is no module of this kernel, as `modules.builtin` has it.
    fn built_in(&self) -> String {
        let is_module = |name: &str| {
            self.modules.iter().any(|module| module.file_stem().is_some_and(|stem| stem == name))
        };
        let wanted = modules::WANTED.iter().filter(|wanted| !wanted.may_be_absent);
        let built_in = wanted.filter(|wanted| !is_module(wanted.name));
        built_in.map(|wanted| format!("kernel/{}.ko\n", wanted.name)).collect()
    }
}

/// So many folders of modules are kept. Each is about 3 MB.
const MODULE_TREES_MAX: usize = 16;

/// What is kept beside an image.
#[derive(Debug, Serialize, Deserialize)]
struct Facts {
    release: String,
    package_version: String,
    /// Identifies the modules that were wanted.
    wanted: String,
    modules: Vec<String>,
}

/// Finds or fetches Debian's kernel image of `series`.
///
/// It is downloaded and unpacked once; after that the archive is not asked, unless `freshness` wants it.
///
/// # Errors
///
/// If the package cannot be had or unpacked, or lacks a module.
pub fn provide(
    cache: &Cache,
    series: Series,
    freshness: Freshness,
    watch: &mut Watcher<'_>,
) -> Result<StockKernel, StockError> {
    let since = Instant::now();
    let _lock = cache.lock(&format!("linux-image-{series}"), || {
        watch(&Progress::of(Activity::WaitingForLock, format!("linux-image-{series}"), since));
    })?;
    match find(cache, series) {
        Some(kernel) if freshness == Freshness::Cached => Ok(kernel),
        _ => fetch(cache, series, freshness, watch),
    }
}

/// The newest kernel of `series` in the cache that has the modules of today. Asks nobody.
pub fn find(cache: &Cache, series: Series) -> Option<StockKernel> {
    let found = list(cache).into_iter().filter(|kernel| kernel.series() == Some(series));
    found.max_by(|a, b| package::compare(version_of(a), version_of(b)))
}

/// The series of which [`find`] gives a kernel, the newest first.
pub fn series_of(cache: &Cache) -> Vec<Series> {
    let found: BTreeSet<Series> = list(cache).iter().filter_map(StockKernel::series).collect();
    found.into_iter().rev().collect()
}

/// Every stock kernel in the cache that has the modules of today, in no order. Asks nobody.
pub fn list(cache: &Cache) -> Vec<StockKernel> {
    let Ok(folders) = fs::read_dir(cache.root().join("stock")) else { return Vec::new() };
    folders.filter_map(|folder| read(&folder.ok()?.path())).collect()
}

fn version_of(kernel: &StockKernel) -> &str {
    kernel.package_version.as_deref().unwrap_or_default()
}

/// The kernel in `folder`, if it is one of ours and has the modules that are wanted today.
fn read(folder: &Path) -> Option<StockKernel> {
    let facts: Facts = serde_json::from_slice(&fs::read(folder.join("facts.json")).ok()?).ok()?;
    let module = |name: &String| folder.join("modules").join(format!("{name}.ko"));
    (facts.wanted == identity(&modules::WANTED)).then(|| StockKernel {
        image: folder.join("vmlinuz"),
        release: facts.release,
        package_version: Some(facts.package_version),
        modules: facts.modules.iter().map(module).collect(),
    })
}

/// Tells one list of wanted modules from another.
fn identity(wanted: &[Wanted]) -> String {
    let names: Vec<&str> = wanted.iter().map(|wanted| wanted.name).collect();
    hex_digest(&names)[..8].to_owned()
}

fn fetch(
    cache: &Cache,
    series: Series,
    freshness: Freshness,
    watch: &mut Watcher<'_>,
) -> Result<StockKernel, StockError> {
    let log = cache.folder("log")?.join(format!("linux-image-{series}.log"));
    let apt = Apt::open(cache).map_err(PackageError::Apt)?;
    let since = Instant::now();
    let name = format!("linux-image-{series}");
    let mut report = |_: &str| watch(&Progress::of(Activity::Downloading, &name, since));
    let query = Query { prefix: &name, is_wanted: &|found| is_plain(found, series) };
    let listed = package::newest(&apt, &query, freshness, &log, &mut report)?;
    let name = format!("{}_{}-{}", listed.name, listed.version, identity(&modules::WANTED));
    let place = cache.folder("stock")?.join(name);
    if let Some(kernel) = read(&place) {
        return Ok(kernel);
    }
    let scratch = cache.scratch()?;
    let files = scratch.path().join("files");
    let mut archive = |wanted: &str, folder: &Path| -> Result<PathBuf, PackageError> {
        let mut report = |_: &str| watch(&Progress::of(Activity::Downloading, wanted, since));
        package::download(&apt, wanted, folder, &log, &mut report)
    };
    unpack(&listed, &mut archive, scratch.path(), &files, &log)?;
    let made = scratch.path().join("made");
    keep(&listed, &files, &made)?;
    cache.publish_folder(&made, &place)?;
    read(&place).ok_or_else(|| StockError::Content {
        package: listed.name.clone(),
        wanted: "readable facts".to_owned(),
    })
}

/// What downloads a package into a folder, and gives the file.
type Archive<'a> = dyn FnMut(&str, &Path) -> Result<PathBuf, PackageError> + 'a;

/// Unpacks the image `package` into `files`, and the packages that it is split into since 6.19: those that it needs, or
/// that one of them needs, and that are called after the same release.
fn unpack(
    package: &Listed,
    archive: &mut Archive<'_>,
    scratch: &Path,
    files: &Path,
    log: &Path,
) -> Result<(), PackageError> {
    let end = format!("-{}", release_of_package(package));
    let mut wanted = vec![package.exactly()];
    let mut next = 0;
    while let Some(name) = wanted.get(next).cloned() {
        let folder = scratch.join(format!("part{next}"));
        next += 1;
        fs::create_dir(&folder).map_err(CacheError::io("create", &folder))?;
        let file = archive(&name, &folder)?;
        package::extract(&file, files, log, &mut |_| {})?;
        let needs = package::needs(&package::field(&file, "Depends", log)?);
        for need in needs.iter().filter(|need| need.name.ends_with(&end)) {
            let need = need.wanted();
            if !wanted.contains(&need) {
                wanted.push(need);
            }
        }
        fs::remove_dir_all(&folder).map_err(CacheError::io("remove", &folder))?;
    }
    Ok(())
}

fn release_of_package(package: &Listed) -> &str {
    package.name.strip_prefix("linux-image-").unwrap_or_default()
}

/// Whether the package is a plain image of `series`: neither for clouds nor for real time, nor unsigned or with debug
/// symbols.
///
/// A candidate for a release has no third number: `linux-image-7.3-amd64`.
fn is_plain(package: &str, series: Series) -> bool {
    let middle = package.strip_prefix("linux-image-").and_then(|rest| rest.strip_suffix("-amd64"));
    middle.is_some_and(|middle| {
        let mut parts = middle.split('-');
        let version = parts.next().unwrap_or_default();
        let is_version = Series::of_release(version) == Some(series);
        is_version && parts.all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

/// Copies what is needed of the package's `files` into the new folder `made`.
fn keep(package: &Listed, files: &Path, made: &Path) -> Result<(), StockError> {
    let lacks = |wanted: String| StockError::Content { package: package.name.clone(), wanted };
    let release = release_of_package(package);
    fs::create_dir_all(made.join("modules")).map_err(CacheError::io("create", made))?;
    // Debian 13 has it below /usr.
    let places = ["lib", "usr/lib"].map(|lib| files.join(lib).join("modules").join(release));
    let tree = places.iter().find(|place| place.is_dir());
    let tree = tree.ok_or_else(|| lacks(format!("lib/modules/{release}")))?;
    for name in ["vmlinuz", "config"] {
        // Packages that are split have them beside the modules.
        let places = [files.join(format!("boot/{name}-{release}")), tree.join(name)];
        let from = places.iter().find(|place| place.is_file());
        let from = from.ok_or_else(|| lacks(format!("boot/{name}-{release}")))?;
        fs::rename(from, made.join(name)).map_err(CacheError::io("rename", from))?;
    }
    let taken = ModuleTree::read(tree)?.take(&modules::WANTED, release)?;
    for (name, content) in &taken {
        let file = made.join("modules").join(format!("{name}.ko"));
        fs::write(&file, content).map_err(CacheError::io("write", &file))?;
    }
    let facts = Facts {
        release: release.to_owned(),
        package_version: package.version.clone(),
        wanted: identity(&modules::WANTED),
        modules: taken.into_iter().map(|(name, _)| name).collect(),
    };
    let file = made.join("facts.json");
    let text = serde_json::to_vec_pretty(&facts).unwrap_or_default();
    fs::write(&file, text).map_err(CacheError::io("write", &file))?;
    Ok(())
}

/// The kernel that somebody built: `image` is its bzImage, and `module_tree` its folder lib/modules/RELEASE. Without
/// one, everything that a guest needs has to be built in.
///
/// # Errors
///
/// If one of them is not what it is said to be, they are not of one kernel, or a module is missing.
pub fn of_path(
    cache: &Cache,
    image: &Path,
    module_tree: Option<&Path>,
) -> Result<StockKernel, StockError> {
    let release = release_of(image)?;
    let taken = match module_tree {
        Some(folder) => ModuleTree::read(folder)?.take(&modules::WANTED, &release)?,
        None => Vec::new(),
    };
    let modules = taken.iter().map(|taken| publish(cache, taken)).collect::<Result<_, _>>()?;
    let image = image.canonicalize().map_err(CacheError::io("find", image))?;
    Ok(StockKernel { image, release, package_version: None, modules })
}

/// The modules of the kernel `release`, where they are if they were installed beside its image.
pub fn module_tree_beside(image: &Path, release: &str) -> Option<PathBuf> {
    let folder = image.parent()?;
    let places = [folder.join("lib/modules"), folder.join("../lib/modules")];
    places.map(|place| place.join(release)).into_iter().find(|place| place.is_dir())
}

/// Keeps a module by its content; gives the file, which is called as the module is.
fn publish(cache: &Cache, (name, content): &Taken) -> Result<PathBuf, CacheError> {
    let digest = hex(&Sha256::digest(content));
    let place = cache.folder("module")?.join(&digest[..16]).join(format!("{name}.ko"));
    if !place.is_file() {
        cache.publish_file(&place, content)?;
    }
    Ok(place)
}

/// What `uname -r` says in the kernel of `image`.
///
/// # Errors
///
/// If it is no bzImage.
pub fn release_of(image: &Path) -> Result<String, StockError> {
    let failed = |why: String| StockError::NotAnImage { path: image.to_owned(), why };
    let bytes = fs::read(image).map_err(|error| failed(error.to_string()))?;
    release_in(&bytes).ok_or_else(|| failed("its header does not tell a version".to_owned()))
}

/// Source: `kernel_version` of the real-mode header, Documentation/x86/boot.rst, 6.1, and Documentation/arch/x86/boot.rst,
/// 6.12.
fn release_in(image: &[u8]) -> Option<String> {
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let offset = u16::from_le_bytes(image.get(0x20e..0x210)?.try_into().ok()?);
    let text = image.get(usize::from(offset) + 0x200..)?;
    let release = text.split(|byte| *byte == b' ' || *byte == 0).next()?;
    let release = str::from_utf8(release).ok().filter(|release| !release.is_empty())?;
    (offset != 0).then(|| release.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_images_the_plain_signed_ones_are_taken() {
        let is_plain = |name: &str| {
            [Series::new(6, 1), Series::new(6, 12)].map(|series| is_plain(name, series))
        };
        for (name, expected) in [
            ("linux-image-6.1.0-56-amd64", [true, false]),
            ("linux-image-6.12.117+deb12-amd64", [false, true]),
            ("linux-image-6.12.43+deb13-amd64", [false, true]),
            ("linux-image-6.12.9+bpo-amd64", [false, true]),
            ("linux-image-6.12-amd64", [false, true]),
        ] {
            assert_eq!(is_plain(name), expected, "{name}");
        }
        for name in [
            "linux-image-6.1.0-56-cloud-amd64",
            "linux-image-6.12.117+deb12-rt-amd64",
            "linux-image-6.1.0-56-amd64-unsigned",
            "linux-image-6.1.0-56-amd64-dbg",
            "linux-image-6.12-amd64-signed-template",
            "linux-image-amd64",
            "linux-image-6.1.0-56-arm64",
        ] {
            assert_eq!(is_plain(name), [false, false], "{name}");
        }
    }

    fn image(release: &str) -> Vec<u8> {
        let mut bytes = vec![0; 0x400];
        bytes[0x202..0x206].copy_from_slice(b"HdrS");
        bytes[0x20e..0x210].copy_from_slice(&0x100u16.to_le_bytes());
        bytes[0x300..0x300 + release.len()].copy_from_slice(release.as_bytes());
        bytes
    }

    #[test]
    fn an_image_tells_its_release_and_what_is_no_image_is_refused() {
        let found = release_in(&image("6.12.117+deb12-amd64 (builder@host) #1 SMP"));
        assert_eq!(found.as_deref(), Some("6.12.117+deb12-amd64"));
        assert_eq!(release_in(&image("")), None);
        for end in [0, 0x204, 0x20f, 0x2ff] {
            assert_eq!(release_in(&image("6.1.0")[..end]), None, "cut at {end}");
        }
        let error = release_of(Path::new("/nonexistent")).unwrap_err().to_string();
        assert!(error.contains("arch/x86/boot/bzImage"), "{error}");
    }

    /// The image `NAME`, split into packages as Debian does it since 7.2, each with its files and its needs.
    const SPLIT: [(&str, &[&str], &str); 4] = [
        (
            "linux-image-7.3.4-amd64",
            &["usr/share/doc/x"],
            "dracut | initramfs-tools, linux-base-7.3.4-amd64 (= 7.3.4-1), linux-binary-7.3.4-amd64 (= 7.3.4-1), \
             linux-modules-7.3.4-amd64 (= 7.3.4-1)",
        ),
        ("linux-binary-7.3.4-amd64", &["vmlinuz"], "linux-base-7.3.4-amd64 (= 7.3.4-1)"),
        ("linux-base-7.3.4-amd64", &["config", "modules.builtin"], ""),
        ("linux-modules-7.3.4-amd64", &[], "kmod, linux-base-7.3.4-amd64 (= 7.3.4-1)"),
    ];

    /// Makes the package `wanted` (`name=version`) in `folder`, of `parts`.
    fn package(parts: &[(&str, &[&str], &str)], wanted: &str, folder: &Path) -> PathBuf {
        let (name, version) = wanted.split_once('=').unwrap();
        let (_, files, depends) = parts.iter().find(|(known, _, _)| *known == name).unwrap();
        let root = folder.join("root");
        fs::create_dir_all(root.join("DEBIAN")).unwrap();
        let needs =
            if depends.is_empty() { String::new() } else { format!("Depends: {depends}\n") };
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: x <x@example.org>\n{needs}\
             Description: x\n"
        );
        fs::write(root.join("DEBIAN/control"), control).unwrap();
        let release = name.splitn(3, '-').nth(2).unwrap();
        for file in *files {
            let is_path = file.contains('/');
            let place =
                if is_path { root.clone() } else { root.join("usr/lib/modules").join(release) };
            let place = place.join(file);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            let all: String =
                modules::WANTED.iter().map(|wanted| format!("k/{}.ko\n", wanted.name)).collect();
            fs::write(place, all).unwrap();
        }
        let file = folder.join("made.deb");
        let mut build = std::process::Command::new("dpkg-deb");
        build.args(["--root-owner-group", "--build"]).arg(&root).arg(&file);
        assert!(build.output().unwrap().status.success());
        file
    }

    /// What is kept of the image called `name` of `parts`, and the packages that were asked for.
    fn kept(name: &str, parts: &[(&str, &[&str], &str)]) -> (StockKernel, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let (files, made) = (root.join("files"), root.join("made"));
        let listed = Listed {
            name: name.to_owned(),
            version: "7.3.4-1".to_owned(),
            suite: "sid".to_owned(),
        };
        let mut asked = Vec::new();
        let mut archive = |wanted: &str, folder: &Path| {
            asked.push(wanted.to_owned());
            Ok(package(parts, wanted, folder))
        };
        unpack(&listed, &mut archive, root, &files, &root.join("log")).unwrap();
        keep(&listed, &files, &made).unwrap();
        let kernel = read(&made).unwrap();
        assert!(kernel.image.is_file() && kernel.image.with_file_name("config").is_file());
        (kernel, asked)
    }

    #[test]
    fn an_image_that_is_split_into_packages_is_put_together() {
        let (kernel, asked) = kept("linux-image-7.3.4-amd64", &SPLIT);
        assert_eq!(kernel.release, "7.3.4-amd64");
        let expected = ["image", "base", "binary", "modules"];
        assert_eq!(asked, expected.map(|part| format!("linux-{part}-7.3.4-amd64=7.3.4-1")));
    }

    #[test]
    fn an_image_in_one_package_is_taken_as_it_is() {
        let files = [
            "boot/vmlinuz-6.1.0-56-amd64",
            "boot/config-6.1.0-56-amd64",
            "lib/modules/6.1.0-56-amd64/modules.builtin",
        ];
        let name = "linux-image-6.1.0-56-amd64";
        let (kernel, asked) = kept(name, &[(name, &files, "kmod, linux-base (>= 4.3~)")]);
        assert_eq!((kernel.release.as_str(), asked.len()), ("6.1.0-56-amd64", 1));
    }

    /// A cache that holds `release` in `version`, with modules that were wanted under the name `wanted`.
    fn put(cache: &Cache, release: &str, version: &str, wanted: &str) {
        let folder = cache.folder(&format!("stock/linux-image-{release}_{version}")).unwrap();
        let facts = Facts {
            release: release.to_owned(),
            package_version: version.to_owned(),
            wanted: wanted.to_owned(),
            modules: vec!["ib_core".to_owned(), "rdma_rxe".to_owned()],
        };
        fs::write(folder.join("facts.json"), serde_json::to_vec(&facts).unwrap()).unwrap();
    }

    #[test]
    fn of_the_kernels_of_a_series_the_newest_is_found_and_nobody_is_asked() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        assert_eq!(find(&cache, Series::new(6, 1)), None);
        let today = identity(&modules::WANTED);
        put(&cache, "6.1.0-9-amd64", "6.1.90-1", &today);
        put(&cache, "6.1.0-56-amd64", "6.1.192-2", &today);
        put(&cache, "6.1.0-57-amd64", "6.1.200-1", "another list");
        put(&cache, "6.12.1+deb12-amd64", "6.12.1-1~deb12u1", &today);
        let found = provide(&cache, Series::new(6, 1), Freshness::Cached, &mut |_| {}).unwrap();
        assert_eq!(found.release, "6.1.0-56-amd64");
        assert!(found.modules[1].ends_with("modules/rdma_rxe.ko"));
        assert_eq!(find(&cache, Series::new(6, 12)).unwrap().release, "6.12.1+deb12-amd64");
    }

    #[test]
    fn a_module_takes_the_place_of_the_one_that_is_called_so() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        put(&cache, "6.1.0-56-amd64", "6.1.192-2", &identity(&modules::WANTED));
        let stock = find(&cache, Series::new(6, 1)).unwrap();
        let changed = stock.with_modules(&[PathBuf::from("/x/rdma_rxe.ko")]);
        assert_eq!(changed.modules, [stock.modules[0].clone(), PathBuf::from("/x/rdma_rxe.ko")]);
    }

    #[test]
    fn an_image_of_the_users_is_taken_with_the_modules_beside_it() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path().join("cache"));
        let file = root.path().join("boot/bzImage");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, image("6.1.5-mine")).unwrap();
        assert_eq!(of_path(&cache, &file, None).unwrap().modules, Vec::<PathBuf>::new());
        assert_eq!(module_tree_beside(&file, "6.1.5-mine"), None);
        let tree = root.path().join("lib/modules/6.1.5-mine");
        fs::create_dir_all(tree.join("kernel")).unwrap();
        let built_in: String =
            modules::WANTED[1..].iter().map(|m| format!("k/{}.ko\n", m.name)).collect();
        fs::write(tree.join("modules.builtin"), built_in).unwrap();
        let tree = module_tree_beside(&file, "6.1.5-mine").unwrap();
        let error = of_path(&cache, &file, Some(&tree)).unwrap_err().to_string();
        assert!(error.contains("no module virtio_pci, which the wire needs"), "{error}");
        let object = modules::tests::object(b"vermagic=6.1.5-mine SMP\0");
        fs::write(tree.join("kernel/virtio_pci.ko"), &object).unwrap();
        let kernel = of_path(&cache, &file, Some(&tree)).unwrap();
        assert_eq!(kernel.release, "6.1.5-mine");
        assert_eq!(fs::read(&kernel.modules[0]).unwrap(), object);
        assert!(kernel.modules[0].ends_with("virtio_pci.ko") && kernel.modules.len() == 1);
    }
}
