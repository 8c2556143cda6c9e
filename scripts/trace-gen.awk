# SPDX-License-Identifier: BSD-2-Clause
#
# trace-gen.awk -- the table of trace events as a page of documentation or as gdb commands.
# usage: awk -v make=docs|gdb -f trace-gen.awk trace/enums.def trace/events.def
function trim(s) {
    gsub(/^[ \t]+|[ \t]+$/, "", s)
    return s
}
# One TRACE_EVENT(...) in `row`.
function event(row,   head, what, rest, n, part, i, at) {
    match(row, /"[^"]*"/)
    what = substr(row, RSTART + 1, RLENGTH - 2)
    head = substr(row, 1, RSTART - 1)
    rest = substr(row, RSTART + RLENGTH)
    sub(/^TRACE_EVENT\(/, "", head)
    split(head, part, ",")
    events++
    id[events] = trim(part[1]); class[events] = trim(part[2]); name[events] = trim(part[3])
    does[events] = what
    at = 8
    while (match(rest, /[FE]\([a-z0-9_]+, *[a-z0-9_]+\)/)) {
        i = substr(rest, RSTART, RLENGTH)
        rest = substr(rest, RSTART + RLENGTH)
        n = substr(i, 1, 1)
        sub(/^[FE]\(/, "", i); sub(/\)$/, "", i)
        split(i, part, ",")
        fields[events]++
        type[events, fields[events]] = n == "E" ? "names" : trim(part[1])
        names[events, fields[events]] = n == "E" ? trim(part[1]) : ""
        field[events, fields[events]] = trim(part[2])
        offset[events, fields[events]] = at
        at += n == "E" ? 2 : size[trim(part[1])]
    }
    bytes[events] = at
}
BEGIN {
    size["u8"] = 1; size["u16"] = 2; size["u32"] = 4; size["u64"] = 8
    size["i32"] = 4; size["x64"] = 8; size["text16"] = 16
}
/^TRACE_ENUM\(/ {
    sub(/^TRACE_ENUM\(/, ""); sub(/\).*/, "")
    split($0, e, ",")
    k = trim(e[1])
    if (!(k in enums)) { order[++enum_count] = k }
    enums[k]++
    value_name[k, enums[k]] = trim(e[2]); value[k, enums[k]] = trim(e[3])
}
/^TRACE_EVENT\(/ { row = "" }
/^TRACE_EVENT\(/ || row != "" {
    row = row $0
    if ($0 ~ /\)\)$/) { event(row); row = "" }
}
function docs(   i, f, k, v) {
    print "# Trace events"
    print ""
    print "Made from `trace/events.def` and `trace/enums.def` by `sh scripts/trace-gen.sh`: change those, not"
    print "this page. A record is a header of 8 bytes (id in the low 8 bits, nanoseconds since boot in the other 56)"
    print "and the fields, packed, little-endian. `pad` is zero. Class SYS goes to the stream `sys`, the rest"
    print "to the stream of the CPU. How records are kept and brought out: [design/trace.md](design/trace.md)."
    print ""
    print "| id | class | event | bytes | fields | what |"
    print "| --- | --- | --- | --- | --- | --- |"
    for (i = 1; i <= events; i++) {
        printf "| %s | %s | %s | %d |", id[i], class[i], name[i], bytes[i]
        for (f = 1; f <= fields[i]; f++)
            printf "%s %s %s", (f > 1 ? "," : ""), field[i, f], (type[i, f] == "names" ? "*" names[i, f] "*" : type[i, f])
        printf " | %s |\n", does[i]
    }
    print ""
    print "## Values with names"
    print ""
    print "A field of these is 16 bits wide."
    print ""
    print "| enumeration | values |"
    print "| --- | --- |"
    for (k = 1; k <= enum_count; k++) {
        printf "| *%s* |", order[k]
        for (v = 1; v <= enums[order[k]]; v++)
            printf "%s %s %s", (v > 1 ? "," : ""), value[order[k], v], value_name[order[k], v]
        print " |"
    }
}
function gdb(   i, f, k, v, t, o) {
    print "# SPDX-License-Identifier: BSD-2-Clause"
    print "#"
    print "# trace.gdb -- the trace rings as commands. Made by scripts/trace-gen.sh from trace/events.def and"
    print "# trace/enums.def: change those. scripts/gdb/trace-walk.gdb has what is not made."
    for (k = 1; k <= enum_count; k++) {
        printf "\ndefine vmk-trace-enum-%s\n", order[k]
        for (v = 1; v <= enums[order[k]]; v++)
            printf "  if $arg0 == %s\n    printf \"%s\"\n  end\n", value[order[k], v], value_name[order[k], v]
        print "end"
    }
    print "\n# vmk-trace-record ADDRESS: one record, without its time."
    print "define vmk-trace-record"
    print "  set $vmk_b = (unsigned char *)$arg0"
    for (i = 1; i <= events; i++) {
        printf "  if $vmk_b[0] == %s\n    printf \"%s\"\n", id[i], name[i]
        for (f = 1; f <= fields[i]; f++) {
            if (field[i, f] ~ /^pad/)
                continue
            t = type[i, f]; o = "$vmk_b + " offset[i, f]
            if (t == "names") {
                printf "    printf \" %s=\"\n    set $vmk_v = *(unsigned short *)(%s)\n    vmk-trace-enum-%s $vmk_v\n", field[i, f], o, names[i, f]
                continue
            }
            if (t == "text16")
                printf "    printf \" %s=\\\"\"\n    set $vmk_c = 0\n    while $vmk_c < 16 && (%s)[$vmk_c] != 0\n      printf \"%%c\", (%s)[$vmk_c]\n      set $vmk_c = $vmk_c + 1\n    end\n    printf \"\\\"\"\n", field[i, f], o, o
            if (t == "u8") printf "    printf \" %s=%%u\", *(unsigned char *)(%s)\n", field[i, f], o
            if (t == "u16") printf "    printf \" %s=%%u\", *(unsigned short *)(%s)\n", field[i, f], o
            if (t == "u32") printf "    printf \" %s=%%u\", *(unsigned int *)(%s)\n", field[i, f], o
            if (t == "i32") printf "    printf \" %s=%%d\", *(int *)(%s)\n", field[i, f], o
            if (t == "u64") printf "    printf \" %s=%%llu\", *(unsigned long long *)(%s)\n", field[i, f], o
            if (t == "x64") printf "    printf \" %s=0x%%llx\", *(unsigned long long *)(%s)\n", field[i, f], o
        }
        print "  end"
    }
    print "end"
}
END {
    if (!events) { print "trace-gen.awk: no event found" >"/dev/stderr"; exit 1 }
    if (make == "docs") docs(); else gdb()
}
