// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmfs/datastore_proc.c -- /proc/vmware/datastores: what is mounted; making one and looking again.
 *
 * For scripts of the host shell; esxcli and vmkfstools use /dev/vmk (user/vmk_store.c):
 *
 *     volume <uuid> <size> <free> rw|ro <minor> <extents, with commas> <label>
 *     create <device>:<partition> <label>          rescan
 *
 * A volume is only made on a partition of type VMFS that no mounted volume has and on which
 * none lies already, mounted or another host's: to make one in its place, delete the partition
 * first, so that nobody loses a datastore by a wrong number.
 *
 * Locking    none of its own.
 */
#include "core/log.h"
#include "fs/proc/procfs.h"
#include "fs/vmfs/datastore.h"
#include "io/partition.h"
#include "io/storage.h"
#include "lib/string.h"

static vmk_status show(struct procfs_text *out, void *argument)
{
    struct datastore d;

    (void)argument;
    for (unsigned i = 0; datastore_get(i, &d); i++)
        procfs_printf(out, "volume %s %llu %llu %s %u %s %s\n", d.uuid,
                      (unsigned long long)d.size, (unsigned long long)d.free,
                      d.read_only ? "ro" : "rw", d.minor, d.devices, d.label);
    return VMK_OK;
}

static vmk_status is_vmfs_partition(const char *name)
{
    static const char no_type[] = "is no partition of a disk's table";
    struct partition_table *table = NULL;
    const struct partition *p = NULL;
    char disk_name[BLOCK_NAME_SIZE];
    struct block_device *disk;
    uint64_t number = 0;
    const char *colon = storage_number_at_end(name, &number);
    vmk_status status;

    if (!colon || (size_t)(colon - name) >= sizeof(disk_name)) {
        vmk_log(VMK_LOG_INFO, "Datastore: %s %s: give <device>:<number>", name, no_type);
        return VMK_BAD_PARAM;
    }
    memcpy(disk_name, name, (size_t)(colon - name));
    disk_name[colon - name] = 0;
    status = storage_open(disk_name, &disk);
    if (status != VMK_OK)
        return status;
    status = partition_table_read(disk, NULL, &table);
    if (status == VMK_OK)
        p = partition_find(table, (unsigned)number);
    if (status == VMK_OK && (!p || p->bad)) {
        vmk_log(VMK_LOG_INFO, "Datastore: %s %s", name, no_type);
        status = VMK_NOT_FOUND;
    } else if (status == VMK_OK && p->kind != PARTITION_VMFS) {
        vmk_log(VMK_LOG_INFO, "Datastore: %s is of type %s: give it type vmfs first", name,
                partition_kind_name(p->kind));
        status = VMK_UNSUPPORTED;
    }
    partition_table_free(table);
    storage_close(disk);
    return status;
}

static vmk_status is_empty(const char *name)
{
    struct vmfs_extent_info extent;
    struct block_device *device;
    vmk_status status = storage_open(name, &device);

    if (status != VMK_OK)
        return status;
    status = vmfs_probe(device, &extent);
    storage_close(device);
    if (status == VMK_OK) {
        vmk_log(VMK_LOG_INFO, "Datastore: %s has a VMFS volume, maybe another host's", name);
        return VMK_BUSY;
    }
    return status == VMK_BAD_FORMAT ? VMK_OK : status;
}

vmk_status datastore_create_new(const char *partition, const char *label)
{
    vmk_status status = is_vmfs_partition(partition);

    if (status == VMK_OK)
        status = is_empty(partition);
    return status == VMK_OK ? datastore_create(partition, label) : status;
}

static vmk_status create(char *words)
{
    char *label = strchr(words, ' ');

    if (!label)
        return VMK_BAD_PARAM;
    *label++ = 0;
    return datastore_create_new(words, label);
}

static vmk_status store(const char *text, size_t length, void *argument)
{
    char line[BLOCK_NAME_SIZE + 160];

    (void)argument;
    if (!procfs_line(text, length, line, sizeof(line)))
        return VMK_BAD_PARAM;
    if (!strcmp(line, "rescan")) {
        (void)datastore_scan();
        return VMK_OK;
    }
    if (!strncmp(line, "create ", 7))
        return create(line + 7);
    vmk_log(VMK_LOG_INFO, "Datastore: one of: rescan, create DEVICE:N LABEL");
    return VMK_BAD_PARAM;
}

vmk_status datastore_proc_register(void)
{
    return procfs_register("vmware/datastores", show, store, NULL);
}
