# SPDX-License-Identifier: BSD-2-Clause
#
# linux.sh -- Debian's kernel to a shell on AMD-V with 1, 2 and 4 vCPUs; status passes through.
platform=qemu
. tests/lib.sh

look='uname -sm; dmesg | grep -i "hypervisor detected"; echo "cpus $(nproc)"; exit 7'
linux '1 vcpu' "$look" 7 'cpus 1' --vcpus 1
linux '2 vcpus' "$look" 7 'cpus 2' --vcpus 2
linux '4 vcpus' "$look" 7 'cpus 4' --vcpus 4
linux '8 vcpus, no errors in dmesg' 'dmesg | grep -i "hypervisor detected"; echo "cpus $(nproc)"
dmesg -r | grep "^<[0-3]>" | grep -v -i "spectre\|retbleed" && exit 9; exit 7' 7 'cpus 8' --vcpus 8
linux 'status 0' 'dmesg | grep -i "hypervisor detected"; uname -r' 0 '^[0-9.]*-' --vcpus 1
