# SPDX-License-Identifier: BSD-2-Clause
#
# platform.sh -- the machine under the VMkernel: topology as QEMU was told, power-off and reset by
# ACPI, the power button, and firmware whose AML is broken.
#
# Process 1 is a script in busybox. QEMU ends by itself only if S5 was really entered; the crude ways
# that follow a failed ACPI one leave a line "Power:" in the log, which no run may have.
platform=qemu
. tests/lib.sh

cache=${ORRERY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/orrery}
work=$(mktemp -d "${TMPDIR:-/tmp}/orrery-platform.XXXXXX")
trap 'rm -rf "$work"' EXIT
# A machine in the background is watched through its log, so that of an earlier run must be gone.
rm -f "$results"/out-qemu-platform-*
mkdir -p "$work/root/bin" "$work/modules"
cp "$cache/guest/busybox" "$work/root/bin/busybox"
for applet in sh poweroff reboot sleep; do ln -s busybox "$work/root/bin/$applet"; done

# machine NAME COMMAND [QEMU options]: boots with that as process 1; log and status for judge().
machine() {
    m_name=$1 m_log=$results/out-qemu-platform-$(echo "$1" | tr ' ' -).log
    printf '#!/bin/sh\n%s\n' "$2" >"$work/root/init"
    chmod +x "$work/root/init"
    shift 2
    (cd "$work/root" && tar --format=ustar --owner=0 --group=0 -czf "$work/modules/root.tgz" .)
    (cd "$work/modules" && tar --format=ustar -cf ../modules.tar root.tgz)
    : >"$m_log"
    timeout 400 qemu-system-x86_64 -nodefaults -display none -cpu max -accel tcg,thread=multi \
        -m 512 -kernel "$BUILD/metal/orrery.elf" -initrd "$work/modules.tar" \
        -append 'log=com2 init=/init' -serial null -serial "file:$m_log" "$@"
    m_status=$?
}

judge() {  # judge STATUS PATTERN...
    if grep -a -q 'Power: ' "$m_log"; then
        echo "FAIL platform $m_name: $(grep -a -m 1 'Power: ' "$m_log") (see $m_log)"
        return 1
    fi
    j_wanted=$1
    shift
    verdict "platform $m_name" "$m_status" "$j_wanted" "$m_log" "$@"
}

count() {  # count PATTERN: how many lines of the log have it
    grep -a -c "$1" "$m_log" 2>/dev/null || :
}

wait_for() {  # wait_for COUNT PATTERN: in the log, for five minutes
    w_tries=0
    while n=$(count "$2") && [ "${n:-0}" -lt "$1" ] && [ $w_tries -lt 1500 ]; do
        sleep 0.2
        w_tries=$((w_tries + 1))
    done
}

memory='-object memory-backend-ram,id=a,size=256M -object memory-backend-ram,id=b,size=256M'
# shellcheck disable=SC2086  # words
machine 'topology 2x2x2' 'poweroff -f' -no-reboot -M q35 -smp 8,sockets=2,cores=2,threads=2 $memory \
    -numa node,memdev=a,cpus=0-3 -numa node,memdev=b,cpus=4-7 </dev/null
judge 0 'topology: packages 2, caches 2, cores 4, CPUs 8, nodes 2' \
    'package 0, node 0, cache 0: CPUs (0 1)(2 3)' 'package 1, node 1, cache 1: CPUs (4 5)(6 7)' \
    'node of domain 1: 000010000000-000020000000' 'namespace loaded, S5 known'

# The caches' leaf and the packages' differ here, and ids have gaps.
machine 'topology 1x3' 'poweroff -f' -no-reboot -M pc -smp 3,sockets=1,cores=3,threads=1 </dev/null
judge 0 'topology: packages 1, caches 1, cores 3, CPUs 3, nodes 1' 'cache 0: CPUs (0)(1)(2)' \
    '1 PCI buses with an interrupt routing table'

