// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/fuzz/fuzz_wl.c -- any bytes as a workload file: an error with its place, or a workload that
 * prints to text which parses to the same text again.
 */
#include <stdlib.h>
#include <string.h>

#include "sim/workload/wl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *printed(const struct workload *w, size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);

    wl_print(w, out);
    fclose(out);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct workload w, again;
    struct wl_error error;
    char *first, *second;
    size_t first_size, second_size;

    if (!wl_parse((const char *)data, size, &w, &error)) {
        if (!error.line || !error.text[0])
            abort();
        return 0;
    }
    first = printed(&w, &first_size);
    if (!wl_parse(first, first_size, &again, &error)) {
        fprintf(stderr, "line %u field %u: %s\n%s", error.line, error.field, error.text, first);
        abort();
    }
    second = printed(&again, &second_size);
    if (first_size != second_size || memcmp(first, second, first_size) != 0) {
        fprintf(stderr, "first:\n%ssecond:\n%s", first, second);
        abort();
    }
    wl_free(&w);
    wl_free(&again);
    free(first);
    free(second);
    return 0;
}
