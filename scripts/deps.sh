#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# deps.sh -- install what the build needs, and fetch what it reads but does not ship.
#
# Every `make` calls this first, so it does nothing, quickly, when nothing is missing. What it
# fetches goes into a cache outside the tree, ${ORRERY_CACHE:-~/.cache/orrery}:
#
#   acpica/   ACPICA's core: Debian carries it inside the Linux source, package linux-source, under its
#             own licence (BSD or GPL). Of 130 MB the two folders with it are kept, as they are but for
#             one include of a Linux header
#   zlib/     the unpacked Debian source package zlib: the kernel's own inflate is built of it,
#             because the packaged libz.a uses vector registers
#   iscsi/  tgtd and tgtadm, built of Debian's source package tgt: an iSCSI target whose disk two emulated
#             hosts share. COMPARE AND WRITE, which it has, is put back into its table of commands
#   busybox-source/, posixtestsuite/
#             Debian source packages with tests that run as user worlds (tests/user/conformance.sh)
#   guest/    vmlinuz (Debian's cloud kernel), its disk drivers (modules/, in the order of
#             modules/order), its balloon driver and busybox (static), for guests
#
# The package sources are the machine's own: its configured Debian entries are copied into a
# private list that also names the source packages. Nothing of the system's apt set-up changes.
set -eu
[ "${1-}" != --help ] || exec sed -n '4,/^[^#]/s/^# \{0,1\}//p' "$0"

packages="check pkg-config clang clang-format clang-tidy cppcheck lcov gnuplot-nox
zlib1g-dev qemu-system-x86 ovmf bochs bochs-term bochsbios vgabios grub-common grub-pc-bin
grub-efi-amd64-bin xorriso mtools gdb cpio lz4 kmod dpkg-dev libunicorn-dev vmfs-tools qemu-utils libcjson-dev
qemu-user qemu-block-extra gdisk fdisk dosfstools musl-tools
babeltrace2 protobuf-compiler lttng-tools liblttng-ust-dev"
cache=${ORRERY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/orrery}
self=$(cksum <"$0" | cut -d' ' -f1)
stamp=$cache/deps.stamp

say() {
    echo "deps: $*" >&2
}

die() {
    say "$*"
    exit 1
}

missing_packages() {
    # shellcheck disable=SC2086  # a list of words
    dpkg-query -W -f '${Package} ${db:Status-Status}\n' $packages 2>/dev/null |
        awk -v want="$packages" '
            $2 == "installed" { have[$1] = 1 }
            END { n = split(want, w); for (i = 1; i <= n; i++) if (!(w[i] in have)) print w[i] }'
}

have_guest() {
    [ -f "$cache/guest/vmlinuz" ] && [ -f "$cache/guest/busybox" ] &&
        [ -f "$cache/guest/modules/order" ] && [ -f "$cache/guest/modules/vmw_balloon.ko" ]
}

have_zlib() {
    [ -f "$cache/zlib/inflate.c" ]
}

have_conformance() {
    [ -d "$cache/busybox-source/testsuite" ] && [ -d "$cache/posixtestsuite/conformance" ]
}

have_iscsi() {
    [ -x "$cache/iscsi/tgtd" ] && [ -x "$cache/iscsi/tgtadm" ]
}

have_acpica() {
    [ -f "$cache/acpica/include/acpi/acpi.h" ]
}

missing=$(missing_packages)
if [ -z "$missing" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$self" ] &&
    have_guest &&
    have_acpica && have_zlib && have_conformance; then
    exit 0
fi

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9  # two builds at once: one fetches, the other waits and then finds it done

if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null; then
    as_root=sudo
else
    as_root=
    [ -z "$missing" ] || die "need root (or sudo) to install: $(echo $missing)"
fi

missing=$(missing_packages)
if [ -n "$missing" ]; then
    command -v apt-get >/dev/null || die "no apt-get here; install by hand: $(echo $missing)"
    say "installing $(echo $missing)"
    log=$cache/apt.log
    {
        $as_root apt-get -o DPkg::Lock::Timeout=600 update &&
            $as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 \
                install -y --no-install-recommends $missing
    } >"$log" 2>&1 </dev/null || {
        tail -n 20 "$log" >&2
        die "apt-get failed; the whole log is $log"
    }
fi

# --- the private package list ----------------------------------------------------------------

work=$cache/work
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

private_lists() {
    rm -rf "$work"
    mkdir -p "$work/parts" "$work/lists/partial" "$work/archives/partial" "$work/get"
    for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -f "$list" ] || continue
        awk '$1 == "deb" && /\/debian/ { print; $1 = "deb-src"; print }' "$list"
    done >"$work/parts/lines.list"
    n=0
    for list in /etc/apt/sources.list.d/*.sources; do
        [ -f "$list" ] || continue
        n=$((n + 1))
        # One stanza a paragraph; only Debian's own archives, with binary and source packages.
        grep -v '^#' "$list" | awk 'BEGIN { RS = ""; ORS = "\n\n" }
            /[Ee]nabled: *no/ { next }
            /URIs:[^\n]*\/debian/ { sub(/Types:[^\n]*/, "Types: deb deb-src"); print }
        ' >"$work/parts/stanza$n.sources"
    done
    find "$work/parts" -size 0 -exec rm -f {} +
    [ -n "$(ls "$work/parts")" ] || die "no Debian entry in the machine's apt sources"
    chmod -R a+rX "$work"
    apt update || {
        tail -n 20 "$work/log" >&2
        die "could not read the package lists"
    }
}

