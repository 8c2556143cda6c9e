# SPDX-License-Identifier: BSD-2-Clause
#
# control.sh -- the host's own commands beside a Debian guest: esxcli, esxtop, vm and a vmx.
#
# The test guest of tests/guest/rpc.c travels in the host's commands, packed. It is started by its
# .vmx file, watched and killed, while the guest that came with the boot modules runs on; in the end
# that one is killed too, by its world id.
platform=qemu
. tests/lib.sh

out=$results/out-qemu-control.txt
packed=$(objcopy --strip-all "$BUILD/guest/rpc.elf" "$BUILD/guest/rpc.stripped" &&
    gzip -9nc "$BUILD/guest/rpc.stripped" | base64 -w 0) || exit 1
commands=$(
    cat <<'COMMANDS'
mkdir -p /vms && cd /vms || exit 9
unpack() { base64 -d | gunzip >rpc.elf; }
vmx_file() {
    printf 'displayName = "%s"\nmemSize = "16"\norrery.kernel = "rpc.elf"\n' "$1"
    printf 'orrery.cmdline = "%s"\nserial0.fileType = "file"\nserial0.fileName = "%s.out"\n' "$2" "$1"
}
owned() { esxcli --formatter=csv hardware memory owners list | awk -F, '$2 == "guest" { print $3 }'; }
until_gone() {
    tries=100
    while esxcli vm process list | grep -q "^$1\$" && [ $tries -gt 0 ]; do
        usleep 100000
        tries=$((tries - 1))
    done
}
COMMANDS
    printf 'echo %s | unpack\n' "$packed"
    cat <<'COMMANDS'
vmx_file rpc reset >rpc.vmx
vmx_file stay stay >stay.vmx
echo "debian: $(esxcli vm process list | grep -c '^demo$')"
vmx rpc.vmx; echo "rpc ends $?"
tr -d '\r' <rpc.out; grep 'Calls\|Guest:\|exits' vmware.log
vm start stay.vmx; echo "start $?"
esxcli vm process list; vm list
esxtop -b -d 1 -n 2 >top.csv; echo "esxtop $?: $(wc -l <top.csv) lines"
awk -F'","' 'NR == 1 { for (i = 1; i <= NF; i++) if ($i ~ /:stay.*% Idle/) at = i; next }
    { gsub(/"/, "", $at); print "stay idles", ($at > 90 ? "much" : $at) }' top.csv
esxcli --formatter=csv sched memory list | awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
    $at["Name"] == "demo" { print "demo holds", ($at["Granted"] > 20 && $at["Size"] >= $at["Granted"] ? "what it may" : $0) }'
awk -F'","' 'NR == 1 { for (i = 1; i <= NF; i++) { if ($i ~ /:stay.*Memory Granted Size/) g = i
        if ($i ~ /:stay.*Memory Size/) s = i; if ($i ~ /Kernel State/) k = i; if ($i ~ /Free MBytes/ && !f) f = i } next }
    { gsub(/"/, "", $g); print "stay has", ($s + 0 == 16 && $g + 0 > 0 && $g + 0 <= 16 && $k + 0 == 0 && $f + 0 > 1 ? "its memory" : $s " " $g " " $k " " $f) }' top.csv
id=$(esxcli --formatter=csv sched memory list | awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
    $at["Name"] == "stay" { print $at["Id"] }')
esxcli sched memory set -i "$id" -s 77 -m 8; echo "memory set $?: $(awk -v id="$id" '$1 == id { print $2, $3 }' /proc/vmware/sched/mem)"
esxcli sched memory set -i "$id" -m 17 2>&1; esxcli sched memory get; vm info stay | grep Memory
world=$(vm list | awk '$3 == "stay" { print $1 }')
esxcli vm process kill -t hard -w "$world"; echo "kill $?"; until_gone stay
world=$(esxcli --formatter=csv vm process list | awk -F, 'NR > 1 { print $6; exit }')
echo "guest memory is $([ "$(owned)" -gt 1000 ] && echo held)"
esxcli vm process kill -t force -w "$world"; echo "kill the other $?"
tries=100
while [ "$(owned)" -gt 0 ] && [ $tries -gt 0 ]; do usleep 100000; tries=$((tries - 1)); done
echo "guest pages left: $(owned)"
esxcli system process list | head -n 4; esxcli hardware cpu list; esxcli hardware memory get
esxcli storage core adapter list; esxcli storage filesystem list
exit 7
COMMANDS
)
scripts/run.sh --platform "$platform" --host-cmd "$commands" --log "${out%.txt}.log" \
    --timeout 600 >"$out" 2>"${out%.txt}.err" </dev/null
verdict "qemu control" $? 7 "$out" '^debian: 1' '^rpc ends 0' '^PASS rpc' '^after the reset' \
    'Guest: hello from the guest' '^start 0' 'Display Name: stay' 'esxtop 0: 3 lines' \
    '^demo holds what it may' '^stay has its memory' '^memory set 0: 77 8' \
    'sched memory set: .* out of range' 'State: high' '^Memory target: ' \
    '^stay idles' '^kill 0' '^guest memory is held' '^kill the other 0' \
    '^guest pages left: 0' 'Physical Memory: '
