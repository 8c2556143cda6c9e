# SPDX-License-Identifier: BSD-2-Clause
#
# guests.sh -- every test guest on AMD-V: each is a whole machine that judges itself.
platform=qemu
. tests/lib.sh

for name in hello exceptions apic lapic nmi io msr memory mmio_nowhere ring3 task_switch pae events system debug vectors triple; do
    guest $name .
done
guest pvscsi . --disk scsi0:0=1M
guest smp 'cpus 1' --vcpus 1
guest smp 'cpus 2' --vcpus 2
guest smp 'cpus 4' --vcpus 4
guest smp 'cpus 8' --vcpus 8
guest lapic . --vcpus 2
guest ioapic . --vcpus 2
guest nmi_barrier 'cpus 2' --vcpus 2

# A VM that does nothing but triple-fault is stopped after a while.
out=$results/out-qemu-triple-forever.txt
scripts/run.sh --batch --guest "$BUILD/guest/triple.elf" --append forever --log "${out%.txt}.log" \
    --timeout 300 >"$out" 2>&1 </dev/null
verdict 'triple faults without end' $? 1 "${out%.txt}.log" 'stopping: triple faults without end'
