// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/vmk_store.c -- disks, datastores, swap space and core dumps as /dev/vmk shows and sets them.
 *
 * What a request means is decided by whoever has the thing: here its structure is checked, its
 * texts are ended, and words of the interface become those of the kernel.
 *
 * Invariants
 *   - A text of a program is used only if it ends inside its array, and is not empty where a
 *     name is needed.
 * Locking    none of its own.
 */
#include "fs/dump/dump.h"
#include "fs/vmfs/datastore.h"
#include "io/storage.h"
#include "lib/format.h"
#include "lib/string.h"
#include "user/user_swap.h"
#include "user/vmk_device.h"

#define DATASTORE_PREFIX "datastore:"
#define DEVICE_PREFIX    "host:"

_Static_assert(VMK_DISK_NAME_SIZE == BLOCK_NAME_SIZE, "one size of a disk's name");

static void text_copy(char *to, size_t room, const char *from)
{
    (void)vmk_snprintf(to, room, "%s", from);
}

static bool is_name(const char *text, size_t room)
{
    size_t length = 0;

    while (length < room && text[length])
        length++;
    return length && length < room;
}

/* ioctl() has a meaning of its own for UNSUPPORTED: that the file does not know the request. */
static vmk_status refused(vmk_status status)
{
    return status == VMK_UNSUPPORTED ? VMK_BAD_PARAM : status;
}

/* ---- disks ---- */

vmk_status vmk_disk_set(struct thread *t, struct vmk_disk_set *s)
{
    struct block_device *device;
    vmk_status status;

    if (!vmk_may(t, 0))
        return VMK_NOT_OWNER;
    if (s->what < VMK_DISK_RESERVE || s->what > VMK_DISK_RESET || s->reserved ||
        !is_name(s->name, sizeof(s->name)))
        return VMK_BAD_PARAM;
    status = storage_open(s->name, &device);
    if (status != VMK_OK)
        return status;
    status = s->what == VMK_DISK_RESET ? block_reset(device)
                                       : block_reserve(device, s->what == VMK_DISK_RESERVE);
    storage_close(device);
    return refused(status);
}

/* ---- datastores ---- */

uint32_t vmk_datastores_gather(struct vmk_datastore *out, uint32_t room)
{
    struct datastore d;
    uint32_t count = 0;

    for (; datastore_get(count, &d); count++) {
        if (count >= room)
            continue;
        out[count] =
            (struct vmk_datastore){.size_bytes = d.size,
                                   .free_bytes = d.free,
                                   .extent_count = d.extents,
                                   .minor = d.minor,
                                   .flags = d.read_only ? VMK_DATASTORE_READ_ONLY : 0u};
        text_copy(out[count].label, sizeof(out->label), d.label);
        text_copy(out[count].uuid, sizeof(out->uuid), d.uuid);
        text_copy(out[count].path, sizeof(out->path), d.path);
        text_copy(out[count].extents, sizeof(out->extents), d.devices);
    }
    return count;
}

static vmk_status datastore_make(struct vmk_datastore_set *s)
{
    struct datastore d;
    vmk_status status;

    if (!is_name(s->partition, sizeof(s->partition)) || !is_name(s->label, sizeof(s->label)))
        return VMK_BAD_PARAM;
    status = datastore_create_new(s->partition, s->label);
    for (unsigned i = 0; status == VMK_OK && datastore_get(i, &d); i++) {
        if (strcmp(d.label, s->label) == 0)
            text_copy(s->uuid, sizeof(s->uuid), d.uuid);
    }
    return refused(status);
}

vmk_status vmk_datastore_set(struct thread *t, struct vmk_datastore_set *s)
{
    if (!vmk_may(t, 0))
        return VMK_NOT_OWNER;
    s->found = 0;
    memset(s->uuid, 0, sizeof(s->uuid));
    switch (s->what) {
    case VMK_DATASTORE_RESCAN: s->found = datastore_scan(); return VMK_OK;
    case VMK_DATASTORE_CREATE: return datastore_make(s);
    default: return VMK_BAD_PARAM;
    }
}

/* ---- swap space of user worlds ---- */

/* Whether `place` is of that kind; then its name is taken. */
static bool name_take(struct vmk_swap *out, const char *place, const char *prefix)
{
    const size_t length = strlen(prefix);

    if (strncmp(place, prefix, length) != 0)
        return false;
    text_copy(out->name, sizeof(out->name), place + length);
    return true;
}

