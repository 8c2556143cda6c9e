// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmkfstools/main.c -- vmkfstools as a program of a user world.
 *
 * The code of virtual disks is the kernel's (fs/vmdk), over ordinary file calls: a datastore is a
 * directory below /vmfs/volumes. What needs the volume itself is asked of the kernel by statfs() as
 * far as that goes.
 *
 * Locking    none: one thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>

#include "agents/vmkfstools/cli.h"
#include "core/heap.h"

/* The kernel's heap, for the kernel's code in this program. */
void *heap_alloc(size_t size, enum mem_owner owner)
{
    (void)owner;
    return calloc(1, size ? size : 1);
}

void heap_free(void *pointer)
{
    free(pointer);
}

static int query(void *context, const char *path, bool human)
{
    struct statfs fs;
    unsigned long long size;
    unsigned long long left;

    (void)context;
    if (statfs(path, &fs) < 0) {
        fprintf(stderr, "vmkfstools: %s: %s\n", path, strerror(errno));
        return 3;
    }
    size = (unsigned long long)fs.f_blocks * (unsigned long long)fs.f_bsize;
    left = (unsigned long long)fs.f_bavail * (unsigned long long)fs.f_bsize;
    printf("file system of type 0x%lx\n", (unsigned long)fs.f_type);
    if (human)
        printf("Capacity %.1f GB, %.1f GB available, file block size %lu\n", (double)size / 1e9,
               (double)left / 1e9, (unsigned long)fs.f_bsize);
    else
        printf("Capacity %llu (%llu file blocks * %lu), %llu (%llu blocks) avail\n", size,
               (unsigned long long)fs.f_blocks, (unsigned long)fs.f_bsize, left,
               (unsigned long long)fs.f_bavail);
    return 0;
}

int main(int argc, char **argv)
{
    const struct vmkfstools where = {.query = query};

    return vmkfstools_run(&where, argc, argv);
}
