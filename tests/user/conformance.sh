#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# conformance.sh -- programs that we did not write, as user worlds of a simulated host: how many pass.
#
# usage: conformance.sh [--short | --linux] [glibc | musl | busybox]...   (default: all three)
#
#   glibc, musl  the Open POSIX Test Suite of Debian's source package posixtestsuite, linked statically
#                with either C library: some 1,700 programs (conformance/build.sh)
#   busybox      busybox's own tests, of Debian's source package busybox, with Debian's static busybox;
#                not those of bc, which compute for hours
#
# Programs that fail on Linux too, or judge nothing, do not count: conformance/linux-glibc and linux-musl
# list them, and --linux writes the lists anew (ten minutes; needs root and leaves real-time priorities
# out). --short takes every 23rd program and a few applets. Output and "NAME STATUS" lines are in
# $BUILD/conformance; the last line of each suite is "conformance NAME: N of M". Status 0 if the rate is
# not below what conformance/floor says of the suite.
set -u
cd "$(dirname "$0")/../.." || exit 2
BUILD=${BUILD:-build}
cache=${ORRERY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/orrery}
here=tests/user/conformance
out=$BUILD/conformance
mode=all
case ${1-} in
-h | --help)
    sed -n '3,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"
    exit 0
    ;;
--short | --linux)
    mode=${1#--}
    shift
    ;;
-*)
    echo "conformance.sh: no option $1; see --help" >&2
    exit 2
    ;;
esac
[ -d "$cache/posixtestsuite" ] || {
    echo "conformance.sh: no $cache/posixtestsuite; scripts/deps.sh fetches it" >&2
    exit 3
}
[ $# -gt 0 ] || set -- glibc musl busybox
mkdir -p "$out"

# hosted NAME COMMAND: runs it on a simulated host that has $out/NAME.root/suite as /suite.
hosted() {
    (cd "$out/$1.root" && tar --format=ustar --owner=0 --group=0 -cf "../$1.v02" suite)
    printf '#!/bin/sh\n%s\n' "$2" >"$out/$1.program"
    ORRERY_TARDISKS=$out/$1.v02 ORRERY_PROGRAM=$out/$1.program \
        "$BUILD/orrery-sim" run program >"$out/$1.out" 2>&1 ||
        echo "conformance $1: the run failed: $(tail -n 3 "$out/$1.out" | head -n 1)"
}

# verdict NAME PASSED OF
verdict() {
    floor=$(awk -v suite="$1" '$1 == suite { print $2 }' "$here/floor")
    echo "conformance $1: $2 of $3"
    [ "$3" -gt 0 ] && [ $(($2 * 1000)) -ge $(($3 * ${floor:-1000})) ] && return
    echo "conformance $1: below $floor per mille; see $out/$1.out"
    failed=1
}

# posix NAME CC
posix() {
    p_root=$out/$1.root/suite
    mkdir -p "$p_root"
    (cd "$cache/posixtestsuite" && find conformance/interfaces functional -name '*.c' |
        grep -vE '/(testfrmw|coverage|threads_scenarii)\.c$' | LC_ALL=C sort) |
        if [ "$mode" = short ]; then
            sed 's/$/ x/' | grep -vFf "$here/linux-$1" | sed 's/ x$//' | awk 'NR % 23 == 5'
        else
            cat
        fi >"$out/$1.sources"
    # One compilation serves until the selection or the script changes.
    p_key=$(cat "$out/$1.sources" "$here/build.sh" "$here/suite.c" | cksum)
    if [ "$(cat "$out/$1/key" 2>/dev/null)" != "$p_key" ]; then
        rm -rf "${out:?}/$1"
        sh "$here/build.sh" "$2" "$cache/posixtestsuite" "$out/$1" <"$out/$1.sources" || exit 3
        echo "$p_key" >"$out/$1/key"
    fi
    cp "$out/$1/suite" "$here/run.sh" "$p_root/"
    if [ "$mode" = linux ]; then
        linux "$1"
        return
    fi
    awk '{ print $1 }' "$here/linux-$1" | grep -vxFf - "$out/$1/names" >"$p_root/list"
    hosted "$1" 'sh /suite/run.sh /suite/suite /tmp/w 60 </suite/list'
    verdict "$1" "$(grep -c '^[a-z].* 0$' "$out/$1.out")" "$(wc -l <"$p_root/list")"
}

# linux NAME: which programs do not pass on this computer's own kernel.
linux() {
    split -n r/4 "$out/$1/names" "$out/$1/part."
    for part in "$out/$1"/part.??; do
        setpriv --bounding-set -sys_nice --inh-caps -sys_nice \
            sh "$here/run.sh" "$PWD/$out/$1/suite" "$PWD/$part.work" 60 <"$part" >"$part.out" 2>&1 &
    done
    wait
    cat "$out/$1"/part.??.out | awk '/^[a-z].* [0-9]+$/ && NF == 2 && $2 != 0' | LC_ALL=C sort \
        >"$here/linux-$1"
    rm -rf "$out/$1"/part.*
}

busybox() {
    [ "$mode" != linux ] || return 0
    b_root=$out/busybox.root/suite
    rm -rf "$b_root"
    mkdir -p "$b_root"
    cp -r "$cache/busybox-source/testsuite" "$b_root/"
    cp "$cache/busybox-source/debian/config/pkg/static" "$b_root/.config"
    cp "$cache/guest/busybox" "$b_root/"
    b_applets=$("$cache/guest/busybox" --list | grep -vx bc)
    [ "$mode" != short ] || b_applets='awk cut grep sort uniq tar'
    # shellcheck disable=SC2086  # a list of words
    for applet in $b_applets; do
        [ ! -f "$b_root/testsuite/$applet.tests" ] && [ ! -d "$b_root/testsuite/$applet" ] ||
            echo "$applet"
    done >"$b_root/applets"
    # shellcheck disable=SC2016  # expanded there
    hosted busybox 'export LANG=en_US.UTF-8; cd /suite/testsuite && ./runtest $(cat ../applets) </dev/null 2>&1; true'
    verdict busybox "$(grep -c '^PASS: ' "$out/busybox.out")" \
        "$(grep -c -E '^(PASS|FAIL): ' "$out/busybox.out")"
}

failed=0
for suite; do
    case $suite in
    glibc) posix glibc "${CC:-gcc}" ;;
    musl) posix musl musl-gcc ;;
    busybox) busybox ;;
    *)
        echo "conformance.sh: no suite $suite; glibc, musl or busybox" >&2
        exit 2
        ;;
    esac
done
exit $failed
