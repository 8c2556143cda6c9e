# SPDX-License-Identifier: BSD-2-Clause
#
# conformance.sh -- a small part of tests/user/conformance.sh: programs that we did not write, as user worlds.
sh tests/user/conformance.sh --short 2>&1 | awk '
    /: [0-9]+ of [0-9]+$/ { print "PASS " $0; next }
    { print "FAIL " $0 }'
