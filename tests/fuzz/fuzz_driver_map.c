// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/fuzz/fuzz_driver_map.c -- any bytes as a driver map: every line is a rule or a named fault.
 */
#include <stdlib.h>
#include <string.h>

#include "io/pci.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void report(void *argument, const struct pci_map_error *error)
{
    (*(unsigned *)argument)++;
    if (!error->line || !error->what)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pci_table table;
    unsigned told = 0;
    char *text = malloc(size ? size : 1);  // exactly as long, so that ASan sees a step too far

    memcpy(text, data, size);
    table.count = 2;
    for (unsigned i = 0; i < 2; i++)
        table.devices[i] = (struct pci_device){.vendor = 0x8086, .device = (uint16_t)i};
    if (pci_map_apply(text, size, &table, report, &told) != told)
        abort();
    for (unsigned i = 0; i < 2; i++)
        if (strnlen(table.devices[i].driver, sizeof(table.devices[i].driver)) ==
            sizeof(table.devices[i].driver))
            abort();
    free(text);
    return 0;
}
