# SPDX-License-Identifier: BSD-2-Clause
#
# names.awk -- files and functions that documents and comments name exist.
#
#   awk -f scripts/names.awk FILE...
#
# Of a document (.md): each `src/...`, `sim/...` and so on in backquotes is a file or folder, and each
# `name()` in backquotes is a word of the code. Of C: so is each name() in a comment of several lines.
# FILE... has to hold the code too, since it says which words there are. Exit status 1: something is
# missing; a line says where.

function path_check(path) {
    sub(/[:#].*/, "", path)
    if (path ~ /[*<>{}$ ]|\.\.\./)
        return
    if (system("[ -e '" path "' ]") != 0)
        missing(path, "no such file")
}
function missing(what, why) {
    print FILENAME ":" FNR ": " what ": " why
    bad = 1
}
function later(name) {  # all words are known only at the end
    if (!((name, FILENAME) in asked)) {
        asked[name, FILENAME] = FILENAME ":" FNR ": " name "(): no such function"
        names[name, FILENAME] = name
    }
}
function functions_of(text, quoted,    word) {
    while (match(text, quoted ? "`[a-z_][a-z0-9_]*\\(\\)`" : "[a-z_][a-z0-9_]*\\(\\)")) {
        word = substr(text, RSTART, RLENGTH)
        gsub(/[`()]/, "", word)
        later(word)
        text = substr(text, RSTART + RLENGTH)
    }
}

FILENAME ~ /\.md$/ {
    text = $0
    functions_of(text, 1)
    while (match(text, /`(src|sim|tests|scripts|trace|labs|docs)\/[^`]*`/)) {
        word = substr(text, RSTART + 1, RLENGTH - 2)
        if (!(word in seen)) {
            seen[word]
            split(word, parts, " ")
            path_check(parts[1])
        }
        text = substr(text, RSTART + RLENGTH)
    }
    next
}

/^ *\*/ { functions_of($0, 0) }

# Words of the code, without comments that begin a line.
!/^ \*|^\/\*|^ *\/\// {
    gsub(/[^A-Za-z0-9_]+/, " ")
    n = split($0, parts, " ")
    for (i = 1; i <= n; i++)
        words[parts[i]]
}

END {
    for (key in asked)
        if (!(names[key] in words)) {
            print asked[key]
            bad = 1
        }
    exit bad
}
