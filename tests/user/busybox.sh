#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# busybox.sh -- several hundred busybox commands whose output must be the same here as on Linux.
#
# usage: busybox sh busybox.sh DIRECTORY   (PATH holds nothing but links to busybox)
#
# Run natively and as a user world by tests/qemu/user.sh; the outputs are compared byte by byte. So
# nothing may be printed that differs by nature: process numbers, times, inode numbers, addresses.
d=${1:?directory}
mkdir -p "$d" && cd "$d" || exit 1
umask 022
PS4='+ '
n=0
s() {
    n=$((n + 1))
    echo "== $n $*"
}

s echo and printf
echo plain
echo -n "no newline"; echo
echo -e 'tab\there\nand line'
printf '%d %x %o %c %s|%5s|%-5s|%05d\n' 42 255 8 A word ab ab 42
printf '%s\n' one two three
printf '%b\n' 'a\tb'
printf '%.3s|%10.2f\n' abcdef 3.14159

s variables and expansion
a=hello b='two words'
echo "$a $b ${#b} ${a%lo} ${a#he} ${a%%l*} ${a##*l} ${a:-x} ${none:-default} ${none:+set} ${a:+set}"
echo "${b% *}" "${b#* }" "${a:1:3}" "${a/l/L}" "${a//l/L}"
unset none; echo "${none-unset}" "${a-unset}"
: "${made:=assigned}"; echo "$made"
set -- x y 'z z'; echo $# "$1" "$3"; for i in "$@"; do echo "[$i]"; done; shift; echo "$*"
IFS=:; set -- a:b:c; for i in $1; do echo "<$i>"; done; unset IFS
echo $((1 + 2 * 3)) $((7 / 2)) $((7 % 3)) $((1 << 10)) $((0x1f)) $((010)) $((5 > 3)) $((~0)) $((3 ? 4 : 5))
x=5; echo $((x++ + ++x)) $x; echo $((x = x * 2, x - 1)) $x
echo {a,b} 'single $a' "double $a" \$a

s tests
[ -n "$a" ] && echo nonempty; [ -z "" ] && echo empty; [ 3 -lt 5 ] && echo less
[ abc = abc -a 1 -eq 1 ] && echo both; [ ! -e nothing ] && echo missing
[[ abc == a* ]] && echo glob || echo noglob
test -d . && echo dir; test -f . || echo notfile; test -x /bin/sh -o 1 -eq 2 && echo exe
case hello in h*o) echo case1 ;; *) echo case2 ;; esac
case x in [a-m]) echo low ;; [n-z]) echo high ;; esac

s loops and functions
for i in 1 2 3; do [ $i = 2 ] && continue; echo i$i; done
i=0; while [ $i -lt 3 ]; do echo w$i; i=$((i + 1)); done
until [ $i -eq 0 ]; do i=$((i - 1)); done; echo u$i
f() { local v=in; echo "f $1 $v"; return 3; }; v=out; f arg; echo $? $v
g() { [ "$1" -le 0 ] && { echo 0; return; }; echo $(($1 + $(g $(($1 - 1))))); }; g 10
fact() { if [ "$1" -le 1 ]; then echo 1; else echo $(($1 * $(fact $(($1 - 1))))); fi; }; fact 10
for i in $(seq 1 5); do for j in 1 2; do [ $j = 2 ] && break; echo $i.$j; done; done

s exit statuses
true; echo $?; false; echo $?; (exit 7); echo $?; ! true; echo $?; nosuchcommand 2>/dev/null; echo $?
sh -c 'exit 42'; echo $?; sh -c 'kill -9 $$'; echo $?; sh -c 'kill -TERM $$'; echo $?
touch noexec; ./noexec 2>/dev/null; echo $?; { false || true; } && echo ok
sh -c 'set -e; false; echo not reached'; echo $?
sh -c 'set -u; echo $undefinedvar' 2>/dev/null; echo $?

s redirection
echo one >f1; echo two >>f1; cat f1; cat <f1 | wc -l
cat >f2 <<EOF
here $a
  indented
