# SPDX-License-Identifier: BSD-2-Clause
#
# guests.sh -- every test guest on AMD-V: each is a whole machine that judges itself.
platform=qemu
. tests/lib.sh

for name in hello exceptions apic io msr memory mmio_nowhere triple; do
    guest $name .
done
guest smp 'cpus 1' --vcpus 1
guest smp 'cpus 2' --vcpus 2
guest smp 'cpus 4' --vcpus 4
guest smp 'cpus 8' --vcpus 8
