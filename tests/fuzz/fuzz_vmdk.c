// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/fuzz/fuzz_vmdk.c -- any bytes as a virtual disk: a clear error or a disk within its file.
 *
 * The first byte chooses: the rest as a descriptor, or as changes (4 bytes each: where, what)
 * to the header and tables of a good hosted, ESX or stream-optimized extent. What opens is
 * checked, read, written and closed. Files are in memory; a write outside of them aborts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/core.h"
#include "core/heap.h"
#include "core/log.h"
#include "fs/vmdk/vmdk.h"
#include "sim/platform/sim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILES 4u
#define ROOM  (1u << 20)

struct ram_file {
    char name[64];
    bool there;
    uint64_t size;
    unsigned char data[ROOM];
};
static struct ram_file files[FILES];

static void check(bool condition)
{
    if (!condition)
        abort();
}

static vmk_status ram_open(struct vmdk_store *store, const char *name, enum vmdk_open_how how,
                           void **file)
{
    (void)store;
    for (unsigned i = 0; i < FILES; i++) {
        if (files[i].there && !strcmp(files[i].name, name)) {
            *file = &files[i];
            return how == VMDK_OPEN_CREATE ? VMK_EXISTS : VMK_OK;
        }
    }
    for (unsigned i = 0; how == VMDK_OPEN_CREATE && i < FILES; i++) {
        if (files[i].there)
            continue;
        memset(&files[i], 0, sizeof(files[i]));
        files[i].there = true;
        snprintf(files[i].name, sizeof(files[i].name), "%s", name);
        *file = &files[i];
        return VMK_OK;
    }
    return VMK_NOT_FOUND;
}

static void ram_close(struct vmdk_store *store, void *file)
{
    (void)store;
    (void)file;
}

static vmk_status ram_read(struct vmdk_store *store, void *file, uint64_t offset, void *to,
                           size_t size)
{
    const struct ram_file *f = file;

    (void)store;
    check(size <= 64u << 20);
    memset(to, 0, size);
    if (offset < f->size)
        memcpy(to, f->data + offset, MIN(size, f->size - offset));
    return VMK_OK;
}

static vmk_status ram_write(struct vmdk_store *store, void *file, uint64_t offset,
                            const void *from, size_t size)
{
    struct ram_file *f = file;

    (void)store;
    if (offset > ROOM || size > ROOM - offset)
        return VMK_NO_SPACE;
    memcpy(f->data + offset, from, size);
    f->size = MAX(f->size, offset + size);
    return VMK_OK;
}

static vmk_status ram_size(struct vmdk_store *store, void *file, uint64_t *size)
{
    (void)store;
    *size = ((struct ram_file *)file)->size;
    return VMK_OK;
}

static vmk_status ram_truncate(struct vmdk_store *store, void *file, uint64_t size)
{
    (void)store;
    if (size > ROOM)
        return VMK_NO_SPACE;
    ((struct ram_file *)file)->size = size;
    return VMK_OK;
}

static vmk_status ram_sync(struct vmdk_store *store, void *file)
{
    (void)store;
    (void)file;
    return VMK_OK;
}

static vmk_status ram_rename(struct vmdk_store *store, const char *from, const char *to)
{
    (void)store;
    (void)from;
    (void)to;
    return VMK_UNSUPPORTED;
}

static vmk_status ram_remove(struct vmdk_store *store, const char *name)
{
    (void)store;
    for (unsigned i = 0; i < FILES; i++) {
        if (files[i].there && !strcmp(files[i].name, name))
            files[i].there = false;
    }
    return VMK_OK;
}

static uint64_t ram_random(struct vmdk_store *store)
{
    (void)store;
    return 0x1234567;
}

static const struct vmdk_store_ops ops = {
    .open = ram_open,
    .close = ram_close,
    .read = ram_read,
    .write = ram_write,
    .size = ram_size,
    .truncate = ram_truncate,
    .sync = ram_sync,
    .rename = ram_rename,
    .remove = ram_remove,
    .random = ram_random,
};
static struct vmdk_store store = {.ops = &ops};
static struct ram_file good[3][FILES];

