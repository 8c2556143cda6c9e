# SPDX-License-Identifier: BSD-2-Clause
#
# vmfs.sh -- vmfs-tools, which we did not write, judge what our VMFS-5 writer made.
#
# vmfs-tool fills a volume; fsck.vmfs and debugvmfs list, read and check it. fsck.vmfs ends with
# status 0 whatever it finds, so its counters are read. Blocks still to be zeroed are "lost" to it:
# there are none here.
. tests/lib.sh
scratch
tool=$BUILD/vmfs-tool
img=$dir/v.img

# clean NAME IMAGE...: both checkers find nothing.
clean() {
    name=$1
    shift
    if ! "$tool" "$(echo "$*" | tr ' ' ,)" fsck >"$dir/own" 2>&1; then
        fail "$name" "vmfs-tool fsck: $(head -n 1 "$dir/own")"
        return
    fi
    fsck.vmfs "$@" >"$dir/fsck" 2>&1
    bad=$(awk -F: '/^(Unallocated|Lost) blocks|^(Undefined|Orphaned) inodes|^Directory errors/ {
            n++; if ($2 + 0) print $0 } /multiple inodes/ { print } END { if (n != 5) print "no summary" }' "$dir/fsck")
    [ -z "$bad" ] || { fail "$name" "fsck.vmfs: $bad"; return; }
    debugvmfs "$1" check_vol_bitmaps 2>&1 | grep -q '^Total errors: 0' ||
        [ $# -gt 1 ] || { fail "$name" "debugvmfs check_vol_bitmaps"; return; }
    pass "$name"
}

# same NAME FILE PATH: three readers give the file's bytes.
same() {
    "$tool" "$img" cat "$3" | cmp -s - "$2" || { fail "$1" "vmfs-tool cat $3"; return; }
    debugvmfs "$img" cat "$3" 2>/dev/null | cmp -s - "$2" ||
        { fail "$1" "debugvmfs cat $3"; return; }
    pass "$1"
}

"$tool" "$img" mkfs -s 1G -L lab >"$dir/log" 2>&1 || fail mkfs "$(cat "$dir/log")"
clean 'vmfs fresh volume' "$img"
debugvmfs "$img" show 2>&1 | grep -q 'Label: lab' && pass 'vmfs label' || fail 'vmfs label' 'debugvmfs show'

: >"$dir/empty"
echo hello >"$dir/small"
head -c 8192 /dev/urandom >"$dir/sub"
head -c 8193 /dev/urandom >"$dir/block"
head -c 30000000 /dev/urandom >"$dir/big"
"$tool" "$img" mkdir /d
"$tool" "$img" mkdir /d/e
for f in empty small sub block big; do
    "$tool" "$img" cp "$dir/$f" ":/d/$f" || fail "vmfs copy $f" status
    same "vmfs file $f" "$dir/$f" "/d/$f"
done
i=0
while [ $i -lt 130 ]; do
    "$tool" "$img" cp "$dir/small" ":/d/e/a-name-long-enough-to-fill-an-entry-$i" || break
    i=$((i + 1))
done
[ "$(debugvmfs "$img" ls /d/e | grep -c long-enough)" = 130 ] && pass 'vmfs directory of several sub-blocks' ||
    fail 'vmfs directory of several sub-blocks' 'debugvmfs ls'
clean 'vmfs after copies' "$img"

"$tool" "$img" ln -s /d/big /link && "$tool" "$img" ln /d/sub /hard &&
    "$tool" "$img" mv /d/block /d/e/moved && "$tool" "$img" truncate /sparse 200G &&
    "$tool" "$img" allocate /eager 5M && "$tool" "$img" mv /d/small /d/big || fail 'vmfs names' status
clean 'vmfs after renames, links, sparse and eager files' "$img"
for i in 3 50 129; do
    "$tool" "$img" rm "/d/e/a-name-long-enough-to-fill-an-entry-$i"
done
"$tool" "$img" rm /d/sub && "$tool" "$img" rm /hard && "$tool" "$img" rm /sparse
clean 'vmfs after removals' "$img"

"$tool" "$dir/x1,$dir/x2" mkfs -s 600M -L two >"$dir/log" 2>&1 || fail 'vmfs two extents' "$(cat "$dir/log")"
head -c 700000000 /dev/zero | tr '\0' x >"$dir/wide"
"$tool" "$dir/x1,$dir/x2" cp "$dir/wide" :/wide || fail 'vmfs two extents' cp
"$tool" "$dir/x1,$dir/x2" cat /wide | cmp -s - "$dir/wide" && pass 'vmfs file over two extents' ||
    fail 'vmfs file over two extents' cmp
clean 'vmfs two extents' "$dir/x1" "$dir/x2"
"$tool" "$dir/x1" ls >"$dir/log" 2>&1
grep -q 'all extents\|no such object' "$dir/log" && pass 'vmfs missing extent is said' ||
    fail 'vmfs missing extent is said' "$(cat "$dir/log")"

"$tool" "$dir/g1" mkfs -s 300M -L grows >"$dir/log" 2>&1 && "$tool" "$dir/g1" cp "$dir/big" :/big &&
    truncate -s 3G "$dir/g1" && "$tool" "$dir/g1" grow && clean 'vmfs grown on a larger image' "$dir/g1"
"$tool" "$dir/g1" grow "$dir/g2" 600M && clean 'vmfs grown by a second extent' "$dir/g1" "$dir/g2"
"$tool" "$dir/g1,$dir/g2" cat /big | cmp -s - "$dir/big" && pass 'vmfs file of before it grew' ||
    fail 'vmfs file of before it grew' cmp
"$tool" "$dir/g1,$dir/g2" dump >"$dir/log" 2>&1 && [ "$(grep -c '^LVM' "$dir/log")" = 2 ] &&
    grep -q '4096 items\|3328 items' "$dir/log" && pass 'vmfs dump' || fail 'vmfs dump' "$(cat "$dir/log")"

"$tool" "$dir/huge" mkfs -s 2T -L huge >"$dir/log" 2>&1 || fail 'vmfs 2 TiB' "$(cat "$dir/log")"
"$tool" "$dir/huge" cp "$dir/big" :/big && clean 'vmfs 2 TiB' "$dir/huge"
