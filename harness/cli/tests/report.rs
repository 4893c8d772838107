//! `pinfold report`: whole runs, interrupted ones, and the page in a real browser.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may panic, and says what it skips"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Tests that no browser could be had for.
static SKIPPED: AtomicUsize = AtomicUsize::new(0);

fn run(program: &str, folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    // Nothing here may look at, or fill, the cache of whoever runs the tests.
    command.args(arguments).current_dir(folder).env("PINFOLD_CACHE", folder.join("cache"));
    command.stdin(Stdio::null()).output().unwrap()
}

#[track_caller]
fn pinfold(folder: &Path, arguments: &[&str], status: i32) -> Output {
    let output = run(env!("CARGO_BIN_EXE_pinfold"), folder, arguments);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}\n{output:?}");
    output
}

/// A folder with a run in `out` that found something.
fn a_run() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let target = "model:6.12+stale_read_only_pin";
    let arguments =
        ["fuzz", "--target", target, "--sequences", "100", "--rng-seed", "7", "--out", "out"];
    pinfold(folder.path(), &arguments, 1);
    folder
}

/// The page that `pinfold report` makes of `out`.
fn page(folder: &Path) -> String {
    pinfold(folder, &["report", "out"], 0);
    fs::read_to_string(folder.join("out/report.html")).unwrap()
}

/// Every bundle of the run.
fn bundles(folder: &Path) -> Vec<PathBuf> {
    let list = |folder: PathBuf| {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    list(folder.join("out/findings")).into_iter().flat_map(list).collect()
}

#[test]
fn a_report_goes_beside_the_run_or_where_it_is_told() {
    let folder = a_run();
    let output = pinfold(folder.path(), &["report", "out"], 0);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "out/report.html\nout/report.md\n");
    pinfold(folder.path(), &["report", "out", "-o", "elsewhere"], 0);
    for name in ["report.html", "report.md"] {
        let text = fs::read_to_string(folder.path().join("elsewhere").join(name)).unwrap();
        assert_eq!(text, fs::read_to_string(folder.path().join("out").join(name)).unwrap());
        assert!(text.contains("model:6.12") && text.contains("What the ops did"), "{text}");
    }
}

#[test]
fn an_interrupted_run_has_a_report_and_half_a_bundle_is_passed_over() {
    let folder = a_run();
    let whole = page(folder.path());
    fs::remove_file(folder.path().join("out/summary.json")).unwrap();
    let signature = bundles(folder.path())[0].parent().unwrap().to_owned();
    let draft = signature.join(".draft-Xy12");
    fs::create_dir(&draft).unwrap();
    fs::write(draft.join("finding.json"), "{\"schema\":").unwrap();
    let text = page(folder.path());
    assert!(
        text.contains("the run was interrupted or still goes on") && !text.contains("Not read")
    );
    assert_eq!(text.matches("<article").count(), whole.matches("<article").count());
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_shown() {
    let folder = a_run();
    let bundles = bundles(folder.path());
    fs::write(bundles[0].join("finding.json"), "{").unwrap();
    for bundle in &bundles[1..] {
        fs::write(bundle.join("trace.json"), "{\"schema\":1}").unwrap();
    }
    let text = page(folder.path());
    assert!(text.contains("Not read:") && text.contains("no trace that can be read"), "{text}");
}

#[test]
fn a_trace_that_does_not_show_its_finding_is_named() {
    let folder = a_run();
    for bundle in bundles(folder.path()) {
        let place = bundle.join("trace.json");
        let mut stored: serde_json::Value =
            serde_json::from_slice(&fs::read(&place).unwrap()).unwrap();
        stored["sequence"] = "# pinfold 1\n".into();
        stored["trace"]["steps"] = serde_json::json!([]);
        fs::write(&place, stored.to_string()).unwrap();
    }
    let output = pinfold(folder.path(), &["report", "out"], 0);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("trace.json: by the rules of today it does not show "), "{text}");
}

#[test]
fn one_bundle_has_a_report_of_its_own() {
    let folder = a_run();
    let bundle = bundles(folder.path()).remove(0);
    pinfold(folder.path(), &["report", bundle.to_str().unwrap(), "--out", "one"], 0);
    let text = fs::read_to_string(folder.path().join("one/report.html")).unwrap();
    assert_eq!(text.matches("<article").count(), 1);
}

#[test]
fn a_folder_that_is_no_run_is_refused_with_status_2() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["nowhere", "."] {
        let output = pinfold(folder.path(), &["report", name], 2);
        let text = String::from_utf8(output.stderr).unwrap();
        let is_named = text.contains("it is no folder that `pinfold fuzz` made");
        let is_missing =
            name == "nowhere" && text.contains("nowhere") && text.contains("No such file");
        assert!(is_named || is_missing, "{text}");
    }
    assert!(!folder.path().join("report.html").exists());
}

