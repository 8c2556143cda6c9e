#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# run.sh -- boot the image in an emulator, with a guest in it.
#
# Interactive: the machine's COM1 is the host's console, which is your terminal: the VMkernel's log, then
# the host shell, with the VMs beside it. Batch: COM1 is the guest's console (with --host-cmd: the
# terminal of those commands), its bytes come out on stdout as they are written, and the log goes to
# COM2, which is a file here. The status of the run is the guest's, from the log line "... ended, status
# N", or the host commands', from "host-cmd: ended, status N".
#
# --host-cmd: the commands travel as /etc/host-cmd in a tardisk of their own. /etc/init.d/console finds
# the file and runs it where it would else have started a login; process 1 itself has /dev/null.
set -eu

usage() {
    cat <<'HELP'
usage: scripts/run.sh [options]

  --batch            no terminal: print the guest's output, exit with its status
  --platform P       qemu (default; AMD-V), qemu-uefi (ISO under UEFI), bochs (VT-x)
  --cpus N           CPUs of the machine (in Bochs 1; in QEMU one more than a VM has, 3 at least for several VMs and for
                     the host shell alone, and no VM on the first; with --icount 2)
  --vcpus N          CPUs of the VM (2; with --guest 1)
  --vms N            that many such VMs at once; only the first has a console (1; 0 is for the host shell)
  --memory MB        memory of the VM (256; with --guest 64)
  --cmd 'COMMANDS'   run shell commands in the Linux guest, then end with their status
                     (implies --batch)
  --host-cmd 'COMMANDS'  run shell commands in the host shell, with the VMs beside it (--vms 0: none),
                     then switch the host off and end with their status (implies --batch)
  --guest ELF        instead of Linux: a Multiboot kernel, perhaps gzipped (implies --batch)
  --module 'FILE ARGS'  a module of that kernel and its string (may be given again)
  --disk UNIT=WHAT   a disk of the VM: UNIT is scsi0:0, virtio0:1, ...; WHAT is a size (64M, in
                     memory), a file of this computer (changes stay in memory), or a name as in
                     a .vmx file (may be given again)
  --host-memory MB   memory of the machine itself (QEMU; enough for the VMs)
  --host-disk FILE   a disk of the machine itself, raw; changes stay (QEMU only; may be given again)
                     or iscsi://ADDRESS:PORT/TARGET/LUN, behind virtio-scsi
  --firmware bios    start by SeaBIOS from the first disk instead of the kernel directly
  --append ARGS      the guest kernel's command line (for Linux: appended to it)
  --vmx LINE         a line more in the .vmx file of each VM; may be given several times
  --kernel-args ARGS more for the VMkernel's own command line
  --log FILE         keep the VMkernel's log there (batch)
  --timeout SECONDS  give up after that long; 0: never (batch: 120; in Bochs 600)
  --gdb              wait for a debugger; prints the port (QEMU only)
  --trace DIR        record the VMkernel and leave a CTF 1.8 trace in DIR (facts of the run: DIR/run/run.env)
  --trace-classes L  of sched,vm,mem,io,user,trace (all)
  --trace-mode M     stream: everything, as it happens (default); flight: each CPU's last records
  --trace-lossless   a CPU whose ring is full waits; without this it counts what it loses
  --trace-buffer KIB ring of each CPU (stream: 1024, flight: 256)
  --icount           one instruction is one nanosecond: repeatable (QEMU only)
  --icount-shift N   the same with 2^N nanoseconds, for long runs
  --help             this text

status: the guest's (of several VMs: the last that is not 0) or the host commands'; 124 time-out; 125 the VMkernel
        reported none, or not for every VM (its log is on stderr);
        3 the guest passed but the trace is not whole;
        2 bad usage. Interactive: Ctrl-a x leaves.
environment: BUILD (build), ORRERY_CACHE
HELP
}

die() {
    echo "run.sh: $*" >&2
    exit 2
}

