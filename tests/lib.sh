# SPDX-License-Identifier: BSD-2-Clause
#
# lib.sh -- for the scripts of tests/: run something, in a VM or here, and print a verdict.
#
# A script sources this from the root of the tree; one that runs VMs sets `platform` first. Every
# check prints one line, "PASS name" or "FAIL name: why"; outputs and logs stay in $BUILD/results.
# Time-outs are for hangs only, and generous: the computer under the emulator may stall.
[ "${1-}" != --help ] || exec sed -n '3,/^[^#]/s/^# \{0,1\}//p' "$0"
BUILD=${BUILD:-build}
results=$BUILD/results
mkdir -p "$results"

# pass NAME, fail NAME WHY; `prefix` goes in front of the names, if it is set.
pass() {
    echo "PASS ${prefix:+$prefix }$1"
}
fail() {
    echo "FAIL ${prefix:+$prefix }$1: $2"
}

# is NAME GOT WANTED
is() {
    if [ "$2" = "$3" ] && [ -n "$2" ]; then
        pass "$1"
    else
        fail "$1" "'$2', wanted '$3'"
    fi
}

# scratch: $dir is a folder for this script alone; it goes when the script ends.
scratch() {
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
}

# verdict NAME STATUS WANTED-STATUS OUTPUT-FILE PATTERN...: every pattern must be a line's part.
verdict() {
    v_name=$1 v_status=$2 v_wanted=$3 v_output=$4
    shift 4
    if [ "$v_status" != "$v_wanted" ]; then
        v_why=$(LC_ALL=C grep -a -m 1 '^FAIL' "$v_output" | tr -d '\r')
        echo "FAIL $v_name: status $v_status, wanted $v_wanted${v_why:+; $v_why} (see $v_output)"
        return 1
    fi
    for v_pattern; do
        if ! LC_ALL=C grep -a -q -- "$v_pattern" "$v_output"; then
            echo "FAIL $v_name: no '$v_pattern' in $v_output"
            return 1
        fi
    done
    echo "PASS $v_name"
}

# guest NAME PATTERN [run.sh options]: the test guest of that name must pass.
guest() {
    g_name=$1 g_pattern=$2
    shift 2
    g_file=$results/out-$platform-$g_name$(echo "$*" | tr -cd '0-9a-z').txt
    scripts/run.sh --batch --platform "$platform" --guest "$BUILD/guest/$g_name.elf" \
        --log "${g_file%.txt}.log" --timeout "${guest_timeout:-300}" "$@" \
        >"$g_file" 2>"${g_file%.txt}.err" </dev/null
    verdict "$platform guest $g_name${*:+ $*}" $? 0 "$g_file" "^PASS $g_name" "$g_pattern"
}

# linux NAME COMMANDS STATUS PATTERN [run.sh options]: commands in the Debian guest.
linux() {
    l_name=$1 l_commands=$2 l_status=$3 l_pattern=$4
    shift 4
    l_file=$results/out-$platform-linux-$(echo "$l_name" | tr ' ' -).txt
    scripts/run.sh --batch --platform "$platform" --cmd "$l_commands" \
        --log "${l_file%.txt}.log" --timeout "${linux_timeout:-600}" "$@" \
        >"$l_file" 2>"${l_file%.txt}.err" </dev/null
    verdict "$platform linux $l_name" $? "$l_status" "$l_file" "$l_pattern" \
        'Hypervisor detected: VMware'
}

# check NAME COMMAND...: the command must succeed; its last line says why it did not.
check() {
    c_name=$1
    shift
    if "$@" >"$results/check.log" 2>&1; then
        echo "PASS $c_name"
    else
        echo "FAIL $c_name: $(tail -n 1 "$results/check.log")"
    fi
}

descendants() {
    for d_pid in $(ps -o pid= --ppid "$1"); do
        descendants "$d_pid"
        echo "$d_pid"
    done
}

# kill_qemu PID: the emulator below that process is gone, with everything it had in flight.
kill_qemu() {
    for k_pid in $(descendants "$1"); do
        case $(ps -o comm= -p "$k_pid") in qemu-system*) kill -KILL "$k_pid" 2>/dev/null ;; esac
    done
}

# wait_for FILE PATTERN PID: until a line of the file has it, or the process is gone, or five minutes.
wait_for() {
    w_tries=1200
    until LC_ALL=C grep -a -q "$2" "$1" 2>/dev/null; do
        kill -0 "$3" 2>/dev/null && [ $((w_tries -= 1)) -gt 0 ] || return 1
        sleep 0.25
    done
}

# ---- somebody types ----
#
# The terminal is a pipe, so each step types something and waits until the screen shows the answer.
# Answers are computed by the shell ($((6*7))), so the echo of what was typed never matches. `prefix` is set.

# terminal FILE SECONDS COMMAND: starts it on a terminal, and what it writes goes to the file. `terminal` is its pid.
terminal() {
    out=$1 seen=0 failed=
    : >"$out"
    t_keys=$(mktemp -u) && mkfifo "$t_keys"
    timeout "$2" script -qefc "$3" /dev/null <"$t_keys" >"$out" 2>&1 &
    terminal=$!
    exec 3>"$t_keys"
    rm "$t_keys"
}

# terminal_end: its status.
terminal_end() {
    wait $terminal
    t_status=$?
    exec 3>&-
    return $t_status
}

# await SECONDS PATTERN...: until the terminal shows all, behind what the last call saw.
await() {
    a_end=$(($(date +%s) + $1))
    shift
    for a_pattern; do
        until tail -c +$((seen + 1)) "$out" | LC_ALL=C tr -d '\r' | LC_ALL=C grep -a -q -e "$a_pattern"; do
            [ "$(date +%s)" -lt $a_end ] || {
                fail "${step:-start}" "no '$a_pattern' (see $out)"
                return 1
            }
            sleep 0.02
        done
    done
    seen=$(wc -c <"$out")
}

# say NAME KEYS PATTERN [SECONDS]: types, and the answer comes.
say() {
    step=$1
    printf "$2" >&3
    if await "${4:-30}" "$3"; then
        pass "$1"
    else
        failed=1
    fi
}

# run NAME COMMAND PATTERN [SECONDS]: the same, and then the prompt again.
run() {
    step=$1
    printf "$2\r" >&3
    if await "${4:-30}" "$3" '\]# '; then
        pass "$1"
    else
        failed=1
    fi
}

# key NAME KEY PATTERN: a key that means something to a program, which must have begun.
key() {
    sleep 0.5
    say "$@"
}

# type_much [SECONDS]: more in one piece than a UART holds between two looks at it; all of it must arrive.
type_much() {
    t_text=$(seq -s . 100 199)
    run 'a paste of 400 characters' "echo $t_text | tr . x" "$(echo "$t_text" | tr . x)" "${1:-30}"
}
