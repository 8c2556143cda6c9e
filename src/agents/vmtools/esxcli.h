// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/esxcli.h -- the commands of esxcli, by namespace.
 */
#pragma once

#include "agents/vmtools/records.h"

/* An option of a command: "-w 1234", "--world-id=1234" or "--world-id 1234". */
struct option_row {
    char letter;
    const char *word;
    bool flag;  // takes no value
    bool required;
    const char *what;
};
#define OPTIONS_MAX 8u

struct call {
    enum records_form form;
    const char
        *values[OPTIONS_MAX];  // of the command's options, in their order; null: not given
};

struct esxcli_command {
    const char *path;  // "vm process list"
    const char *what;
    int (*run)(const struct call *call);
    const struct option_row *options;
    unsigned option_count;
};

/* Each file's table; ends with a row without a path. */
extern const struct esxcli_command esxcli_system[], esxcli_vm[], esxcli_host[], esxcli_memory[],
    esxcli_sched[], esxcli_coredump[];

/* An option's value as a number, or the program ends with EXIT_USAGE. */
uint64_t option_number(const char *word, const char *text, uint64_t most);

/* Adds a record for an entry of a list, or none. */
typedef void list_records_fn(struct records *r, const struct call *call, const void *entry);
/*
 * A command that shows one of the kernel's lists: all its entries, of that size, in their
 * order.
 */
int list_records(const struct call *call, enum records_form form, const char *type,
                 enum vmk_list_kind kind, size_t entry_size, list_records_fn *add);
