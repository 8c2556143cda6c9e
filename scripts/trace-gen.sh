#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# trace-gen.sh [--check] -- write docs/trace-events.md and scripts/gdb/trace.gdb from the table of
# trace events; with --check only say whether they are what would be written (status 1: not).
set -eu
[ "${1-}" != --help ] || exec sed -n '4,/^[^#]/s/^# \{0,1\}//p' "$0"
cd "$(dirname "$0")/.."

case ${1-} in
'' | --check) ;;
*)
    echo "trace-gen.sh: unknown option $1 (try --help)" >&2
    exit 2
    ;;
esac
status=0
for pair in docs:docs/trace-events.md gdb:scripts/gdb/trace.gdb; do
    file=${pair#*:}
    awk -v make="${pair%%:*}" -f scripts/trace-gen.awk trace/enums.def trace/events.def >"$file.new"
    if [ "${1:-}" != --check ]; then
        mv "$file.new" "$file"
        continue
    fi
    if ! cmp -s "$file" "$file.new"; then
        echo "$file is not what trace/events.def makes; run sh scripts/trace-gen.sh"
        status=1
    fi
    rm -f "$file.new"
done
exit $status