EOF
cat f2
cat <<'EOF'
no $expansion
EOF
cat <<-EOF
	tabs gone
	EOF
{ echo out; echo err >&2; } >o 2>e; cat o e; { echo out; echo err >&2; } >both 2>&1; cat both
exec 3>f3; echo three >&3; exec 3>&-; cat f3; exec 4<f1; read l1 <&4; read l2 <&4; echo "$l1-$l2"; exec 4<&-
echo x >f4; echo y 1<>f4; cat f4; set -C; echo z >f4 2>/dev/null || echo noclobber; echo z >|f4; set +C; cat f4
: >empty; wc -c <empty; ls -s empty >/dev/null && echo listed

s pipes
echo abc | tr a-c A-C | rev | cat
seq 1 100 | head -n 5 | tail -n 2; seq 1 20 | sed -n '5,7p'; seq 10 | wc
yes | head -n 3; yes no | head -n 2; seq 1 1000 | tail -n 1
echo 'a b c' | { read p q r; echo "$r $q $p"; }
(echo sub; exit 3) | cat; echo $?; false | true; echo $?; set -o pipefail; false | true; echo $?; set +o pipefail
dd if=/dev/zero bs=1k count=300 2>/dev/null | wc -c; dd if=/dev/zero bs=100k count=3 2>/dev/null | md5sum
cat /dev/null | wc -c; head -c 100000 /dev/zero | tr '\0' x | fold -w 1000 | wc -l
seq 1 5000 | awk '{ s += $1 } END { print s }'
echo start | (read x; echo "got $x"; echo more) | (read y; read z; echo "$y/$z")

s command substitution
echo "$(echo nested $(echo deep))"; x=`echo back`; echo $x; echo "$(printf 'a\n\n\n')end"
echo $(seq 1 5); echo "lines: $(seq 1 3 | wc -l)"; y=$(false) || echo failed; echo "$(cd / && pwd)"

s background and wait
sleep 0.1 & wait $!; echo $?; (exit 9) & wait $!; echo $?; { sleep 0.2; echo late; } & { echo early; }; wait; echo all
for i in 1 2 3 4; do (sleep 0.0$i; echo $i >>bg) & done; wait; sort bg | tr '\n' ' '; echo
sleep 100 & kill $!; wait $! 2>/dev/null; echo $?; sleep 100 & kill -9 $!; wait $! 2>/dev/null; echo $?
(trap 'echo trapped; exit 5' TERM; sleep 5 & wait) & p=$!; sleep 0.3; kill $p; wait $p; echo $?

s traps and signals
sh -c 'trap "echo bye" EXIT; echo work'; sh -c 'trap "echo int" INT; kill -INT $$; echo after'
sh -c 'trap "" TERM; kill -TERM $$; echo ignored'; sh -c 'trap "echo usr" USR1; for i in 1 2; do kill -USR1 $$; done'
sh -c 'trap "echo hup; exit 4" HUP; kill -HUP $$; sleep 1'; echo $?
sh -c 'trap "echo t" ALRM; kill -ALRM $$; echo s'; sh -c 'kill -SEGV $$'; echo $?; sh -c 'kill -PIPE $$'; echo $?
kill -l TERM; kill -l 9; kill -0 $$ && echo alive; kill -0 999999 2>/dev/null || echo nobody
timeout 0.2 sleep 5; echo $?; timeout 5 true; echo $?; timeout -s KILL 0.2 sleep 5; echo $?
sh -c 'yes | head -n 1; echo ${PIPESTATUS:-}' | head -n 1