for chipset in q35 pc; do
    machine "reset $chipset" 'reboot -f' -M $chipset </dev/null &
    m_log=$results/out-qemu-platform-reset-$chipset.log
    m_name="reset $chipset"
    wait_for 2 'Boot: Orrery'
    kill $! 2>/dev/null
    wait $! 2>/dev/null
    m_status=0
    [ "$(count 'Boot: Orrery')" -ge 2 ] || m_status='one boot only'
    judge 0 'Boot: Orrery'
done

mkfifo "$work/monitor"
machine 'power button' 'sleep 100' -M q35 -monitor stdio <"$work/monitor" >/dev/null &
m_log=$results/out-qemu-platform-power-button.log
m_name='power button'
exec 3>"$work/monitor"
wait_for 1 'CPUs up'
trap '' PIPE
n=0  # pressed until somebody is there to listen
while [ "$(count 'powering off')" = 0 ] && [ $n -lt 60 ] && echo system_powerdown >&3; do
    sleep 1
    n=$((n + 1))
done
exec 3>&-
wait $!
m_status=$?
judge 0 'ACPI: power button' 'Boot: powering off'

# A person at the machine itself: keys in, text with control sequences on the screen. The screen is what is
# in the memory of the VGA adapter, every second byte an attribute.
mkfifo "$work/keys"
machine 'keyboard and screen' 'printf "\033[2J\033[5;3H"; echo ready >/dev/kmsg; read word; echo "typed $word" >/dev/kmsg
printf "\033[7m[%s]\033[m" "$word"; echo shown >/dev/kmsg; read end; poweroff -f' \
    -M q35 -vga std -monitor stdio <"$work/keys" >/dev/null &
m_log=$results/out-qemu-platform-keyboard-and-screen.log
m_name='keyboard and screen'
exec 3>"$work/keys"
wait_for 1 'user: ready'
for key in shift-h a x backspace l l o shift-1 ret; do
    echo "sendkey $key" >&3
    sleep 0.3
done
wait_for 1 'user: shown'
sleep 1
echo "pmemsave 0xb8000 4000 \"$work/vga\"" >&3
for _ in $(seq 100); do
    [ "$(stat -c %s "$work/vga" 2>/dev/null)" = 4000 ] && break
    sleep 0.1
done
echo 'sendkey ret' >&3
exec 3>&-
wait $!
m_status=$?
judge 0 'Keyboard: PS/2' 'user: typed Hallo!'
fold() { od -An -v -tx1 -w2 -j$(((4 * 80 + 2) * 2)) -N320 "$work/vga" | awk '{ printf "%s ", $1 == "20" ? "." : $1 $2 }'; }
# In row 5 what was typed and echoed, in row 6 [Hallo!] in black on light grey (70).
fold >"$results/out-qemu-platform-screen.txt"
verdict 'platform screen' 0 0 "$results/out-qemu-platform-screen.txt" \
    '^4807 6107 6c07 6c07 6f07 2107 \.' '5b70 4870 6170 6c70 6c70 6f70 2170 5d70 \.'

# Garbage; a loop without end; a method that calls itself for ever; a region in no man's land.
printf '\240\377\021\000garbage that is no AML' >"$work/garbage"
printf '\242\002\001' >"$work/loop"
printf '\024\012RECU\000RECURECU' >"$work/recursion"
printf '\133\200BADM\000\016\000\000\377\377\377\377\377\177\013\000\001\133\201\013BADM\003FLDX\040\160FLDX\140' \
    >"$work/region"
machine 'broken AML' 'poweroff -f' -no-reboot -M q35 -acpitable "sig=SSDT,data=$work/garbage" \
    -acpitable "sig=SSDT,data=$work/loop" -acpitable "sig=SSDT,data=$work/recursion" \
    -acpitable "sig=SSDT,data=$work/region" </dev/null
judge 0 'ACPI: .*AML' 'namespace loaded, S5 known' 'powering off'
