//! Facts about this host for `pinfold doctor`: what is there, what is missing, and what to do about it.

use std::fs;
use std::path::Path;

use pinfold_contract::Series;
use rustix::fs::statfs;

use crate::accel::{self, Accel};
use crate::apt::Apt;
use crate::cache::Cache;
use crate::config::Variant;
use crate::executor;
use crate::kernel;
use crate::local::{self, RdmaDevice};
use crate::package::{self, PackageError};
use crate::rebuild;
use crate::source;
use crate::stock;
use crate::tools::{self, Tool};
use crate::uml;

/// How a finding is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is as it should be.
    Ok,
    /// It is missing, and something will fail for it.
    Missing,
    /// Worth knowing.
    Note,
}

/// One fact about this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub what: String,
    /// How it is to be taken.
    pub state: State,
    /// What was found.
    pub detail: String,
    /// What to do about it, as a command or a sentence; empty where nothing is to be done.
    pub way_out: String,
}

impl Finding {
    fn ok(what: &str, detail: String) -> Finding {
        Finding { what: what.to_owned(), state: State::Ok, detail, way_out: String::new() }
    }

    fn missing(what: &str, detail: String, way_out: String) -> Finding {
        Finding { what: what.to_owned(), state: State::Missing, detail, way_out }
    }

    fn note(what: &str, detail: String, way_out: String) -> Finding {
        Finding { what: what.to_owned(), state: State::Note, detail, way_out }
    }
}

/// Memory of a guest that the host should have room for, in MiB.
const GUEST_MIB: u64 = 256;

/// How a machine without an RDMA device gets one.
const MAKE_RXE: &str = "`modprobe rdma_rxe && rdma link add rxe0 type rxe netdev eth0`";

const HUGE_PAGES: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB";

/// `f_type` of a tmpfs: `TMPFS_MAGIC`, include/uapi/linux/magic.h.
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// Examines everything that bringing up a machine of one of the `series` needs. Changes nothing.
pub fn examine(cache: &Cache, series: &[Series]) -> Vec<Finding> {
    let mut findings =
        vec![Finding::note("cache", cache.root().display().to_string(), String::new())];
    findings.push(programs(
        "kernel build tools",
        tools::BUILD,
        &[(tools::LIBC_HEADER, "libc6-dev")],
    ));
    findings.push(programs("kernel source tools", tools::SOURCE, &[]));
    findings.push(archive(cache));
    findings.push(programs("executor build", &[], &executor::PREREQUISITES));
    findings.push(cargo());
    findings.extend(series.iter().map(|series| kernel_of(cache, *series)));
    findings.push(memory(Path::new("/dev/shm")));
    findings.extend(qemu(cache));
    findings.extend(series.iter().map(|series| stock_kernel(cache, *series)));
    findings.extend(series.iter().map(|series| module_build(cache, *series)));
    findings.push(huge_pages(Path::new(HUGE_PAGES)));
    findings.push(local(&local::devices(), local::are_we_root()));
    findings
}

/// The pool of huge pages of this machine's own kernel. Guests of QEMU have one of their own.
fn huge_pages(folder: &Path) -> Finding {
    let what = "huge pages of this kernel";
    let count = fs::read_to_string(folder.join("nr_hugepages"));
    match count.ok().and_then(|text| text.trim().parse::<u64>().ok()) {
        Some(count) => Finding::ok(what, format!("a pool of {count} of 2 MiB")),
        None => Finding::note(
            what,
            "none of 2 MiB".to_owned(),
            "stock kernels in QEMU have them, User Mode Linux has none".to_owned(),
        ),
    }
}

/// What the target `local` would run on.
fn local(devices: &[RdmaDevice], are_we_root: bool) -> Finding {
    let what = "local, this machine's kernel";
    if devices.is_empty() {
        let way_out = format!("as root, where the kernel has it: {MAKE_RXE}");
        return Finding::note(what, "no RDMA device".to_owned(), way_out);
    }
    let kind = |device: &RdmaDevice| if device.is_rxe { "rxe" } else { "no rxe" };
    let names = devices.iter().map(|device| format!("{} ({})", device.name, kind(device)));
    let detail = names.collect::<Vec<_>>().join(", ");
    if !are_we_root {
        return Finding::note(what, detail, "only root may use it".to_owned());
    }
    if !devices.iter().any(|device| device.is_rxe) {
        let way_out = "name one, `--target local:NAME`, and an executor that has its provider";
        return Finding::note(what, detail, way_out.to_owned());
    }
    Finding::ok(what, format!("{detail}; never used without --yes-run-on-this-kernel"))
}