s files and directories
mkdir -p a/b/c; touch a/f a/b/g a/b/c/h; find a | sort; ls a; ls -1 a/b; ls -d a; ls -R a
mv a/f a/moved; ls a; cp a/moved a/copy; cp -r a a2; find a2 | sort; rm -r a2; ls -d a2 2>/dev/null || echo gone
ln -s moved a/link; readlink a/link; ls -l a/link | cut -c1-10; cat a/link; readlink -f a/link | sed "s|$PWD|.|"
ln a/copy a/hard; stat -c '%h %s %F' a/copy; echo data >a/copy; cat a/hard; rm a/copy; stat -c '%h' a/hard; cat a/hard
ln -s nowhere a/dangling; [ -L a/dangling ] && echo islink; [ -e a/dangling ] || echo broken; cat a/dangling 2>/dev/null || echo cannot
mkdir a/d; rmdir a/d; rmdir a 2>/dev/null || echo notempty; mkdir a 2>/dev/null || echo exists
chmod 640 a/hard; stat -c '%a %A' a/hard; chmod u+x,g-r,o=r a/hard; stat -c '%a' a/hard; chmod 755 a/hard; ls -l a/hard | cut -c1-10
umask; umask 077; touch priv; stat -c %a priv; umask 022; touch pub; stat -c %a pub; mkdir -m 700 pd; stat -c %a pd
touch -d '2001-02-03 04:05:06' old; stat -c %Y old; date -r old -u +%Y-%m-%d; touch -r old same; [ old -nt same ] || echo notnewer; [ pub -nt old ] && echo newer
dd if=/dev/zero of=sparse bs=1 count=1 seek=100000 2>/dev/null; stat -c %s sparse; truncate -s 10 sparse; stat -c %s sparse; truncate -s 5000 sparse; wc -c <sparse
basename /x/y/z.c .c; dirname /x/y/z; pwd | sed "s|.*/||"; cd a/b; pwd | sed 's|.*/a|a|'; cd ..; cd ..; cd - >/dev/null; pwd | sed 's|.*/a|a|'; cd ..
mktemp -d tmpXXXXXX | wc -c; df . >/dev/null && echo df; du -s a >/dev/null && echo du; test -w . && echo writable
cp -p old kept; stat -c %Y kept; rm -f nonexistent; echo $?; rm nonexistent 2>/dev/null; echo $?
mkfifo ff; (echo through fifo >ff) & cat ff; wait; [ -p ff ] && echo fifo; rm ff; mknod null2 c 1 3; echo x >null2; [ -c null2 ] && echo char
exec 5<a/hard; rm a/hard; cat <&5; exec 5<&-; mkdir -p r1/x r2; mv r1/x r2/; ls r2; mv r2/x r2/y; ls r2; mv r2 r1/; find r1 | sort

s links and rename rules
mkdir q; cd q; echo 1 >one; echo 2 >two; mv one two; cat two; ls; mkdir sub; mv two sub; ls sub; mkdir -p e1 e2/full; mv e1 e2/full/; ls e2/full; ln -s . self; ls self/self/self | head -n 1
ln -s loop1 loop2; ln -s loop2 loop1; cat loop1 2>&1 | sed 's/.*: //'; cd ..

s text tools
printf 'banana\napple\ncherry\napple\n' >fruit; sort fruit; sort -u fruit; sort -r fruit; sort fruit | uniq -c; sort fruit | uniq -d; wc fruit
printf '10\n9\n100\n1\n' | sort -n; printf '10\n9\n100\n1\n' | sort; printf 'b 2\na 3\nc 1\n' | sort -k2 -n
grep apple fruit; grep -c apple fruit; grep -n e fruit; grep -v apple fruit; grep -i CHERRY fruit; grep -E 'an|ch' fruit; grep -o 'an' fruit; grep -q zzz fruit || echo none; grep -l apple fruit; grep -w app fruit || echo noword; echo 'a.c' | grep -F .
sed 's/a/A/' fruit; sed 's/a/A/g' fruit; sed -n '/apple/p' fruit; sed '2d' fruit; sed -e '1i first' -e '$a last' fruit; sed 's/\(.\)\(.\)/\2\1/' fruit; sed -n '2,3p' fruit; sed '/banana/,/cherry/d' fruit; echo abc | sed 'y/abc/xyz/'; sed = fruit | head -n 4; cp fruit fr2; sed -i 's/apple/pear/' fr2; cat fr2; echo aXbXc | sed 's/X/\n/g'; seq 3 | sed -n '$='; printf 'a\nb\n' | sed 'N;s/\n/-/'; seq 1 6 | sed -n '0~2p'
cut -c1-3 fruit; echo a:b:c | cut -d: -f2; echo a:b:c:d | cut -d: -f1,3-; paste -d, fruit fruit | head -n 2; tr -d an <fruit; echo aabbcc | tr -s b; echo hello | tr '[:lower:]' '[:upper:]'; tac fruit; rev fruit; nl fruit; fold -w 3 fruit; expand <<EOT
	x
