// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vmx_config_disks.c -- the keys of a .vmx file that describe disks and their adapters.
 *
 * scsiB.* and scsiB:U.* are a PVSCSI adapter and what hangs at it, orrery.virtioB.* the same
 * for virtio-blk, sched.scsiB:U.shares a disk's part of its datastore. Keys of one disk come in
 * any order and `present` may be the last, so a disk gets a place in the table with its first
 * key, and vmx_disks_finish() keeps those that are present.
 *
 * Invariants
 *   - No more than VM_DISKS_MAX places are given out, present or not.
 *   - After vmx_disks_finish() each disk has a file and a bus that is present.
 * Locking    none: pure.
 * Start at   vmx_disk_key(), vmx_disks_finish().
 */
#include "io/ioshares.h"
#include "lib/ascii.h"
#include "lib/format.h"
#include "lib/string.h"
#include "vmm/vmx_config_internal.h"

_Static_assert(IOSHARES_LOW == IOSHARES_NORMAL / 2 && IOSHARES_HIGH == IOSHARES_NORMAL * 2,
               "vmx_level_read() halves and doubles");

static const char *const bus_words[] = {
    [VM_DISK_SCSI] = "scsi", [VM_DISK_VIRTIO] = "orrery.virtio"};

/* A decimal number of at most two digits at *at, stepped over; -1: none. */
static int small_number(const char **at)
{
    const char *c = *at;
    int value = -1;

    for (unsigned i = 0; i < 2 && *c >= '0' && *c <= '9'; i++)
        value = (value < 0 ? 0 : value * 10) + (*c++ - '0');
    *at = c;
    return value;
}

/* Does the key begin with that word in any case? What follows it, or null. */
static const char *after_word(const char *key, const char *word)
{
    while (*word && ascii_lower(*key) == ascii_lower(*word)) {
        key++;
        word++;
    }
    return *word ? NULL : key;
}

/*
 * Disks appear in the table as their first key is seen, whether they are present or not: a
 * number, or VM_DISKS_MAX if there is no room.
 */
static unsigned disk_of(struct vmx_parser *p, enum vm_disk_bus bus, unsigned number,
                        unsigned unit)
{
    unsigned i = 0;

    while (i < p->disk_count &&
           (p->disks[i].bus != bus || p->disks[i].number != number || p->disks[i].unit != unit))
        i++;
    if (i == p->disk_count && i < VM_DISKS_MAX) {
        p->disks[i] = (struct vm_disk_config){
            .bus = bus, .number = (uint8_t)number, .unit = (uint8_t)unit};
        p->disk_count++;
    }
    return i;
}

static vmk_status set_bus(struct vmx_parser *p, struct vm_config *out, enum vm_disk_bus bus,
                          unsigned number, const char *property)
{
    if (ascii_same(property, "present"))
        return vmx_truth_read(p, &out->buses[bus][number]);
    if (ascii_same(property, "virtualDev") && bus == VM_DISK_SCSI &&
        !ascii_same(p->value, "pvscsi"))
        return vmx_fail(p, "no such adapter here; use pvscsi");
    return VMK_OK;
}

static vmk_status set_disk_shares(struct vmx_parser *p, struct vm_disk_config *d)
{
    if (vmx_level_read(p, IOSHARES_NORMAL, &d->io_shares))
        return VMK_OK;
    return vmx_number_read(p, 1, IOSHARES_MAX, &d->io_shares);
}

static vmk_status set_disk(struct vmx_parser *p, unsigned disk, const char *property)
{
    struct vm_disk_config *d = &p->disks[disk];

    if (ascii_same(property, "present"))
        return vmx_truth_read(p, &p->disk_present[disk]);
    if (ascii_same(property, "fileName"))
        return p->value[0] ? vmx_string_copy(p, d->file, sizeof(d->file))
                           : vmx_fail(p, "empty");
    if (ascii_same(property, "deviceType")) {
        if (ascii_same(p->value, "disk") || ascii_same(p->value, "scsi-hardDisk"))
            return VMK_OK;
        return vmx_fail(p, "must be disk or scsi-hardDisk");
    }
    if (ascii_same(property, "mode")) {
        bool keeps = ascii_same(p->value, "persistent") ||
                     ascii_same(p->value, "independent-persistent");

        if (!keeps && !ascii_same(p->value, "independent-nonpersistent"))
            return vmx_fail(p, "must be persistent, independent-persistent or "
                               "independent-nonpersistent");
        d->mode = keeps ? VM_DISK_PERSISTENT : VM_DISK_NONPERSISTENT;
    }
    return VMK_OK;
}

