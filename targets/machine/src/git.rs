//! One commit of a git tree: the tree before it, and what it changes. The user's repository is only read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::cache::{Cache, CacheError};
use crate::kernel::hex_digest;
use crate::progress::{Activity, Progress, Watcher};
use crate::tools::{self, MissingTools};

/// A commit, ready to be compared with its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its name, and the first line of what it says.
    pub title: String,
    /// The first of its parents, in hexadecimal.
    pub parent: String,
    /// The files of that parent, in a folder of the cache.
    pub tree: PathBuf,
    /// What the commit changes, as a unified diff.
    pub diff: Vec<u8>,
}

/// Why there is no commit.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no git.
    #[error(transparent)]
    Tools(#[from] MissingTools),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// git does not find the commit, or the commit before it.
    #[error("{folder} has no commit {rev}: {why}")]
    NoCommit {
        /// The repository.
        folder: PathBuf,
        /// What was asked for.
        rev: String,
        /// What git said.
        why: String,
    },
    /// git cannot do something it should.
    #[error("git cannot {action} in {folder}: {why}")]
    Failed {
        /// The repository.
        folder: PathBuf,
        /// What it was to do.
        action: &'static str,
        /// What it said.
        why: String,
    },
}

/// Reads commit `rev` of the repository in `folder`, and puts the files of its first parent into the cache. Of a parent
/// that is near the one before only those files are written that differ.
///
/// # Errors
///
/// If there is no such commit, it has no parent, or the cache cannot be written.
pub fn commit(
    cache: &Cache,
    folder: &Path,
    rev: &str,
    watch: &mut Watcher<'_>,
) -> Result<Commit, GitError> {
    tools::require(tools::GIT, &[])?;
    let no_commit = |rev: &str, why: String| GitError::NoCommit {
        folder: folder.to_owned(),
        rev: rev.to_owned(),
        why,
    };
    let name = |rev: &str| {
        let wanted = format!("{rev}^{{commit}}");
        ask(folder, &["rev-parse", "--verify", "--end-of-options", &wanted])
            .map_err(|why| no_commit(rev, why))
    };
    let this = name(rev)?;
    let parent = name(&format!("{this}^"))?;
    let failed = |action| move |why| GitError::Failed { folder: folder.to_owned(), action, why };
    let title =
        ask(folder, &["log", "-1", "--format=%h %s", &this]).map_err(failed("read the commit"))?;
    let diff = run(
        folder,
        &[
            "diff",
            "--no-color",
            "--no-ext-diff",
            "--no-textconv",
            "--full-index",
            "--src-prefix=a/",
            "--dst-prefix=b/",
            &parent,
            &this,
        ],
    )
    .map_err(failed("compare the commits"))?;
    let repository =
        ask(folder, &["rev-parse", "--absolute-git-dir"]).map_err(failed("be found"))?;
    let key = hex_digest(&["git 1", &repository])[..16].to_owned();
    let _lock =
        cache.lock(&format!("git-{key}"), || watch(&step(Activity::WaitingForLock, &title)))?;
    let place = cache.folder(&format!("git/{key}"))?;
    let tree = place.join("tree");
    fs::create_dir_all(&tree).map_err(CacheError::io("create", &tree))?;
    watch(&step(Activity::Unpacking, &title));
    // Left by a process that was killed: we have the lock.
    let _ = fs::remove_file(place.join("index.lock"));
    let mut check_out = Command::new("git");
    check_out
        .arg(format!("--git-dir={repository}"))
        .arg(format!("--work-tree={}", tree.display()))
        .args(["read-tree", "--reset", "-u", &parent])
        .env("GIT_INDEX_FILE", place.join("index"));
    output(&mut check_out).map_err(failed("check the parent out"))?;
    Ok(Commit { title, parent, tree, diff })
}

fn step(activity: Activity, title: &str) -> Progress {
    Progress::of(activity, format!("the parent of {title}"), Instant::now())
}

/// The one line that git says to `arguments`.
fn ask(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let bytes = run(folder, arguments)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

fn run(folder: &Path, arguments: &[&str]) -> Result<Vec<u8>, String> {
    output(Command::new("git").arg("-C").arg(folder).args(arguments))
}

/// What git writes; what it complains of, in one line.
fn output(command: &mut Command) -> Result<Vec<u8>, String> {
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_EXTERNAL_DIFF"] {
        command.env_remove(name);
    }
    let output = command
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Err(lines.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str]| run(folder.path(), arguments).unwrap();
        git(&["init", "--quiet"]);
        for (number, text) in ["one\n", "two\n", "three\n"].iter().enumerate() {
            fs::write(folder.path().join("file"), text).unwrap();
            fs::write(folder.path().join(format!("only{number}")), text).unwrap();
            git(&["add", "--all"]);
            git(&["-c", "user.name=n", "-c", "user.email=e", "commit", "--quiet", "-m", text]);
        }
        folder
    }

    #[test]
    fn a_commit_is_its_parents_tree_and_its_own_diff() {
        let (folder, root) = (repository(), tempfile::tempdir().unwrap());
        let cache = Cache::at(root.path());
        fs::write(folder.path().join("file"), "not committed").unwrap();
        let read = |rev: &str| commit(&cache, folder.path(), rev, &mut |_| {}).unwrap();
        let last = read("HEAD");
        assert!(last.title.ends_with("three"), "{}", last.title);
        assert_eq!(fs::read_to_string(last.tree.join("file")).unwrap(), "two\n");
        let diff = String::from_utf8(last.diff).unwrap();
        assert!(diff.contains("-two\n+three\n") && diff.contains("+++ b/only2"), "{diff}");
        let before = read("HEAD~1");
        assert_eq!(before.tree, last.tree);
        assert_eq!(fs::read_to_string(before.tree.join("file")).unwrap(), "one\n");
        assert!(!before.tree.join("only1").exists());
        let status = ask(folder.path(), &["status", "--porcelain"]).unwrap();
        assert_eq!(status.trim(), "M file", "the user's tree and index are as they were");
    }

    #[test]
    fn what_git_does_not_have_is_said() {
        let (folder, root) = (repository(), tempfile::tempdir().unwrap());
        let cache = Cache::at(root.path());
        let error = |rev: &str| {
            let refused = commit(&cache, folder.path(), rev, &mut |_| {});
            assert!(matches!(refused, Err(GitError::NoCommit { .. })), "{refused:?}");
            refused.unwrap_err().to_string()
        };
        assert!(error("nothing").contains("has no commit nothing"));
        assert!(error("HEAD~2").contains("^"), "the first commit has no parent");
        assert!(error("--output=x").contains("--output=x"));
        let none = commit(&cache, root.path(), "HEAD", &mut |_| {}).unwrap_err().to_string();
        assert!(none.contains("not a git repository"), "{none}");
    }
}