EOT
head -n 1 fruit; tail -n 1 fruit; head -c 4 fruit; echo; tail -c 4 fruit; tail -n +3 fruit; split -l 2 fruit part; ls part*; cat partab; cmp fruit fr2; diff fruit fr2; comm -12 fruit fr2 2>/dev/null; od -c fruit | head -n 2; od -An -tx1 fruit | head -n 1; hexdump -C fruit | head -n 2; xxd fruit | head -n 1; strings fruit | head -n 1
cksum fruit; md5sum fruit; sha1sum fruit; sha256sum fruit; sha512sum fruit; crc32 fruit 2>/dev/null; base64 fruit; base64 fruit | base64 -d | cmp - fruit && echo same; sum fruit; uuencode fruit x | head -n 2
echo 'one two three' | xargs -n 1 echo item; seq 1 10 | xargs; seq 1 6 | xargs -n 2 echo; printf 'a b\0c\0' | xargs -0 -n 1 echo; find a -type f | sort | xargs ls; seq 3 | tee t1 t2 | wc -l; cat t1 t2 | wc -l; seq -s, 5; seq 10 -3 1; seq -w 8 11; expr 3 + 4; expr abc : 'a\(.\)'; expr length hello; factor 360; echo 'scale=3; 10/3; 2^64; sqrt(2)' | bc 2>/dev/null; echo '5 3 + p' | dc 2>/dev/null
shuf -i 1-5 | sort | tr '\n' ' '; echo; tsort <<EOT
a b
b c
EOT
unexpand -a <<EOT
        eight
EOT
dos2unix <<EOT
line
EOT

s awk
awk 'BEGIN { print 1 + 1, "x" "y", length("hello"), substr("abcdef", 2, 3), index("hello", "l") }'
awk '{ print NR ": " $1 }' fruit; awk -F: '{ print $2 }' <<EOT
a:b:c
d:e:f
EOT
awk '{ c[$1]++ } END { for (k in c) print k, c[k] }' fruit | sort; awk '/apple/ { n++ } END { print n }' fruit
awk 'BEGIN { for (i = 0; i < 5; i++) s = s i; print s; while (j < 3) j++; print j; do k--; while (k > -3); print k }'
awk 'BEGIN { printf "%5.2f|%-8s|%03d|%x|%e\n", 3.14159, "left", 7, 255, 12345.678 }'
awk 'function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2) } BEGIN { print fib(15) }'
awk 'BEGIN { s = "a,b,c"; n = split(s, p, ","); print n, p[1], p[3]; gsub(/,/, ";", s); print s; sub(/a/, "A", s); print s; print toupper("abc") tolower("DEF"); if (match("foobar", /o+/)) print RSTART, RLENGTH }'
awk 'BEGIN { "echo piped" | getline x; print x; print "to sort" | "cat"; close("cat"); while (("seq 3" | getline l) > 0) t += l; print t; exit 3 }'; echo $?
awk -v v=10 'BEGIN { print v * 2, sin(0), cos(0), exp(0), int(3.9), sqrt(16), 2 ^ 10, 17 % 5 }'; printf '1 2\n3 4\n' | awk '{ $2 = "x"; print; print NF }'; echo 'a b c' | awk '{ print $NF, $(NF - 1) }'
awk 'BEGIN { RS = ";" } { print NR, $0 }' <<EOT
one;two;three
EOT
awk 'BEGIN { while (i++ < 20000) s += i; print s }'; awk 'BEGIN { a["x"] = 1; delete a["x"]; print length(a), ("x" in a) }'

s find
mkdir -p fd/x/y fd/z; echo 12345 >fd/x/s5; : >fd/z/e; echo hi >fd/x/y/h.txt; chmod 600 fd/z/e; ln -s x fd/lnk
find fd -type f | sort; find fd -type d | sort; find fd -name '*.txt'; find fd -size -3c -type f | sort; find fd -empty | sort; find fd -type l; find fd -maxdepth 1 | sort; find fd -mindepth 2 -type f | sort; find fd -perm 600; find fd -name 's*' -exec cat {} \;; find fd -type f -exec echo {} + | tr ' ' '\n' | sort; find fd -name y -prune -o -type f -print | sort; find fd -newer old -type f | sort; find fd \( -name e -o -name s5 \) -print | sort; find fd -type f ! -name e | sort; find fd -depth | tail -n 1; find fd -path '*x/y*' | sort; find fd -type f -delete; find fd -type f | wc -l

