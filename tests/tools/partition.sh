# SPDX-License-Identifier: BSD-2-Clause
#
# partition.sh -- sgdisk and sfdisk, which we did not write, judge our partition tables, and we theirs.
#
# What vmfs-tool part-... writes has to pass sgdisk -v and sfdisk -V without a word of complaint; what
# the two write has to be listed alike; what is damaged has to be noticed, mended, and pass again.
. tests/lib.sh
PATH=$PATH:/usr/sbin:/sbin
scratch
tool=$BUILD/vmfs-tool

# clean NAME IMAGE: both find nothing to say.
clean() {
    sgdisk -v "$2" >"$dir/sg" 2>&1
    grep -q '^No problems found' "$dir/sg" && ! grep -qi 'caution\|warning\|invalid\|corrupt' "$dir/sg" ||
        { fail "$1" "sgdisk: $(grep -v '^$' "$dir/sg" | head -n 1)"; return; }
    sfdisk -V "$2" >"$dir/sf" 2>&1 && grep -q 'No errors detected' "$dir/sf" ||
        { fail "$1" "sfdisk: $(head -n 1 "$dir/sf")"; return; }
    pass "$1"
}

# ours IMAGE, theirs IMAGE: lines "number first last GUID".
ours() {
    "$tool" "$1" part-list 2>/dev/null | awk 'NR > 2 { print $1, $2, $3, $4 }'
}
theirs() {
    sfdisk -d "$1" 2>/dev/null | tr -d ',' | awk '/ : start=/ {
        n = $1; sub(/.*img/, "", n)
        for (i = 2; i < NF; i++) { if ($i == "start=") s = $(i + 1); if ($i == "size=") z = $(i + 1) }
        t = $0; sub(/.*type=/, "", t); sub(/ .*/, "", t)
        print n, s, s + z - 1, t }'
}
same() {
    [ -n "$(ours "$2")" ] && [ "$(ours "$2")" = "$(theirs "$2")" ] && pass "$1" ||
        fail "$1" "ours: $(ours "$2" | head -n 1); sfdisk: $(theirs "$2" | head -n 1)"
}

img=$dir/a.img
{
    "$tool" "$img" part-create -s 2G
    "$tool" "$img" part-add efi-system 4M BOOT
    "$tool" "$img" part-add basic-data 250M BOOTBANK1 5
    "$tool" "$img" part-add basic-data 250M BOOTBANK2 6
    "$tool" "$img" part-add vmkcore 110M dump 7
    "$tool" "$img" part-add vmware-reserved 32M
    "$tool" "$img" part-add vmfs 0 datastore1
} >"$dir/log" 2>&1 || fail 'partition write' "$(cat "$dir/log")"
clean 'partition GPT of ours' "$img"
same 'partition GPT of ours, as sfdisk reads it' "$img"
sgdisk -p "$img" 2>&1 | grep -q 'FB00 *datastore1' && pass 'partition type and name' ||
    fail 'partition type and name' 'sgdisk -p'
"$tool" "$img" part-delete 6 >"$dir/log" 2>&1 && clean 'partition deleted' "$img"
truncate -s 2T "$dir/big.img"
"$tool" "$dir/big.img" part-create && "$tool" "$dir/big.img" part-add vmfs >"$dir/log" 2>&1
clean 'partition GPT of 2 TiB' "$dir/big.img"

# Theirs: more than 128 slots, names, gaps.
img=$dir/b.img
truncate -s 1G "$img"
sgdisk -S 256 -n 200:2048:+8M -t 200:FB00 -n 3:40960:+1M -t 3:8300 -c 3:'ünïcode' "$img" >"$dir/log" 2>&1
"$tool" "$img" part-list >"$dir/out" 2>"$dir/err"
[ ! -s "$dir/err" ] && grep -q '^200 2048 18431 AA31E02A.* vmfs' "$dir/out" &&
    grep -q '^3 40960 43007 .* ünïcode$' "$dir/out" && pass 'partition GPT of sgdisk, 256 slots' ||
    fail 'partition GPT of sgdisk, 256 slots' "$(cat "$dir/err" "$dir/out" | head -n 1)"
"$tool" "$img" part-add linux 1M more >"$dir/log" 2>&1 && clean 'partition added to a GPT of sgdisk' "$img"
same 'partition GPT of sgdisk' "$img"