bool vmx_disk_key(struct vmx_parser *p, struct vm_config *out, vmk_status *status)
{
    const char *sched = after_word(p->key, "sched.");

    for (unsigned bus = 0; bus < ARRAY_COUNT(bus_words); bus++) {
        const char *at = after_word(sched ? sched : p->key, bus_words[bus]);
        int number, unit;

        if (!at || (number = small_number(&at)) < 0 || (*at != '.' && *at != ':'))
            continue;
        if (number >= (int)VM_BUSES_MAX) {
            *status = vmx_fail(p, "there are buses 0 to 3");
            return true;
        }
        if (*at == '.') {
            *status = sched ? VMK_OK
                            : set_bus(p, out, (enum vm_disk_bus)bus, (unsigned)number, at + 1);
            return true;
        }
        at++;
        unit = small_number(&at);
        if (unit < 0 || unit >= (int)VM_DISK_UNITS || *at != '.' ||
            (bus == VM_DISK_SCSI && unit == 7)) {
            *status = vmx_fail(p, "there are units 0 to 15, and 7 is the adapter");
            return true;
        }

        unsigned disk = disk_of(p, (enum vm_disk_bus)bus, (unsigned)number, (unsigned)unit);

        if (disk >= VM_DISKS_MAX)
            *status = vmx_fail(p, "more than 16 disks");
        else if (!sched)
            *status = set_disk(p, disk, at + 1);
        else if (ascii_same(at + 1, "shares"))
            *status = set_disk_shares(p, &p->disks[disk]);
        else
            *status = VMK_OK;
        return true;
    }
    return false;
}

vmk_status vmx_foreign_controller(struct vmx_parser *p)
{
    static const char *const words[] = {"sata", "nvme", "ide"};

    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        const char *at = after_word(p->key, words[i]);

        if (at && small_number(&at) >= 0 && *at == ':') {
            at++;
            if (small_number(&at) >= 0 && ascii_same(at, ".present") &&
                ascii_same(p->value, "true"))
                return vmx_fail(p, "no such controller here; use scsi with pvscsi");
        }
    }
    return VMK_OK;
}

/* A key that is wrong only together with others; the line is the file's last. */
static vmk_status fail_disk(struct vmx_parser *p, const struct vm_disk_config *d,
                            const char *what)
{
    vmk_snprintf(p->key, sizeof(p->key), "%s%u:%u", bus_words[d->bus], d->number, d->unit);
    return vmx_fail(p, what);
}

static unsigned disk_order(const struct vm_disk_config *d)
{
    return (d->bus * VM_BUSES_MAX + d->number) * VM_DISK_UNITS + d->unit;
}

vmk_status vmx_disks_finish(struct vmx_parser *p, struct vm_config *out)
{
    unsigned count = 0;

    for (unsigned i = 0; i < p->disk_count; i++) {
        const struct vm_disk_config d = out->disks[i];
        unsigned at = count;

        if (!p->disk_present[i])
            continue;
        if (!d.file[0])
            return fail_disk(p, &d, "present but without fileName");
        if (!out->buses[d.bus][d.number])
            return fail_disk(p, &d, "its bus is not present: set the bus's .present");
        for (; at > 0 && disk_order(&out->disks[at - 1]) > disk_order(&d); at--)
            out->disks[at] = out->disks[at - 1];
        out->disks[at] = d;
        count++;
    }
    memset(&out->disks[count], 0, (VM_DISKS_MAX - count) * sizeof(out->disks[0]));
    out->disk_count = count;
    return VMK_OK;
}