s archives
mkdir -p ar/d; seq 1 1000 >ar/nums; echo text >ar/d/t; ln -s nums ar/l; ln ar/nums ar/h; chmod 751 ar/d
tar cf ar.tar ar; tar tf ar.tar | sort; mkdir ex; tar xf ar.tar -C ex; find ex | sort; cmp ar/nums ex/ar/nums && echo equal; stat -c '%a %h' ex/ar/d ex/ar/nums; readlink ex/ar/l
tar czf ar.tgz ar; rm -r ex; mkdir ex; tar xzf ar.tgz -C ex; cat ex/ar/d/t; tar xzOf ar.tgz ar/d/t; gzip -c ar/nums >n.gz; gunzip -c n.gz | md5sum; gzip -t n.gz && echo intact; cp ar/nums n; gzip -f n; ls n.gz; gunzip -f n.gz; wc -l n; zcat ar.tgz | tar tf - | wc -l; bzip2 -c n 2>/dev/null | bunzip2 -c | cmp - n && echo bz; xz -dc </dev/null 2>/dev/null; (cd ar; find . | sort | cpio -o -H newc 2>/dev/null) >ar.cpio; mkdir cx; (cd cx; cpio -id 2>/dev/null <../ar.cpio); find cx | sort; tar cf - -C ar . | tar xf - -C cx && echo piped; head -c 200 ar.tgz >bad.tgz; tar tzf bad.tgz >/dev/null 2>&1 || echo damaged; unzip 2>/dev/null </dev/null; ar 2>/dev/null; echo x

s dd and devices
dd if=/dev/zero of=z bs=512 count=8 2>/dev/null; stat -c %s z; dd if=z bs=1k skip=1 count=1 2>/dev/null | wc -c; echo abcdef | dd bs=1 skip=2 count=3 2>/dev/null; echo; echo XY | dd of=z bs=1 seek=10 conv=notrunc 2>/dev/null; od -An -c -j 8 -N 6 z; dd if=/dev/urandom bs=64 count=2 2>/dev/null | wc -c; echo lower | dd conv=ucase 2>/dev/null; dd if=/dev/full of=/dev/null bs=1 count=1 2>/dev/null && echo readable; echo x 2>/dev/null >/dev/full || echo full; head -c 5 /dev/zero | od -An -tx1; [ -c /dev/null ] && echo chardev; echo discarded >/dev/null; cat </dev/null

s environment
env -i A=1 sh -c 'echo $A ${PATH:+path}'; A=2 sh -c 'echo $A'; export E=exported; sh -c 'echo $E'; env | grep '^E='; unset E; env | grep -c '^E='; sh -c 'echo $0 $1 $#' name arg; readonly RO=1; (RO=2) 2>/dev/null || echo readonly; eval 'ev=evaluated; echo $ev'; . /dev/stdin <<'EOT'
sourced=yes
EOT
echo $sourced; alias ll='ls -d'; type cd | head -n 1; command -v echo; hash -r; getopts ab: o -a -b val; echo $o; set -- -x -y arg file; while getopts xy: o; do echo "$o:$OPTARG"; done; echo $OPTIND; times >/dev/null && echo times; ulimit -n >/dev/null && echo ulimit; (ulimit -n 20; ulimit -n); (ulimit -f 1; dd if=/dev/zero of=big bs=1k count=4 2>/dev/null; echo $?)

s users and permissions
id -u; id -un; whoami; touch owned; chown 1000:100 owned; stat -c '%u %g' owned; chgrp 5 owned; stat -c %g owned; chmod 4755 owned; stat -c %a owned; chown 1 owned; stat -c %a owned; id -g; groups >/dev/null; test -O owned || echo notmine; su -s /bin/sh nobody -c 'id -un' 2>/dev/null | head -n 0

s arithmetic loops
i=0; t=0; while [ $i -lt 500 ]; do t=$((t + i * i)); i=$((i + 1)); done; echo $t; p=; for n1 in 2 3 5 7 11 13; do p="$p $((n1 * n1))"; done; echo $p
primes=; for c in $(seq 2 60); do q=1; for k in $(seq 2 7); do [ $k -lt $c ] && [ $((c % k)) = 0 ] && q=0; done; [ $q = 1 ] && primes="$primes $c"; done; echo $primes