apt() {
    (cd "$work/get" && apt-get -q -o Dir::Etc::sourcelist=/dev/null \
        -o Dir::Etc::sourceparts="$work/parts" -o Dir::State::lists="$work/lists" \
        -o Dir::Cache="$work" -o Dir::Cache::archives="$work/archives" \
        -o APT::Sandbox::User=root "$@") >>"$work/log" 2>&1 </dev/null
}

apt_cache() {
    (cd "$work/get" && apt-cache -o Dir::Etc::sourcelist=/dev/null \
        -o Dir::Etc::sourceparts="$work/parts" -o Dir::State::lists="$work/lists" \
        -o Dir::Cache="$work" "$@")
}

# A counter of what has come in so far, on a terminal, until it is killed.
watch_download() {
    while sleep 1; do
        printf '\rdeps: %s of about %s MB ' \
            "$(du -sm "$work/get" "$work/archives" | awk '{ n += $1 } END { print n }')" "$1" >&2
    done
}

fetch_acpica() {
    package=$(apt_cache depends linux-source | awk '/Depends: linux-source-/ { print $2; exit }')
    [ -n "$package" ] || die "no linux-source in the package lists"
    say "fetching ACPICA out of $package (some 135 MB, of which 2 MB are kept)"
    watcher=
    [ ! -t 2 ] || { watch_download 133 & watcher=$!; }
    apt download "$package" && got=yes || got=
    [ -z "$watcher" ] || { kill "$watcher" 2>/dev/null; echo >&2; }
    [ -n "$got" ] || {
        tail -n 20 "$work/log" >&2
        die "cannot download $package"
    }
    say "unpacking ACPICA"
    mkdir -p "$work/linux"
    dpkg-deb --fsys-tarfile "$work/get/$package"_*.deb |
        tar -xO --wildcards './usr/src/linux-source-*.tar.xz' |
        tar -xJ -C "$work/linux" --strip-components=1 --wildcards \
            'linux-source-*/drivers/acpi/acpica' 'linux-source-*/include/acpi' ||
        die "cannot unpack $package"
    rm -f "$work/get/$package"_*.deb
    part=$work/linux/drivers/acpi/acpica
    [ -f "$part/utxfinit.c" ] || die "$package has no drivers/acpi/acpica"
    # Linux's own headers beside ACPICA's are not under the dual licence; and the AML debugger, the
    # dumps and a printf are not for this kernel.
    find "$work/linux" -name '*.[ch]' -exec grep -L BSD-3-Clause {} + | xargs rm -f
    rm -f "$part"/db*.c "$part"/rsdump*.c "$part/utprint.c" "$part/Makefile"
    sed -i '/linux\/kmemleak.h/d' "$part/utobject.c"
    rm -rf "$cache/acpica"
    mkdir -p "$cache/acpica/include"
    mv "$part" "$cache/acpica/core"
    mv "$work/linux/include/acpi" "$cache/acpica/include/acpi"
}

# fetch_source PACKAGE FOLDER: the unpacked source package, in the cache.
fetch_source() {
    say "fetching the source of $1"
    apt --download-only source "$1" || {
        tail -n 20 "$work/log" >&2
        die "cannot download the source package $1; unpack it by hand into $cache/$2"
    }
    (cd "$work/get" && dpkg-source --no-check -x "$1"_*.dsc tree) >>"$work/log" 2>&1 ||
        die "cannot unpack $1; see $work/log"
    rm -rf "$cache/$2"
    mv "$work/get/tree" "$cache/$2"
}

