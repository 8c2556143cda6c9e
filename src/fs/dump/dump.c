// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/dump/dump.c -- where this host's panic is saved, what is saved, and what an earlier one left.
 *
 * At boot every vmkcore partition of every disk is looked at: a new dump is copied to a file
 * and marked. Then one partition is chosen and kept open, with a writer that has all its
 * memory. The panic screen is the first thing to be saved and the table of worlds the last,
 * because gathering that walks lists which may be what is broken; a fault there ends the host
 * with everything before it on the disk.
 *
 * Invariants
 *   - A dump is marked as collected after its file was synced.
 *   - The writer is used by one panicking CPU, or by nobody.
 * Locking    dump.lock (a mutex) around the choice; a panic does not take it: the choice is one
 *            pointer.
 * Start at   dump_start(), save().
 */
#include "fs/dump/dump.h"

#include "core/assert.h"
#include "core/heap.h"
#include "core/host.h"
#include "core/log.h"
#include "core/trace_control.h"
#include "fs/proc/procfs.h"
#include "fs/vfs.h"
#include "io/partition.h"
#include "io/storage.h"
#include "lib/format.h"
#include "lib/string.h"
#include "plat/plat.h"
#include "world/mutex.h"
#include "world/world.h"

#define LOG_CHUNK     4096u
#define COPY_CHUNK    65536u
#define FILES_MAX     1000u
#define PATH_ROOM     64u
#define CRASH_PATH    "vmware/reliability/crashMe/Panic"
#define COREDUMP_PATH "vmware/coredump"

struct dump_state {
    struct mutex lock;
    struct block_device *device;       // lock; open
    struct dump_writer *writer;        // (a)
    char configured[BLOCK_NAME_SIZE];  // lock; empty: the first that is found
    bool off;                          // lock
    char *text;                        // for a panic: TRACE_METADATA_MAX
};
HOST_STATE(dump);

/* ---- saving ---- */

static void save_log(struct dump_writer *w, const char *section, uint64_t position,
                     char *buffer)
{
    size_t length;

    while ((length = log_ring_read(&position, buffer, LOG_CHUNK)))
        if (dump_writer_add(w, section, buffer, length) != VMK_OK)
            return;
}

static bool save_frame(void *context, const void *head, size_t head_size, const void *body,
                       size_t body_size)
{
    return dump_writer_add(context, "trace", head, head_size) == VMK_OK &&
           dump_writer_add(context, "trace", body, body_size) == VMK_OK;
}

static void save_world(struct world *w, void *argument)
{
    char line[192];
    const struct wait_queue *queue = w->waiting_on;
    const int length = vmk_snprintf(
        line, sizeof(line), "%8u %-24s cpu%-3u %10llu ms %8llu switches %s%s\n", w->id.raw,
        w->name, w->sched.cpu, (unsigned long long)(w->sched.times.run / 1000000u),
        (unsigned long long)w->sched.times.switches, queue ? "waits in " : "",
        queue ? queue->lock.name : "");

    (void)!dump_writer_add(argument, "worlds", line, MIN((size_t)length, sizeof(line) - 1));
}

/* Each ends with the header telling of it, so that the next may break. */
static vmk_status save_all(struct dump_writer *w, char *text)
{
    vmk_status status;

    save_log(w, "panic", log_panic_begin(), text);
    save_log(w, "log", 0, text);
    status = dump_writer_mark(w, false);
    if (status == VMK_OK && trace_dump(save_frame, w, text))
        status = dump_writer_mark(w, false);
    if (status == VMK_OK) {
        world_for_all(save_world, w);
        status = dump_writer_mark(w, true);
    }
    return status;
}

static void save(const struct core_panic *panic)
{
    struct dump_state *dump = this_host()->dump;
    struct dump_writer *w = __atomic_load_n(&dump->writer, __ATOMIC_ACQUIRE);
    struct dump_header *h;
    vmk_status status;

    if (!w) {
        panic->print("  No core dump: no partition of type vmkcore was found or set\n");
        return;
    }
    h = dump_writer_header(w);
    *h = (struct dump_header){.cpu = panic->cpu, .world = panic->world, .uptime = panic->now};
    h->when = plat_wall_time_at_boot() + panic->now / 1000000000u;
    vmk_snprintf(h->version, sizeof(h->version), "Orrery %s", ORRERY_VERSION);
    vmk_snprintf(h->place, sizeof(h->place), "%s:%d", panic->file, panic->line);
    vmk_snprintf(h->reason, sizeof(h->reason), "%s", panic->reason);
    panic->print("  Dumping to %s\n", dump->device->name);
    status = dump_writer_begin(w);
    if (status == VMK_OK)
        status = save_all(w, dump->text);
    if (status == VMK_OK)
        panic->print("  Disk dump successful, %llu bytes\n",
                     (unsigned long long)dump_writer_stored(w));
    else
        panic->print("  Disk dump not whole: %s, after %llu bytes\n", vmk_status_text(status),
                     (unsigned long long)dump_writer_stored(w));
}