s many processes
i=0; while [ $i -lt 60 ]; do /bin/true 2>/dev/null || true; i=$((i + 1)); done; echo $i; for i in 1 2 3 4 5 6 7 8; do (echo $i) & done | sort | tr '\n' ' '; wait; echo; seq 1 30 | while read l; do echo $l | cat; done | wc -l; echo deep | cat | cat | cat | cat | cat | cat | cat | cat | cat | cat; seq 20 | xargs -n 1 -P 4 echo | sort -n | tr '\n' ' '; echo

s here and there
cat <<A; cat <<B
first
A
second
B
echo "a
b" | wc -l; echo a\
b; echo 'it'"'"'s'; echo "tick \`x\` dollar \$x"; x='a  b'; echo $x; echo "$x"; y="a*"; echo "$y"; echo [[:alpha:]]* | wc -w >/dev/null; cd fd; touch 1.x 2.x 3.y; echo *.x; echo ?.y; echo [12].*; echo *.none; cd ..; echo done$(:)

s read and select
printf 'l1\nl2 with words\n\\back\n' | while read -r l; do echo "<$l>"; done; printf 'a:b' | { IFS=: read m o; echo "$m $o"; }; echo 'x y z' | { read one rest; echo "$rest"; }; read -t 0 </dev/null; echo $?; printf abc | { read -n 2 z; echo $z; }; printf 'no newline' | { read l; echo "$? $l"; }

s job control off and subshells
(cd /; pwd); pwd | sed 's|.*/||' | wc -l; (x=inner; echo $x); echo ${x:-outer}; { x=group; }; echo $x; (trap 'echo subexit' EXIT; true); v=$(echo one; echo two >&2) 2>/dev/null; echo $v; f1() (x=subshell; echo $x); f1; echo $x; set -- a b; (set -- c; echo $1); echo $1; exec 6>&1; echo six >&6; exec 6>&-; nohup echo hup 2>/dev/null | cat; time -f '' true 2>/dev/null; setsid echo setsid; chroot / echo chrooted; env echo env; usleep 1000; echo end

s dates
date -u -d @0 +%Y-%m-%dT%H:%M:%S; date -u -d @1000000000 '+%s %j %a %b'; date -u -d '2020-02-29 12:00:00' +%s; cal 2 2000 | head -n 4; TZ=UTC date -d @86400 +%d; [ $(date +%s) -gt 1000000000 ] && echo now

s vi less ed
printf 'ia line\033:wq\n' | vi -e newfile >/dev/null 2>&1; printf '1,$s/a/b/\nw\nq\n' | ed fruit >/dev/null 2>&1; head -n 1 fruit; patch --help >/dev/null 2>&1; diff -u fr2 fruit | sed '1,2d' | head -n 4; less fruit | head -n 1; more fruit | head -n 1

