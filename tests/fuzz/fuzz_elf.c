// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/fuzz/fuzz_elf.c -- program files: whatever the headers say, what is accepted keeps its word.
 */
#include <stdlib.h>
#include <string.h>

#include "mem/aspace.h"
#include "user/elf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct elf_image image;
    uint64_t offset, headers_size, top = 0;
    uint8_t *headers;
    const char *why;

    if (size < ELF_HEAD_SIZE || elf_head(data, &offset, &headers_size) != VMK_OK)
        return 0;
    if (offset > size || headers_size > size - offset)
        return 0;
    headers = malloc(headers_size);
    if (!headers)
        return 0;
    memcpy(headers, data + offset, headers_size);
    if (elf_parse(data, headers, size, &image, &why) == VMK_OK) {
        for (unsigned i = 0; i < image.segment_count; i++) {
            const struct elf_segment *s = &image.segments[i];
            uint64_t start = s->address & ~(PAGE_SIZE - 1);

            if (start < top || s->file_size > s->memory_size || s->offset > size ||
                s->file_size > size - s->offset || s->address + s->memory_size < s->address ||
                s->address + s->memory_size > ASPACE_END)
                abort();
            top = (s->address + s->memory_size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
        }
        if (image.entry < image.low || image.entry >= image.high || image.high != top)
            abort();
    } else if (!why) {
        abort();
    }
    free(headers);
    return 0;
}
