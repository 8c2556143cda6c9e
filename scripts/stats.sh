#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# stats.sh -- files and lines by layer; "code" leaves out blank lines and comments.
set -eu
[ "${1-}" != --help ] || exec sed -n '4,/^[^#]/s/^# \{0,1\}//p' "$0"
cd "$(dirname "$0")/.."

find src sim trace tests labs scripts -type f \( -name '*.[chS]' -o -name '*.def' -o -name '*.sh' \
    -o -name '*.awk' -o -name '*.ld' -o -name '*.gdb' \) 2>/dev/null | sort | xargs awk '
    FNR == 1 {
        n = split(FILENAME, part, "/")
        layer = n == 2 ? part[1] : part[1] "/" part[2]
        if (layer == "src/arch" || (layer == "src/vmm" && n > 3))
            layer = layer "/" part[3]
        if (!(layer in files))
            order[++layers] = layer
        files[layer]++
        comment = 0
        shell = FILENAME ~ /\.(sh|awk|gdb)$/
    }
    {
        lines[layer]++
        line = $0
        gsub(/^[ \t]+|[ \t]+$/, "", line)
        if (line == "" || (shell && line ~ /^#/) || (!shell && line ~ /^\/\//))
            next
        if (comment) {
            if (line ~ /\*\//)
                comment = 0
            next
        }
        if (!shell && line ~ /^\/\*/) {
            comment = line !~ /\*\//
            next
        }
        code[layer]++
    }
    END {
        printf "%-18s %6s %7s %7s\n", "layer", "files", "lines", "code"
        for (i = 1; i <= layers; i++) {
            l = order[i]
            printf "%-18s %6d %7d %7d\n", l, files[l], lines[l], code[l]
            f += files[l]; a += lines[l]; c += code[l]
        }
        printf "%-18s %6d %7d %7d\n", "all", f, a, c
    }'
