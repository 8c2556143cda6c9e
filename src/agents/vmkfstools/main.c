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
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

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

#define DATASTORES "/proc/vmware/datastores"
#define DISKS      "/vmfs/devices/disks/"

/* The volume's UUID, as the kernel shows it under that label. */
static void print_uuid(const char *label)
{
    FILE *f = fopen(DATASTORES, "re");
    char line[1024];

    while (f && fgets(line, sizeof(line), f)) {
        char uuid[64], name[160];

        if (sscanf(line, "volume %63s %*s %*s %*s %*s %*s %159[^\n]", uuid, name) == 2 &&
            strcmp(name, label) == 0)
            printf("Successfully created new volume: %s\n", uuid);
    }
    if (f)
        fclose(f);
}

/* The kernel makes it: it knows who uses the disk. */
static int create_fs(void *context, const char *type, const char *label, const char *device)
{
    char text[512];
    ssize_t done = -1;
    int fd;

    (void)context;
    if (strcmp(type, "vmfs5") != 0) {
        fprintf(stderr, "vmkfstools: -C %s: only vmfs5\n", type);
        return 2;
    }
    if (!label || !*label) {
        fputs("vmkfstools: -C vmfs5: give the volume a label: -S LABEL\n", stderr);
        return 2;
    }
    if (strncmp(device, DISKS, strlen(DISKS)) == 0)
        device += strlen(DISKS);
    if (snprintf(text, sizeof(text), "create %s %s", device, label) >= (int)sizeof(text)) {
        fprintf(stderr, "vmkfstools: %s: name too long\n", device);
        return 3;
    }
    printf("Creating vmfs5 file system on \"%s\" with blockSize 1048576 and volume label "
           "\"%s\".\n",
           device, label);
    fd = open(DATASTORES, O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        done = write(fd, text, strlen(text));
    if (done < 0) {
        fprintf(stderr, "vmkfstools: %s: %s%s\n", device, strerror(errno),
                errno == EBUSY    ? ": a volume is on it: delete its partition first"
                : errno == EEXIST ? ": a datastore has this label"
                : errno == ENOENT ? ": no such partition; esxcli storage core device list, "
                                    "and :NUMBER"
                                  : "; dmesg says more");
        return 3;
    }
    close(fd);
    print_uuid(label);
    return 0;
}

int main(int argc, char **argv)
{
    const struct vmkfstools where = {.query = query, .create_fs = create_fs};

    return vmkfstools_run(&where, argc, argv);
}
