# SPDX-License-Identifier: BSD-2-Clause
#
# posix.sh -- a static glibc program of seventeen parts prints in the simulation what it prints on Linux.
. tests/lib.sh
work=$(mktemp -d "${TMPDIR:-/tmp}/orrery-posix.XXXXXX")
trap 'rm -rf "$work"' EXIT
${CC:-gcc} -std=gnu17 -O1 -static -o "$work/posix" tests/user/posix/*.c -lpthread || exit 1
(cd "$work" && timeout 120 ./posix 2>&1 | cat) >"$work/native"
for seed in 1 2; do
    ORRERY_PROGRAM=$work/posix timeout 300 "$BUILD/orrery-sim" run program --seed=$seed 2>"$work/err" |
        sed '/^PASS program/,$d' >"$work/hosted"
    if cmp -s "$work/native" "$work/hosted"; then
        echo "PASS posix hosted, seed $seed ($(wc -l <"$work/native") lines)"
    else
        echo "FAIL posix hosted, seed $seed: $(diff "$work/native" "$work/hosted" | sed -n 2p) $(head -n 1 "$work/err")"
    fi
done
