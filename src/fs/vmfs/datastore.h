// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmfs/datastore.h -- VMFS volumes of the host's disks, mounted where ESXi has them.
 *
 * Each volume is at /vmfs/volumes/<uuid>, and /vmfs/volumes/<label> is a link to it. The calls
 * are for worlds after fs_init(); each may block.
 */
#pragma once

#include "fs/vmfs/vmfs.h"

struct datastore {
    char label[129];
    char uuid[VMFS_UUID_TEXT];
    char path[64];      // /vmfs/volumes/<uuid>
    char devices[256];  // names of the extents, with commas
    uint64_t size, free;
    uint32_t extents, minor;
    bool read_only;
};
/* In the order of mounting; false past the end. */
bool datastore_get(unsigned index, struct datastore *out);
/* By label or UUID; false: none is mounted that is called so. */
bool datastore_find(const char *name, struct datastore *out);

/*
 * Looks at every partition of type VMFS of every disk and mounts the volumes that are complete
 * and not mounted yet. At boot, and again for a rescan. Returns how many are new; what is wrong
 * is logged.
 */
unsigned datastore_scan(void);
/* Makes a volume on a partition ("<device>:N") and mounts it. EXISTS: the label is taken. */
must_check vmk_status datastore_create(const char *partition, const char *label);
/*
 * The same where nobody can lose one by a wrong number: on a partition of type VMFS
 * (UNSUPPORTED) on which no volume lies (BUSY). NOT_FOUND; what is wrong is logged.
 * datastore_proc.c
 */
must_check vmk_status datastore_create_new(const char *partition, const char *label);
/* Which empty disks the first boot may take; the boot option autoPartition. */
enum datastore_auto {
    DATASTORE_AUTO_FIRST,  // one, if no disk has a VMFS partition
    DATASTORE_AUTO_NEVER,  // FALSE
    DATASTORE_AUTO_ALL,    // TRUE: each
};
/*
 * Gives empty disks partitions and a datastore, and mounts it. A disk that holds anything at
 * all is left alone; each decision is logged. Behind datastore_scan(). Returns how many were
 * made.
 */
unsigned datastore_first_boot(enum datastore_auto how);
/*
 * Mounts the first disk's scratch partition that datastore_first_boot() made, by number, type
 * and size, at /scratch. Behind fat_type_register(). False: there is none, or it cannot be
 * mounted (logged).
 */
bool datastore_scratch_mount(void);
/* For the end of the host; nothing where nothing is mounted. */
void datastore_scratch_unmount(void);
/* By label or UUID. BUSY: files are open. NOT_FOUND. Everything is flushed. */
must_check vmk_status datastore_unmount(const char *name);
/* For the end of the host: as many as can be. Returns how many stay. */
unsigned datastore_unmount_all(void);
/* /proc/vmware/datastores; datastore_proc.c. */
must_check vmk_status datastore_proc_register(void);
