// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmkfstools/main.c -- vmkfstools as a program of a user world.
 *
 * The code of virtual disks is the kernel's (fs/vmdk), over ordinary file calls: a datastore is
 * a directory below /vmfs/volumes. What needs the volume itself is asked of the kernel by
 * statfs() and by its device /dev/vmk.
 *
 * Locking    none: one thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "agents/vmkfstools/cli.h"
#include "core/heap.h"
#include "user/abi/vmk.h"

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

#define DISKS "/vmfs/devices/disks/"

/* ioctl() on the kernel's device, with the head filled; -1 and errno. */
static int ask(unsigned long request, void *data, size_t size)
{
    const struct vmk_head head = {(uint32_t)size, VMK_ABI_VERSION};
    const int fd = open(VMK_DEVICE, O_RDWR | O_CLOEXEC);
    int result = -1, error;

    memcpy(data, &head, sizeof(head));
    if (fd >= 0)
        result = ioctl(fd, request, data);
    error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return result;
}

/* False: it says that the name is too long. */
static bool name_put(char *to, size_t room, const char *name)
{
    if (strlen(name) >= room) {
        fprintf(stderr, "vmkfstools: %s: name too long\n", name);
        return false;
    }
    strcpy(to, name);
    return true;
}

static const char *disk_name(const char *device)
{
    return strncmp(device, DISKS, strlen(DISKS)) == 0 ? device + strlen(DISKS) : device;
}

/* The kernel makes it: it knows who uses the disk. */
static int create_fs(void *context, const char *type, const char *label, const char *device)
{
    struct vmk_datastore_set s = {.what = VMK_DATASTORE_CREATE};

    (void)context;
    if (strcmp(type, "vmfs5") != 0) {
        fprintf(stderr, "vmkfstools: -C %s: only vmfs5\n", type);
        return 2;
    }
    if (!label || !*label) {
        fputs("vmkfstools: -C vmfs5: give the volume a label: -S LABEL\n", stderr);
        return 2;
    }
    device = disk_name(device);
    if (!name_put(s.partition, sizeof(s.partition), device) ||
        !name_put(s.label, sizeof(s.label), label))
        return 3;
    printf("Creating vmfs5 file system on \"%s\" with blockSize 1048576 and volume label "
           "\"%s\".\n",
           device, label);
    if (ask(VMK_DATASTORE_SET, &s, sizeof(s)) < 0) {
        fprintf(stderr, "vmkfstools: %s: %s%s\n", device, strerror(errno),
                errno == EBUSY    ? ": a volume is on it: delete its partition first"
                : errno == EEXIST ? ": a datastore has this label"
                : errno == ENOENT ? ": no such partition; esxcli storage core device list, "
                                    "and :NUMBER"
                : errno == EPERM  ? ": only root may"
                                  : "; dmesg says more");
        return 3;
    }
    printf("Successfully created new volume: %s\n", s.uuid);
    return 0;
}

static int lock(void *context, const char *verb, const char *device)
{
    struct vmk_disk_set s = {.what = strcmp(verb, "reserve") == 0   ? VMK_DISK_RESERVE
                                     : strcmp(verb, "release") == 0 ? VMK_DISK_RELEASE
                                                                    : VMK_DISK_RESET};

    (void)context;
    device = disk_name(device);
    if (!name_put(s.name, sizeof(s.name), device))
        return 3;
    if (ask(VMK_DISK_SET, &s, sizeof(s)) < 0) {
        fprintf(stderr, "vmkfstools: %s: %s: %s%s\n", device, verb, strerror(errno),
                errno == EBUSY    ? ": another host has reserved it; -L lunreset takes it away"
                : errno == ENOENT ? ": no such disk; esxcli storage core device list"
                : errno == EPERM  ? ": only root may"
                : errno == EINVAL
                    ? ": the whole disk has to be a SCSI disk that knows reservations; VMFS "
                      "locks need none"
                    : "");
        return 3;
    }
    return 0;
}

/* Reading takes no lock, so a file that another host has can be asked about. */
static int dump_lock(void *context, const char *path)
{
    struct vmk_file_info info = {.fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
    int result = -1;

    (void)context;
    if (info.fd >= 0)
        result = ask(VMK_FILE_INFO, &info, sizeof(info));
    if (result < 0)
        fprintf(stderr, "vmkfstools: %s: %s\n", path,
                info.fd >= 0 && errno == EINVAL ? "not on a VMFS volume" : strerror(errno));
    else
        fputs(info.text, stdout);
    if (info.fd >= 0)
        close(info.fd);
    return result < 0 ? 3 : 0;
}

int main(int argc, char **argv)
{
    const struct vmkfstools where = {
        .query = query, .create_fs = create_fs, .dump_lock = dump_lock, .lock = lock};

    return vmkfstools_run(&where, argc, argv);
}
