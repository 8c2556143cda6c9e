# SPDX-License-Identifier: BSD-2-Clause
#
# vmdk.sh -- qemu-img, which we did not write, judges our virtual disks, and we its.
#
# Every kind is made by us, filled with random bytes and holes, and compared by qemu-img with the raw
# bytes; every kind that qemu-img makes is read by us. Then the same on a VMFS volume: disks go in and
# out by clone, and the volume stays clean.
. tests/lib.sh
scratch
case $BUILD in /*) tool=$BUILD/vmfs-tool ;; *) tool=$PWD/$BUILD/vmfs-tool ;; esac
cd "$dir" || exit 1
K="$tool none vmkfstools"

try() {
    name=$1
    shift
    "$@" >log 2>&1 && pass "$name" || fail "$name" "$(tail -n 1 log)"
}

# size in sectors that is no multiple of a grain, with data at the edges of grains and at the end
sectors=150013
size=$((sectors * 512))
truncate -s $size raw
for at in 0 127 128 4095 65536 100000 $((sectors - 9)); do
    head -c 4500 /dev/urandom | dd of=raw bs=512 seek=$at conv=notrunc status=none
done
head -c 9000000 /dev/urandom | dd of=raw bs=512 seek=30000 conv=notrunc status=none

for kind in thin zeroedthick eagerzeroedthick monoflat monosparse; do
    $K -c "${sectors}s" -d $kind $kind.vmdk >log 2>&1 || fail "vmdk create $kind" "$(cat log)"
    "$tool" none vmdk-write $kind.vmdk 0 <raw >log 2>&1 || fail "vmdk write $kind" "$(cat log)"
    try "vmdk $kind, as qemu-img reads it" qemu-img compare -f vmdk -F raw $kind.vmdk raw
    $K -x check $kind.vmdk >log 2>&1 || fail "vmdk check $kind" "$(cat log)"
done
try 'vmdk monosparse, qemu-img check' qemu-img check monosparse.vmdk

# A chain of two deltas.
$K --snapshot monosparse.vmdk s1.vmdk && $K --snapshot s1.vmdk s2.vmdk
cp raw raw2
head -c 700000 /dev/urandom >piece
dd if=piece of=raw2 bs=1 seek=1000003 conv=notrunc status=none 2>/dev/null
head -c 77 piece | dd of=raw2 bs=1 seek=$((size - 77)) conv=notrunc status=none
"$tool" none vmdk-write s2.vmdk 1000003 <piece && head -c 77 piece | "$tool" none vmdk-write s2.vmdk $((size - 77))
try 'vmdk chain of deltas, as qemu-img reads it' qemu-img compare -f vmdk -F raw s2.vmdk raw2
$K -e s2.vmdk >log 2>&1 && $K -i s2.vmdk -d stream st.vmdk >log 2>&1 || fail 'vmdk clone of a chain' "$(cat log)"
try 'vmdk stream, as qemu-img reads it' qemu-img compare -f vmdk -F raw st.vmdk raw2
try 'vmdk stream, qemu-img check' qemu-img check st.vmdk
echo x | "$tool" none vmdk-write monosparse.vmdk 5
$K -e s2.vmdk >log 2>&1
[ $? = 1 ] && grep -q 'parentCID' log && pass 'vmdk changed parent is refused' || fail 'vmdk changed parent is refused' "$(cat log)"

# What qemu-img makes.
for sub in monolithicSparse monolithicFlat twoGbMaxExtentSparse twoGbMaxExtentFlat streamOptimized; do
    qemu-img convert -f raw -O vmdk -o subformat=$sub raw q-$sub.vmdk >log 2>&1 || fail "qemu $sub" "$(cat log)"
    "$tool" none vmdk-read q-$sub.vmdk 0 $size 2>log | cmp -s - raw && pass "vmdk $sub of qemu-img" ||
        fail "vmdk $sub of qemu-img" "$(head -n 1 log)"
    $K -x check q-$sub.vmdk >log 2>&1 || fail "vmdk check $sub of qemu-img" "$(head -n 1 log)"
done
qemu-img convert -f raw -O vmdk -o subformat=monolithicSparse,zeroed_grain=on raw qz.vmdk >log 2>&1
head -c 300000 /dev/urandom >piece
cp raw raw3
dd if=piece of=raw3 bs=1 seek=700001 conv=notrunc status=none
"$tool" none vmdk-write qz.vmdk 700001 <piece >log 2>&1
qemu-img check qz.vmdk >log 2>&1 || fail 'vmdk of qemu-img after our writes' "$(cat log)"
try 'vmdk of qemu-img after our writes' qemu-img compare -f vmdk -F raw qz.vmdk raw3

# More than 4 GiB, sparse.
$K -c 9g -d monosparse big.vmdk >log 2>&1
head -c 100000 piece | "$tool" none vmdk-write big.vmdk 9000000000
truncate -s 9G bigraw && head -c 100000 piece | dd of=bigraw bs=4096 seek=9000000000 oflag=seek_bytes conv=notrunc status=none
try 'vmdk of 9 GiB, sparse' qemu-img compare -f vmdk -F raw big.vmdk bigraw
[ "$(du -k big.vmdk | cut -f1)" -lt 4000 ] && pass 'vmdk of 9 GiB is small' || fail 'vmdk of 9 GiB is small' "$(du -k big.vmdk)"

# Extend, inflate, rename, delete.
$K -X 200m thin.vmdk >log 2>&1 && truncate -s 200M raw4 && dd if=raw of=raw4 conv=notrunc status=none bs=1M
try 'vmdk extended' qemu-img compare -f vmdk -F raw thin.vmdk raw4
$K -j thin.vmdk >log 2>&1 && [ "$(du -k thin-flat.vmdk | cut -f1)" -ge 204800 ] && ! grep -q thinProvisioned thin.vmdk &&
    pass 'vmdk inflated' || fail 'vmdk inflated' "$(cat log)"
$K -E thin.vmdk moved.vmdk && [ ! -e thin.vmdk ] && [ ! -e thin-flat.vmdk ] || fail 'vmdk rename' 'old files'
try 'vmdk renamed' qemu-img compare -f vmdk -F raw moved.vmdk raw4
$K -U moved.vmdk && [ ! -e moved.vmdk ] && [ ! -e moved-flat.vmdk ] && pass 'vmdk deleted' || fail 'vmdk deleted' "$(ls)"

# Errors name file, line and field, and a status says so.
sed 's/^RW [0-9]*/RW many/' zeroedthick.vmdk >bad.vmdk
$K -I bad.vmdk >log 2>&1
[ $? = 3 ] && grep -q 'bad.vmdk: line 8: .*many' log && pass 'vmdk error by line' || fail 'vmdk error by line' "$(cat log)"

