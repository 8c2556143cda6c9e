// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/fuzz/fuzz_loader.c -- any bytes as a kernel file or an archive: nothing outside is read.
 */
#include <stdlib.h>
#include <string.h>

#include "vmm/boot_file.h"
#include "vmm/loader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint8_t sink;

static void touch(const uint8_t *data, uint64_t size)
{
    if (size)
        sink = (uint8_t)(data[0] ^ data[size - 1]);
}

static void archive(const uint8_t *data, size_t size)
{
    struct ustar_member member;
    const char *what;
    size_t offset = 0;

    if (!ustar_is_archive(data, size))
        return;
    while (ustar_next(data, size, &offset, &member, &what) == VMK_OK) {
        touch(member.data, member.size);
        touch((const uint8_t *)member.name, strlen(member.name));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct linux_image linux_file;
    struct multiboot_image multiboot;
    const char *what = NULL;

    if (linux_image_parse(data, size, &linux_file, &what) == VMK_OK) {
        touch(data + linux_file.payload_offset, linux_file.payload_size);
        touch(data, linux_file.header_end);
    } else if (!what) {
        abort();
    }
    if (multiboot_image_parse(data, size, &multiboot, &what) == VMK_OK) {
        for (size_t i = 0; i < multiboot.segment_count; i++)
            touch(data + multiboot.segments[i].file_offset, multiboot.segments[i].file_size);
    }
    archive(data, size);
    return 0;
}
