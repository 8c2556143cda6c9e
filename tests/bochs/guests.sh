# SPDX-License-Identifier: BSD-2-Clause
#
# guests.sh -- every test guest on VT-x, with the strict entry checks that Bochs makes.
platform=bochs
. tests/lib.sh

for name in hello exceptions apic lapic nmi io msr memory mmio_nowhere ring3 task_switch pae events system debug vectors triple; do
    guest $name .
done
guest pvscsi . --disk scsi0:0=1M
guest smp 'cpus 1' --vcpus 1
guest smp 'cpus 2' --vcpus 2
guest lapic . --vcpus 2
guest ioapic . --vcpus 2
guest reset 'start 8' --vcpus 2
guest clock "PIT: "