here=$(cd "$(dirname "$0")" && pwd)
build=${BUILD:-$here/../build}
cache=${ORRERY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/orrery}
platform=qemu
vmx_lines='' batch='' cpus='' vcpus='' vms=1 memory='' commands='' has_commands='' host_commands='' has_host='' guest='' append='' extra='' modules='' module_count=0
log='' limit='' gdb='' icount=''
disks='' firmware='' host_disks='' machine_memory=''
trace='' trace_classes=all trace_mode=stream trace_lossless='' trace_buffer=''

# A module's file goes by a name of its own, so any path will do; its words follow that name.
module_add() {
    file=${1%% *} words=
    [ "$file" = "$1" ] || words=" ${1#* }"
    case $words in *,*) die "--module $1: no commas, please" ;; esac
    [ -r "$file" ] || die "cannot read $file"
    module_count=$((module_count + 1))
    modules="$modules${modules:+,}module$module_count$words"
    module_files="${module_files:-}$file
"
}

while [ $# -gt 0 ]; do
    case $1 in
    --platform | --cpus | --vcpus | --vms | --memory | --cmd | --host-cmd | --guest | --append | --module | \
        --disk | --host-disk | --host-memory | --firmware | --kernel-args | --log | --timeout | --icount-shift | \
        --trace | --trace-classes | --trace-mode | --trace-buffer | --vmx)
        [ $# -ge 2 ] || die "$1 needs a value"
        ;;
    esac
    case $1 in
    --batch) batch=yes ;;
    --platform) platform=$2 && shift ;;
    --cpus) cpus=$2 && shift ;;
    --vcpus) vcpus=$2 && shift ;;
    --vms) vms=$2 && shift ;;
    --memory) memory=$2 && shift ;;
    --cmd) commands=$2 has_commands=yes batch=yes && shift ;;
    --host-cmd) host_commands=$2 has_host=yes batch=yes && shift ;;
    --guest) guest=$2 batch=yes && shift ;;
    --append) append=$2 && shift ;;
    --module) module_add "$2" && shift ;;
    --disk) disks="$disks $2" && shift ;;
    --host-memory) machine_memory=$2 && shift ;;
    --host-disk) host_disks="$host_disks $2" && shift ;;
    --firmware) firmware=$2 && shift ;;
    --kernel-args) extra=$2 && shift ;;
    --log) log=$2 && shift ;;
    --timeout) limit=$2 && shift ;;
    --vmx) vmx_lines="$vmx_lines$2
" && shift ;;
    --gdb) gdb=yes ;;
    --icount) icount=0 ;;
    --icount-shift) icount=$2 && shift ;;
    --trace) trace=$2 && shift ;;
    --trace-classes) trace_classes=$2 && shift ;;
    --trace-mode) trace_mode=$2 && shift ;;
    --trace-lossless) trace_lossless=yes ;;
    --trace-buffer) trace_buffer=$2 && shift ;;
    --help | -h) usage && exit 0 ;;
    *) die "unknown option $1 (try --help)" ;;
    esac
    shift
done
for n in "$cpus" "$vcpus" "$vms" "$memory" "$limit" "$icount" "$trace_buffer" "$machine_memory"; do
    case $n in *[!0-9]*) die "not a number: $n" ;; esac
done
case $platform in
qemu | qemu-uefi) tool=qemu-system-x86_64 ;;
bochs) tool=bochs-bin ;;
*) die "no platform $platform: qemu, qemu-uefi or bochs" ;;
esac
command -v $tool >/dev/null || die "no $tool here; run scripts/deps.sh"
[ "$platform" != bochs ] || [ -z "$gdb$icount" ] || die "--gdb and --icount are for QEMU"
[ "$platform" != bochs ] || [ -z "$host_disks" ] || die "--host-disk is for QEMU"
[ "$platform" != bochs ] || [ -z "$machine_memory" ] || die "--host-memory is for QEMU"
for disk in $host_disks; do
    case $disk in iscsi://*) continue ;; esac
    [ -w "$disk" ] || die "--host-disk: cannot write $disk"
