# For ci/lines: reads the reasons and what lcov says of the lines, and writes a page in Markdown.
# tree: the kernel's source. least: so many per cent at least. command: what made the page.

BEGIN {
    folder = "drivers/infiniband/"
    all["core/umem.c"] = all["core/uverbs_std_types_mr.c"] = all["sw/rxe/rxe_mr.c"] = all["sw/rxe/rxe_mw.c"] = 1
    some["core/uverbs_cmd.c"] = "ib_uverbs_reg_mr ib_uverbs_rereg_mr ib_uverbs_dereg_mr ib_uverbs_alloc_mw ib_uverbs_dealloc_mw"
    some["core/uverbs_std_types.c"] = "uverbs_free_mw"
    some["core/verbs.c"] = "ib_reg_user_mr ib_advise_mr ib_dereg_mr_user"
    some["sw/rxe/rxe_verbs.c"] = "rxe_reg_user_mr rxe_rereg_user_mr rxe_dereg_mr rxe_get_dma_mr rxe_alloc_mr rxe_alloc_mw rxe_dealloc_mw"
}

function trimmed(text) {
    gsub(/^[ \t]+|[ \t]+$/, "", text)
    return text
}

# The reasons.
FILENAME ~ /unreached\.txt$/ {
    if ($0 ~ /^#/ || $0 ~ /^$/) next
    if (split($0, part, " [|] ") != 4) { print FILENAME ":" FNR ": four columns" >"/dev/stderr"; wrong = 1; next }
    reasons++
    for (i = 1; i <= 4; i++) reason[reasons, i] = trimmed(part[i])
    next
}

# What ran, of both runs together.
/^SF:/ { file = substr($0, 4); wanted = sub("^" folder, "", file) && (file in all || file in some) }
!wanted { next }
/^FN:/ {
    split(substr($0, 4), part, ",")
    first[file, part[2]] = part[1]
    functions[file] = functions[file] " " part[2]
}
/^DA:/ {
    split(substr($0, 4), part, ",")
    if (part[1] > last[file]) last[file] = part[1]
    ran[file, part[1]] += part[2]
}

# The function that a line of a file is in: the last one that begins before it.
function function_of(file, line,    names, count, i, found) {
    count = split(functions[file], names, " ")
    for (i = 1; i <= count; i++)
        if (first[file, names[i]] <= line && (found == "" || first[file, names[i]] > first[file, found])) found = names[i]
    return found
}

function reason_of(name, text,    i) {
    for (i = 1; i <= reasons; i++)
        if (reason[i, 1] == name && (reason[i, 2] == "*" || index(text, reason[i, 2]))) return i
    return 0
}

function look(file,    line, text, name, why, kind, key) {
    for (line = 1; (getline text < (tree "/" folder file)) > 0; line++) {
        if (!((file, line) in ran)) continue
        name = function_of(file, line)
        if (file in some && index(" " some[file] " ", " " name " ") == 0) continue
        if (ran[file, line]) { covered[file]++; continue }
        why = reason_of(name, text)
        kind = why ? reason[why, 3] : "?"
        missed[file, kind]++
        key = file " | " name " | " kind " | " (why ? reason[why, 4] : "not known")
        if (!(key in lines)) order[++rows] = key
        lines[key] = lines[key] (lines[key] == "" ? "" : ", ") line
    }
}

END {
    if (wrong) exit 3
    count = split("core/umem.c core/uverbs_cmd.c core/uverbs_std_types.c core/uverbs_std_types_mr.c core/verbs.c sw/rxe/rxe_mr.c sw/rxe/rxe_mw.c sw/rxe/rxe_verbs.c", files, " ")
    for (i = 1; i <= count; i++) look(files[i])
    print "# Which lines of registration run\n"
    print "Made by `" command "`; do not edit. Lines with a block of their own in the kernel `" kernel "`, of these files of"
    print "`drivers/infiniband` all, or the functions that register memory and handle windows. *Reachable*: by a verb or a command"
    print "of a program, on rxe. *Not*: `kernel`, `device` and `failure` below.\n"
    print "| file | ran | reachable | | not |\n|---|--:|--:|--:|--:|"
    for (i = 1; i <= count; i++) {
        file = files[i]
        reachable = covered[file] + missed[file, "verb"] + missed[file, "?"]
        not = missed[file, "kernel"] + missed[file, "device"] + missed[file, "failure"]
        if (reachable) printf "| %s | %d | %d | %d %% | %d |\n", file, covered[file], reachable, 100 * covered[file] / reachable, not
        else printf "| %s | 0 | 0 | | %d |\n", file, not
        ran_all += covered[file]; reachable_all += reachable; not_all += not; unknown += missed[file, "?"]
    }
    percent = 100 * ran_all / reachable_all
    printf "| all | %d | %d | %d %% | %d |\n", ran_all, reachable_all, percent, not_all
    print "\n## What did not run\n\n| file | function | kind | why | lines |\n|---|---|---|---|---|"
    for (i = 1; i <= rows; i++) printf "| %s | %s |\n", order[i], lines[order[i]]
    if (unknown) print unknown " lines without a reason: see that they run, or say why not in targets/kernel/unreached.txt" >"/dev/stderr"
    if (percent < least) printf "%d of %d lines, fewer than %d %%\n", ran_all, reachable_all, least >"/dev/stderr"
    exit unknown > 0 || percent < least
}
