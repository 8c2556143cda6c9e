// SPDX-License-Identifier: BSD-2-Clause
/*
 * io/storage.c -- the table behind storage.h: who found which disk, under which name.
 *
 * The table is small and fixed, so a search is a walk and the lock is a spin lock: a disk may
 * vanish from any context. What may block, reading a partition table, happens with the device
 * counted and nothing locked.
 *
 * Invariants
 *   - A name belongs to one entry. A second disk that claims a world-wide name that is taken
 *     (two disks of one serial number, as cheap ones have) goes by its path.
 *   - An entry is freed, and its block device destroyed, when it is gone and nobody has it
 *     open; whoever makes that true does it.
 *   - Adapter numbers are never used twice; adapters stay for as long as the host is up.
 * Locking    storage.lock (rank IO) guards all of it; nothing else is taken under it.
 * Start at   storage_device_add(), storage_open().
 */
#include "io/storage.h"

#include "core/assert.h"
#include "core/heap.h"
#include "core/host.h"
#include "core/log.h"
#include "core/spinlock.h"
#include "io/ioshares.h"
#include "io/partition.h"
#include "lib/format.h"
#include "lib/string.h"

#define ADAPTERS_MAX 32u
#define DEPTH_DISK   32u  // requests with a disk at a time; more would be its order, not ours
#define DEPTH_SSD    64u

struct storage_adapter {
    struct storage_adapter_info info;
};

struct entry {
    struct block_device *block;  // the driver's; null: free
    struct ioshares *shares;     // what its users have open
    struct storage_device_info info;
};

/* A partition somebody has open; each open has its own. */
struct part {
    struct list link;
    struct block_device *slice, *disk;
};

struct storage_state {
    struct spinlock lock;
    struct list parts;
    struct storage_adapter *adapters[ADAPTERS_MAX];
    unsigned adapter_count;
    struct entry devices[STORAGE_DEVICES_MAX];
};
HOST_STATE(storage);

void storage_init(void)
{
    struct storage_state *storage = this_host()->storage;

    spin_init(&storage->lock, "storage", LOCK_RANK_IO);
    list_init(&storage->parts);
}

/* Printable, no blanks at the ends: what a disk says about itself is not to be trusted. */
static void copy_text(char *to, size_t room, const char *from)
{
    size_t n = 0;

    while (*from == ' ')
        from++;
    for (; *from && n + 1 < room; from++)
        to[n++] = *from < ' ' || *from > '~' ? '?' : *from;
    while (n && to[n - 1] == ' ')
        n--;
    to[n] = 0;
}

vmk_status storage_adapter_add(const char *driver, const char *location,
                               const char *description, struct storage_adapter **out)
{
    struct storage_state *storage = this_host()->storage;
    struct storage_adapter *adapter = heap_alloc(sizeof(*adapter), MEM_OWNER_KERNEL);
    bool irqs;
    bool full;

    if (!adapter)
        return VMK_NO_MEMORY;
    copy_text(adapter->info.driver, sizeof(adapter->info.driver), driver);
    copy_text(adapter->info.location, sizeof(adapter->info.location), location);
    copy_text(adapter->info.description, sizeof(adapter->info.description), description);
    irqs = spin_lock(&storage->lock);
    full = storage->adapter_count == ADAPTERS_MAX;
    if (!full) {
        vmk_snprintf(adapter->info.name, sizeof(adapter->info.name), "vmhba%u",
                     storage->adapter_count);
        storage->adapters[storage->adapter_count++] = adapter;
    }
    spin_unlock(&storage->lock, irqs);
    if (full) {
        vmk_log(VMK_LOG_WARN, "Storage: %s at %s: more than %u adapters, this one is left out",
                driver, location, ADAPTERS_MAX);
        heap_free(adapter);
        return VMK_NO_SPACE;
    }
    vmk_log(VMK_LOG_INFO, "Storage: %s: %s, driver %s at %s", adapter->info.name,
            adapter->info.description, adapter->info.driver, adapter->info.location);
    *out = adapter;
    return VMK_OK;
}

static struct entry *find_name(struct storage_state *storage, const char *name, size_t length)
{
    for (unsigned i = 0; i < STORAGE_DEVICES_MAX; i++) {
        struct entry *e = &storage->devices[i];

        if (e->block && !e->info.gone && strlen(e->info.name) == length &&
            memcmp(e->info.name, name, length) == 0)
            return e;
    }
    return NULL;
}

static struct entry *find_block(struct storage_state *storage, const struct block_device *block)
{
    for (unsigned i = 0; i < STORAGE_DEVICES_MAX; i++)
        if (storage->devices[i].block == block)
            return &storage->devices[i];
    return NULL;
}

/* By what its users have open. */
static struct entry *find_open(struct storage_state *storage, const struct block_device *device)
{
    for (unsigned i = 0; i < STORAGE_DEVICES_MAX; i++)
        if (storage->devices[i].block && ioshares_device(storage->devices[i].shares) == device)
            return &storage->devices[i];
    return NULL;
}

