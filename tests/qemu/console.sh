# SPDX-License-Identifier: BSD-2-Clause
#
# console.sh -- the interactive run: a command typed at the guest's shell is answered, Ctrl-a x
# leaves, and `poweroff` ends with the exits by reason on the console.
platform=qemu
. tests/lib.sh

# await PATTERN SECONDS: until the terminal shows it.
await() {
    a_left=$(($2 * 10))
    while ! LC_ALL=C grep -a -q -- "$1" "$out" && [ $a_left -gt 0 ]; do
        sleep 0.1
        a_left=$((a_left - 1))
    done
}

# session FILE KEYS PATTERN: boots on a pseudo-terminal, types the keys, waits for the pattern.
session() {
    out=$1
    : >"$out"
    keys=$(mktemp -u) && mkfifo "$keys"
    timeout 700 script -qefc 'scripts/run.sh --vcpus 1 --timeout 600' /dev/null <"$keys" >"$out" 2>&1 &
    terminal=$!
    exec 3>"$keys"
    rm "$keys"
    await 'guest:.*# ' 400
    printf "$2" >&3
    await "$3" 200
}

session "$results/out-console-keys.txt" 'echo answer $((6 * 7))\r' 'answer 42'
printf '\001x' >&3
wait $terminal
verdict 'console answers, Ctrl-a x leaves' $? 0 "$out" 'answer 42' 'QEMU: Terminated'
exec 3>&-

session "$results/out-console-poweroff.txt" 'poweroff -f\r' 'powering off'
wait $terminal
verdict 'console poweroff shows the exits' $? 0 "$out" 'powered off by the guest' \
    'vCPU 0: run ' 'vCPU 0: CPUID  *[0-9]' 'vCPU 0: IO  *[0-9]' 'vCPU 0: HLT  *[0-9]' 'powering off'
exec 3>&-