done
[ -z "$guest" ] || [ -z "$has_commands" ] || die "--cmd is for the Linux guest, not with --guest"
[ -n "$guest" ] || [ -z "$modules" ] || die "--module is for --guest"
[ -z "$guest" ] || [ -r "$guest" ] || die "cannot read $guest"
case $firmware in '' | bios) ;; *) die "no firmware $firmware: bios, or leave it out" ;; esac
case $trace_mode in stream | flight) ;; *) die "--trace-mode is stream or flight" ;; esac
if [ -n "$trace" ]; then
    mkdir -p "$trace" || die "cannot make $trace"
    [ -z "$(ls -A "$trace")" ] || die "$trace is not empty; give a new directory"
fi
kernel=$build/metal/orrery.elf
[ -r "$kernel" ] || die "no $kernel; run make image"

[ -n "$limit" ] || { [ -z "$batch" ] && limit=0; } ||
    { [ $platform = bochs ] && limit=600 || limit=120; }
[ -n "$memory" ] || { [ -n "$guest" ] && memory=64 || memory=256; }
[ "${vms:-0}" -le 16 ] || die "--vms is at most 16"
# QEMU 7.2 lets the other CPUs write into the virtualization state of the first (docs/caveats.md): what runs on it while they
# are busy breaks sooner or later. Unless the caller says how many CPUs there are, the first is the host's own.
affinity=
if [ -z "$cpus" ]; then
    if [ $platform = bochs ]; then
        cpus=1
    elif [ -n "$icount" ]; then
        cpus=2
    else
        [ -n "$guest" ] && cpus=$((${vcpus:-1} + 1)) || cpus=$((${vcpus:-2} + 1))
        [ "${vms:-0}" = 1 ] || [ $cpus -gt 3 ] || cpus=3
        affinity=$(((1 << cpus) - 2))
    fi
fi
[ "${vms:-0}" -ge 1 ] || [ -z "$batch" ] || [ -n "$has_host" ] || die "--vms 0 is for the host shell"

work=$(mktemp -d "${TMPDIR:-/tmp}/orrery-run.XXXXXX")
machine='' tail=''
cleanup() {
    trap - EXIT HUP INT TERM
    [ -z "$machine" ] || kill "$machine" 2>/dev/null || :
    [ -z "$tail" ] || kill "$tail" 2>/dev/null || :
    rm -rf "$work"
}
trap cleanup EXIT
trap 'cleanup; exit 130' INT
trap 'cleanup; exit 143' HUP TERM

# --- the modules: guest kernel, initramfs, .vmx ----------------------------------------------

mkdir "$work/modules"
bios=/usr/share/seabios/bios-256k.bin
# The host shell: there is none in a run that is only about guests.
if [ -z "$batch" ] || [ -n "$has_host" ]; then
    [ -r "$build/system.v00" ] || die "no $build/system.v00; run make image"
    cp "$build/system.v00" "$work/modules/system.v00"
    # For VMs that somebody starts there with firmware = "bios".
    [ ! -r "$bios" ] || ln -s "$bios" "$work/modules/bios-256k.bin"
fi
if [ -n "$has_host" ]; then
    printf '%s\n' "$host_commands" >"$work/host-cmd"
    "$here/tardisk.sh" --file "$work/modules/host-cmd.v01" "etc/host-cmd=$work/host-cmd"
fi
if [ "$vms" = 0 ]; then
    :
elif [ -n "$guest" ]; then
    if gzip -t "$guest" 2>/dev/null; then
        gzip -dc "$guest" >"$work/modules/guest.elf"
    else
        cp "$guest" "$work/modules/guest.elf"
    fi
    n=0
    printf '%s' "${module_files:-}" | while read -r file; do
        n=$((n + 1))
        cp "$file" "$work/modules/module$n"
    done
    cat >"$work/modules/guest.vmx" <<VMX
