# SPDX-License-Identifier: BSD-2-Clause
#
# cite.awk -- list every cited source, and fail on a key that docs/sources.md does not know.
#
# A citation is KEY "Title", with KEY in capitals: SDM-3C "VM Exits". A key is known when
# docs/sources.md has it at the head of a table row or a list item, alone or in backquotes; an
# entry SDM-3 also covers SDM-3A to SDM-3D. A paper is cited as [KEY] on a line "Sources". Only comments
# are read. An entry that is there twice is an error too.
#
# usage: awk -f scripts/cite.awk [-v list=1] docs/sources.md FILE...
function is_known(key) {
    if (key in known)
        return 1
    return key ~ /[0-9][A-D]$/ && substr(key, 1, length(key) - 1) in known
}
FILENAME == ARGV[1] {
    if (match($0, /^[|*-][ ]*[`*]*[A-Z][A-Z0-9]+(-[A-Z0-9]+)*/)) {
        key = substr($0, RSTART, RLENGTH)
        sub(/^[^A-Z]*/, "", key)
        if (key in known) {
            printf "%s:%d: a second entry %s\n", FILENAME, FNR, key
            bad = 1
        }
        known[key] = 1
    }
    next
}
/^ \* Sources/ {
    line = $0
    while (match(line, /\[[A-Z][A-Z0-9-]+\]/)) {
        key = substr(line, RSTART + 1, RLENGTH - 2)
        line = substr(line, RSTART + RLENGTH)
        if (list)
            printf "%s\t%s:%d\n", key, FILENAME, FNR
        if (!is_known(key)) {
            printf "%s:%d: docs/sources.md has no entry %s\n", FILENAME, FNR, key
            bad = 1
        }
    }
}
/\/\/|\*|^#/ {
    line = $0
    while (match(line, /[A-Z][A-Z0-9]+(-[A-Z0-9]+)+ "[^"]+"/)) {
        cited = substr(line, RSTART, RLENGTH)
        line = substr(line, RSTART + RLENGTH)
        key = cited
        sub(/ .*/, "", key)
        if (list)
            printf "%s\t%s:%d\n", cited, FILENAME, FNR
        if (!is_known(key)) {
            printf "%s:%d: docs/sources.md has no entry %s\n", FILENAME, FNR, key
            bad = 1
        }
    }
}
END { exit bad }