# On a VMFS volume: in by clone, used there, out again.
"$tool" v.img mkfs -s 1G -L lab >log 2>&1 || fail 'vmdk volume' "$(cat log)"
"$tool" v.img mkdir /vm
for kind in thin zeroedthick eagerzeroedthick; do
    "$tool" v.img vmkfstools -i q-streamOptimized.vmdk -d $kind :/vm/$kind.vmdk >log 2>&1 || fail "vmdk to VMFS, $kind" "$(cat log)"
    "$tool" v.img vmkfstools -i :/vm/$kind.vmdk -d monosparse out-$kind.vmdk >log 2>&1
    try "vmdk to a VMFS volume and back, $kind" qemu-img compare -f vmdk -F raw out-$kind.vmdk raw
done
"$tool" v.img vmkfstools --snapshot :/vm/thin.vmdk :/vm/s.vmdk && "$tool" v.img vmdk-write :/vm/s.vmdk 700001 <piece
"$tool" v.img vmdk-read :/vm/s.vmdk 0 $size | cmp -s - raw3 && pass 'vmdk delta on a VMFS volume' || fail 'vmdk delta on a VMFS volume' cmp
# Zeros inside a thin disk go back to the volume, and the rest stays; -w leaves nothing of it.
$K -c 8m -d thin z.vmdk >log 2>&1 && head -c 1048576 /dev/zero >zero && "$tool" none vmdk-write z.vmdk 2097152 <zero &&
    "$tool" none vmdk-write z.vmdk 4194404 <piece
before=$(du -k z-flat.vmdk | cut -f 1)
"$tool" none vmdk-read z.vmdk 0 8388608 | cksum >z.sum && $K -K z.vmdk >log 2>&1 &&
    [ "$(du -k z-flat.vmdk | cut -f 1)" -le $((before - 1024)) ] &&
    "$tool" none vmdk-read z.vmdk 0 8388608 | cksum | cmp -s - z.sum && pass 'vmkfstools -K gives zeros back' ||
    fail 'vmkfstools -K gives zeros back' "$(cat log)"
$K -w z.vmdk >log 2>&1 && "$tool" none vmdk-read z.vmdk 0 8388608 | cmp -s -n 8388608 - /dev/zero && pass 'vmkfstools -w' ||
    fail 'vmkfstools -w' "$(cat log)"
$K -r /dev/sda rdm.vmdk >log 2>&1
[ $? = 3 ] && grep -q 'rdm.vmdk: -r: raw device mappings' log && ! [ -e rdm.vmdk ] && pass 'vmkfstools -r is refused' ||
    fail 'vmkfstools -r is refused' "$(cat log)"
$K -q z.vmdk >log 2>&1
[ $? = 1 ] && grep -q 'not a Raw Device Mapping' log && pass 'vmkfstools -q' || fail 'vmkfstools -q' "$(cat log)"
"$tool" v.img vmkfstools -U :/vm/zeroedthick.vmdk && "$tool" v.img vmkfstools -P :/ | grep -q '^File system label (if any): lab' &&
    pass 'vmkfstools -U, -P on a volume' || fail 'vmkfstools -U, -P on a volume' status
try 'vmdk volume stays clean' "$tool" v.img fsck
