# SPDX-License-Identifier: BSD-2-Clause
#
# symbols.awk -- `nm -n` in, the table of function names for backtraces out, as assembly.
#
# struct vmk_symbol is in core/symbols.h; the table is in order of address because nm's list is.
# usage: nm -n orrery.elf | awk -f scripts/symbols.awk >symbols.S
BEGIN {
    print "\t.section .rodata.symtab_orrery, \"a\", @progbits"
    print "\t.balign 8"
    print "\t.globl vmk_symbol_table, vmk_symbol_count"
    print "vmk_symbol_table:"
}
$2 ~ /^[tT]$/ && $3 !~ /^(\.L|vmk_symbol_)/ {
    names[count++] = $3
    printf "\t.quad 0x%s, .Lname%d\n", $1, count - 1
}
END {
    print "vmk_symbol_count:"
    printf "\t.quad %d\n", count
    for (i = 0; i < count; i++)
        printf ".Lname%d:\t.asciz \"%s\"\n", i, names[i]
    print "\t.section .note.GNU-stack, \"\", @progbits"
}