fn programs(what: &str, tools: &[Tool], files: &[(&str, &str)]) -> Finding {
    match tools::require(tools, files) {
        Ok(()) => Finding::ok(what, "complete".to_owned()),
        Err(missing) => {
            Finding::missing(what, missing.names.join(", "), tools::install_line(&missing.packages))
        }
    }
}

/// What Debian's archive had when its lists were fetched last.
fn archive(cache: &Cache) -> Finding {
    let what = "kernels in the archive";
    let look = || -> Result<Finding, PackageError> {
        let apt = Apt::open(cache)?;
        let Some(age) = apt.age() else {
            let way_out = format!("the first use fetches them from {}", apt.archives());
            return Ok(Finding::note(what, "no package lists yet".to_owned(), way_out));
        };
        let _lock = apt.lock(|| {})?;
        let series = package::listed_series(&apt, &cache.folder("log")?.join("apt.log"))?;
        let names: Vec<String> = series.iter().rev().map(Series::to_string).collect();
        let detail = format!(
            "source of {}; lists of {}, {} h old, from {}",
            names.join(", "),
            apt.suites().join(", "),
            age.as_secs() / 3600,
            apt.archives()
        );
        Ok(Finding::ok(what, detail))
    };
    // Kernels that are here already do without the archive.
    look().unwrap_or_else(|error| {
        Finding::note(what, "cannot be looked for".to_owned(), error.to_string())
    })
}

/// QEMU, and what its guests are run with.
fn qemu(cache: &Cache) -> Vec<Finding> {
    let Err(missing) = tools::require(tools::QEMU, &[]) else {
        let path = tools::find("qemu-system-x86_64").unwrap_or_default();
        return vec![Finding::ok("qemu", path.display().to_string()), accelerator(cache, &path)];
    };
    let way_out = tools::install_line(&missing.packages);
    // User Mode Linux does without.
    vec![Finding::note("qemu", "not on PATH, no stock kernel can be run".to_owned(), way_out)]
}

fn accelerator(cache: &Cache, qemu: &Path) -> Finding {
    match accel::known(cache, qemu) {
        Some(known) if known.accel == Accel::Kvm => {
            Finding::ok("accelerator", format!("kvm, since {}", known.reason))
        }
        Some(known) => Finding::note(
            "accelerator",
            format!("tcg, since {}", known.reason),
            "guests run all the same, and slower: each instruction is translated".to_owned(),
        ),
        None => Finding::note(
            "accelerator",
            "not tried yet".to_owned(),
            "the first use of QEMU finds out whether KVM runs a guest, within 3 s".to_owned(),
        ),
    }
}

fn stock_kernel(cache: &Cache, series: Series) -> Finding {
    let what = format!("stock kernel {series}");
    match stock::find(cache, series) {
        Some(kernel) => {
            let package = kernel.package_version.unwrap_or_default();
            let detail = format!(
                "{} ({package}), {} modules, {}",
                kernel.release,
                kernel.modules.len(),
                kernel.image.display()
            );
            Finding::ok(&what, detail)
        }
        None => {
            let way_out = "the first use downloads Debian's package".to_owned();
            Finding::note(&what, "not downloaded".to_owned(), way_out)
        }
    }
}

fn module_build(cache: &Cache, series: Series) -> Finding {
    let what = format!("modules of stock kernel {series}");
    match rebuild::examine(cache, series) {
        Ok(detail) => Finding::ok(&what, detail),
        Err(error) => Finding::note(&what, "cannot be built".to_owned(), error.to_string()),
    }
}

fn cargo() -> Finding {
    match tools::find("cargo") {
        Some(path) => Finding::ok("cargo", path.display().to_string()),
        None => Finding::missing(
            "cargo",
            "not on PATH".to_owned(),
            "install Rust with rustup".to_owned(),
        ),
    }
}

