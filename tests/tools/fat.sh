# SPDX-License-Identifier: BSD-2-Clause
#
# fat.sh -- dosfstools and mtools, which we did not write, judge our FAT, and we read theirs.
. tests/lib.sh
PATH=$PATH:/usr/sbin:/sbin
scratch
case $BUILD in /*) tool=$BUILD/vmfs-tool ;; *) tool=$PWD/$BUILD/vmfs-tool ;; esac
cd "$dir" || exit 1
export MTOOLS_SKIP_CHECK=1 LC_ALL=C.UTF-8
# mtools stores what it cannot say in its code page by the long name alone.

# clean NAME IMAGE: fsck.fat finds nothing.
clean() {
    fsck.fat -n "$2" >fsck 2>&1 && pass "$1" || fail "$1" "fsck.fat: $(sed -n 2p fsck)"
}
# same NAME IMAGE PATH FILE: mtools and we read the file's bytes.
same() {
    mtype -i "$2" "::$3" 2>log | cmp -s - "$4" || { fail "$1" "mtools: $3 $(head -n 1 log)"; return; }
    "$tool" "$2" fat-cat "$3" 2>log | cmp -s - "$4" || { fail "$1" "vmfs-tool: $3 $(head -n 1 log)"; return; }
    pass "$1"
}

: >empty
echo hello >small
head -c 65536 /dev/urandom >even
head -c 1234567 /dev/urandom >odd
for kind in 12:8M 16:64M 32:600M 0:4G; do
    bits=${kind%:*} size=${kind#*:}
    img=$bits-$size.img
    name="fat$bits $size"
    "$tool" "$img" fat-mkfs -L SCRATCH -F "$bits" -s "$size" >log 2>&1 || fail "$name format" "$(cat log)"
    clean "$name fresh" "$img"
    [ "$bits" != 0 ] && fsck.fat -nv "$img" | grep -q "FATs, $bits bit entries" || [ "$bits" = 0 ] || fail "$name kind" "fsck.fat -v"
    "$tool" "$img" fat-mkdir 'A directory' && "$tool" "$img" fat-mkdir 'A directory/below'
    for f in empty small even odd; do
        "$tool" "$img" fat-cp $f ":A directory/below/file $f" >log 2>&1 || fail "$name copy $f" "$(cat log)"
    done
    same "$name file" "$img" 'A directory/below/file odd' odd
    same "$name small file" "$img" 'A directory/below/file small' small
    "$tool" "$img" fat-cp small ':grüße 漢字 😀.txt' && "$tool" "$img" fat-cp small ':README.TXT'
    "$tool" "$img" fat-cat 'GRÜSSE' >/dev/null 2>&1 && fail "$name names" 'a name that is not there'
    "$tool" "$img" fat-cat 'GRÜßE 漢字 😀.TXT' 2>log | cmp -s - small && pass "$name name in other case" || fail "$name name in other case" "$(cat log)"
    mdir -i "$img" -b :: 2>&1 | grep -q 'grüße' && pass "$name unicode, by mtools" || fail "$name unicode, by mtools" "$(mdir -i "$img" -b :: | tail -n 2 | tr '\n' ' ')"
    i=0
    while [ $i -lt 14 ]; do
        "$tool" "$img" fat-cp small ":A directory/collides with others $i.text" || break
        i=$((i + 1))
    done
    clean "$name after copies" "$img"
    mdir -i "$img" '::A directory' | awk '/COLLID~|COLLI~/ { print $1 $2 }' | sort | uniq -d | grep -q . &&
        fail "$name short names" "$(mdir -i "$img" '::A directory' | grep -m 1 COLL)"
    "$tool" "$img" fat-mv 'A directory/below/file odd' 'moved to the root' &&
        "$tool" "$img" fat-mv 'A directory/below' 'below' &&
        "$tool" "$img" fat-mv 'README.TXT' 'a much longer name than it had.text' &&
        "$tool" "$img" fat-cp even ':new' && "$tool" "$img" fat-mv new 'below/file small' || fail "$name renames" status
    same "$name moved file" "$img" 'moved to the root' odd
    same "$name replaced file" "$img" 'below/file small' even
    clean "$name after renames" "$img"
    "$tool" "$img" fat-rm 'A directory' 2>log && fail "$name directory that is not empty" removed
    i=0
    while [ $i -lt 14 ]; do
        "$tool" "$img" fat-rm "A directory/collides with others $i.text" || break
        i=$((i + 1))
    done
    "$tool" "$img" fat-rm 'A directory' && "$tool" "$img" fat-rm 'moved to the root' || fail "$name removals" status
    clean "$name after removals" "$img"
done

# Theirs: mkfs.fat of every kind, filled by mtools.
for kind in 12:2880 16:65536 32:1048576; do
    bits=${kind%:*} img=m$bits.img name="fat$bits of mkfs.fat"
    mkfs.fat -F "$bits" -n THEIRS -C "$img" "${kind#*:}" >log 2>&1 || fail "$name" "$(cat log)"
    mmd -i "$img" '::Their directory'
    i=0
    while [ $i -lt 300 ] && [ "$bits" != 12 ] || [ $i -lt 60 ]; do
        echo "file $i" >"a file of theirs $i.txt"
        i=$((i + 1))
    done
    mcopy -i "$img" 'a file of theirs '* '::Their directory/'
    mcopy -i "$img" odd ::ODD.BIN && mcopy -i "$img" small '::Ünïcödé nâme.txt'
    mdel -i "$img" '::Their directory/a file of theirs 7.txt'
    "$tool" "$img" fat-ls 'Their directory' >ls 2>log
    [ "$(grep -c 'a file of theirs' ls)" = $((i - 1)) ] && pass "$name, directory of $i" || fail "$name, directory of $i" "$(wc -l <ls) $(cat log)"
    "$tool" "$img" fat-cat 'Their directory/a file of theirs 33.txt' | cmp -s - 'a file of theirs 33.txt' &&
        "$tool" "$img" fat-cat 'odd.bin' | cmp -s - odd && "$tool" "$img" fat-cat 'Ünïcödé nâme.txt' | cmp -s - small &&
        pass "$name, contents" || fail "$name, contents" cmp
    "$tool" "$img" fat-df | grep -q "^THEIRS FAT$bits" || fail "$name label" "$("$tool" "$img" fat-df)"
    "$tool" "$img" fat-cp even ':Their directory/ours' >log 2>&1 && "$tool" "$img" fat-rm odd.bin && clean "$name, changed by us" "$img" ||
        fail "$name, changed by us" "$(cat log)"
    # Full: refused, nothing lost.
    while "$tool" "$img" fat-cp odd ":fill $((i += 1))" >log 2>&1; do [ $i -lt 1500 ] && [ "$bits" != 32 ] || break; done
    [ "$bits" = 32 ] || { grep -q 'full' log && clean "$name, full" "$img"; } || fail "$name, full" "$(cat log)"
    rm -f 'a file of theirs '*
done

# In a partition of a GPT.
"$tool" disk.img part-create -s 300M && "$tool" disk.img part-add basic-data 250M BOOTBANK1 >log
"$tool" disk.img@p1 fat-mkfs -F 16 -L BOOTBANK1 && "$tool" disk.img@p1 fat-cp odd :state.tgz
dd if=disk.img of=part.img bs=1M skip=1 count=250 status=none
clean "fat16 in a partition" part.img
same "fat16 in a partition, contents" part.img state.tgz odd
