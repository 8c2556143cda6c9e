#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# gdb.sh [run.sh's options] -- the image in QEMU, stopped at reset, under gdb.
#
# The port comes from the user id, so that two people on one machine do not collide. The guest's console goes
# to build/gdb-console.log, the log to build/gdb-vmkernel.log. Use `hbreak` while the kernel is not loaded yet.
set -eu
[ "${1-}" != --help ] || exec sed -n '4,/^[^#]/s/^# \{0,1\}//p' "$0"
cd "$(dirname "$0")/.."
build=${BUILD:-build}
GDB_PORT=${GDB_PORT:-$((20000 + $(id -u) % 20000))}
export GDB_PORT

scripts/run.sh --batch --timeout 0 --gdb --log "$build/gdb-vmkernel.log" "$@" \
    >"$build/gdb-console.log" 2>&1 </dev/null &
machine=$!
trap 'kill $machine 2>/dev/null || :' EXIT
trap 'exit 1' HUP TERM
trap : INT  # Ctrl-C is for gdb

for tenth in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    grep -q 'waiting for gdb' "$build/gdb-console.log" && break
    sleep 0.3
done
sleep 0.3
gdb -q -iex "add-auto-load-safe-path ." -ex "set architecture i386:x86-64" \
    -ex "target remote 127.0.0.1:$GDB_PORT" ${GDB_BATCH:+-batch -ex "$GDB_BATCH"} \
    ${GDB_SCRIPT:+-batch -x "$GDB_SCRIPT"} "$build/metal/orrery.elf"
