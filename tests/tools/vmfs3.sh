# SPDX-License-Identifier: BSD-2-Clause
#
# vmfs3.sh -- volumes as VMFS-3 makes them: vmfs-tools and vmfs-tool read the same from them.
#
# The images are our test writer's (tests/unit/vmfs3_image.h); that they are VMFS-3 is what fsck.vmfs and
# debugvmfs say. Two blocks of one file are still to be zeroed: fsck.vmfs calls those lost.
. tests/lib.sh
scratch
tool=$BUILD/vmfs-tool
img=$dir/old.img

for kind in '20 old' '22 old' '20 upgraded'; do
    rm -f "$img"
    # shellcheck disable=SC2086
    "$BUILD/vmfs3-image" "$img" $kind || fail "vmfs3 image $kind" status
    fsck.vmfs "$img" >"$dir/fsck" 2>&1
    bad=$(awk -F: '/^Lost blocks/ { n++; if ($2 != 2) print $0 }
        /^Unallocated blocks|^(Undefined|Orphaned) inodes|^Directory errors/ { n++; if ($2 + 0) print $0 }
        END { if (n != 5) print "no summary" }' "$dir/fsck")
    if [ -z "$bad" ] && debugvmfs "$img" check_vol_bitmaps 2>&1 | grep -q '^Total errors: 0'; then
        pass "vmfs3 $kind: fsck.vmfs"
    else
        fail "vmfs3 $kind: fsck.vmfs" "$bad"
    fi
    "$tool" "$img" fsck >"$dir/own" 2>&1 && pass "vmfs3 $kind: vmfs-tool fsck" ||
        fail "vmfs3 $kind: vmfs-tool fsck" "$(cat "$dir/own")"
    bad=
    for f in small sub blocks tbz dir/inner; do
        "$tool" "$img" cat /$f >"$dir/ours" 2>"$dir/log" && debugvmfs "$img" cat /$f >"$dir/theirs" 2>/dev/null &&
            [ -s "$dir/ours" ] && cmp -s "$dir/ours" "$dir/theirs" || bad="$bad $f"
    done
    [ -z "$bad" ] && pass "vmfs3 $kind: contents" || fail "vmfs3 $kind: contents" "$bad"
    "$tool" "$img" mkdir /new >"$dir/log" 2>&1
    [ $? = 3 ] && grep -q 'read-only' "$dir/log" && pass "vmfs3 $kind: only read" ||
        fail "vmfs3 $kind: only read" "$(cat "$dir/log")"
done