.encoding = "UTF-8"
config.version = "8"
virtualHW.version = "20"
displayName = "guest"
guestOS = "other-64"
memSize = "$memory"
numvcpus = "${vcpus:-1}"
serial0.present = "TRUE"
serial0.fileType = "device"
serial0.fileName = "com1"
orrery.kernel = "guest.elf"
orrery.cmdline = "$append"
orrery.initrd = "$modules"
VMX
else
    for file in "$cache/guest/vmlinuz" "$build/guest/initrd.gz"; do
        [ -r "$file" ] || die "no $file; run make image"
    done
    ln -s "$cache/guest/vmlinuz" "$work/modules/vmlinuz"
    cp "$build/guest/initrd.gz" "$work/modules/initrd.gz"
    quiet=
    if [ -n "$has_commands" ]; then
        printf '%s\n' "$commands" >"$work/cmd"
        "$here/guest-initramfs.sh" --overlay "$work/cmd.gz" "$work/cmd"
        cat "$work/cmd.gz" >>"$work/modules/initrd.gz"
        quiet=' quiet loglevel=1'
    fi
    awk -v memory="$memory" -v vcpus="$vcpus" -v more="$quiet${append:+ $append}" '
        /^memSize/ { $0 = "memSize = \"" memory "\"" }
        /^numvcpus/ && vcpus { $0 = "numvcpus = \"" vcpus "\"" }
        /^orrery.cmdline/ { sub(/"$/, more "\"") }
        { print }' "$here/demo.vmx" >"$work/modules/demo.vmx"
fi
# Disks: lines for the .vmx file, the module they come from, and what the guest needs to use them.
buses=
[ -z "$disks$firmware" ] || vmx=$(ls "$work"/modules/*.vmx)
for disk in $disks; do
    unit=${disk%%=*} what=${disk#*=}
    case $unit in
    scsi[0-9]*:[0-9]*) key=$unit ;;
    virtio[0-9]*:[0-9]*) key=orrery.$unit ;;
    *) die "--disk $disk: UNIT is scsi0:0, virtio0:1, ..." ;;
    esac
    if [ -f "$what" ]; then
        ln -s "$(cd "$(dirname "$what")" && pwd)/${what##*/}" "$work/modules/$unit.img"
        what=ramdisk:$unit.img
    elif expr "$what" : '[0-9]*[KMG]$' >/dev/null; then
        what=ramdisk:$what
    fi
    case " $buses " in
    *" ${key%:*} "*) ;;
    *)
        buses="$buses ${key%:*}"
        echo "${key%:*}.present = \"TRUE\""
        case $key in scsi*) echo "${key%:*}.virtualDev = \"pvscsi\"" ;; esac
        ;;
    esac
    echo "$key.present = \"TRUE\""
    echo "$key.deviceType = \"disk\""
    echo "$key.fileName = \"$what\""
done >"$work/disks"
[ -z "$disks" ] || cat "$work/disks" >>"$vmx"
if [ -n "$disks" ] && [ -z "$guest$firmware" ]; then
    "$here/guest-initramfs.sh" --disk "$work/disk.gz"
    cat "$work/disk.gz" >>"$work/modules/initrd.gz"
fi
if [ -n "$firmware" ]; then
    [ -r "$bios" ] || die "no $bios; run scripts/deps.sh"
    ln -sf "$bios" "$work/modules/bios-256k.bin"
    rm -f "$work/modules/vmlinuz" "$work/modules/initrd.gz"
    sed -i -e '/^orrery\.\(kernel\|initrd\|cmdline\)/d' "$vmx"
    echo 'firmware = "bios"' >>"$vmx"
fi
[ -z "$vmx_lines" ] || printf '%s' "$vmx_lines" | tee -a "$work"/modules/*.vmx >/dev/null
# The others are copies of the first with a name of their own and no serial port.
n=1
while [ "$n" -lt "$vms" ]; do
    n=$((n + 1))
    for file in "$work"/modules/guest.vmx "$work"/modules/demo.vmx; do
        [ ! -r "$file" ] || sed -e "s/^\(displayName = \".*\)\"/\\1$n\"/" \
            -e "s/^serial0.present = .*/serial0.present = \"FALSE\"/" \
            "$file" >"${file%.vmx}$n.vmx"
    done
done
(cd "$work/modules" && tar --format=ustar -chf ../modules.tar -- *)

arguments="${vcpus:+vcpus=$vcpus}"
[ -z "$batch" ] || arguments="$arguments log=screen,com2"
[ -z "$batch" ] || [ -n "$has_host" ] || arguments="$arguments batch"
[ -z "$has_host" ] || arguments="$arguments console=/dev/null"
[ -z "$affinity" ] || arguments="$arguments vm.affinity=$affinity"
[ -z "$trace" ] ||
    arguments="$arguments trace=$trace_classes trace.mode=$trace_mode trace.to=disk${trace_lossless:+ trace.lossless}${trace_buffer:+ trace.buffer=$trace_buffer}"
