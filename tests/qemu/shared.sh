# SPDX-License-Identifier: BSD-2-Clause
#
# shared.sh -- two hosts, each an emulator, on one VMFS volume; one is killed.
#
# The disk is a LUN of an iSCSI target, tgt, which knows COMPARE AND WRITE; QEMU passes the SCSI commands
# of virtio-scsi on as they are. Both hosts mount the volume and make files in one directory at once. A
# file that one has open for writing is refused to the other, until the first has been killed and its
# heartbeat has stood still for 16 s.
platform=qemu
. tests/lib.sh

target=${ORRERY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/orrery}/iscsi
name=iqn.2004-01.test.orrery:shared
port=$((3300 + $$ % 20000))
out=$results/out-qemu-shared
work=$(mktemp -d)
tgtd=
trap '[ -z "$tgtd" ] || kill -KILL $tgtd 2>/dev/null; rm -rf "$work"' EXIT
tool=$BUILD/vmfs-tool
truncate -s 1G "$work/disk"
check 'shared volume made by the tool' sh -c "'$tool' '$work/disk' part-create &&
    '$tool' '$work/disk' part-add vmfs && '$tool' '$work/disk@p1' mkfs -L shared"

[ -x "$target/tgtd" ] || {
    echo "SKIP two hosts on one volume: no tgt in ${target%/iscsi}; scripts/deps.sh says why"
    exit 0
}
export TGT_IPC_SOCKET="$work/socket"
# One thread per LUN: a compare and its write are one step.
"$target/tgtd" -f -C $port -t 1 --iscsi portal=127.0.0.1:$port >"$out-target.log" 2>&1 &
tgtd=$!
admin() {
    "$target/tgtadm" -C $port --lld iscsi --tid 1 "$@"
}
tries=100
until admin --op new --mode target -T $name 2>/dev/null || [ $((tries -= 1)) = 0 ]; do sleep 0.1; done
admin --op new --mode logicalunit --lun 1 -b "$work/disk" &&
    admin --op bind --mode target -I ALL || echo "FAIL iSCSI target: see $out-target.log"

# boot NAME COMMANDS: one of the hosts, all of whose output goes to $out-NAME.txt.
boot() {
    scripts/run.sh --vms 0 --cpus 1 --host-disk "iscsi://127.0.0.1:$port/$name/1" --timeout 300 \
        --log "$out-$1.log" --host-cmd "exec 2>&1; cd /vmfs/volumes/shared || exit 1
            $2" >"$out-$1.txt" 2>"$out-$1.err" </dev/null
}

many='n=0; while n=$((n + 1)); [ $n -le 40 ]; do echo $who$n >$who$n; done; sync'
boot a "who=a; $many; exec 3>held; echo first >&3; sync; until [ -e b-is-here ]; do sleep 0.2; done
    echo HELD; sleep 1000" &
a=$!
boot b "who=b; $many; until [ -e held ]; do sleep 0.2; done; touch b-is-here
    echo mine >>held && echo 'HAD held'; echo REFUSED; sync
    n=0; until echo mine >>held || [ \$((n += 1)) = 400 ]; do sleep 0.5; done 2>/dev/null; echo AFTER; cat held; ls | wc -l
    d=\$(sed -n 's/ reservations=yes//p' /proc/vmware/storage); vmkfstools -L reserve /vmfs/devices/disks/\$d && echo >own && sync && echo RESERVED
    vmkfstools -L release \$d && echo RELEASED; vmkfstools -L readkeys \$d; vmkfstools -L reserve \$d:1; echo over" &
b=$!
wait_for "$out-a.txt" HELD $a && wait_for "$out-b.txt" REFUSED $b
kill_qemu $a
killed=$(date +%s)
wait $a
wait_for "$out-b.txt" AFTER $b
took=$(($(date +%s) - killed))
wait $b
verdict 'two hosts on one volume' $? 0 "$out-b.txt" 'Device or resource busy' REFUSED AFTER '^first' '^mine'
verdict 'a reservation, its release and a reset' 0 0 "$out-b.txt" '^RESERVED' '^RELEASED' 'no disk here has persistent' \
    'whole disk has to be a SCSI disk'
check 'a file of a living host stays its own' sh -c "! grep -q 'HAD held' '$out-b.txt'"
# Its last beat was up to 3 s before its end.
check "its lock is broken when its heartbeat stood still for 16 s ($took s), not before" [ $took -ge 12 ]
verdict 'the dead host is buried' 0 0 "$out-b.log" 'heartbeat at .* its host is dead'
kill -KILL $tgtd
wait $tgtd 2>/dev/null
tgtd=
check 'all files of both are there' sh -c "[ \$('$tool' '$work/disk@p1' ls / | grep -c '^[ab][0-9]') = 80 ]"
check 'shared volume clean in the end' "$tool" "$work/disk@p1" fsck
