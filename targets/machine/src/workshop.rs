//! Builds kernels with patches in them, each in seconds: from copies of a built kernel's sources and objects, in which
//! nothing but the patched files is new to make.
//!
//! The copies are made once for each kernel. The source is copied by hard links where the file system has them: a file
//! that is patched is replaced, never written to, and the original stays as it was. Each build begins with the objects of
//! the kernel without patches, so that whatever a build before it left behind, or was killed in, is gone.

pub(crate) mod copy;
mod traced;

pub use traced::Traced;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::cache::{self, Cache, CacheError, CacheLock};
use crate::config::{Feature, Variant};
use crate::diff::{self, Overlay, Patch};
use crate::kernel::{self, Kernel, KernelError, KernelRequest, Plan, hex, hex_digest};
use crate::progress::{Activity, Progress, Watcher};
use crate::source::{KernelSource, SourceTree};

/// So many patched kernels of one source are kept, of which half say what of them ran. Each is about 8 MB.
const KERNELS_MAX: usize = 48;

/// What the variant `+kcov` changes in its kernel.
const KCOV_PATCH: &[u8] = include_bytes!("../../kernel/kcov.patch");

/// The kernel that `request` asks for, with what belongs to its variant.
///
/// # Errors
///
/// As [`Workshop::of`] and [`Workshop::plain`].
pub fn provide(
    cache: &Cache,
    request: &KernelRequest,
    watch: &mut Watcher<'_>,
) -> Result<Kernel, KernelError> {
    if own_patches(&request.variant).is_empty() {
        return kernel::provide(cache, request, watch);
    }
    Workshop::of(cache, request, watch)?.plain(watch)
}

fn own_patches(variant: &Variant) -> Vec<Patch> {
    let patch = || diff::read("kcov.patch", KCOV_PATCH).expect("a test reads it");
    variant.has(Feature::Kcov).then(patch).into_iter().collect()
}

/// Where patched kernels of one source are built.
#[derive(Debug)]
pub struct Workshop<'a> {
    cache: &'a Cache,
    plan: Plan<'a>,
    folder: PathBuf,
}

/// A kernel with patches in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patched {
    /// The program to run.
    pub image: PathBuf,
    /// What it took; nothing for one that was built before.
    pub times: BuildTimes,
}

/// What building took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BuildTimes {
    /// Copying sources and objects.
    pub copy: Duration,
    /// Configuring, and compiling what has changed.
    pub compile: Duration,
    /// Linking.
    pub link: Duration,
}

