#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# build.sh -- many test programs linked to one static program, as busybox is one of many applets.
#
# usage: build.sh CC SOURCE-FOLDER OUTPUT-FOLDER   (the names of the sources come on standard input)
#
# Some 1,700 programs of 800 KB each would be a large tardisk. Each source is compiled as it is, then its
# main gets a name of its own and nothing else of the object stays visible; a table of the names is
# linked with them. OUTPUT-FOLDER/suite NAME ARGUMENTS runs one, OUTPUT-FOLDER/names lists them. A
# source that does not compile or link with this C library is left out and listed in OUTPUT-FOLDER/left-out.
set -eu
cc=$1 source=$2 out=$3
mkdir -p "$out/o"
out=$(cd "$out" && pwd)
cat >"$out/sources"
export cc source out
: >"$out/left-out"

# shellcheck disable=SC2016  # expanded by the inner shell
one='
    name=${1%.c} id=t_$(echo "${1%.c}" | tr -c "a-zA-Z0-9\n" _)
    o=$out/o/$id.o
    if ! (cd "$source" && $cc -w -O1 -std=gnu99 -D_GNU_SOURCE -D_XOPEN_SOURCE=600 -Iinclude \
        -c "$1" -o "$o") 2>"$o.log"; then
        echo "$1" >>"$out/left-out"
        rm -f "$o"
    elif nm -g "$o" | grep -q " T main$"; then
        objcopy --redefine-sym main="$id" --keep-global-symbol="$id" "$o"
    else
        rm -f "$o"
    fi'
xargs -P 2 -I{} sh -c "$one" sh {} <"$out/sources"

# What this C library has no function for is found by the linker, which names the objects.
while :; do
    sed 's/\.c$//' "$out/sources" | while read -r name; do
        id=t_$(echo "$name" | tr -c 'a-zA-Z0-9\n' _)
        [ ! -f "$out/o/$id.o" ] || echo "TEST($id, \"$name\")"
    done >"$out/table.def"
    $cc -w -O1 -std=gnu99 -I"$out" -c "${0%/*}/suite.c" -o "$out/suite.o"
    $cc -static -o "$out/suite" "$out/suite.o" "$out"/o/*.o -lpthread -lrt -lm 2>"$out/link.log" &&
        break
    sed -n 's/^[^ ]*: \([^ ]*\/o\/t_[^ ]*\.o\): in function .*/\1/p' "$out/link.log" | sort -u >"$out/bad"
    [ -s "$out/bad" ] || {
        cat "$out/link.log" >&2
        exit 1
    }
    xargs basename -s .o <"$out/bad" >>"$out/left-out"
    xargs rm -f <"$out/bad"
done
strip "$out/suite"
sed -n 's/^TEST(.*, "\(.*\)")$/\1/p' "$out/table.def" >"$out/names"