/* ---- the partitions ---- */

typedef bool visit_fn(struct block_device *device, void *argument);

/*
 * Every vmkcore partition, open while it is visited, in the order of the disks; true ends it.
 */
static void partitions_visit(visit_fn *visit, void *argument)
{
    struct storage_device_info info;
    bool over = false;

    for (unsigned i = 0; !over && storage_device_get(i, &info); i++) {
        struct partition_table *table;
        struct block_device *device;
        char name[BLOCK_NAME_SIZE + 8];

        if (info.gone ||
            storage_table_read(info.name, &partition_report_none, &table) != VMK_OK)
            continue;
        for (unsigned k = 0; !over && k < table->count; k++) {
            const struct partition *p = &table->partitions[k];

            if (p->kind != PARTITION_VMKCORE || p->bad)
                continue;
            (void)vmk_snprintf(name, sizeof(name), "%s:%u", info.name, p->number);
            if (storage_open(name, &device) == VMK_OK) {
                over = visit(device, argument);
                storage_close(device);
            }
        }
        partition_table_free(table);
    }
}

/* ---- collecting ---- */

static vmk_status folder_make(const char *parent, char out[PATH_ROOM])
{
    const struct vfs_where where = vfs_where_kernel();
    vmk_status status = vfs_mkdir(&where, parent, 0755);

    if (status != VMK_OK && status != VMK_EXISTS)
        return status;
    vmk_snprintf(out, PATH_ROOM, "%s/core", parent);
    status = vfs_mkdir(&where, out, 0755);
    return status == VMK_EXISTS ? VMK_OK : status;
}

/* The first name that is free in /scratch/core, or in /var/core if there is no scratch. */
static vmk_status file_make(char path[PATH_ROOM], struct file **out)
{
    const struct vfs_where where = vfs_where_kernel();
    char folder[PATH_ROOM];
    struct vfs_attr attr;
    const bool scratch = vfs_stat(&where, "/scratch", 0, &attr) == VMK_OK;
    vmk_status status = folder_make(scratch ? "/scratch" : "/var", folder);

    for (unsigned i = 1; status == VMK_OK && i <= FILES_MAX; i++) {
        vmk_snprintf(path, PATH_ROOM, "%s/vmkernel-zdump.%u", folder, i);
        status = vfs_open(&where, path, VFS_O_WRONLY | VFS_O_CREAT | VFS_O_EXCL, 0600, out);
        if (status != VMK_EXISTS)
            return status;
        status = VMK_OK;
    }
    return status == VMK_OK ? VMK_NO_SPACE : status;
}

static vmk_status copy(const struct dump_source *from, uint64_t size, struct file *to)
{
    uint8_t *buffer = heap_alloc(COPY_CHUNK, MEM_OWNER_FS);
    vmk_status status = buffer ? VMK_OK : VMK_NO_MEMORY;

    for (uint64_t at = 0; status == VMK_OK && at < size;) {
        const size_t part = (size_t)MIN(size - at, (uint64_t)COPY_CHUNK);
        size_t done = 0;

        status = from->read(from->context, at, buffer, part);
        if (status == VMK_OK)
            status = file_write(to, buffer, part, &done);
        if (status == VMK_OK && done != part)
            status = VMK_NO_SPACE;
        at += part;
    }
    if (status == VMK_OK)
        status = file_fsync(to, false);
    heap_free(buffer);
    return status;
}

static vmk_status mark_collected(struct block_device *device, struct dump_header *header)
{
    uint8_t *raw = heap_alloc(DUMP_HEADER_SIZE, MEM_OWNER_FS);
    vmk_status status = VMK_NO_MEMORY;

    if (raw) {
        header->state = DUMP_COLLECTED;
        dump_header_encode(header, raw);
        status = block_write(device, 0, raw, DUMP_HEADER_SIZE);
        if (status == VMK_OK)
            status = block_flush(device);
        heap_free(raw);
    }
    return status;
}