impl<'a> Workshop<'a> {
    /// The workshop for what `request` is built from. Fetches the source if need be, and builds nothing.
    ///
    /// # Errors
    ///
    /// If the source, the tools or the cache cannot be had.
    pub fn of(
        cache: &'a Cache,
        request: &'a KernelRequest,
        watch: &mut Watcher<'_>,
    ) -> Result<Workshop<'a>, KernelError> {
        let plan = Plan::make(cache, request, watch)?;
        let folder = cache.folder(&format!("patch/{}", plan.name))?;
        Ok(Workshop { cache, plan, folder })
    }

    /// The kernel without patches but those that belong to its variant. Calls `watch` a few times a second.
    ///
    /// # Errors
    ///
    /// As [`kernel::provide`] and [`Workshop::patched`].
    pub fn plain(&self, watch: &mut Watcher<'_>) -> Result<Kernel, KernelError> {
        let kernel = kernel::provide(self.cache, self.plan.request, watch)?;
        let image = self.patched(&kernel, &Overlay::new(), watch)?.image;
        Ok(Kernel { image, ..kernel })
    }

    /// The files of `overlay`, and those that belong to the variant.
    fn with_own(&self, overlay: &Overlay) -> Result<Overlay, KernelError> {
        let variant = &self.plan.request.variant;
        let read = |name: &str| match overlay.get(name) {
            Some(content) => content.clone(),
            None => fs::read(self.plan.tree.path.join(name)).ok(),
        };
        let own = diff::apply(&own_patches(variant), &read).map_err(|source| {
            KernelError::Unpatched { variant: variant.clone(), source: Box::new(source) }
        })?;
        let mut all = overlay.clone();
        all.extend(own.overlay);
        Ok(all)
    }

    /// The kernel in which the files of `overlay` are as they are there, and all others as in `plain`, which
    /// [`Workshop::plain`] gave. The same content is built once.
    ///
    /// # Errors
    ///
    /// If it does not build: what the compiler says names files as the patch does.
    pub fn patched(
        &self,
        plain: &Kernel,
        overlay: &Overlay,
        watch: &mut Watcher<'_>,
    ) -> Result<Patched, KernelError> {
        let overlay = &self.with_own(overlay)?;
        if overlay.is_empty() {
            return Ok(Patched { image: plain.image.clone(), times: BuildTimes::default() });
        }
        let since = Instant::now();
        let _lock = self.lock(watch)?;
        let state = self.mirror(plain, watch)?;
        let key = key(&state, overlay);
        let image = self.folder.join("kernels").join(&key).join("linux");
        if image.is_file() {
            return Ok(Patched { image, times: BuildTimes::default() });
        }
        let objects = self.objects(&state, watch)?;
        let work = self.folder.join("work");
        copy::objects(&objects, &work, None)?;
        self.put_in(overlay)?;
        let copy = since.elapsed();
        let mut times = self.make(&work, overlay, watch)?;
        times.copy = copy;
        self.keep(&work.join("linux"), &image)?;
        Ok(Patched { image, times })
    }

    fn lock(&self, watch: &mut Watcher<'_>) -> Result<CacheLock, KernelError> {
        let build = self.plan.build(self.cache);
        let waiting = || watch(&build.progress(Activity::WaitingForLock, Instant::now()));
        Ok(self.cache.lock(&format!("patch-{}", self.plan.name), waiting)?)
    }

    fn mirrored(&self) -> PathBuf {
        self.folder.join("source")
    }

    /// Brings the copy of the source to what the source is; gives a name for that.
    fn mirror(&self, plain: &Kernel, watch: &mut Watcher<'_>) -> Result<String, KernelError> {
        self.take_out()?;
        let (source, mirrored) = (&self.plan.tree.path, self.mirrored());
        let done = self.folder.join("source.whole");
        let mut copy = || {
            watch(&self.plan.build(self.cache).progress(Activity::Copying, Instant::now()));
            copy::source(source, &mirrored)
        };
        let state = match self.plan.request.source {
            // A package never changes: that is its name.
            KernelSource::Debian(_) if done.is_file() => String::new(),
            KernelSource::Debian(_) => copy().map(|_| String::new())?,
            KernelSource::Tree(_) => copy()?,
        };
        fs::write(&done, "").map_err(CacheError::io("write", &done))?;
        Ok(hex_digest(&["patched 1", &plain.sha256, &state]))
    }

    /// The objects of the kernel without patches, as if they had been made from the copy of the source.
    fn objects(&self, state: &str, watch: &mut Watcher<'_>) -> Result<PathBuf, KernelError> {
        let objects = self.folder.join("objects");
        let state_file = self.folder.join("objects.state");
        if fs::read_to_string(&state_file).is_ok_and(|text| text == state) {
            return Ok(objects);
        }
        let _ = fs::remove_file(&state_file);
        watch(&self.plan.build(self.cache).progress(Activity::Copying, Instant::now()));
        copy::remove(&objects)?;
        let built = self.cache.root().join("build").join(&self.plan.name);
        if built.join("linux").is_file() {
            let _lock = self.cache.lock(&self.plan.name, || {})?;
            copy::objects(&built, &objects, Some((&self.plan.tree.path, &self.mirrored())))?;
        } else {
            // Somebody emptied the cache of all but the kernels.
            fs::create_dir_all(&objects).map_err(CacheError::io("create", &objects))?;
            self.build_in(&objects, true, watch)?;
        }
        fs::write(&state_file, state).map_err(CacheError::io("write", &state_file))?;
        Ok(objects)
    }

    /// The list of the files in the copy of the source that are not those of the source.
    fn changed_list(&self) -> PathBuf {
        self.folder.join("source.changed")
    }

    /// Leaves the copy of the source as the source is, whatever a build before left in it.
    fn take_out(&self) -> Result<(), KernelError> {
        let list = self.changed_list();
        let Ok(names) = fs::read_to_string(&list) else { return Ok(()) };
        for name in names.lines() {
            copy::restore(&self.plan.tree.path.join(name), &self.mirrored().join(name))?;
        }
        fs::remove_file(&list).map_err(CacheError::io("remove", &list))?;
        Ok(())
    }

    /// Puts the files of `overlay` into the copy of the source.
    fn put_in(&self, overlay: &Overlay) -> Result<(), KernelError> {
        let names: Vec<&str> = overlay.keys().map(String::as_str).collect();
        self.cache.publish_file(&self.changed_list(), names.join("\n").as_bytes())?;
        for (name, content) in overlay {
            copy::replace(&self.mirrored().join(name), content.as_deref())?;
        }
        Ok(())
    }

    fn make(
        &self,
        work: &Path,
        overlay: &Overlay,
        watch: &mut Watcher<'_>,
    ) -> Result<BuildTimes, KernelError> {
        let asks = |name: &String| {
            Path::new(name)
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("Kconfig"))
        };
        let since = Instant::now();
        let mut linking: Option<Instant> = None;
        let mut note = |progress: &Progress| {
            if progress.activity == Activity::Linking {
                linking.get_or_insert_with(Instant::now);
            }
            watch(progress);
        };
        self.build_in(work, overlay.keys().any(asks), &mut note)?;
        let end = Instant::now();
        let linking = linking.unwrap_or(end);
        Ok(BuildTimes { copy: Duration::ZERO, compile: linking - since, link: end - linking })
    }

    /// Makes the kernel of the copied source in `objects`.
    fn build_in(
        &self,
        objects: &Path,
        configures: bool,
        watch: &mut Watcher<'_>,
    ) -> Result<(), KernelError> {
        let since = Instant::now();
        let log = self.cache.folder("log")?.join(format!("patch-{}.log", self.plan.name));
        fs::write(&log, "").map_err(CacheError::io("write", &log))?;
        let mirrored = self.mirrored();
        let tree = SourceTree { path: mirrored.clone(), ..self.plan.tree.clone() };
        let mut build = self.plan.build(self.cache);
        build.tree = &tree;
        let built = if configures { build.configure(objects, &log, since, watch) } else { Ok(()) };
        let built = built.and_then(|()| build.compile(objects, &log, since, watch));
        built.map_err(|error| error.with_names_below(&mirrored))
    }

    /// Keeps `built` as `image`, whole or not at all, and of all others the newest.
    fn keep(&self, built: &Path, image: &Path) -> Result<(), KernelError> {
        let scratch = self.cache.scratch()?;
        let made = scratch.path().join("made");
        fs::create_dir(&made).map_err(CacheError::io("create", &made))?;
        fs::copy(built, made.join("linux")).map_err(CacheError::io("copy", built))?;
        let place = image.parent().unwrap_or(image);
        self.cache.publish_folder(&made, place)?;
        cache::keep_newest(&self.folder.join("kernels"), KERNELS_MAX);
        Ok(())
    }
}

/// The name of what is built of a source in `state` with the files of `overlay`.
fn key(state: &str, overlay: &Overlay) -> String {
    let mut parts = vec![state.to_owned()];
    for (name, content) in overlay {
        parts.push(name.clone());
        parts.push(match content {
            Some(content) => hex(&Sha256::digest(content)),
            None => "gone".to_owned(),
        });
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    hex_digest(&parts)[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_is_named_by_every_file_and_what_is_in_it() {
        let overlay = |content: Option<&str>| {
            Overlay::from([("mm/gup.c".to_owned(), content.map(|text| text.as_bytes().to_vec()))])
        };
        let names = [
            key("a", &overlay(Some("x"))),
            key("a", &overlay(Some("y"))),
            key("a", &overlay(None)),
            key("b", &overlay(Some("x"))),
            key("a", &Overlay::new()),
        ];
        let mut distinct = names.to_vec();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), names.len());
    }
}
