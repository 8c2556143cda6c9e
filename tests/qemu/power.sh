# SPDX-License-Identifier: BSD-2-Clause
#
# power.sh -- reset and power-off by a test guest and by Debian; figures at the end.
platform=qemu
. tests/lib.sh

# in_log NAME LOG PATTERN...: the VMkernel's log has these.
in_log() {
    verdict "$1" 0 0 "$2" "$3" "$4" "$5" "$6"
}

guest reset 'start 8' --vcpus 2
in_log 'reset by cf9, by port 64; S5' "$results/out-qemu-resetvcpus2.log" 'reset: reset register' \
    'reset: keyboard controller' 'stopping: powered off by the guest' 'powering off'

# A word of video memory's hole tells the second boot from the first: RAM a reset leaves alone.
linux 'reboot and poweroff' 'dmesg | grep -i "hypervisor detected"
if [ "$(devmem 0xd0000 32)" = 0x0B007ED0 ]; then
    echo second boot, up $(cut -d. -f1 /proc/uptime) s
    stty -F /dev/console -echo
    poweroff -f
else
    devmem 0xd0000 32 0x0b007ed0
    echo first boot
    reboot -f
fi' 0 'second boot' --vcpus 2
