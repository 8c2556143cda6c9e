# SPDX-License-Identifier: BSD-2-Clause
#
# linux.sh -- Debian's kernel to a shell on VT-x with 1 and 2 vCPUs; status passes through.
platform=bochs
. tests/lib.sh
linux_timeout=900

look='uname -sm; dmesg | grep -i "hypervisor detected"; echo "cpus $(nproc)"; exit 7'
linux '1 vcpu' "$look" 7 'cpus 1' --vcpus 1
linux '2 vcpus' "$look" 7 'cpus 2' --vcpus 2
