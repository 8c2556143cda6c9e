# SPDX-License-Identifier: BSD-2-Clause
#
# lib.sh -- what every experiment begins and ends with: where things are, and two pictures of one script.
#
# Sourced with $0 in docs/experiments; the results go to $1, or after --out. Sets BUILD, out and sim.
[ "${1-}" != --help ] || exec sed -n '3,/^[^#]/s/^# \{0,1\}//p' "$0"
[ "${1-}" != --out ] || shift
case ${1-} in -*) echo "$(basename "$0"): unknown option $1 (try --help)" >&2; exit 2 ;; esac
cd "$(dirname "$0")/../.."
BUILD=${BUILD:-build}
out=${1:-$BUILD/experiments}
sim=$BUILD/orrery-sim
[ -x "$sim" ] || { echo "$(basename "$0"): no $sim; run make sim" >&2; exit 3; }
mkdir -p "$out"

# draw NAME WIDTH,HEIGHT: gnuplot's commands from standard input, drawn as NAME.png and NAME.svg.
draw() {
    cat >"$out/$1.gp"
    for type in png svg; do
        terminal=$type
        [ $type = png ] && terminal=pngcairo
        {
            echo "set terminal $terminal size $2 font 'sans,11'"
            echo "set output '$out/$1.$type'"
            echo "set grid lc rgb '#dddddd'"
            cat "$out/$1.gp"
        } | gnuplot
    done
    echo "$out/$1.png"
}
