# SPDX-License-Identifier: BSD-2-Clause
#
# user.sh -- user worlds in the image: programs print what they print on this computer.
#
# A tardisk is made of Debian's static busybox, the script of tests/user and a static program of our
# own; process 1 is a script that runs them. The same files run here natively first.
platform=qemu
. tests/lib.sh

cache=${ORRERY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/orrery}
work=$(mktemp -d "${TMPDIR:-/tmp}/orrery-user.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root/bin" "$root/etc" "$root/home" "$work/modules"
cp "$cache/guest/busybox" "$root/bin/busybox"
for applet in $("$root/bin/busybox" --list); do
    [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
printf 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\n' >"$root/etc/group"
cp tests/user/busybox.sh "$root/home/"
${CC:-gcc} -std=gnu17 -O1 -static -o "$root/bin/threads" tests/user/threads.c -lpthread || exit 1
${CC:-gcc} -std=gnu17 -O1 -static -o "$root/bin/posix" tests/user/posix/*.c -lpthread || exit 1

# user NAME COMMAND STATUS SMP: the command's output, natively and as process 1, is the same.
user_machine='' user_options=''
user() {
    u_file=$results/out-qemu-user-$1
    rm -rf "$work/w"
    env -i PATH="$root/bin" HOME=/ TERM=linux HERE="$root/home" DIR="$work/w" \
        "$root/bin/sh" -c "$2" 2>/dev/null </dev/null | cat >"$u_file.native"
    printf '#!/bin/sh\nHERE=/home DIR=/tmp/w\n{ %s; } 2>/dev/null </dev/null | cat\n' "$2" \
        >"$root/home/init"
    chmod +x "$root/home/init"
    (cd "$root" && tar --format=ustar --owner=0 --group=0 -czf "$work/modules/root.tgz" .)
    (cd "$work/modules" && tar --format=ustar -cf ../modules.tar root.tgz)
    # shellcheck disable=SC2086  # several words
    timeout "${user_timeout:-900}" qemu-system-x86_64 -nodefaults -display none -no-reboot -M q35 \
        -cpu max -m 512 -smp "$4" -accel tcg,thread=multi -kernel "$BUILD/metal/orrery.elf" \
        -initrd "$work/modules.tar" -append "log=com2 init=/home/init $user_options" -serial stdio \
        -serial "file:$u_file.log" $user_machine </dev/null | tr -d '\r' >"$u_file.txt"
    u_status=$(sed -n 's/.*init ended, status \([0-9]*\).*/\1/p' "$u_file.log" | tr -d '\r')
    if ! cmp -s "$u_file.native" "$u_file.txt"; then
        echo "FAIL qemu user $1: differs from Linux:" \
            "$(diff "$u_file.native" "$u_file.txt" | sed -n 2p) (see $u_file.txt)"
        return 1
    fi
    verdict "qemu user $1 ($(wc -l <"$u_file.txt") lines)" "${u_status:-none}" "$3" "$u_file.txt" ''
}

# Programs that need more memory than the machine has: their pages go to a disk, and are right when they come back.
truncate -s 128M "$work/swap.img"
user_machine="-m 40 -drive if=none,id=swap,format=raw,file=$work/swap.img -device virtio-blk-pci,drive=swap"
user_options=mem.user-swap=host:mpx.vmhba0:C0:T0:L0
user swap 'for i in 1 2 3; do
    awk "BEGIN { for (i = 0; i < 150000; i++) a[i] = i * $i; system(\"sleep 2\")
        for (i = 0; i < 150000; i++) s += a[i]; print s }" >/tmp/s$i & done
wait; cat /tmp/s1 /tmp/s2 /tmp/s3' 0 2
user_machine='' user_options=''
check 'qemu user swap: pages went out and came back' grep -Eq \
    'User: [1-9][0-9]* pages of user worlds swapped out, [1-9][0-9]* in; .* 0 errors' \
    "$results/out-qemu-user-swap.log"

user threads threads 0 2
user posix 'mkdir -p /tmp/posix.$$; cd /tmp/posix.$$; posix' 0 2
user busybox 'sh $HERE/busybox.sh $DIR' 0 2