/// Without a browser these are skipped, aloud; and fail where `PINFOLD_REQUIRE_BROWSER=1` says that there is one.
fn browser(test: &str) -> Option<&'static str> {
    let is_there = |name: &&str| {
        Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    let found = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(is_there);
    if found.is_none() {
        let is_required =
            std::env::var_os("PINFOLD_REQUIRE_BROWSER").is_some_and(|value| value == "1");
        assert!(!is_required, "no Chromium: install the package chromium");
        let count = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
        eprintln!(
            "SKIP {test}: no Chromium (`ci/setup --for-tests` has it); {count} skipped so far"
        );
    }
    found
}

/// What a browser made of a page.
struct Opened {
    /// What it printed.
    out: String,
    /// What the page complained of.
    complaints: Vec<String>,
    /// What the page asked of the network. What the browser asks for itself has no origin.
    asked: Vec<String>,
}

/// Opens `page` headless, where no name can be resolved.
fn open(browser: &str, page: &Path, scheme: &str, arguments: &[&str]) -> Opened {
    let folder = page.parent().unwrap();
    let profile = tempfile::tempdir().unwrap();
    let net_log = profile.path().join("net.json");
    let log_flag = format!("--log-net-log={}", net_log.display());
    let profile_flag = format!("--user-data-dir={}", profile.path().display());
    let scheme_flag = format!("--blink-settings=preferredColorScheme={scheme}");
    let url = format!("file://{}", page.display());
    let mut all = vec!["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
    all.extend(["--disable-quic", "--no-first-run", "--disable-background-networking"]);
    all.extend(["--disable-component-update", "--disable-sync", "--enable-logging=stderr"]);
    all.extend(["--host-resolver-rules=MAP * ~NOTFOUND", &log_flag, &profile_flag, &scheme_flag]);
    all.extend(arguments);
    all.push(&url);
    let output = run(browser, folder, &all);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    let lines = |text: &str, wanted: &dyn Fn(&str) -> bool| -> Vec<String> {
        text.lines().filter(|line| wanted(line)).map(str::to_owned).collect()
    };
    let is_of_the_page = |line: &str| {
        let has = |part: &str| line.contains(part);
        has("\"url\":\"http") && has("\"initiator\":") && !has("\"initiator\":\"not an origin\"")
    };
    Opened {
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        complaints: lines(&errors, &|line| line.contains("CONSOLE")),
        asked: lines(&fs::read_to_string(&net_log).unwrap(), &is_of_the_page),
    }
}

/// Opens the report of the run in `folder`, which must neither complain nor ask; gives what the browser printed.
#[track_caller]
fn open_report(browser: &str, folder: &Path, scheme: &str, arguments: &[&str]) -> String {
    let opened = open(browser, &folder.join("out/report.html"), scheme, arguments);
    assert!(opened.complaints.is_empty(), "{:?}", opened.complaints);
    assert!(opened.asked.is_empty(), "{:?}", opened.asked);
    opened.out
}

#[test]
fn a_page_that_asks_or_complains_is_seen_to() {
    let Some(browser) = browser("a_page_that_asks_or_complains_is_seen_to") else { return };
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("bad.html");
    let text = "<script>console.error('bad')</script><img src='http://pinfold.invalid/x.png'>";
    fs::write(&page, text).unwrap();
    let opened = open(browser, &page, "1", &["--dump-dom"]);
    assert!(!opened.complaints.is_empty() && !opened.asked.is_empty(), "{}", opened.out);
}

#[test]
fn a_browser_shows_the_page_as_it_was_written() {
    let Some(browser) = browser("a_browser_shows_the_page_as_it_was_written") else { return };
    let folder = a_run();
    let text = page(folder.path());
    let shown = open_report(browser, folder.path(), "1", &["--dump-dom"]);
    for tag in ["<article", "<svg", "<table", "<path", "<rect", "<li"] {
        assert_eq!(shown.matches(tag).count(), text.matches(tag).count(), "{tag}");
    }
    assert!(shown.trim_end().ends_with("</footer></body></html>"), "{shown}");
}

#[test]
fn a_browser_draws_the_page_light_and_dark_wide_and_narrow() {
    let Some(browser) = browser("a_browser_draws_the_page_light_and_dark_wide_and_narrow") else {
        return;
    };
    let folder = a_run();
    page(folder.path());
    let mut pictures: Vec<Vec<u8>> = Vec::new();
    for scheme in ["0", "1"] {
        for size in ["1400,900", "500,900"] {
            let window = format!("--window-size={size}");
            open_report(browser, folder.path(), scheme, &["--screenshot=page.png", &window]);
            let picture = fs::read(folder.path().join("out/page.png")).unwrap();
            assert!(picture.starts_with(b"\x89PNG") && picture.len() > 10_000, "{scheme} {size}");
            assert!(!pictures.contains(&picture), "{scheme} {size} looks like another");
            pictures.push(picture);
        }
    }
}