arguments=$(echo $arguments $extra)
[ -n "$log" ] || log=$work/log
: >"$log" || die "cannot write $log"

# --- QEMU ------------------------------------------------------------------------------------

run_qemu() {
    host_memory=$((1024 + (vms > 1 ? vms - 1 : 0) * (memory + 64)))
    [ "$memory" -le 512 ] || host_memory=$((vms * (memory + 64) + 512))
    [ -z "$machine_memory" ] || host_memory=$machine_memory
    set -- -nodefaults -display none -no-reboot -M q35 -cpu max -m $host_memory -smp "$cpus"
    if [ -n "$icount" ]; then
        set -- "$@" -accel tcg -icount shift="$icount",sleep=off
    else
        set -- "$@" -accel tcg,thread=multi
    fi
    if [ $platform = qemu-uefi ]; then
        [ -z "$batch" ] && mode= || mode=mark
        "$here/mkiso.sh" "$work/orrery.iso" "$kernel" "$work/modules.tar" "$arguments" $mode
        set -- "$@" -cdrom "$work/orrery.iso" \
            -drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE.fd
    else
        set -- "$@" -kernel "$kernel" -initrd "$work/modules.tar" -append "$arguments"
    fi
    n=0
    for disk in $host_disks; do
        n=$((n + 1))
        set -- "$@" -drive "if=none,id=hostdisk$n,format=raw,file=$disk"
        case $disk in
        # A LUN that other machines may have too: its commands go there as they are.
        iscsi://*) set -- "$@" -device virtio-scsi-pci,id=hostscsi$n -device scsi-block,bus=hostscsi$n.0,drive=hostdisk$n ;;
        *) set -- "$@" -device virtio-blk-pci,drive=hostdisk$n ;;
        esac
    done
    [ -z "$trace" ] || set -- "$@" -device piix3-ide,id=traceide \
        -drive if=none,id=trace,format=raw,cache=unsafe,file="$work/trace.img" \
        -device ide-hd,drive=trace,bus=traceide.1,model="ORRERY TRACE"
    if [ -n "$gdb" ]; then
        port=${GDB_PORT:-$((20000 + $(id -u) % 20000))}
        echo "run.sh: waiting for gdb: target remote 127.0.0.1:$port" >&2
        set -- "$@" -S -gdb "tcp:127.0.0.1:$port"
    fi
    if [ -z "$batch" ]; then
        [ "$limit" = 0 ] || set -- timeout --foreground "$limit" $tool "$@" -serial mon:stdio
        [ "$limit" != 0 ] || set -- $tool "$@" -serial mon:stdio
        "$@" && status=0 || status=$?
        return 0
    fi
    set -- timeout "$limit" $tool "$@" -serial stdio -serial "file:$log"
    if [ $platform = qemu-uefi ]; then
        { "$@" </dev/null && echo 0 >"$work/status" || echo $? >"$work/status"; } |
            LC_ALL=C sed -u '0,/ORRERY-START/{s/.*ORRERY-START//;t;d}'
        status=$(cat "$work/status")
    else
        "$@" </dev/null &
        machine=$!
        wait "$machine" && status=0 || status=$?
        machine=
    fi
}

# --- Bochs -----------------------------------------------------------------------------------

bochs_files() {
    trace_disk=
    [ -z "$trace" ] || trace_disk="ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15
ata1-master: type=disk, mode=flat, path=$work/trace.img, model=\"ORRERY TRACE\"
"
    guest_memory=$((512 + (vms > 1 ? vms - 1 : 0) * (memory + 64)))
    [ "$memory" -le 256 ] || guest_memory=$((vms * (memory + 64) + 256))
    cat >"$work/bochsrc" <<BOCHS
config_interface: textconfig
display_library: rfb, options="timeout=0"
cpu: model=corei7_skylake_x, count=$cpus, ips=50000000, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest=$guest_memory, host=512
romimage: file=/usr/share/bochs/BIOS-bochs-latest, options=fastboot
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
pci: enabled=1, chipset=i440fx
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=$work/orrery.iso, status=inserted
${trace_disk}boot: cdrom
$1
com2: enabled=1, mode=file, dev=$2
log: $work/bochs.log
panic: action=fatal
error: action=ignore
info: action=report
debug: action=ignore
clock: sync=none, time0=946684800
port_e9_hack: enabled=1
magic_break: enabled=1
BOCHS
    printf 'c\nr\nq\n' >"$work/rc"
    "$here/mkiso.sh" "$work/orrery.iso" "$kernel" "$work/modules.tar" "$arguments" "$3"
}