static bool collect(struct block_device *device, void *argument)
{
    const struct vfs_where where = vfs_where_kernel();
    const struct dump_source source = {dump_device_read, device, device->size};
    struct dump_header h;
    char path[PATH_ROOM] = "";
    struct file *file = NULL;
    vmk_status status = dump_read(&source, &h, NULL, NULL);

    (void)argument;
    if (status == VMK_CORRUPT)
        vmk_log(VMK_LOG_WARN, "Dump: %s: a dump with a wrong checksum is left where it is",
                device->name);
    if (status != VMK_OK || h.state != DUMP_NEW)
        return false;
    vmk_log(VMK_LOG_WARN,
            "Dump: %s: the host panicked %llu s after its boot: %s (%s, cpu%u, world %u)",
            device->name, (unsigned long long)(h.uptime / 1000000000u), h.reason, h.place,
            h.cpu, h.world);
    status = file_make(path, &file);
    if (status == VMK_OK) {
        status = copy(&source, round_up(DUMP_HEADER_SIZE + h.stored, device->block_size), file);
        file_put(file);
        if (status != VMK_OK)
            (void)!vfs_unlink(&where, path);
    }
    if (status == VMK_OK)
        status = mark_collected(device, &h);
    if (status != VMK_OK)
        vmk_log(VMK_LOG_ERROR, "Dump: %s: not copied to %s: %s; it stays for the next boot",
                device->name, path, vmk_status_text(status));
    else
        vmk_log(VMK_LOG_WARN, "Dump: %s: saved as %s, %llu bytes%s", device->name, path,
                (unsigned long long)(DUMP_HEADER_SIZE + h.stored),
                h.flags & DUMP_WHOLE ? "" : ", not whole");
    return false;
}

/* ---- choosing ---- */

struct chosen {
    const char *wanted;  // empty: the first
    struct block_device *device;
};

static bool choose_one(struct block_device *device, void *argument)
{
    struct chosen *c = argument;

    if ((c->wanted[0] && strcmp(c->wanted, device->name) != 0) || device->read_only ||
        device->size < DUMP_LEAST || device->block_size > DUMP_HEADER_SIZE)
        return false;
    return storage_open(device->name, &c->device) == VMK_OK;
}

/* Lock held. */
static vmk_status choose(struct dump_state *dump, const char *wanted, bool off)
{
    struct chosen c = {.wanted = wanted};
    struct dump_writer *writer = NULL, *old = dump->writer;
    struct block_device *old_device = dump->device;

    if (!off)
        partitions_visit(choose_one, &c);
    if (!off && wanted[0] && !c.device)
        return VMK_NOT_FOUND;
    if (c.device) {
        writer = dump_writer_create(c.device);
        if (!writer) {
            storage_close(c.device);
            return VMK_NO_MEMORY;
        }
    }
    __atomic_store_n(&dump->writer, NULL, __ATOMIC_SEQ_CST);
    dump->device = c.device;
    __atomic_store_n(&dump->writer, writer, __ATOMIC_SEQ_CST);
    dump_writer_destroy(old);
    if (old_device)
        storage_close(old_device);
    dump->off = off;
    if (wanted != dump->configured)
        vmk_snprintf(dump->configured, sizeof(dump->configured), "%s", wanted);
    return VMK_OK;
}

/* ---- asked by others ---- */

vmk_status dump_choose(const char *name)
{
    struct dump_state *dump = this_host()->dump;
    vmk_status status;

    if (!dump->text)
        return VMK_NO_DEVICE;
    mutex_lock(&dump->lock);
    if (!strcmp(name, "none"))
        status = choose(dump, "", true);
    else
        status = choose(dump, strcmp(name, "auto") ? name : "", false);
    mutex_unlock(&dump->lock);
    if (status == VMK_NOT_FOUND)
        vmk_log(VMK_LOG_INFO,
                "Dump: %s: no partition of type vmkcore of at least %u bytes has this name",
                name, DUMP_LEAST);
    return status;
}

