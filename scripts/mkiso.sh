#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# mkiso.sh OUT KERNEL MODULES CMDLINE [quiet|mark] -- a bootable ISO for BIOS and UEFI.
#
# By default GRUB speaks on the serial line as well as the screen. `quiet` keeps it off the
# serial line; `mark` has it write the line ORRERY-START there just before the kernel starts,
# for firmware that writes to the serial line itself (UEFI does): what counts comes after.
set -eu
[ "${1-}" != --help ] || exec sed -n '4,/^[^#]/s/^# \{0,1\}//p' "$0"

if [ $# -lt 4 ] || [ $# -gt 5 ]; then
    echo "usage: mkiso.sh OUT KERNEL MODULES CMDLINE [quiet|mark]" >&2
    exit 2
fi
out=$1 kernel=$2 modules=$3 cmdline=$4 mode=${5:-}

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$tree/boot/grub"
cp "$kernel" "$tree/boot/orrery.elf"
cp "$modules" "$tree/boot/modules.tar"
{
    if [ "$mode" = mark ]; then
        echo "serial --unit=0 --speed=115200"
        echo "terminal_output serial"
    elif [ "$mode" != quiet ]; then
        # UEFI firmware copies its console to the serial line; a PC BIOS does not.
        echo "if [ \$grub_platform = pc ]; then"
        echo "    serial --unit=0 --speed=115200"
        echo "    terminal_input console serial"
        echo "    terminal_output console serial"
        echo fi
    fi
    echo 'set timeout=0'
    # Under UEFI the kernel draws on the framebuffer, under BIOS it writes VGA text.
    echo 'if [ $grub_platform = efi ]; then'
    echo '    insmod all_video'
    echo '    set gfxpayload=auto'
    echo else
    echo '    set gfxpayload=text'
    echo fi
    echo 'menuentry orrery {'
    echo "    multiboot2 /boot/orrery.elf $cmdline"
    echo '    module2 /boot/modules.tar modules.tar'
    if [ "$mode" = mark ]; then
        echo "    echo -n ORRERY-START"
    fi
    echo '    boot'
    echo '}'
} >"$tree/boot/grub/grub.cfg"
grub-mkrescue -o "$out.tmp.$$" "$tree" >"$tree.log" 2>&1 || {
    cat "$tree.log" >&2
    rm -f "$tree.log" "$out.tmp.$$"
    exit 1
}
rm -f "$tree.log"
mv "$out.tmp.$$" "$out"
