# SPDX-License-Identifier: BSD-2-Clause
#
# disks.sh -- two IDE disks in Bochs, as on an old PC: bus-master DMA, and beside a CD-ROM.
#
# As in tests/qemu/disks.sh the boot option disktest= writes and reads both with requests waiting in
# line, and the images have to be equal and have the checksum the kernel read.
platform=bochs
. tests/lib.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
size=$((1 << 20)) # disktest-mb
out=$results/out-bochs-disks.txt

tar -cf "$work/none.tar" -T /dev/null
scripts/mkiso.sh "$work/orrery.iso" "$BUILD/metal/orrery.elf" "$work/none.tar" \
    "log=com2 disktest=3 disktest-mb=1 disktest-requests=20" quiet >"$work/iso.log" 2>&1 ||
    { echo "FAIL bochs disks: no ISO"; cat "$work/iso.log"; exit 1; }
for d in 1 2; do truncate -s $((16 * 63 * 40 * 512)) "$work/$d.img"; done
cat >"$work/bochsrc" <<BOCHS
config_interface: textconfig
display_library: rfb, options="timeout=0"
cpu: model=corei7_skylake_x, count=1, ips=50000000, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest=256, host=256
romimage: file=/usr/share/bochs/BIOS-bochs-latest, options=fastboot
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
pci: enabled=1, chipset=i440fx
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=$work/orrery.iso, status=inserted
ata0-slave: type=disk, path=$work/1.img, mode=flat, cylinders=40, heads=16, spt=63, model="BOCHS ONE"
ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15
ata1-master: type=disk, path=$work/2.img, mode=flat, cylinders=40, heads=16, spt=63, model="BOCHS TWO"
boot: cdrom
com2: enabled=1, mode=file, dev=$work/com2
log: $work/bochs.log
panic: action=fatal
error: action=ignore
info: action=report
debug: action=ignore
clock: sync=none, time0=946684800
BOCHS
printf 'c\nq\n' >"$work/rc"
for try in 1 2; do
    timeout 150 bochs-bin -q -f "$work/bochsrc" -rc "$work/rc" </dev/null >"$work/bochs.out" 2>&1
    [ $? = 139 ] || break # Bochs itself crashed, as it does now and then
    [ $try = 2 ] || rm -f "$work"/*.lock
done
tr -d '\r' <"$work/com2" >"$out"
sum=$(head -c $size "$work/1.img" | gzip -c | tail -c 8 | od -An -tx4 -N4 | tr -d ' ')
verdict 'bochs disks' 0 0 "$out" 'DiskTest: 2 disks, 0 failed' "BOCHS_ONE.*crc32 $sum: good" \
    "BOCHS_TWO.*crc32 $sum: good" 'path vmhba0:C0:T1:L0' 'path vmhba0:C1:T0:L0'
if cmp -n $size "$work/1.img" "$work/2.img" >/dev/null; then
    echo "PASS bochs disk images"
else
    echo "FAIL bochs disk images: they differ"
fi