# One thread per disk (tgtd -t 1) makes its COMPARE AND WRITE one step for all who ask.
fetch_iscsi() {
    fetch_source tgt iscsi
    (cd "$cache/iscsi/usr" &&
        sed -i '/\/\* {sbc_rw, NULL, PR_EA_FA|PR_EA_FN}, \*\//{N;s#.*#{sbc_rw, NULL, PR_EA_FA|PR_EA_FN},#;}' sbc.c &&
        cc -O1 -w -D_GNU_SOURCE -DUSE_SIGNALFD -DUSE_TIMERFD -I. -DTGT_VERSION='"1"' -DBSDIR='"/none"' -Wl,-E -o ../tgtd \
            iscsi/conn.c iscsi/param.c iscsi/session.c iscsi/iscsid.c iscsi/target.c iscsi/chap.c iscsi/sha1.c \
            iscsi/md5.c iscsi/transport.c iscsi/iscsi_tcp.c iscsi/isns.c tgtd.c mgmt.c target.c scsi.c log.c driver.c \
            util.c work.c concat_buf.c parser.c spc.c sbc.c mmc.c osd.c scc.c smc.c ssc.c libssc.c bs_rdwr.c bs_ssc.c \
            bs_null.c bs_sg.c bs.c libcrc32c.c bs_sheepdog.c -lpthread -ldl &&
        cc -O1 -w -D_GNU_SOURCE -I. -DTGT_VERSION='"1"' -o ../tgtadm tgtadm.c concat_buf.c) >>"$work/log" 2>&1 || {
        tail -n 20 "$work/log" >&2
        die "cannot build tgt"
    }
}

fetch_guest() {
    say "fetching a guest kernel and busybox"
    meta=$(apt_cache depends linux-image-cloud-amd64 |
        awk '/Depends: linux-image-/ { print $2; exit }')
    [ -n "$meta" ] || die "no linux-image-cloud-amd64 in the package lists"
    apt download "$meta" busybox-static || {
        tail -n 20 "$work/log" >&2
        die "cannot download $meta and busybox-static"
    }
    for deb in "$work"/get/linux-image-*.deb "$work"/get/busybox-static*.deb; do
        dpkg -x "$deb" "$work/root"
    done
    mkdir -p "$cache/guest"
    cp "$work"/root/boot/vmlinuz-* "$cache/guest/vmlinuz"
    cp "$work/root/bin/busybox" "$cache/guest/busybox"
    chmod a+r "$cache/guest/vmlinuz"
    fetch_modules
}

# What a guest needs to drive its disks, each after those it stands on.
fetch_modules() {
    version=$(ls "$work/root/lib/modules")
    depmod -b "$work/root" "$version" >>"$work/log" 2>&1 || die "depmod failed; see $work/log"
    rm -rf "$cache/guest/modules"
    mkdir "$cache/guest/modules"
    for module in vmw_pvscsi sd_mod virtio_pci virtio_blk; do
        modprobe -d "$work/root" -S "$version" --show-depends "$module" |
            awk '$1 == "insmod" { print $2 }'
    done | awk '!seen[$0]++' | while read -r file; do
        cp "$file" "$cache/guest/modules/"
        echo "${file##*/}"
    done >"$cache/guest/modules/order.new"
    # Loaded by the tests that want them.
    for module in vmw_vmci vmw_balloon; do
        find "$work/root/lib/modules" -name "$module.ko" -exec cp {} "$cache/guest/modules/" \;
    done
    [ -f "$cache/guest/modules/vmw_balloon.ko" ] || die "no vmw_balloon in $meta"
    [ -s "$cache/guest/modules/order.new" ] || die "no disk drivers in $meta"
    mv "$cache/guest/modules/order.new" "$cache/guest/modules/order"
}

need_acpica=
need_guest=
need_zlib=
need_conformance=
need_iscsi=
have_iscsi || need_iscsi=yes
have_zlib || need_zlib=yes
have_acpica || need_acpica=yes
have_guest || need_guest=yes
have_conformance || need_conformance=yes
if [ -n "$need_acpica$need_guest$need_zlib$need_conformance$need_iscsi" ]; then
    private_lists
    [ -z "$need_acpica" ] || fetch_acpica
    [ -z "$need_zlib" ] || fetch_source zlib zlib
    # One test needs it, nothing else.
    [ -z "$need_iscsi" ] || (fetch_iscsi) || say "no iSCSI target: tests/qemu/shared.sh is left out"
    [ -z "$need_conformance" ] || {
        fetch_source busybox busybox-source
        fetch_source posixtestsuite posixtestsuite
    }
    [ -z "$need_guest" ] || fetch_guest
fi
echo "$self" >"$stamp"
