#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# lint.sh [CHECK...] -- the checks that read the tree without running it; by default all of them.
#
# layers tree format cite languages trace reading links names options usage tidy cppcheck; `docs` is cite, reading,
# links, names and options; `cite-list` prints every citation. Every check runs; the status says whether all passed.
set -u
[ "${1-}" != --help ] || exec sed -n '4,/^[^#]/s/^# \{0,1\}//p' "$0"
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

# Layout, and the column limit: clang-format leaves comments alone. A head's first line, tables and macros may be longer.
check_format() {
    c_files | xargs clang-format --dry-run -Werror &&
        c_files | xargs awk '
            length($0) > 96 && FNR > 4 && !/\\$/ && !/[^ ]   +[^ ]+.*   +[^ ]/ && !/[^\001-\176]/ {
                print FILENAME ":" FNR ": " length($0) " columns, at most 96"
                bad = 1
            }
            END { exit bad }'
}

check_cite() {
    [ -f docs/sources.md ] || {
        echo "no docs/sources.md"
        return 1
    }
    files src sim trace tests docs | grep '\.\([chS]\|def\)$' |
        xargs awk ${1:+-v list=1} -f scripts/cite.awk docs/sources.md
}

# Programs are in C, assembly, sh and awk: no name ends in another language's way, no first line asks for one.
check_languages() {
    files . | awk '
        /[^\/]\.[^.\/]*$/ && !/\.([chS]|def|ld|sh|awk|gdb|md|txt|wl|vmx|gz|times)$/ {
            print $0 ": a kind of file that is not used here"
            bad = 1
        }
        END { exit bad }' &&
        files . | while read -r file; do
            ! head -n 1 "$file" | tr -d '\000' | grep '^#!' | grep -qv '^#!/bin/sh$' || echo "$file"
        done | awk '{ print $0 ": scripts begin with #!/bin/sh"; bad = 1 } END { exit bad }'
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

# Each option of the command line that the kernel asks for by name is in the list of names and in docs/kernel-options.md.
check_options() {
    files src | grep '\.c$' | xargs grep -ho 'core_option[a-z0-9_]*("[^"]*"' | sed 's/.*("//; s/"//' | sort -u |
        awk 'FILENAME != "-" { text[FILENAME] = text[FILENAME] $0; next }
            !index(text[page], "`" $0 "=") && !index(text[page], "`" $0 "`") { print page ": no " $0; bad = 1 }
            !index(text[list], "{\"" $0 "\"") && !/^mem\.swap$/ { print list ": no " $0; bad = 1 }
            END { exit bad }' page=docs/kernel-options.md list=src/boot/boot_options.c \
            docs/kernel-options.md src/boot/boot_options.c -
}

# Each script that a person may start says with --help what it is, and does nothing else.
check_usage() {
    files scripts docs/experiments | grep '\.sh$' | while read -r file; do
        sh "$file" --help 2>&1 </dev/null | grep -q "$(basename "$file")" || echo "$file: --help does not say what it is"
    done | awk '{ print; bad = 1 } END { exit bad }'
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

[ $# -gt 0 ] || set -- layers tree format cite languages trace reading links names options usage tidy cppcheck
[ "$1" != docs ] || set -- cite reading links names options
mkdir -p build
for check in "$@"; do
    case $check in
    cite-list)
        check_cite list | sort
        continue
        ;;
    *[!a-z]* | '') known= ;;
    *) known=$(command -v "check_$check") ;;
    esac
    [ -n "$known" ] || {
        echo "lint.sh: no check $check (try --help)" >&2
        exit 2
    }
    "check_$check"
    verdict "$check" $?
done
exit $bad
