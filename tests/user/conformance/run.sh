#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# run.sh -- the programs of a suite one after the other, "NAME STATUS" a line; on Linux and as user worlds.
#
# usage: run.sh SUITE WORK-FOLDER SECONDS <NAMES
#
# Each program is a session of its own with an empty folder, so that those that signal their group or
# leave files behind disturb no other. A program that is still running after SECONDS is killed: 137.
suite=$1 work=$2 seconds=$3
PATH=/bin:/usr/bin:/sbin:/usr/sbin:$PATH
mkdir -p "$work/d" || exit 1
cd "$work/d" || exit 1
umask 022
while read -r name; do
    setsid timeout -s KILL "$seconds" "$suite" "$name" >../output 2>&1 </dev/null
    status=$?
    echo "$name $status"
    case $status in 0 | 4 | 5) ;; *) sed "s|^|  # |" ../output | tail -n 6 ;; esac
    rm -rf ../d/* 
done