vmk_status storage_device_add(struct storage_adapter *adapter, unsigned channel,
                              unsigned target, unsigned lun, struct block_device *block,
                              const struct storage_inquiry *inquiry)
{
    struct storage_state *storage = this_host()->storage;
    struct storage_device_info info = {.size = block->size,
                                       .block_size = block->block_size,
                                       .read_only = block->read_only,
                                       .rotational = block->rotational,
                                       .removable = block->removable};
    struct storage_inquiry *q = &info.inquiry;
    struct entry *e;
    struct ioshares *shares =
        ioshares_create(block, block->rotational ? DEPTH_DISK : DEPTH_SSD);
    bool irqs;
    bool twin;

    if (!shares)
        return VMK_NO_MEMORY;
    copy_text(q->vendor, sizeof(q->vendor), inquiry->vendor);
    copy_text(q->model, sizeof(q->model), inquiry->model);
    copy_text(q->revision, sizeof(q->revision), inquiry->revision);
    copy_text(q->serial, sizeof(q->serial), inquiry->serial);
    copy_text(q->wwn, sizeof(q->wwn), inquiry->wwn);
    memcpy(info.adapter, adapter->info.name, sizeof(info.adapter));
    memcpy(info.driver, adapter->info.driver, sizeof(info.driver));
    vmk_snprintf(info.path, sizeof(info.path), "%s:C%u:T%u:L%u", adapter->info.name, channel,
                 target, lun);

    irqs = spin_lock(&storage->lock);
    twin = q->wwn[0] && find_name(storage, q->wwn, strlen(q->wwn));
    if (q->wwn[0] && !twin)
        memcpy(info.name, q->wwn, sizeof(q->wwn));
    else
        vmk_snprintf(info.name, sizeof(info.name), "mpx.%s", info.path);
    e = find_name(storage, info.name, strlen(info.name)) ? NULL : find_block(storage, NULL);
    if (e) {
        memcpy(block->name, info.name, sizeof(block->name));
        memcpy(ioshares_device(shares)->name, info.name, sizeof(block->name));
        *e = (struct entry){.block = block, .shares = shares, .info = info};
        adapter->info.devices++;
    }
    spin_unlock(&storage->lock, irqs);

    if (!e) {
        vmk_log(VMK_LOG_WARN,
                "Storage: %s: the path is taken, or more than %u devices: left out", info.path,
                STORAGE_DEVICES_MAX);
        ioshares_destroy(shares);
        return VMK_NO_SPACE;
    }
    if (twin)
        vmk_log(VMK_LOG_WARN, "Storage: %s: another disk has the name %s too", info.name,
                q->wwn);
    vmk_log(VMK_LOG_INFO,
            "ScsiDevice: %s: %s %s rev %s, path %s, %llu blocks of %u bytes (%llu MB)%s%s",
            info.name, q->vendor, q->model, q->revision, info.path,
            (unsigned long long)(info.size / info.block_size), info.block_size,
            (unsigned long long)(info.size >> 20), info.rotational ? "" : ", SSD",
            info.read_only ? ", read-only" : "");
    return VMK_OK;
}

/*
 * With the lock held: takes the entry out if its time has come; what is returned is destroyed
 * by the caller after the lock.
 */
static struct entry take_if_over(struct entry *e)
{
    struct entry over = *e;

    if (!e->info.gone || e->info.users)
        return (struct entry){0};
    e->block = NULL;
    return over;
}

static void destroy(const struct entry *over)
{
    if (!over->block)
        return;
    ioshares_destroy(over->shares);
    if (over->block->ops->destroy)
        over->block->ops->destroy(over->block);
}

void storage_device_gone(struct block_device *block)
{
    struct storage_state *storage = this_host()->storage;
    bool irqs = spin_lock(&storage->lock);
    struct entry *e = find_block(storage, block);
    struct entry over = {0};
    bool first = e && !e->info.gone;
    unsigned users = 0;

    if (first) {
        e->info.gone = true;
        users = e->info.users;
        for (unsigned i = 0; i < storage->adapter_count; i++) {
            struct storage_adapter_info *a = &storage->adapters[i]->info;

            if (strcmp(a->name, e->info.adapter) == 0)
                a->devices--;
        }
        over = take_if_over(e);
    }
    spin_unlock(&storage->lock, irqs);
    if (first)
        vmk_log(VMK_LOG_WARN, "ScsiDevice: %s: the device is gone; %u users left", block->name,
                users);
    destroy(&over);
}

static struct block_device *open_disk(const char *name, size_t length)
{
    struct storage_state *storage = this_host()->storage;
    bool irqs = spin_lock(&storage->lock);
    struct entry *e = find_name(storage, name, length);

