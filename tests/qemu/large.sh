# SPDX-License-Identifier: BSD-2-Clause
#
# large.sh -- a VM with more memory than fits below the hole at 3 GB: Debian's kernel finds all of it.
#
# The kernel's own tables lie at the top of memory, so that it boots is a test of pages above 4 GB too.
platform=qemu
. tests/lib.sh

linux '5 GB' 'dmesg | grep -i "hypervisor detected"
dmesg | grep "e820: .mem 0x0000000100000000-0x000000017fffffff. usable" || exit 1
awk "/MemTotal/ { print; exit !(\$2 > 5000000 && \$2 < 5242880) }" /proc/meminfo || exit 1
echo all of it' 0 'all of it' --memory 5120 --vcpus 1
