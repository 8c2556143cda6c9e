# SPDX-License-Identifier: BSD-2-Clause
#
# datastore.sh -- a disk with a VMFS partition made by vmfs-tool, used from the host shell in QEMU.
#
# The image finds the datastore at boot, reads what the tool wrote, writes, and switches off; then the
# tool and Debian's fsck.vmfs judge the disk, and the tool reads what the host wrote.
platform=qemu
. tests/lib.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tool=$BUILD/vmfs-tool
disk=$work/disk.img
out=$results/out-qemu-datastore.txt

truncate -s 1G "$disk"
head -c 3000000 /dev/urandom >"$work/data"
check 'datastore made by the tool' sh -c "'$tool' '$disk' part-create && '$tool' '$disk' part-add vmfs &&
    '$tool' '$disk@p1' mkfs -L datastore1 && '$tool' '$disk@p1' cp '$work/data' :/data"
scripts/run.sh --vms 0 --host-disk "$disk" --timeout 600 --host-cmd 'cd /vmfs/volumes/datastore1 || exit 1
    md5sum data; mkdir d && cp data d/copy && cmp data d/copy && ln -s copy d/link && mv d e &&
    echo "from the host" >h.txt && df . | grep -q vmfs/volumes && echo all done; ls /vmfs/volumes' >"$out" 2>&1 </dev/null
check 'datastore found at boot' grep -q datastore1 "$out"
check 'datastore read by the host' grep -q "$(md5sum <"$work/data" | cut -d ' ' -f 1)" "$out"
check 'datastore written by the host' grep -q 'all done' "$out"
check 'datastore clean after power-off' "$tool" "$disk@p1" fsck
check 'datastore back in the tool' sh -c "'$tool' '$disk@p1' cat /e/copy | cmp - '$work/data' &&
    '$tool' '$disk@p1' cat /h.txt | grep -q 'from the host'"
dd if="$disk" of="$work/part" bs=1M skip=1 count=1022 conv=sparse status=none
fsck.vmfs "$work/part" >"$work/fsck" 2>&1
bad=$(awk -F: '/^(Unallocated|Lost) blocks|^(Undefined|Orphaned) inodes|^Directory errors/ {
        n++; if ($2 + 0) print $0 } END { if (n != 5) print "no summary" }' "$work/fsck")
[ -z "$bad" ] && echo 'PASS datastore by fsck.vmfs' || echo "FAIL datastore by fsck.vmfs: $bad"