fn kernel_of(cache: &Cache, series: Series) -> Finding {
    let what = format!("kernel uml:{series}");
    if let Some(kernel) = kernel::find(cache, series, &Variant::plain()) {
        let package = kernel.package_version.unwrap_or_default();
        return Finding::ok(
            &what,
            format!("{} ({package}), {}", kernel.version, kernel.image.display()),
        );
    }
    let source = match source::unpacked(cache, series) {
        Some(tree) => format!("not built, source {} is here", tree.version),
        None => "neither built nor downloaded".to_owned(),
    };
    Finding::note(
        &what,
        source,
        format!("`pinfold kernel build {series}` builds it, or the first use does"),
    )
}

fn memory(folder: &Path) -> Finding {
    let what = format!("guest memory in {}", folder.display());
    if let Err(error) = uml::check_memory(folder, GUEST_MIB) {
        return Finding::missing(&what, "not usable".to_owned(), error.to_string());
    }
    let is_tmpfs = statfs(folder).is_ok_and(|facts| facts.f_type == TMPFS_MAGIC);
    if is_tmpfs {
        return Finding::ok(&what, format!("a tmpfs with room for {GUEST_MIB} MiB"));
    }
    Finding::note(
        &what,
        "not a tmpfs, guests are slower".to_owned(),
        "mount a tmpfs there".to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_cache_is_noted_with_the_command_that_fills_it() {
        let root = tempfile::tempdir().unwrap();
        let all = [Series::new(6, 1), Series::new(7, 3)];
        let findings = examine(&Cache::at(root.path()), &all);
        for series in all {
            let what = format!("kernel uml:{series}");
            let finding = findings.iter().find(|finding| finding.what == what).unwrap();
            assert_eq!(finding.state, State::Note);
            assert!(
                finding.way_out.contains(&format!("pinfold kernel build {series}")),
                "{finding:?}"
            );
        }
    }

    #[test]
    fn an_empty_cache_says_what_the_first_use_of_a_stock_kernel_does() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path().join("cache"));
        for series in [Series::new(6, 1), Series::new(7, 3)] {
            let finding = stock_kernel(&cache, series);
            assert_eq!((finding.state, finding.detail.as_str()), (State::Note, "not downloaded"));
            assert!(finding.way_out.contains("downloads"), "{finding:?}");
            let detail = rebuild::examine(&cache, series).unwrap();
            assert!(detail.contains("the first use fetches image, source, headers"), "{detail}");
        }
        let finding = accelerator(&cache, Path::new("/nonexistent/qemu"));
        assert_eq!(finding.state, State::Note);
        assert!(!finding.way_out.is_empty() && !cache.root().exists(), "{finding:?}");
    }

    #[test]
    fn what_local_would_run_on_is_told_with_the_way_to_get_it() {
        let device = |name: &str, is_rxe| RdmaDevice { name: name.to_owned(), is_rxe };
        let none = local(&[], true);
        assert!(none.way_out.contains("modprobe rdma_rxe"), "{none:?}");
        let mixed = [device("mlx5_0", false), device("rxe0", true)];
        let (root, other) = (local(&mixed, true), local(&mixed, false));
        assert_eq!((root.state, other.state), (State::Ok, State::Note));
        assert!(root.detail.contains("rxe0 (rxe)"), "{root:?}");
        assert!(other.way_out.contains("root"), "{other:?}");
        let named = local(&mixed[..1], true);
        assert!(named.way_out.contains("local:NAME"), "{named:?}");
    }

    #[test]
    fn huge_pages_are_counted_where_there_is_a_pool() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(huge_pages(folder.path()).state, State::Note);
        fs::write(folder.path().join("nr_hugepages"), "6\n").unwrap();
        assert!(huge_pages(folder.path()).detail.contains("6 of 2 MiB"));
    }

    #[test]
    fn whatever_is_missing_comes_with_a_way_out() {
        let files = [("/nonexistent/verbs.h", "libibverbs-dev")];
        let finding = programs("executor build", &[], &files);
        assert_eq!(finding.state, State::Missing);
        assert_eq!(finding.way_out, "apt-get install libibverbs-dev");
        let finding = memory(Path::new("/nonexistent"));
        assert_eq!(finding.state, State::Missing);
        assert!(!finding.way_out.is_empty());
    }
}