void dump_choice_get(struct dump_choice *out)
{
    struct dump_state *dump = this_host()->dump;

    memset(out, 0, sizeof(*out));
    if (!dump->text)
        return;
    mutex_lock(&dump->lock);
    out->off = dump->off;
    if (dump->device)
        vmk_snprintf(out->active, sizeof(out->active), "%s", dump->device->name);
    vmk_snprintf(out->configured, sizeof(out->configured), "%s", dump->configured);
    mutex_unlock(&dump->lock);
}

struct listing {
    dump_partition_fn *fn;
    void *argument;
};

static bool list_one(struct block_device *device, void *argument)
{
    const struct listing *l = argument;
    const struct dump_source source = {dump_device_read, device, device->size};
    struct dump_header h;
    const vmk_status status = dump_read(&source, &h, NULL, NULL);

    l->fn(l->argument, device,
          status == VMK_CORRUPT ? DUMP_CORRUPT
          : status != VMK_OK    ? DUMP_NONE
          : h.state == DUMP_NEW ? DUMP_NEW
                                : DUMP_COLLECTED);
    return false;
}

void dump_partitions(dump_partition_fn *fn, void *argument)
{
    struct listing l = {fn, argument};

    partitions_visit(list_one, &l);
}

/* ---- /proc ---- */

struct shown {
    struct procfs_text *out;
    struct dump_choice choice;
};

static void show_one(void *argument, const struct block_device *device, enum dump_status state)
{
    const struct shown *s = argument;

    procfs_printf(s->out, "partition %s %llu %s %s\n", device->name,
                  (unsigned long long)device->size,
                  strcmp(s->choice.active, device->name) == 0 ? "active" : "-",
                  state == DUMP_CORRUPT ? "corrupt"
                  : state == DUMP_NONE  ? "empty"
                  : state == DUMP_NEW   ? "new"
                                        : "collected");
}

static vmk_status show(struct procfs_text *out, void *argument)
{
    struct shown s = {.out = out};

    (void)argument;
    dump_choice_get(&s.choice);
    procfs_printf(out, "active %s\nconfigured %s\n", s.choice.active[0] ? s.choice.active : "-",
                  s.choice.off             ? "none"
                  : s.choice.configured[0] ? s.choice.configured
                                           : "-");
    dump_partitions(show_one, &s);
    return VMK_OK;
}

static vmk_status store(const char *text, size_t length, void *argument)
{
    char name[BLOCK_NAME_SIZE];

    (void)argument;
    if (!procfs_line(text, length, name, sizeof(name)) || !*name) {
        vmk_log(VMK_LOG_INFO, "Dump: one of: a partition's name, auto, none");
        return VMK_BAD_PARAM;
    }
    return dump_choose(name);
}

static vmk_status crash_show(struct procfs_text *out, void *argument)
{
    (void)argument;
    procfs_printf(out, "0\n");
    return VMK_OK;
}

static vmk_status crash_store(const char *text, size_t length, void *argument)
{
    (void)argument;
    if (length < 1 || text[0] != '1') {
        vmk_log(VMK_LOG_INFO, "Dump: 1 ends the host with a panic");
        return VMK_BAD_PARAM;
    }
    vmk_panic("CrashMe: asked for by writing 1 to /proc/" CRASH_PATH);
}

void dump_start(void)
{
    struct dump_state *dump = this_host()->dump;
    char name[BLOCK_NAME_SIZE] = "";
    vmk_status status;

    mutex_init(&dump->lock, "dump");
    partitions_visit(collect, NULL);
    dump->text = heap_alloc(TRACE_METADATA_MAX, MEM_OWNER_FS);
    if (!core_option("dumpPartition", name, sizeof(name)))
        name[0] = 0;
    if (!dump->text)
        status = VMK_NO_MEMORY;
    else
        status = choose(dump, strcmp(name, "none") ? name : "", !strcmp(name, "none"));
    if (status != VMK_OK)
        vmk_log(VMK_LOG_WARN, "Dump: %s: %s: a panic will not be saved", name,
                vmk_status_text(status));
    else if (dump->device)
        vmk_log(VMK_LOG_INFO, "Dump: a panic will be saved on %s", dump->device->name);
    if (dump->text)
        core_panic_hook(save);
    status = procfs_register(COREDUMP_PATH, show, store, NULL);
    if (status == VMK_OK)
        status = procfs_register(CRASH_PATH, crash_show, crash_store, NULL);
    if (status != VMK_OK)
        vmk_log(VMK_LOG_WARN, "Dump: no /proc/" COREDUMP_PATH ": %s", vmk_status_text(status));
}
