// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/fuzz/fuzz_dump.c -- any bytes as a dump partition: pieces of sections or an error.
 *
 * The first byte chooses: the rest as it is, as a body that is not packed, or as a packed one,
 * behind a header whose sums are right, so that the fuzzer gets behind them.
 */
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "fs/dump/dump.h"
#include "lib/crc32.h"
#include "sim/platform/sim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
    const uint8_t *data;
    size_t size;
};

static vmk_status bytes_read(void *context, uint64_t offset, void *to, size_t size)
{
    const struct bytes *b = context;

    if (offset > b->size || size > b->size - offset)
        abort();  // the reader asks for what is not there
    memcpy(to, b->data + offset, size);
    return VMK_OK;
}

static bool piece(void *context, const char *section, const void *data, size_t size)
{
    uint64_t *sum = context;

    *sum += crc32_add(0, data, size) + strlen(section);
    return *sum % 1000 != 999;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool begun;
    struct dump_header h = {.state = DUMP_NEW};
    struct bytes b;
    struct dump_source source = {bytes_read, &b, 0};
    uint8_t *copy;
    uint64_t sum = 0;

    if (!begun) {
        sim_test_begin();
        log_sinks_set(0);
        begun = true;
    }
    if (!size)
        return 0;
    b.size = DUMP_HEADER_SIZE + size - 1;
    copy = calloc(1, b.size);
    b.data = copy;
    source.size = b.size;
    if (data[0] & 1) {
        memcpy(copy, data + 1, size - 1);
    } else {
        memcpy(copy + DUMP_HEADER_SIZE, data + 1, size - 1);
        h.flags = (data[0] >> 1) & (DUMP_PACKED | DUMP_WHOLE);
        h.stored = h.unpacked = size - 1;
        h.body_crc = crc32_add(0, data + 1, size - 1);
        dump_header_encode(&h, copy);
    }
    (void)!dump_read(&source, &h, piece, &sum);
    free(copy);
    return 0;
}
