#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# cover.sh TEST... -- run the instrumented unit tests; line coverage of src/ as HTML.
set -eu
[ "${1-}" != --help ] || exec sed -n '4,/^[^#]/s/^# \{0,1\}//p' "$0"
cd "$(dirname "$0")/.."
build=${BUILD:-build}/cover

find "$build" -name '*.gcda' -exec rm -f {} +
failed=0
for test in "$@"; do
    "$test" >"$build/$(basename "$test").log" 2>&1 </dev/null || {
        cat "$build/$(basename "$test").log"
        failed=1
    }
done
lcov --quiet --capture --directory "$build/obj" --base-directory . --output-file "$build/all.info" 2>"$build/lcov.log"
lcov --quiet --extract "$build/all.info" "$PWD/src/*" --output-file "$build/src.info" 2>>"$build/lcov.log"
genhtml --quiet --prefix "$PWD" --output-directory "$build/html" "$build/src.info" >>"$build/lcov.log" 2>&1
lcov --list "$build/src.info" 2>/dev/null | sed "s#$PWD/##"
echo "pages: $build/html/index.html"

# vmk_cover("name") marks a branch that some test has to reach; a mark is reached when its line ran.
awk '/^SF:/ { file = substr($0, 4) } /^DA:/ { split(substr($0, 4), d, ","); hit[file ":" d[1]] = d[2] }
    END { for (k in hit) print k, hit[k] }' "$build/src.info" >"$build/lines"
grep -rn 'vmk_cover(' src --include='*.c' | awk -F: -v cwd="$PWD/" '
    FILENAME != "-" { split($0, w, " "); hit[w[1]] = w[2]; next }
    { if (!((cwd $1 ":" $2) in hit) || hit[cwd $1 ":" $2] == 0) print "mark not reached: " $1 ":" $2 }
' "$build/lines" - || :
exit $failed