vmk_status vmk_swap_get(struct vmk_swap *out)
{
    struct user_swap_summary u;

    user_swap_get(&u);
    *out = (struct vmk_swap){.head = out->head,
                             .active = u.is_open,
                             .size_kb = u.slots << (PAGE_SHIFT - 10),
                             .used_kb = u.used << (PAGE_SHIFT - 10),
                             .swapped_out_pages = u.out,
                             .swapped_in_pages = u.in,
                             .stayed_pages = u.stayed,
                             .errors = u.errors,
                             .waits = u.waits,
                             .waited_ns = u.wait_ns};
    if (name_take(out, u.place, DATASTORE_PREFIX))
        out->place = VMK_SWAP_DATASTORE;
    else if (name_take(out, u.place, DEVICE_PREFIX))
        out->place = VMK_SWAP_DEVICE;
    return VMK_OK;
}

vmk_status vmk_swap_set(struct thread *t, struct vmk_swap_set *s)
{
    char place[VMK_LABEL_SIZE + sizeof(DATASTORE_PREFIX)];

    if (!vmk_may(t, 0))
        return VMK_NOT_OWNER;
    if (s->place > VMK_SWAP_DEVICE || s->reserved)
        return VMK_BAD_PARAM;
    if (s->place == VMK_SWAP_NOWHERE)
        return s->name[0] ? VMK_BAD_PARAM : user_swap_set("off");
    if (!is_name(s->name, sizeof(s->name)))
        return VMK_BAD_PARAM;
    (void)vmk_snprintf(place, sizeof(place), "%s%s",
                       s->place == VMK_SWAP_DEVICE ? DEVICE_PREFIX : DATASTORE_PREFIX, s->name);
    return user_swap_set(place);
}

/* ---- core dumps ---- */

struct gathering {
    struct vmk_coredump_partition *out;
    uint32_t room, count;
};

static void partition_add(void *argument, const struct block_device *device,
                          enum dump_status state)
{
    static const uint32_t states[] = {[DUMP_NONE] = VMK_COREDUMP_EMPTY,
                                      [DUMP_NEW] = VMK_COREDUMP_NEW,
                                      [DUMP_COLLECTED] = VMK_COREDUMP_COLLECTED,
                                      [DUMP_CORRUPT] = VMK_COREDUMP_CORRUPT};
    struct gathering *g = argument;
    struct vmk_coredump_partition *out = &g->out[g->count];

    if (g->count++ >= g->room)
        return;
    *out = (struct vmk_coredump_partition){.size_bytes = device->size, .state = states[state]};
    text_copy(out->name, sizeof(out->name), device->name);
}

uint32_t vmk_coredumps_gather(struct vmk_coredump_partition *out, uint32_t room)
{
    struct gathering g = {.out = out, .room = room};

    dump_partitions(partition_add, &g);
    return g.count;
}

vmk_status vmk_coredump_get(struct vmk_coredump *out)
{
    struct dump_choice choice;

    dump_choice_get(&choice);
    *out = (struct vmk_coredump){.head = out->head,
                                 .place = choice.off             ? VMK_COREDUMP_NOWHERE
                                          : choice.configured[0] ? VMK_COREDUMP_NAMED
                                                                 : VMK_COREDUMP_FOUND};
    text_copy(out->active, sizeof(out->active), choice.active);
    text_copy(out->configured, sizeof(out->configured), choice.configured);
    return VMK_OK;
}

vmk_status vmk_coredump_set(struct thread *t, struct vmk_coredump_set *s)
{
    if (!vmk_may(t, 0))
        return VMK_NOT_OWNER;
    if (s->reserved || (s->place != VMK_COREDUMP_NAMED && s->name[0]))
        return VMK_BAD_PARAM;
    switch (s->place) {
    case VMK_COREDUMP_NOWHERE: return dump_choose("none");
    case VMK_COREDUMP_FOUND: return dump_choose("auto");
    case VMK_COREDUMP_NAMED:
        return is_name(s->name, sizeof(s->name)) ? dump_choose(s->name) : VMK_BAD_PARAM;
    default: return VMK_BAD_PARAM;
    }
}
