//! Why Kconfig drops an option that somebody wants.

use std::fs;
use std::path::{Path, PathBuf};

/// Says of `option`, as `CONFIG_X=y`, why it is not in `config`, a finished `.config` of the kernel in `tree`.
pub(crate) fn why_dropped(tree: &Path, option: &str, config: &str) -> String {
    let option = option.split_once('=').map_or(option, |(name, _)| name);
    let name = option.strip_prefix("CONFIG_").unwrap_or(option);
    let entries: Vec<Entry> = kconfig_files(tree)
        .iter()
        .filter_map(|path| entry(&fs::read_to_string(path).ok()?, name))
        .collect();
    describe(option, &entries, config)
}

/// What a Kconfig file says of an option.
#[derive(Debug, Default, PartialEq, Eq)]
struct Entry {
    /// Whether a person is asked for it; else others select it.
    has_prompt: bool,
    depends: Vec<String>,
}

fn describe(option: &str, entries: &[Entry], config: &str) -> String {
    if entries.is_empty() {
        return format!("{option}: it has no such option");
    }
    if !entries.iter().any(|entry| entry.has_prompt) {
        return format!("{option}: it is not for choosing, other options select it");
    }
    let depends: Vec<&str> =
        entries.iter().flat_map(|entry| &entry.depends).map(String::as_str).collect();
    let is_off =
        |name: &&str| !config.lines().any(|line| line.starts_with(&format!("CONFIG_{name}=")));
    let mut off: Vec<&str> = depends.iter().flat_map(|text| symbols(text)).filter(is_off).collect();
    off.sort_unstable();
    off.dedup();
    if off.is_empty() {
        return format!("{option}: what stands around it in Kconfig is off");
    }
    format!(
        "{option}: it depends on {}, of which are off: {}",
        depends.join(" && "),
        off.join(", ")
    )
}

/// The options in an expression of Kconfig.
fn symbols(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|letter: char| letter != '_' && !letter.is_ascii_alphanumeric());
    words.filter(|word| word.starts_with(|first: char| first.is_ascii_uppercase()))
}

/// The entry of option `name` in a Kconfig file, if it is there.
///
/// Source: Documentation/kbuild/kconfig-language.rst, 6.1 and 7.3.
fn entry(text: &str, name: &str) -> Option<Entry> {
    let begins = |line: &str| {
        let mut words = line.split_whitespace();
        matches!(words.next(), Some("config" | "menuconfig")) && words.next() == Some(name)
    };
    let mut lines = text.lines().skip_while(|line| !begins(line)).skip(1).peekable();
    lines.peek()?;
    let mut entry = Entry::default();
    for line in lines.take_while(|line| line.is_empty() || line.starts_with([' ', '\t', '#'])) {
        let line = line.trim();
        if line == "help" {
            break;
        }
        if let Some(expression) = line.strip_prefix("depends on ") {
            entry.depends.push(expression.to_owned());
        }
        entry.has_prompt |= line.contains('"') && !line.starts_with("default");
    }
    Some(entry)
}

fn kconfig_files(tree: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![tree.to_owned()]);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let is_kconfig =
                path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("Kconfig"));
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if is_kconfig {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    const KCONFIG: &str = "config PCI\n\tbool \"PCI\"\n\nconfig MLX5\n\ttristate \"Mellanox\"\n\tdepends on PCI && (NET || OLD)\n\
        \tdepends on CORE\n\thelp\n\t  It is \"good\".\n\nconfig HIDDEN\n\tbool\n\tdefault \"y\"\n";

    fn said(name: &str, config: &str) -> String {
        let entries: Vec<Entry> = entry(KCONFIG, name).into_iter().collect();
        describe(&format!("CONFIG_{name}"), &entries, config)
    }

    #[test]
    fn an_option_that_is_dropped_says_what_is_off() {
        let text = said("MLX5", "CONFIG_NET=y\n# CONFIG_PCI is not set\nCONFIG_CORE=m\n");
        let expected =
            "CONFIG_MLX5: it depends on PCI && (NET || OLD) && CORE, of which are off: OLD, PCI";
        assert_eq!(text, expected);
        assert!(
            said("MLX5", "CONFIG_PCI=y\nCONFIG_NET=y\nCONFIG_OLD=y\nCONFIG_CORE=y\n")
                .contains("around it")
        );
        assert!(said("HIDDEN", "").contains("select it"));
        assert!(said("GONE", "").contains("no such option"));
    }

    #[test]
    fn it_is_looked_for_in_every_folder_of_the_tree() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join("drivers")).unwrap();
        fs::write(tree.path().join("drivers/Kconfig.mlx"), KCONFIG).unwrap();
        let text = why_dropped(tree.path(), "CONFIG_MLX5=y", "");
        assert!(text.starts_with("CONFIG_MLX5: it depends on PCI"), "{text}");
    }
}
