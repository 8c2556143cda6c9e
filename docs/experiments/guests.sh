# SPDX-License-Identifier: BSD-2-Clause
#
# guests.sh -- what the experiments with several different Debian guests share: the host's side of them.
#
# Sourced after lib.sh. All guests boot the same kernel and run the same job, which asks for its role (role=NAME on its
# command line). One instruction is 8 ns, so runs repeat, and 125 million instructions are a second of everybody's time.
[ "${1-}" != --help ] || exec sed -n '3,/^[^#]/s/^# \{0,1\}//p' "$0"

# What a job begins with: $role, and the balloon's driver.
# shellcheck disable=SC2034
job_head='role=$(sed -n "s/.*role=\([a-z]*\).*/\1/p" /proc/cmdline)
insmod /lib/modules/vmw_vmci.ko && insmod /lib/modules/vmw_balloon.ko || exit 1
# fill MB: as many MB of pages that are all different and do not pack
fill() {
    dd if=/dev/urandom of=base bs=1M count=4 2>/dev/null
    i=0
    while [ $i -lt $(($1 / 4)) ]; do
        i=$((i + 1))
        { tail -c +$((i * 37 + 1)) base; head -c $((i * 37)) base; } >f$i || exit 2
    done
}
mkdir /t && mount -t tmpfs -o size=100% t /t && cd /t || exit 1
'

# What the host's commands begin with.
# start NAME ROLE MB [LINE]: a guest with that line more in its .vmx; its console is NAME.out. said NAME WORD: waits until it said that.
# rows SECONDS [NAME WORD]: until NAME said that, once a second "row TIME NAME HELD ACTIVE TARGET BALLOON COMPRESSED SWAPPED" for each VM, in MB, and "level TIME LEVEL FREE".
host_head='mkdir -p /vms/all && cd /vms/all || exit 9
tries=300
until vm list | grep -q " demo .* on " || [ $((tries -= 1)) -eq 0 ]; do usleep 100000; done
vm kill demo
while vm list | grep -q " demo .* on "; do usleep 100000; done
for m in /boot/*; do [ "${m%.vmx}" != "$m" ] || ln -sf "$m" .; done
now() { cut -d" " -f1 /proc/uptime; }
start() {
    sed -e "s/^displayName.*/displayName = \"$1\"/" -e "s/^memSize.*/memSize = \"$3\"/" -e "/^serial0/d" \
        -e "s/role=[a-z]*/role=$2/" /boot/demo.vmx >$1.vmx
    printf "serial0.present = \"TRUE\"\nserial0.fileType = \"file\"\nserial0.fileName = \"%s.out\"\n%s\n" $1 "${4-}" >>$1.vmx
    echo "event $(now) $1 starts"
    vm start $1.vmx || exit 8
}
said() {
    tries=1200
    until grep -q "$2" $1.out 2>/dev/null; do
        usleep 200000
        [ $((tries -= 1)) -gt 0 ] && vm list | grep -q " $1 " || { echo "$1 did not say $2"; cat $1.out; exit 7; }
    done
    echo "event $(now) $1 $2"
}
row() {
    at=$(now)
    esxcli --formatter=csv sched memory list | awk -F, -v t=$at "NR == 1 { for (i = 1; i <= NF; i++) at[\$i] = i; next }
        { print \"row\", t, \$at[\"Name\"], \$at[\"Held\"], \$at[\"Active\"], \$at[\"Target\"], \$at[\"Balloon\"], \$at[\"Compressed\"], \$at[\"Swapped\"] }"
    esxcli sched memory get | awk -F ": " -v t=$at "/^ *State:/ { s = \$2 } /^ *Free:/ { f = \$2 } END { print \"level\", t, s, f }"
}
rows() {
    until=$(($(now | cut -d. -f1) + $1))
    while [ $(now | cut -d. -f1) -lt $until ] && { [ -z "${2-}" ] || ! grep -q $3 $2.out; }; do row; sleep 1; done
}
'

# guests NAME HOST-MEMORY JOB HOST-COMMANDS KERNEL-ARGS: a run; what the host's commands print is in $out/NAME.txt, without CRs in NAME.dat
guests() {
    g_disk=$(mktemp)
    truncate -s 1G "$g_disk"
    printf 'swap space' | dd of="$g_disk" bs=1 seek=5000 conv=notrunc status=none  # an empty disk would become a datastore
    g_status=0
    scripts/run.sh --icount-shift 3 --cpus 1 --vms 1 --vcpus 1 --memory 96 --host-memory "$2" --disk virtio0:0=1M --append role=none \
        --cmd "$job_head$3" --host-cmd "$host_head$4" --host-disk "$g_disk" --timeout "${TIMEOUT:-900}" --log "$out/$1.log" \
        --kernel-args "mem.swap.space=host:mpx.vmhba0:C0:T0:L0 mem.share=0 $5" >"$out/$1.txt" 2>&1 </dev/null || g_status=$?
    rm -f "$g_disk"
    [ $g_status -eq 0 ] || { echo "FAIL $1: status $g_status; see $out/$1.txt and .log"; exit 1; }
    tr -d '\r' <"$out/$1.txt" >"$out/$1.dat"
}