s bc; echo 'scale=20; 4*a(1); e(1); 2^100; sqrt(2); x=5; while (x>0) { x; x=x-1 }' | bc -l; echo 'obase=16; 255; ibase=2; 1010' | bc; echo 'define f(n) { if (n<2) return 1; return n*f(n-1) } f(25)' | bc
s cpio; mkdir -p c/d; echo one >c/1; echo two >c/d/2; ln c/1 c/h; ln -s 1 c/l; find c | sort | cpio -o -H newc 2>/dev/null >c.cpio; mkdir cx; (cd cx; cpio -idm <../c.cpio 2>/dev/null; find . | sort; cat c/d/2; readlink c/l; stat -c %h c/1); cpio -t <c.cpio 2>/dev/null | sort
s patch; seq 10 >p1; sed 's/5/five/; 8d' p1 >p2; diff -u p1 p2 | sed 's/\t.*//' | tee pd; cp p1 p3; patch p3 <pd; cmp p3 p2 && echo same; patch -R p3 <pd; cmp p3 p1 && echo back
s paste; printf 'a\nb\nd\n' >s1; printf 'b\nc\nd\n' >s2; paste s1 s2; paste -s s1; paste -d: s1 s2 s1
s fold; echo 'the quick brown fox jumps over the lazy dog' | fold -s -w 12; printf '\ta\tb\n' | expand -t 4 | od -c | head -n 3; printf '        a       b\n' | unexpand -a | od -c | head -n 2; printf 'aaa\n\n\nbbb\n' | cat -s; printf 'a\tb\001\n' | cat -A; printf 'x\ny\n' | cat -n; nl -b a s1
s uuencode; uuencode s1 name; uuencode -m s1 name; uuencode s1 out.u | uudecode; cmp s1 out.u && echo same
s sums; echo abc >k; for p in md5sum sha1sum sha256sum sha512sum crc32; do $p k 2>/dev/null; done; md5sum k >k.md5; md5sum -c k.md5; echo bad >>k; md5sum -c k.md5 2>/dev/null; echo $?; sha256sum </dev/null
s setsid; setsid true; echo $?; sh -c 'set -- $(cat /proc/self/stat); [ "$4" = $$ ] && echo child'
s find; mkdir -p f/a/b; touch f/1.c f/a/2.c f/a/b/3.h; find f -name '*.c' -exec echo + {} + | sed 's/ /\n/g' | sort; find f -type f -exec sh -c 'echo "x $1"' _ {} \; | sort; find f -maxdepth 1 | sort; find f -name '*.h' -o -name 2.c | sort; find f ! -name '*.c' -type f; find f -depth | tail -n 1; find f -empty -type f | wc -l; find f -perm 644 -type f | wc -l; find f -type f -size -1 | wc -l; find f -path '*/b/*'; find f -name b -prune -o -print | sort; find f -name 3.h -delete; find f -type f | wc -l; find f -regex '.*/[0-9]\.c' | sort; find f -iname '1.C'; find f -links 1 -type f | wc -l
s sed; printf 'a\nb\nc\n' >sd; sed -i.bak 's/b/B/' sd; cat sd sd.bak; sed -n 'l' k; sed '2q' sd; sed '$!N;P;D' sd; sed -n '/a/,/B/{=;p}' sd; sed 'G' sd | head -n 3; sed '1!G;h;$!d' sd; sed 's/\([a-z]\)/[\1]/g' sd; sed -E 's/(a|c)/<\1>/' sd; sed 's/a/x/;ta;s/$/ no/;:a' sd; printf 'x\n' | sed 'a\
two\
lines'; sed '2r s1' sd; sed -n '2{p;q}' sd; sed 'w sw' sd >/dev/null; cat sw; echo aaa | sed 's/a/b/2'; echo abc | sed 's/b/\U&/' ; sed '/B/c changed' sd; sed -s -n '$p' s1 s2; echo 'a/b' | sed 's|/|\\|'; sed --version >/dev/null; echo $?
s date; date -u -d '2020-02-29 12:34:56' '+%F %T %j %U %a %b %d %s'; date -u -d @86400; date -u -d '2021-01-01' +%A; date -u -d '12:00' +%H; TZ=EST5EDT date -d @1600000000; TZ=UTC-3 date -d @0; date -u -d bad 2>/dev/null; echo $?; date -u -D '%d.%m.%Y' -d '03.02.2001' +%F; date -u -R -d @1; date -u -I -d @1
s umask; umask 027; mkdir um; touch um/f; stat -c %a um um/f; umask -S; umask u=rwx,go=; umask; (umask 0; touch um/g; stat -c %a um/g); umask 022
s heredoc; x=5; cat <<A - <<B
$x $((x + 1)) `echo cmd` \$x
A
second
B
cat <<'E' | while read -r l; do echo "[$l]"; done
a\b $x
  c
E
f() { cat <<E
in function $1
E
}; f arg; wc -c <<E
E
s chown; touch co; chown 1000:1000 co; stat -c '%u %g' co; chown :0 co; stat -c %g co; chmod a=,u+rw co; stat -c %a co; chmod g=u co; stat -c %a co; chmod +X d1 co; stat -c %a d1 co; chmod -R go-rwx d1; stat -c %a d1 d1/f; chmod 1777 d2; stat -c '%a %A' d2; chgrp 5 co; stat -c %g co; chmod u+s,g+s co; stat -c %a co; ln -s co cl; chown -h 7 cl; stat -c %u cl co
s files without a name
echo x | stat -L -c %F /dev/fd/0; echo x | { [ -p /dev/stdin ] && echo pipe; }; echo x | cat /dev/fd/0 -

rm -rf ./*
ls | wc -l
echo "== end $n"