static void prepare(void)
{
    const struct vmdk_create what = {.size = 300000 / 512 * 512, .how = VMDK_MONO_SPARSE};
    struct vmdk *disk;

    sim_test_begin();
    log_sinks_set(0);
    check(vmdk_create(&store, "a.vmdk", &what, NULL) == VMK_OK);
    check(vmdk_open(&store, "a.vmdk", false, NULL, &disk) == VMK_OK);
    check(vmdk_write(disk, 70000, "hello", 5) == VMK_OK);
    check(vmdk_write(disk, 250000, "there", 5) == VMK_OK);
    check(vmdk_close(disk) == VMK_OK);
    memcpy(good[0], files, sizeof(files));
    check(vmdk_clone(&store, "a.vmdk", &store, "s.vmdk", VMDK_STREAM, NULL, NULL) == VMK_OK);
    files[0].there = false;
    snprintf(files[1].name, sizeof(files[1].name), "a.vmdk");
    memcpy(good[1], files, sizeof(files));
    memcpy(files, good[0], sizeof(files));
    snprintf(files[0].name, sizeof(files[0].name), "p.vmdk");
    check(vmdk_snapshot(&store, "p.vmdk", "a.vmdk", NULL) == VMK_OK);
    check(vmdk_open(&store, "a.vmdk", false, NULL, &disk) == VMK_OK);
    check(vmdk_write(disk, 1000, "child", 5) == VMK_OK);
    check(vmdk_close(disk) == VMK_OK);
    memcpy(good[2], files, sizeof(files));
}

static void say(void *argument, const char *text)
{
    (void)argument;
    check(*text != 0);
}

static void use(bool read_only)
{
    static const struct vmdk_report report = {.line = say};
    static unsigned char buffer[100000];
    struct vmdk_check_result result;
    struct vmdk *disk;

    if (vmdk_open(&store, "a.vmdk", read_only, &report, &disk) != VMK_OK)
        return;

    uint64_t capacity = vmdk_capacity(disk);

    for (uint64_t at = 0; at < MIN(capacity, 600000); at += sizeof(buffer))
        (void)!vmdk_read(disk, at, buffer, MIN(sizeof(buffer), capacity - at));
    if (capacity > 5)
        (void)!vmdk_read(disk, capacity - 5, buffer, 5);
    if (!read_only) {
        (void)!vmdk_write(disk, 0, buffer, MIN(capacity, 70000));
        (void)!vmdk_write(disk, MIN(capacity, 200000) / 2, buffer, MIN(capacity / 2, 700));
        (void)!vmdk_discard(disk, 0, MIN(capacity, 65536));
        (void)!vmdk_flush(disk);
    }
    (void)!vmdk_close(disk);
    if (capacity < 64u << 20)
        (void)!vmdk_check(&store, "a.vmdk", &report, &result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_up;
    static uint64_t heap;
    unsigned kind;

    if (!is_up)
        prepare();
    if (!is_up)
        heap = heap_owned(MEM_OWNER_FS);
    is_up = true;
    if (size < 1)
        return 0;
    kind = data[0] % 4;
    if (kind == 3) {
        memset(files, 0, offsetof(struct ram_file, data));
        for (unsigned i = 1; i < FILES; i++)
            files[i].there = false;
        files[0].there = true;
        snprintf(files[0].name, sizeof(files[0].name), "a.vmdk");
        files[0].size = MIN(size - 1, ROOM);
        memcpy(files[0].data, data + 1, files[0].size);
    } else {
        memcpy(files, good[kind], sizeof(files));
        for (size_t i = 1; i + 4 <= size; i += 4) {
            struct ram_file *f = &files[kind == 2 ? data[i] >> 7 : kind];
            uint32_t at = (uint32_t)(data[i] & 0x7f) << 8 | data[i + 1];

            f = kind == 2 ? (data[i] & 0x80 ? &files[0] : &files[1]) : f;
            if (at < f->size)
                f->data[at] = data[i + 2];
            if (at + 1 < f->size)
                f->data[at + 1] = data[i + 3];
        }
    }
    use(data[0] & 0x80);
    check(heap_owned(MEM_OWNER_FS) == heap);
    return 0;
}
