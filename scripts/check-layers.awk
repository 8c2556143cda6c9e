# SPDX-License-Identifier: BSD-2-Clause
#
# check-layers.awk -- every #include against layers.txt; names each breach with file and line.
# usage: awk -f check-layers.awk layers.txt $(find src sim trace tests labs -name "*.[chS]")
function owner_of(path,   k, best) {
    for (k in rule)
        if (index(path, k "/") == 1 && length(k) > length(best))
            best = k
    return best
}
function allowed(name,   i, n, word) {
    n = split(rule[owner], word, " ")
    for (i = 1; i <= n; i++)
        if (word[i] == "*" || word[i] == name || index(name, word[i] "/") == 1)
            return 1
    return 0
}
function inside(folder) {  # the file lies in that folder; labs stand in for any, unit tests open any
    if (folder == "sched" || folder == "world")  # one layer in two folders
        if (owner == "src/sched" || owner == "src/world" || FILENAME ~ /test_host\.c$/)
            return 1
    return owner == "labs" || owner == "tests" || index(FILENAME, folder "/") == 1 ||
           index(FILENAME, "src/" folder "/") == 1
}
BEGIN {
    n = split("stdarg stdatomic stdbool stddef stdint limits", h)
    for (i = 1; i <= n; i++)
        freestanding[h[i] ".h"] = 1
}
FILENAME == ARGV[1] {
    sub(/#.*/, "")
    if (NF) { key = $1; $1 = ""; rule[key] = $0 }
    next
}
FNR == 1 { owner = owner_of(FILENAME) }
/^[ \t]*#[ \t]*include[ \t]*[<"]/ {
    name = $0; sub(/^[^<"]*/, "", name)
    quoted = substr(name, 1, 1) == "\""
    name = substr(name, 2); sub(/[>"].*/, "", name)
    folder = name; sub(/\/[^\/]*$/, "", folder)
    if (quoted)
        ok = allowed(name) && (name !~ /_internal\.h$/ || inside(folder))
    else
        ok = (name in freestanding) || rule[owner] ~ /HOST/
    if (!ok) {
        printf "%s:%d: %s may not include %s\n", FILENAME, FNR, owner ? owner : "no layer", name
        breach = 1
    }
}
END { exit breach }