# Damage: primary, backup, protective MBR, a disk that grew; sgdisk agrees that it is mended.
for what in 512:primary-header 1024:primary-array 1073741312:backup-header 1073724928:backup-array 0:protective; do
    printf 'XXXXXXXX' | dd of="$img" bs=1 seek=$((${what%:*} + (${what%:*} ? 0 : 446))) conv=notrunc status=none
    [ "${what#*:}" != protective ] || dd if=/dev/zero of="$img" bs=512 count=1 conv=notrunc status=none
    "$tool" "$img" part-list >/dev/null 2>"$dir/err"
    status=$?
    [ $status = 1 ] && [ -s "$dir/err" ] || fail "partition damage ${what#*:}" "status $status"
    "$tool" "$img" part-repair >"$dir/log" 2>&1 || fail "partition repair ${what#*:}" "$(cat "$dir/log")"
    clean "partition repair ${what#*:}" "$img"
done
truncate -s 2G "$img"
"$tool" "$img" part-repair >"$dir/log" 2>&1
clean 'partition table on a disk that grew' "$img"
printf 'X' | dd of="$img" bs=1 seek=600 conv=notrunc status=none
printf 'X' | dd of="$img" bs=1 seek=530 conv=notrunc status=none
printf 'X' | dd of="$img" bs=1 seek=2147483140 conv=notrunc status=none
"$tool" "$img" part-list >/dev/null 2>"$dir/err"
[ $? = 3 ] && grep -q 'primary.*backup' "$dir/err" && pass 'partition both copies gone' ||
    fail 'partition both copies gone' "$(cat "$dir/err")"

# MBR of sfdisk, with logical partitions and ESXi's types.
img=$dir/m.img
truncate -s 1G "$img"
sfdisk "$img" >"$dir/log" 2>&1 <<EOT
label: dos
start=2048, size=200000, type=fb
start=206848, size=200000, type=fc
start=409600, size=400000, type=c, bootable
start=819200, type=5
size=100000, type=83
size=100000, type=82
size=2048, type=83
EOT
"$tool" "$img" part-list 2>"$dir/err" | awk 'NR > 2 { print $1, $2, $3, sprintf("%x", $4) }' >"$dir/out"
theirs "$img" | awk '$4 != "5"' >"$dir/want"
[ ! -s "$dir/err" ] && [ -s "$dir/out" ] && cmp -s "$dir/out" "$dir/want" && pass 'partition MBR of sfdisk' ||
    fail 'partition MBR of sfdisk' "$(cat "$dir/err"; diff "$dir/out" "$dir/want" | head -n 2)"

"$tool" "$img" part-delete 2 && "$tool" "$img" part-add vmfs 10M >"$dir/log" 2>&1
sfdisk -d "$img" | grep -q '/m.img2 : .*type=fb$' && sfdisk -d "$img" | grep -q 'type=c, bootable' &&
    sfdisk -d "$img" | grep -q '/m.img7 ' && sfdisk -V "$img" 2>&1 | grep -q 'No errors detected' &&
    pass 'partition changed in an MBR of sfdisk' || fail 'partition changed in an MBR of sfdisk' "$(sfdisk -d "$img" | tail -n 7)"
# Ours, over a GPT.
img=$dir/n.img
"$tool" "$img" part-create -s 20G && "$tool" "$img" part-create mbr && "$tool" "$img" part-add basic-data 250M >"$dir/log" &&
    "$tool" "$img" part-add fc 110M >"$dir/log" && "$tool" "$img" part-add vmfs >"$dir/log" || fail 'partition MBR written' "$?"
[ "$(sfdisk -d "$img" 2>/dev/null | awk '/ : start=/ { print $1 $NF }' | sed 's/.*img//' | tr '\n' ' ')" = '1type=c 2type=fc 3type=fb ' ] &&
    sfdisk -V "$img" 2>&1 | grep -q 'No errors detected' && ! sgdisk -p "$img" 2>&1 | grep -qi 'valid GPT with' &&
    pass 'partition MBR of ours' || fail 'partition MBR of ours' "$(sfdisk -d "$img" | tail -n 4; sfdisk -V "$img" 2>&1)"

# A file system in a partition is reached through the table.
img=$dir/v.img
"$tool" "$img" part-create -s 1G && "$tool" "$img" part-add vmfs >/dev/null
"$tool" "$img@p1" mkfs -L inside >"$dir/log" 2>&1 && "$tool" "$img@p1" df | grep -q '^inside' &&
    pass 'partition holds a VMFS volume' || fail 'partition holds a VMFS volume' "$(cat "$dir/log")"
clean 'partition table beside a VMFS volume' "$img"
