#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# decode.sh [OBJECT...] -- write decode.txt from decode.S: binutils says where instructions end.
# With objects or programs, print the distinct instructions of their 64-bit code instead, to feed
# test_decode a larger corpus: DECODE_GOLDEN=file build/test/test_decode
set -eu
cd "$(dirname "$0")"

# objdump's lines "address:<tab>bytes<tab>text"; undecodable ones are left out.
lines() {
    awk -F '\t' -v mode="$1" 'NF >= 3 && $1 ~ /^ *[0-9a-f]+:$/ && $3 !~ /\(bad\)|^\./ {
        gsub(/ /, "", $2); print mode, $2 }'
}
if [ $# -gt 0 ]; then
    for object; do
        objdump -d -w "$object" | lines 64
    done | sort -u
    exit 0
fi
object=$(mktemp)
trap 'rm -f "$object"' EXIT
as --64 -o "$object" decode.S
{
    objdump -d -w -j .code64 -m i386:x86-64 "$object" | lines 64
    objdump -d -w -j .code32 -m i386 "$object" | lines 32
    objdump -d -w -j .code16 -m i8086 "$object" | lines 16
} >decode.txt
wc -l decode.txt
