#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# lint.sh [CHECK...] -- the checks that read the tree without running it; by default all of them.
#
# layers tree format cite python trace reading links names options tidy cppcheck; `docs` is cite, reading,
# links, names and options; `cite-list` prints every citation. Every check runs; the status says whether all passed.
set -u
cd "$(dirname "$0")/.." || exit 1
LC_ALL=C
export LC_ALL
bad=0

files() {  # files() FOLDER... -- PATTERN...: tracked or not, but nothing that git ignores
    git ls-files -co --exclude-standard -- "$@" | while read -r file; do
        [ ! -f "$file" ] || echo "$file"
    done
}

c_files() {
    files src sim trace tests labs scripts | grep '\.[ch]$'
}

verdict() {  # verdict NAME STATUS
    if [ "$2" -eq 0 ]; then
        echo "lint $1: ok"
    else
        echo "lint $1: FAILED"
        bad=1
    fi
}

check_layers() {
    files src sim trace tests labs | grep '\.[chS]$' |
        xargs awk -f scripts/check-layers.awk scripts/layers.txt
}

check_format() {
    c_files | xargs clang-format --dry-run -Werror
}

check_cite() {
    [ -f docs/sources.md ] || {
        echo "no docs/sources.md"
        return 1
    }
    files src sim trace tests docs | grep '\.\([chS]\|def\)$' |
        xargs awk ${1:+-v list=1} -f scripts/cite.awk docs/sources.md
}

# By name and by first line. The pattern is spelt so that it does not find this file.
check_python() {
    found=$(
        files . | grep '\.p[y]$'
        files . | while read -r file; do
            head -n 1 "$file" | tr -d '\000' | grep -q '^#!.*pytho[n]' && echo "$file"
        done
    )
    [ -z "$found" ] || {
        echo "$found"
        return 1
    }
}

# What is made from the table of trace events is what the table makes.
check_trace() {
    sh scripts/trace-gen.sh --check
}

check_reading() {
    [ -f docs/reading-order.md ] || {
        echo "no docs/reading-order.md"
        return 1
    }
    files src sim trace labs scripts | awk '
        FNR == NR { text = text "\n" $0; next }
        !index(text, $0) { print "docs/reading-order.md does not name " $0; bad = 1 }
        END { exit bad }' docs/reading-order.md -
}

# Files and functions that documents and comments name; decisions of the past may name what is gone.
check_names() {
    files src sim trace tests scripts docs labs README.md | grep -v "^docs/adr/" |
        grep "\.\(md\|[chS]\|def\|gdb\)$" | xargs awk -f scripts/names.awk
}

# Each option of the command line that the kernel asks for by name stands in docs/kernel-options.md.
check_options() {
    files src | grep '\.c$' | xargs grep -ho 'core_option[a-z0-9_]*("[^"]*"' | sed 's/.*("//; s/"//' | sort -u |
        awk 'NR == FNR { page = page $0; next }
            { at = "`" $0; if (!index(page, at "=") && !index(page, at "`")) { print "docs/kernel-options.md: no " $0; bad = 1 } }
            END { exit bad }' docs/kernel-options.md -
}

# The top level is fixed: what else is tracked there was added by mistake.
check_tree() {
    git ls-files -co --exclude-standard | sed 's|/.*||' | sort -u |
        grep -v -x -E 'src|sim|trace|labs|scripts|docs|tests|Makefile|LICENSE|README\.md|\.ci|\.clang-format|\.gdbinit|\.gitignore' |
        awk '{ print "top level: " $0 " does not belong there"; bad = 1 } END { exit bad }'
}

check_links() {
    files . | grep '\.md$' | while read -r page; do
        grep -o ']([^):# ]*[)#]' "$page" | sed 's/^](//; s/[)#]$//' | while read -r target; do
            [ -z "$target" ] || [ -e "$(dirname "$page")/$target" ] || [ -e "./$target" ] ||
                echo "$page: no file $target"
        done
    done | awk '{ print; bad = 1 } END { exit bad }'
}

# A header is seen through the files that include it. The list of what is off: adjacent
# parameters of one type are normal in a kernel, and -Wconversion sees to narrowing.
tidy() {  # tidy FLAGS FOLDER...
    flags=$1
    shift
    export flags
    files "$@" | grep '\.c$' | grep -v '/acpi/' |
        xargs -P "$(nproc)" -n 8 sh -c 'clang-tidy --quiet --warnings-as-errors="*" \
            --checks="-*,bugprone-*,-bugprone-easily-swappable-parameters,-bugprone-reserved-identifier,-bugprone-narrowing-conversions,-bugprone-macro-parentheses,-bugprone-implicit-widening-of-multiplication-result,-bugprone-assignment-in-if-condition,-bugprone-branch-clone,-bugprone-signed-char-misuse,-bugprone-not-null-terminated-result" \
            "$@" -- -std=gnu17 -Isrc -I. $flags 2>&1 |
            grep -v "^[0-9]* warnings\{0,1\}.*generated" |
            awk "{ print; bad = 1 } END { exit bad }"' tidy
}

# The image's own folders as the image, the rest as the simulator sees it.
check_tidy() {
    tidy '-DORRERY_METAL -mcmodel=kernel' src/arch src/boot &&
        tidy '' sim trace src/core src/fs src/io src/lib src/mem src/plat src/sched src/user src/vmm \
            src/world
}

check_cppcheck() {
    files src sim | grep '\.c$' | grep -v '/acpi/' >build/cppcheck.list
    [ -s build/cppcheck.list ] || return 0
    cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr -j "$(nproc)" \
        --suppress=missingInclude --suppress=internalAstError --suppress=unknownMacro \
        --suppress=preprocessorErrorDirective --suppress=comparePointers \
        --suppress=syntaxError:sim/workload/wl.h \
        --error-exitcode=1 --max-configs=2 -Isrc -I. --file-list=build/cppcheck.list
}

[ $# -gt 0 ] || set -- layers tree format cite python trace reading links names options tidy cppcheck
[ "$1" != docs ] || set -- cite reading links names options
mkdir -p build
for check in "$@"; do
    if [ "$check" = cite-list ]; then
        check_cite list | sort
        continue
    fi
    "check_$check"
    verdict "$check" $?
done
exit $bad
