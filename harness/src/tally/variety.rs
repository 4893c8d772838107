//! What an op is given to work with, where that makes it another thing: an advice, a file, a key.

use pinfold_contract::{
    Advice, Arg, Backing, Chore, File, FileKind, Handle, Key, LockScope, MwKind, Op, OpKind,
    RegCall, Rereg, Sharing,
};

/// The name of every variety, in the order of the table. Each begins with the word of its op.
pub fn varieties() -> Vec<String> {
    let of = |kind: OpKind, words: Vec<String>| {
        words.into_iter().map(move |word| format!("{kind} {word}")).collect::<Vec<_>>()
    };
    let texts = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let mut files: Vec<&str> = Vec::new();
    for name in File::all().map(|file| file_name(file.kind())) {
        if !files.contains(&name) {
            files.push(name);
        }
    }
    let backings = [&["anon"][..], &files, &["dev_zero"]].concat();
    let mut all = of(OpKind::Map, texts(&backings));
    all.extend(of(OpKind::Map, texts(&SHARINGS)));
    all.extend(of(
        OpKind::Advise,
        Advice::ALL.iter().map(|(_, name, _)| (*name).to_owned()).collect(),
    ));
    all.extend(of(
        OpKind::LockAll,
        LockScope::ALL.iter().map(|(_, name)| (*name).to_owned()).collect(),
    ));
    for (kind, name) in SWITCHES {
        all.extend(of(kind, texts(&[name])));
    }
    all.extend(of(OpKind::Chore, Chore::ALL.iter().map(|(_, name)| (*name).to_owned()).collect()));
    // A file of a library cannot be written.
    let written: Vec<&str> = files.iter().copied().filter(|name| *name != "library").collect();
    for kind in [OpKind::FileWrite, OpKind::Truncate, OpKind::Punch] {
        all.extend(of(kind, texts(&written)));
    }
    all.extend(of(OpKind::Reg, texts(&CALLS)));
    all.extend(of(OpKind::Rereg, texts(&CHANGES)));
    all.extend(of(OpKind::AllocMw, texts(&WINDOWS)));
    let targets = [OpKind::RemoteRead, OpKind::RemoteWrite, OpKind::CompareSwap, OpKind::FetchAdd];
    for kind in targets.into_iter().chain([OpKind::Gather, OpKind::Scatter]) {
        all.extend(of(kind, texts(&["own_key", "key_of_window"])));
    }
    all.extend(of(OpKind::Send, texts(&["with_invalidate"])));
    all.extend(of(OpKind::Invalidate, texts(&["key_of_mr", "key_of_window"])));
    all
}

/// What a switch is called that is on.
const SWITCHES: [(OpKind, &str); 4] = [
    (OpKind::Map, "populate"),
    (OpKind::Lock, "onfault"),
    (OpKind::IpcLock, "held"),
    (OpKind::Swap, "on"),
];
const SHARINGS: [&str; 2] = ["private", "shared"];
const CALLS: [&str; 5] = ["legacy", "iova2", "raw", "iova2_iova", "raw_iova"];
const CHANGES: [&str; 3] = ["trans", "pd", "access"];
const WINDOWS: [&str; 2] = ["type1", "type2"];

/// The varieties that `op` is of, with the word of the op in front. Some are not in [`varieties`]: they need not come.
pub fn varieties_of(mut op: Op) -> Vec<String> {
    let kind = op.kind();
    let args = op.args_mut();
    args.into_iter().flat_map(|arg| words(kind, arg)).map(|word| format!("{kind} {word}")).collect()
}

fn words(kind: OpKind, arg: Arg<'_>) -> Vec<String> {
    if let Arg::Advice(advice) = arg {
        vec![advice.to_string()]
    } else if let Arg::Chore(chore) = arg {
        vec![chore.to_string()]
    } else if let Arg::LockScope(scope) = arg {
        vec![scope.to_string()]
    } else if let Arg::MwKind(kind) = arg {
        vec![window_name(*kind).to_owned()]
    } else if let Arg::Rereg(what) = arg {
        let bits = [Rereg::TRANS, Rereg::PD, Rereg::ACCESS];
        bits.into_iter().filter(|bit| what.has(*bit)).map(|bit| bit.to_string()).collect()
    } else if let Arg::Switch(true) = arg {
        let name = SWITCHES.iter().find(|(of, _)| *of == kind).map_or("on", |(_, name)| name);
        vec![name.to_owned()]
    } else {
        one_word(arg).into_iter().map(str::to_owned).collect()
    }
}

fn one_word(arg: Arg<'_>) -> Option<&'static str> {
    if let Arg::Backing(backing) = arg {
        Some(match backing {
            Backing::Anon => "anon",
            Backing::File { file, .. } => file_name(file.kind()),
            Backing::DevZero { .. } => "dev_zero",
            Backing::Huge => "huge",
        })
    } else if let Arg::File(file) = arg {
        Some(file_name(file.kind()))
    } else if let Arg::Sharing(sharing) = arg {
        Some(match sharing {
            Sharing::Private => SHARINGS[0],
            Sharing::Shared => SHARINGS[1],
        })
    } else if let Arg::RegCall(call) = arg {
        Some(match call {
            RegCall::Legacy => "legacy",
            RegCall::Iova2 { iova: None } => "iova2",
            RegCall::Iova2 { iova: Some(_) } => "iova2_iova",
            RegCall::Raw { iova: None } => "raw",
            RegCall::Raw { iova: Some(_) } => "raw_iova",
        })
    } else if let Arg::Target(target) = arg {
        Some(match target.key {
            Key::Own => "own_key",
            Key::Stale => "stale_key",
            Key::Of(handle) => handle_name(handle),
        })
    } else if let Arg::Handle(handle) = arg {
        Some(handle_name(*handle))
    } else if let Arg::Invalidate(Some(_)) = arg {
        Some("with_invalidate")
    } else {
        None
    }
}

fn handle_name(handle: Handle) -> &'static str {
    match handle {
        Handle::Mr(_) => "key_of_mr",
        Handle::Mw(_) => "key_of_window",
        Handle::OldMw(_) => "old_key_of_window",
    }
}

fn window_name(kind: MwKind) -> &'static str {
    match kind {
        MwKind::Type1 => WINDOWS[0],
        MwKind::Type2 => WINDOWS[1],
    }
}

fn file_name(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Memfd => "memfd",
        FileKind::Tmpfs => "tmpfs",
        FileKind::Library => "library",
        FileKind::Disk => "disk",
    }
}

#[cfg(test)]
mod tests {
    use pinfold_contract::parse;

    use super::*;

    #[test]
    fn each_variety_has_one_row_and_begins_with_its_op() {
        let all = varieties();
        for name in &all {
            let word = name.split(' ').next().unwrap();
            assert!(OpKind::from_word(word).is_some(), "{name}");
            assert_eq!(all.iter().filter(|other| *other == name).count(), 1, "{name}");
        }
    }

    #[test]
    fn what_an_op_is_given_is_in_the_table() {
        let text =
            "# pinfold 1\nmap 0..1 anon private rw\nreg mr0 0..1 remote_read\nread_remote mr0 8\n";
        let sequence = parse(text).unwrap().sequence;
        let all = varieties();
        let seen: Vec<String> = sequence.ops.iter().flat_map(|&op| varieties_of(op)).collect();
        assert_eq!(seen, ["map anon", "map private", "reg iova2", "read_remote own_key"]);
        assert!(seen.iter().all(|name| all.contains(name)));
    }
}