    if (e)
        e->info.users++;
    spin_unlock(&storage->lock, irqs);
    return e ? ioshares_device(e->shares) : NULL;
}

static void close_disk(struct block_device *disk)
{
    struct storage_state *storage = this_host()->storage;
    bool irqs = spin_lock(&storage->lock);
    struct entry *e = find_open(storage, disk);
    struct entry over;

    vmk_assert(e && e->info.users);
    e->info.users--;
    over = take_if_over(e);
    spin_unlock(&storage->lock, irqs);
    destroy(&over);
}

bool storage_names_meet(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    // "disk" and "disk:1" meet, "disk" and "disk1" do not.
    return (!*a && (!*b || *b == ':')) || (!*b && *a == ':');
}

const char *storage_number_at_end(const char *name, uint64_t *number)
{
    const char *colon = NULL;
    const char *end;

    for (const char *at = name; *at; at++)
        if (*at == ':')
            colon = at;
    if (!colon || !parse_u64(colon + 1, &end, number) || *end || colon[1] == '0' ||
        *number > UINT32_MAX)
        return NULL;
    return colon;
}

static vmk_status open_partition(struct block_device *disk, unsigned number,
                                 struct block_device **out)
{
    struct storage_state *storage = this_host()->storage;
    struct part *part = heap_alloc(sizeof(*part), MEM_OWNER_KERNEL);
    vmk_status status;
    bool irqs;

    if (!part)
        return VMK_NO_MEMORY;
    status = partition_open(disk, number, &part->slice);
    if (status != VMK_OK) {
        heap_free(part);
        return status == VMK_NOT_FOUND ? VMK_BAD_FORMAT : status;
    }
    part->disk = disk;
    irqs = spin_lock(&storage->lock);
    list_add_tail(&storage->parts, &part->link);
    spin_unlock(&storage->lock, irqs);
    *out = part->slice;
    return VMK_OK;
}

vmk_status storage_open(const char *name, struct block_device **out)
{
    struct block_device *disk = open_disk(name, strlen(name));
    const char *colon;
    uint64_t number;
    vmk_status status;

    if (disk) {
        *out = disk;
        return VMK_OK;
    }
    colon = storage_number_at_end(name, &number);
    disk = colon ? open_disk(name, (size_t)(colon - name)) : NULL;
    if (!disk)
        return VMK_NOT_FOUND;
    status = open_partition(disk, (unsigned)number, out);
    if (status != VMK_OK)
        close_disk(disk);
    return status;
}

void storage_close(struct block_device *device)
{
    struct storage_state *storage = this_host()->storage;
    struct part *found = NULL;
    bool irqs = spin_lock(&storage->lock);

    list_for_each (node, &storage->parts) {
        struct part *part = list_entry(node, struct part, link);

        if (part->slice == device)
            found = part;
    }
    if (found)
        list_remove(&found->link);
    spin_unlock(&storage->lock, irqs);
    if (!found) {
        close_disk(device);
        return;
    }
    partition_close(found->slice);
    close_disk(found->disk);
    heap_free(found);
}

vmk_status storage_table_read(const char *disk, const struct partition_report *report,
                              struct partition_table **out)
{
    struct block_device *device;
    vmk_status status = storage_open(disk, &device);

    *out = NULL;
    if (status != VMK_OK)
        return status;
    status = partition_table_read(device, report, out);
    storage_close(device);
    return status;
}

vmk_status storage_shares_set(const char *name, uint32_t client, uint32_t shares)
{
    struct block_device *disk = open_disk(name, strlen(name));
    uint64_t number;
    const char *colon = disk ? NULL : storage_number_at_end(name, &number);
    vmk_status status = VMK_OK;

    if (colon)
        disk = open_disk(name, (size_t)(colon - name));
    if (!disk)
        return VMK_NOT_FOUND;
    if (shares)
        status = ioshares_set(disk->context, client, shares);
    else
        ioshares_forget(disk->context, client);
    close_disk(disk);
    return status;
}

bool storage_device_get(unsigned index, struct storage_device_info *out)
{
    struct storage_state *storage = this_host()->storage;
    bool irqs = spin_lock(&storage->lock);
    bool found = false;

    for (unsigned i = 0; i < STORAGE_DEVICES_MAX && !found; i++) {
        const struct entry *e = &storage->devices[i];

        if (!e->block || index--)
            continue;
        *out = e->info;
        out->stats = e->block->stats;
        found = true;
    }
    spin_unlock(&storage->lock, irqs);
    return found;
}

bool storage_adapter_get(unsigned index, struct storage_adapter_info *out)
{
    struct storage_state *storage = this_host()->storage;
    bool irqs = spin_lock(&storage->lock);
    bool found = index < storage->adapter_count;

    if (found)
        *out = storage->adapters[index]->info;
    spin_unlock(&storage->lock, irqs);
    return found;
}
