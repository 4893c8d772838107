//! Names of files as diffs write them.

/// The name in `text`, which stands behind `--- ` or `+++ `, without its first folder. `None` is `/dev/null`.
///
/// # Errors
///
/// What is wrong with a name that no file of a tree can have.
pub(super) fn stripped(text: &str) -> Result<Option<String>, String> {
    let name = bare(text);
    if name == "/dev/null" {
        return Ok(None);
    }
    match name.split_once('/') {
        Some((_, rest)) => inside(rest).map(Some),
        None => Err(format!(
            "`{name}` has no folder before it: make the patch at the top of the tree, as `git diff` does (a/... and b/...)"
        )),
    }
}

/// The name in `text`, as git writes it behind `rename from ` and the like: whole.
pub(super) fn whole(text: &str) -> Result<String, String> {
    inside(&bare(text))
}

/// `name`, if it stays in the tree.
fn inside(name: &str) -> Result<String, String> {
    let leaves = name.split('/').any(|part| part.is_empty() || part == "..");
    if leaves { Err(format!("`{name}` is no file of a kernel tree")) } else { Ok(name.to_owned()) }
}

/// Without the time that `diff -u` writes behind it, and without quotes.
fn bare(text: &str) -> String {
    let text = text.trim_end_matches(['\r', '\n']);
    match text.strip_prefix('"').and_then(|rest| rest.rsplit_once('"')) {
        Some((quoted, _)) => quoted.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => text.split('\t').next().unwrap_or_default().trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_folder_and_the_time_are_left_out() {
        let name = |text| stripped(text).unwrap().unwrap();
        assert_eq!(name("a/mm/gup.c"), "mm/gup.c");
        assert_eq!(name("linux-6.12/mm/gup.c\t2024-01-01 00:00:00.0 +0000"), "mm/gup.c");
        assert_eq!(name("\"a/mm/g\\\"up.c\""), "mm/g\"up.c");
        assert_eq!(stripped("/dev/null").unwrap(), None);
    }

    #[test]
    fn a_name_outside_of_the_tree_is_refused() {
        for text in ["a/../etc/passwd", "/etc//passwd", "b//etc/passwd", "umem.c"] {
            assert!(stripped(text).is_err(), "{text}");
        }
        assert!(whole("../x").is_err());
    }
}