run_bochs() {
    if [ -z "$batch" ]; then
        ${CC:-cc} -O2 -o "$work/console" "$here/console.c" || die "cannot build console.c"
        bochs_files "com1: enabled=1, mode=term, dev=$work/tty" "$log" ''
        "$work/console" "$work/tty" "$work/bochs.out" "$limit" \
            bochs-bin -q -f "$work/bochsrc" -rc "$work/rc" && status=0 || status=$?
        [ $status != 1 ] || ! grep -q "soft power off" "$work/bochs.log" || status=0
        return 0
    fi
    bochs_files "com1: enabled=1, mode=file, dev=$work/com1" "$log" quiet
    for try in 1 2; do
        : >"$work/com1"
        : >"$log"
        timeout "$limit" bochs-bin -q -f "$work/bochsrc" -rc "$work/rc" \
            </dev/null >"$work/bochs.out" 2>&1 &
        machine=$!
        tail -c +1 -s 0.1 -f --pid="$machine" "$work/com1" &
        tail=$!
        wait "$machine" && status=0 || status=$?
        machine=
        wait "$tail" || :
        tail=
        [ $status = 139 ] || break  # Bochs itself crashed, as it does now and then
        [ $try = 2 ] || echo "run.sh: Bochs crashed; once more" >&2
    done
}

# --- the trace: a sparse disk that the image writes, taken apart afterwards -------------------

if [ -n "$trace" ]; then
    truncate -s 4G "$work/trace.img"
    ${CC:-cc} -O2 -I"$here/../src" -o "$work/trace-split" "$here/trace-split.c" ||
        die "cannot build trace-split.c"
fi

trace_end() {
    "$work/trace-split" "$work/trace.img" "$trace" && trace_status=0 || trace_status=$?
    [ $trace_status = 3 ] || {
        echo "platform=$platform"
        echo "kernel_arguments=$arguments"
        echo "git=$(git -C "$here" rev-parse HEAD 2>/dev/null || echo unknown)"
        echo "image=$(cksum <"$kernel")"
    } >>"$trace/run/run.env"
}

case $platform in
bochs) run_bochs ;;
*) run_qemu ;;
esac
[ -z "$trace" ] || trace_end
[ -n "$batch" ] || exit $status

# --- the verdict -----------------------------------------------------------------------------

verdict=$(LC_ALL=C tr -d '\r\0' <"$log" |
    sed -n 's/.*ended, status \([0-9][0-9]*\).*/\1/p' |
    awk -v vms="$vms" '$1 { bad = $1 } END { if (NR == vms) print bad + 0 }')
[ -z "$has_host" ] || verdict=$(LC_ALL=C tr -d '\r\0' <"$log" |
    sed -n 's/.*host-cmd: ended, status \([0-9][0-9]*\).*/\1/p' | tail -n 1)
if [ -n "$verdict" ]; then
    [ "$verdict" != 0 ] || [ -z "$trace" ] || [ "$trace_status" = 0 ] || exit 3
    exit "$verdict"
fi
{
    echo
    if [ $status = 124 ]; then
        echo "run.sh: no end after $limit seconds; the log's last lines:"
    else
        echo "run.sh: the VMkernel reported no status (emulator: $status); the log's last lines:"
    fi
    tail -n 40 "$log"
    if [ $platform = bochs ]; then
        echo "run.sh: Bochs' last words:"
        grep -a -E 'PANIC|exception' "$work/bochs.log" "$work/bochs.out" | tail -n 5 || :
    fi
} >&2
[ $status = 124 ] && exit 124
exit 125
