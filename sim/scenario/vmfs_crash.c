// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/scenario/vmfs_crash.c -- vmfs-crash: every place where the power can go in a VMFS history.
 *
 * A history of random operations runs on the modelled disk (--ops N of them, default 200). Before each
 * block that the volume writes, the disk is forked (its memory is shared until it is written) and the
 * fork loses power there (of a run beyond RUN blocks, at a sample of places): once with all earlier writes in order, and at every few blocks with random
 * subsets of what no FLUSH has covered. The fork is mounted, which replays, and judged:
 *
 *   check     vmfs_check() finds nothing
 *   names     tree, types, sizes, modes, link counts and link targets are those of one moment of the
 *             history between the last acknowledged sync and now: operations survive in order, whole
 *   contents  each byte of each file is what it was at one moment of that time; so what was synced and
 *             not written since is there exactly, and nobody sees another file's bytes
 *   again     now and then the power goes a second time, during the replay, and after the replay the
 *             volume is worked with and checked once more
 *   peer      now and then fsck.vmfs, which we did not write, is asked too
 *
 * Even seeds mount for this host alone, odd ones with on-disk locks. ORRERY_SAVE=FILE keeps the disk
 * of a failure.
 *
 * Invariants
 *   - window[0] is the last acknowledged state; the last one is the newest, perhaps not there yet.
 * Locking    none: one world, and a disk without latency.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "fs/vmfs/vmfs.h"
#include "lib/rng.h"
#include "sim/model/disk.h"
#include "sim/scenario/scenario.h"

#define DISK_SIZE  (1100ull << 20)
#define NAMES      12u
#define NODES      96u
#define ENTRIES    200u
#define CHUNK      4096u
#define CHUNKS     400u  // of a file: two file blocks
#define WINDOW     40u
#define SECTOR     512u
#define DEFAULT    200u
#define PEER_EVERY 2500u
#define RUN        48u

uint64_t scenario_ops;

/* ---- the model: states share what did not change ---- */

struct chunk {
    uint32_t refs;
    unsigned char data[CHUNK];
};

struct version {
    uint32_t refs, mode;
    enum vmfs_type type;
    uint64_t size;
    uint64_t made_by;  // operation
    char target[32];
    struct chunk *chunks[CHUNKS];
};

struct entry {
    uint8_t dir, node, name;
};

struct state {
    unsigned count;
    struct entry entries[ENTRIES];
    struct version *nodes[NODES];  // 0 is the root
};

static struct {
    struct disk_model *disk;
    struct vmfs_volume *v;
    bool private_volume;
    vmfs_id ids[NODES];
    bool open[NODES];
    struct state window[WINDOW];
    unsigned count;
    struct rng rng, chance;
    uint64_t op, acked_op;
    uint64_t next, run;  // where the next block is of a run, and how many were
    uint64_t points, crashes, seconds_crashes, syncs, peers, commits;
} h;

static void version_put(struct version *version)
{
    if (!version || --version->refs)
        return;
    for (unsigned i = 0; i < CHUNKS; i++) {
        if (version->chunks[i] && --version->chunks[i]->refs == 0)
            free(version->chunks[i]);
    }
    free(version);
}

static void state_copy(struct state *to, const struct state *from)
{
    *to = *from;
    for (unsigned i = 0; i < NODES; i++) {
        if (to->nodes[i])
            to->nodes[i]->refs++;
    }
}

static void state_end(struct state *s)
{
    for (unsigned i = 0; i < NODES; i++)
        version_put(s->nodes[i]);
}

static struct state *newest(void)
{
    return &h.window[h.count - 1];
}

/* The state that the next operation makes. */
static struct state *push(void)
{
    state_copy(&h.window[h.count], newest());
    h.count++;
    return newest();
}

static void pop(void)
{
    state_end(newest());
    h.count--;
}

/* All that was done is durable. */
static void acknowledge(void)
{
    for (unsigned i = 0; i + 1 < h.count; i++)
        state_end(&h.window[i]);
    h.window[0] = *newest();
    h.count = 1;
    h.acked_op = h.op;
    h.syncs++;
}

/* The node's own version, to be changed. */
static struct version *change(struct state *s, unsigned node)
{
    struct version *fresh = calloc(1, sizeof(*fresh));

    if (s->nodes[node]) {
        *fresh = *s->nodes[node];
        for (unsigned i = 0; i < CHUNKS; i++) {
            if (fresh->chunks[i])
                fresh->chunks[i]->refs++;
        }
        version_put(s->nodes[node]);
    }
    fresh->refs = 1;
    fresh->made_by = h.op;
    s->nodes[node] = fresh;
    return fresh;
}

static unsigned char *chunk_own(struct version *version, unsigned i)
{
    struct chunk *old = version->chunks[i];

    if (!old || old->refs > 1) {
        struct chunk *fresh = calloc(1, sizeof(*fresh));

        if (old) {
            memcpy(fresh->data, old->data, CHUNK);
            old->refs--;
        }
        fresh->refs = 1;
        version->chunks[i] = fresh;
    }
    return version->chunks[i]->data;
}

/* Bytes [at, at + size) of a version; zeros where it has none. size <= SECTOR, inside a chunk. */
static void content(const struct version *version, uint64_t at, unsigned char *out, size_t size)
{
    const struct chunk *chunk = version->chunks[at / CHUNK];

    if (chunk)
        memcpy(out, chunk->data + at % CHUNK, size);
    else
        memset(out, 0, size);
}

static void model_write(struct version *version, uint64_t at, const unsigned char *from,
                        size_t size)
{
    version->size = MAX(version->size, at + size);
    for (size_t done = 0; done < size;) {
        size_t part = MIN(size - done, CHUNK - (at + done) % CHUNK);

        memcpy(chunk_own(version, (unsigned)((at + done) / CHUNK)) + (at + done) % CHUNK,
               from + done, part);
        done += part;
    }
}

static void model_truncate(struct version *version, uint64_t size)
{
    for (uint64_t at = size; at < version->size;) {
        size_t part = (size_t)MIN(version->size - at, CHUNK - at % CHUNK);

        if (version->chunks[at / CHUNK])
            memset(chunk_own(version, (unsigned)(at / CHUNK)) + at % CHUNK, 0, part);
        at += part;
    }
    version->size = size;
}

static int find(const struct state *s, unsigned dir, unsigned name)
{
    for (unsigned i = 0; i < s->count; i++) {
        if (s->entries[i].dir == dir && s->entries[i].name == name)
            return (int)i;
    }
    return -1;
}

static unsigned names_of(const struct state *s, unsigned node)
{
    unsigned n = 0;

    for (unsigned i = 0; i < s->count; i++)
        n += s->entries[i].node == node;
    return n;
}

static bool is_empty(const struct state *s, unsigned dir)
{
    for (unsigned i = 0; i < s->count; i++) {
        if (s->entries[i].dir == dir)
            return false;
    }
    return true;
}

static const char *name_text(unsigned name)
{
    static const char *const names[NAMES] = {
        "a",  "b", "c.vmdk", "a-rather-long-name-for-a-file",
        "d",  "e", "f.vmx",  "another name with blanks in it",
        "gg", "h", "i.log",  "a-rather-long-name-for-a-disk"};

    return names[name];
}

/* ---- the judge ---- */

struct seen {
    unsigned parent;  // index + 1, 0: the root
    unsigned name;
    struct vmfs_attributes a;
    char target[32];
};
static struct seen seen[ENTRIES + 1];
static unsigned seen_count;
static unsigned problem_count;

static void on_problem(void *argument, const char *line)
{
    (void)argument;
    if (problem_count++ < 5)
        printf("  %s\n", line);
}

static struct {
    uint64_t seed, second;
    struct disk_model *disk;
} now;

static noreturn_fn void failed(const char *what, uint64_t detail)
{
    const char *path = getenv("ORRERY_SAVE");

    if (path && !disk_model_save(now.disk, path))
        perror(path);
    sim_fail("operation %llu, write %llu, survivors %llx, second cut %llu: %s (%llu)",
             (unsigned long long)h.op, (unsigned long long)h.points,
             (unsigned long long)now.seed, (unsigned long long)now.second, what,
             (unsigned long long)detail);
}

static void check_volume(struct vmfs_volume *v)
{
    vmk_status status;
    unsigned count;

    problem_count = 0;
    count = vmfs_check(v, on_problem, NULL, &status);
    if (status != VMK_OK)
        failed(vmk_status_text(status), 0);
    if (count)
        failed("problems found by the check", count);
}

static void load_dir(struct vmfs_volume *v, vmfs_id dir, unsigned parent)
{
    struct vmfs_entry entry;
    vmk_status status;

    for (uint64_t i = 2; (status = vmfs_entry(v, dir, i, &entry)) == VMK_OK; i++) {
        struct seen *s = &seen[seen_count];
        unsigned name;

        if (entry.type == VMFS_SYSTEM)
            continue;
        if (seen_count++ == ENTRIES)
            failed("more names than were ever made", i);
        for (name = 0; name < NAMES && strcmp(entry.name, name_text(name)) != 0; name++)
            ;
        if (name == NAMES)
            failed("a name that nobody gave", i);
        s->parent = parent;
        s->name = name;
        status = vmfs_attributes(v, entry.id, &s->a);
        if (status != VMK_OK)
            failed("attributes", status);
        memset(s->target, 0, sizeof(s->target));
        if (s->a.type == VMFS_SYMLINK) {
            size_t got;

            status = vmfs_read(v, entry.id, 0, s->target, sizeof(s->target) - 1, &got);
            if (status != VMK_OK)
                failed("link target", status);
        }
    }
    if (status != VMK_NOT_FOUND)
        failed("reading a directory", status);
}

/* node[i] is what seen[i] is in the state. Null: it matches; else why not. */
static const char *mismatch(const struct state *s, uint8_t *node)
{
    static uint8_t table[NODES][NAMES];
    static uint8_t names[NODES];
    static uint8_t subdirs[NODES];
    vmfs_id ids[NODES];

    if (s->count != seen_count)
        return "number of names";
    memset(table, 0xff, sizeof(table));
    memset(names, 0, sizeof(names));
    memset(subdirs, 0, sizeof(subdirs));
    memset(ids, 0, sizeof(ids));
    for (unsigned i = 0; i < s->count; i++) {
        const struct entry *e = &s->entries[i];

        table[e->dir][e->name] = e->node;
        names[e->node]++;
        subdirs[e->dir] =
            (uint8_t)(subdirs[e->dir] + (s->nodes[e->node]->type == VMFS_DIRECTORY));
    }
    for (unsigned i = 0; i < seen_count; i++) {
        const struct seen *x = &seen[i];
        unsigned n = table[x->parent ? node[x->parent - 1] : 0][x->name];
        const struct version *version;

        if (n == 0xff)
            return "a name";
        version = s->nodes[n];
        if (ids[n].address && ids[n].address != x->a.id.address)
            return "two names of one file";
        ids[n] = x->a.id;
        node[i] = (uint8_t)n;
        if (x->a.type != version->type)
            return "type";
        if (x->a.mode != version->mode)
            return "mode";
        if (x->a.links !=
            (version->type == VMFS_DIRECTORY ? 2u + subdirs[n] : (unsigned)names[n]))
            return "link count";
        if (version->type == VMFS_FILE && x->a.length != version->size)
            return "length";
        if (version->type == VMFS_SYMLINK && strcmp(x->target, version->target) != 0)
            return "target";
    }
    return NULL;
}

/*
 * A sector that no moment had as a whole: a write that ended in it left behind the new end what was
 * there. Each byte must still be of one moment.
 */
static void check_bytes(const unsigned char *data, uint64_t at, size_t size, unsigned node)
{
    bool good[SECTOR] = {false};
    unsigned char want[SECTOR];

    for (unsigned i = 0; i < h.count; i++) {
        const struct version *version = h.window[i].nodes[node];

        if (!version || version->type != VMFS_FILE)
            continue;
        content(version, at, want, size);
        for (size_t k = 0; k < size; k++)
            good[k] = good[k] || want[k] == data[k];
    }
    for (size_t k = 0; k < size; k++) {
        if (!good[k])
            failed("a byte of a file that no moment since the last sync had", at + k);
    }
}

static void check_content(struct vmfs_volume *v, const struct seen *x, unsigned node,
                          unsigned moment)
{
    static unsigned char data[CHUNKS * CHUNK];
    unsigned char want[SECTOR];
    size_t got;
    vmk_status status = vmfs_read(v, x->a.id, 0, data, sizeof(data), &got);

    if (status != VMK_OK || got != x->a.length)
        failed("reading a file", got);
    for (uint64_t at = 0; at < got; at += SECTOR) {
        size_t size = MIN(SECTOR, got - at);
        bool good = false;

        for (unsigned i = h.count; i > 0 && !good; i--) {
            /* Nearest first: nearly always it is the state itself. */
            const struct version *version = h.window[i == h.count      ? moment
                                                     : i == moment + 1 ? h.count - 1
                                                                       : i - 1]
                                                .nodes[node];

            if (!version || version->type != VMFS_FILE)
                continue;
            content(version, at, want, size);
            good = memcmp(want, data + at, size) == 0;
        }
        if (!good)
            check_bytes(data + at, at, size, node);
    }
}

static void judge(struct vmfs_volume *v)
{
    static uint8_t node[ENTRIES];
    const char *why = NULL;
    unsigned moment;
    bool all = h.crashes % 32 == 0;

    check_volume(v);
    seen_count = 0;
    load_dir(v, vmfs_root(v), 0);
    for (unsigned i = 0; i < seen_count; i++) {
        if (seen[i].a.type == VMFS_DIRECTORY)
            load_dir(v, seen[i].a.id, i + 1);
    }
    for (moment = h.count; moment > 0; moment--) {
        why = mismatch(&h.window[moment - 1], node);
        if (!why)
            break;
    }
    if (!moment) {
        for (unsigned i = 0; i < h.count; i++) {
            printf("  moment %u: %s\n", i, mismatch(&h.window[i], node));
            for (unsigned k = 0; k < h.window[i].count; k++)
                printf(
                    "     in node %u %s is node %u, mode %o, %llu bytes\n",
                    h.window[i].entries[k].dir, name_text(h.window[i].entries[k].name),
                    h.window[i].entries[k].node,
                    h.window[i].nodes[h.window[i].entries[k].node]->mode,
                    (unsigned long long)h.window[i].nodes[h.window[i].entries[k].node]->size);
        }
        for (unsigned i = 0; i < seen_count; i++)
            printf("  %u: in %u, %s, 0x%x, mode %o, %u links, %llu bytes; newest: mode %o, "
                   "made by %llu\n",
                   i + 1, seen[i].parent, name_text(seen[i].name), seen[i].a.id.address,
                   seen[i].a.mode, seen[i].a.links, (unsigned long long)seen[i].a.length,
                   newest()->nodes[node[i]]->mode,
                   (unsigned long long)newest()->nodes[node[i]]->made_by);
        failed("the names are those of no moment since the last sync", h.count);
    }
    for (unsigned i = 0; i < seen_count; i++) {
        const struct version *version = h.window[moment - 1].nodes[node[i]];

        if (version->type == VMFS_FILE && (all || version->made_by + WINDOW >= h.acked_op ||
                                           newest()->nodes[node[i]] != version))
            check_content(v, &seen[i], node[i], moment - 1);
    }
}

/* Debian's checker on the disk as it is. It ends with status 0 whatever it finds. */
static void ask_peer(struct disk_model *disk)
{
    static const char *const counters[] = {"Unallocated blocks", "Lost blocks",
                                           "Undefined inodes", "Orphaned inodes",
                                           "Directory errors"};
    char path[] = "/tmp/orrery-vmfs-XXXXXX";
    char command[128];
    char line[256];
    unsigned found = 0;
    int fd = mkstemp(path);
    FILE *out;

    if (fd < 0 || !disk_model_save(disk, path))
        sim_fail("%s: cannot be written", path);
    close(fd);
    snprintf(command, sizeof(command), "fsck.vmfs %s 2>/dev/null", path);
    out = popen(command, "r");
    while (out && fgets(line, sizeof(line), out)) {
        for (unsigned i = 0; i < ARRAY_COUNT(counters); i++) {
            const char *colon = strchr(line, ':');

            if (strncmp(line, counters[i], strlen(counters[i])) != 0 || !colon)
                continue;
            found++;
            if (strtoul(colon + 1, NULL, 10))
                failed(counters[i], strtoul(colon + 1, NULL, 10));
        }
    }
    if (out)
        pclose(out);
    unlink(path);
    if (found != ARRAY_COUNT(counters))
        sim_fail("fsck.vmfs gave %u of %zu counters: is Debian's vmfs-tools installed?", found,
                 ARRAY_COUNT(counters));
    h.peers++;
}

/* ---- crashes ---- */

static uint64_t fixed_seconds(void)
{
    return 1700000000;
}

static vmk_status mount_on(struct disk_model *disk, struct vmfs_volume **v)
{
    const struct vmfs_mount how = {.host = vmfs_uuid_make(1001, 77, 100),
                                   .host_text = "10.0.0.1",
                                   .private_volume = h.private_volume,
                                   .seconds = fixed_seconds};
    struct block_device *device = disk_model_device(disk);

    return vmfs_mount(&device, 1, &how, v);
}

/* The host uses what it found. */
static void work_on(struct vmfs_volume *v)
{
    vmfs_id id;
    vmk_status status = vmfs_create(v, vmfs_root(v), "after", VMFS_FILE, 0600, 0, 0, NULL, &id);

    if (status == VMK_OK)
        status = vmfs_write(v, id, 0, name_text, 20000 % 8000);
    if (status == VMK_OK)
        status = vmfs_sync(v);
    if (status == VMK_OK)
        status = vmfs_remove(v, vmfs_root(v), "after", false);
    if (status == VMK_OK)
        status = vmfs_sync(v);
    if (status != VMK_OK)
        failed("work after the replay", status);
    check_volume(v);
}

static void crash(uint64_t seed)
{
    struct disk_model *disk = disk_model_fork(h.disk);
    struct vmfs_volume *v;
    vmk_status status;

    now.seed = seed;
    now.second = 0;
    now.disk = disk;
    h.crashes++;
    disk_model_power_on(disk, seed);
    if (rng_below(&h.chance, 8) == 0) {
        now.second = 1 + rng_below(&h.chance, rng_below(&h.chance, 2) ? 60 : 2300);
        disk_model_cut_after(disk, now.second);
        h.seconds_crashes++;
        if (mount_on(disk, &v) == VMK_OK)
            vmfs_abandon(v);
        disk_model_power_on(disk, rng_below(&h.chance, 3) ? rng_next(&h.chance) : 0);
    }
    disk_model_durable(disk);  // no power goes any more here
    status = mount_on(disk, &v);
    if (status != VMK_OK)
        failed(vmk_status_text(status), 0);
    judge(v);
    if (rng_below(&h.chance, 16) == 0)
        work_on(v);
    if (h.crashes % PEER_EVERY == 1) {
        status = vmfs_unmount(v);
        if (status != VMK_OK)
            failed(vmk_status_text(status), 0);
        ask_peer(disk);
    } else {
        vmfs_abandon(v);
    }
    disk_model_destroy(disk);
}

/* In a long run of blocks, data or zeros, one place is as another: far into it a sample will do. */
static bool is_worth_it(uint64_t offset)
{
    h.run = offset == h.next ? h.run + 1 : 0;
    h.next = offset + SECTOR;
    return h.run < RUN || rng_below(&h.chance, 50) == 0;
}

static void before_write(void *context, uint64_t offset)
{
    (void)context;
    h.points++;
    if (!is_worth_it(offset))
        return;
    crash(0);
    if (rng_below(&h.chance, 6) == 0) {
        crash(UINT64_MAX);
        for (unsigned i = 0; i < 3; i++)
            crash(rng_next(&h.chance) | 2);
    }
}

/* ---- the history ---- */

static unsigned pick(unsigned below)
{
    return (unsigned)rng_below(&h.rng, below);
}

static void must(vmk_status status, const char *what)
{
    sim_check(status == VMK_OK, "operation %llu: %s: %s", (unsigned long long)h.op, what,
              vmk_status_text(status));
}

/* A node of that type with a name, or -1. */
static int pick_node(const struct state *s, enum vmfs_type type)
{
    unsigned start = pick(NODES);

    for (unsigned i = 0; i < NODES; i++) {
        unsigned n = (start + i) % NODES;

        if (s->nodes[n] && s->nodes[n]->type == type && (!n || names_of(s, n)))
            return (int)n;
    }
    return -1;
}

static void add(struct state *s, unsigned dir, unsigned name, unsigned node)
{
    s->entries[s->count++] = (struct entry){(uint8_t)dir, (uint8_t)node, (uint8_t)name};
}

static void take(struct state *s, unsigned entry)
{
    s->entries[entry] = s->entries[--s->count];
}

/* A node that has no name left is gone, unless it is open. */
static void forget(struct state *s, unsigned node)
{
    if (!names_of(s, node) && !h.open[node]) {
        version_put(s->nodes[node]);
        s->nodes[node] = NULL;
    }
}

static void do_create(struct state *s)
{
    static const enum vmfs_type types[] = {VMFS_FILE, VMFS_FILE, VMFS_FILE, VMFS_DIRECTORY,
                                           VMFS_SYMLINK};
    enum vmfs_type type = types[pick(ARRAY_COUNT(types))];
    unsigned dir = (unsigned)pick_node(s, VMFS_DIRECTORY);
    unsigned name = pick(NAMES);
    struct version *version;
    unsigned node = 1;

    while (node < NODES && s->nodes[node])
        node++;
    if (node == NODES || s->count >= ENTRIES - 1 || find(s, dir, name) >= 0) {
        pop();
        return;
    }
    version = change(s, node);
    version->type = type;
    version->mode = 0600 + pick(64);
    if (type == VMFS_SYMLINK)
        snprintf(version->target, sizeof(version->target), "../to/%llu",
                 (unsigned long long)h.op);
    add(s, dir, name, node);
    must(vmfs_create(h.v, h.ids[dir], name_text(name), type, version->mode, 0, 0,
                     version->target, &h.ids[node]),
         "create");
}

static void do_remove(struct state *s)
{
    unsigned i = s->count ? pick(s->count) : 0;
    struct entry e = s->entries[i];
    bool is_dir = s->count && s->nodes[e.node]->type == VMFS_DIRECTORY;

    if (!s->count || (is_dir && !is_empty(s, e.node))) {
        pop();
        return;
    }
    take(s, i);
    forget(s, e.node);
    must(vmfs_remove(h.v, h.ids[e.dir], name_text(e.name), is_dir), "remove");
}

static bool is_inside(const struct state *s, unsigned dir, unsigned outer)
{
    while (dir && dir != outer) {
        unsigned i = 0;

        while (s->entries[i].node != dir)
            i++;
        dir = s->entries[i].dir;
    }
    return dir == outer;
}

static void do_rename(struct state *s)
{
    unsigned i = s->count ? pick(s->count) : 0;
    struct entry e = s->entries[i];
    unsigned dir = (unsigned)pick_node(s, VMFS_DIRECTORY);
    unsigned name = pick(NAMES);
    int taken = find(s, dir, name);
    bool is_dir = s->count && s->nodes[e.node]->type == VMFS_DIRECTORY;

    if (taken >= 0) {
        struct entry t = s->entries[taken];
        bool target_dir = s->nodes[t.node]->type == VMFS_DIRECTORY;

        if (t.node == e.node || target_dir != is_dir || (target_dir && !is_empty(s, t.node)))
            taken = -2;
    }
    if (!s->count || taken == -2 || (is_dir && is_inside(s, dir, e.node))) {
        pop();
        return;
    }
    s->entries[i].dir = (uint8_t)dir;
    s->entries[i].name = (uint8_t)name;
    if (taken >= 0) {
        unsigned victim = s->entries[taken].node;

        take(s, (unsigned)taken);
        forget(s, victim);
    }
    must(vmfs_rename(h.v, h.ids[e.dir], name_text(e.name), h.ids[dir], name_text(name)),
         "rename");
}

static void do_link(struct state *s)
{
    int node = pick_node(s, VMFS_FILE);
    unsigned dir = (unsigned)pick_node(s, VMFS_DIRECTORY);
    unsigned name = pick(NAMES);

    if (node < 0 || s->count >= ENTRIES - 1 || find(s, dir, name) >= 0) {
        pop();
        return;
    }
    add(s, dir, name, (unsigned)node);
    must(vmfs_link(h.v, h.ids[node], h.ids[dir], name_text(name)), "link");
}

static void do_write(struct state *s)
{
    static unsigned char data[40000];
    int node = pick_node(s, VMFS_FILE);
    static const unsigned sizes[] = {600, 5000, 5000, 9000, 40000};
    static const unsigned offsets[] = {1, 4000, 9000, 60000, CHUNKS * CHUNK - 40000};
    unsigned size = 1 + pick(sizes[pick(ARRAY_COUNT(sizes))] - 1);
    unsigned at = pick(offsets[pick(pick(3) ? 3 : ARRAY_COUNT(offsets))]);

    if (node < 0) {
        pop();
        return;
    }
    for (unsigned i = 0; i < size; i += 4) {
        uint32_t word = (uint32_t)(h.op * 2654435761u) ^ (at + i);

        memcpy(data + i, &word, MIN(4u, size - i));
    }
    model_write(change(s, (unsigned)node), at, data, size);
    must(vmfs_write(h.v, h.ids[node], at, data, size), "write");
}

static void do_length(struct state *s)
{
    int node = pick_node(s, VMFS_FILE);
    unsigned size = pick(pick(3) ? 12000 : CHUNKS * CHUNK);

    if (node < 0) {
        pop();
        return;
    }

    struct version *version = change(s, (unsigned)node);

    if (pick(4) == 0 && size > version->size) {
        version->size = size;
        must(vmfs_allocate(h.v, h.ids[node], size, VMFS_EAGER_ZEROED), "allocate");
        return;
    }
    if (size < version->size)
        model_truncate(version, size);
    version->size = size;
    must(vmfs_truncate(h.v, h.ids[node], size), "truncate");
}

static void do_mode(struct state *s)
{
    int node = pick_node(s, VMFS_FILE);
    struct vmfs_attributes a = {.mode = 0400 + pick(256)};

    if (node < 0) {
        pop();
        return;
    }
    change(s, (unsigned)node)->mode = a.mode;
    must(vmfs_attributes_set(h.v, h.ids[node], VMFS_SET_MODE, &a), "attributes");
}

/* An open file keeps its storage without a name; after a power cut it is gone. */
static void do_open(struct state *s)
{
    int node = pick_node(s, VMFS_FILE);

    for (unsigned i = 1; i < NODES && pick(2); i++) {
        if (!h.open[i])
            continue;
        h.open[i] = false;
        forget(s, i);
        vmfs_close(h.v, h.ids[i], i & 1);
        return;
    }
    pop();
    if (node < 0 || h.open[node])
        return;
    h.open[node] = true;
    must(vmfs_open(h.v, h.ids[node], node & 1), "open");
}

static void remount(void)
{
    for (unsigned i = 1; i < NODES; i++) {
        if (!h.open[i])
            continue;
        h.open[i] = false;
        forget(newest(), i);
        vmfs_close(h.v, h.ids[i], i & 1);
    }
    must(vmfs_unmount(h.v), "unmount");
    acknowledge();
    must(mount_on(h.disk, &h.v), "mount");
}

static void step(void)
{
    static void (*const kinds[])(struct state *) = {
        do_create, do_create, do_create, do_remove, do_remove, do_rename, do_rename,
        do_link,   do_write,  do_write,  do_write,  do_length, do_mode,   do_open};
    unsigned what = pick(200);

    h.op++;
    if (what < 1) {
        remount();
    } else if (what < 6) {
        must(vmfs_tick(h.v), "tick");
        acknowledge();
    } else if (what < 26 || h.count >= WINDOW - 1) {
        must(vmfs_sync(h.v), "sync");
        acknowledge();
    } else {
        kinds[pick(ARRAY_COUNT(kinds))](push());
    }
}

static void run(unsigned host)
{
    const struct vmfs_format how = {
        .label = "crash", .seconds = 1700000000, .random = {1, 2, 3, 4}};
    uint64_t ops = scenario_ops ? scenario_ops : DEFAULT;
    uint64_t seed = sim_options_get()->seed;
    struct block_device *device;

    (void)host;
    log_level_set(VMK_LOG_WARN);
    h.private_volume = seed % 2 == 0;
    rng_init(&h.rng, seed, "vmfs-crash history", 0);
    rng_init(&h.chance, seed, "vmfs-crash cuts", 0);
    h.disk = disk_model_create("crash", DISK_SIZE);
    device = disk_model_device(h.disk);
    must(vmfs_format(&device, 1, &how), "format");
    must(mount_on(h.disk, &h.v), "mount");
    h.ids[0] = vmfs_root(h.v);
    h.count = 1;
    change(&h.window[0], 0)->type = VMFS_DIRECTORY;
    disk_model_watch(h.disk, before_write, NULL);
    while (h.op < ops) {
        step();
        if (h.op % 100 == 0 && ops > DEFAULT) {
            fprintf(stderr, "\r%llu of %llu operations, %llu crashes", (unsigned long long)h.op,
                    (unsigned long long)ops, (unsigned long long)h.crashes);
        }
    }
    disk_model_watch(h.disk, NULL, NULL);
    remount();
    check_volume(h.v);
    must(vmfs_unmount(h.v), "unmount");
    printf("vmfs-crash: %llu operations, %llu acknowledged syncs, %llu blocks written: "
           "%llu power cuts, %llu of them twice, fsck.vmfs asked %llu times\n",
           (unsigned long long)h.op, (unsigned long long)h.syncs, (unsigned long long)h.points,
           (unsigned long long)h.crashes, (unsigned long long)h.seconds_crashes,
           (unsigned long long)h.peers);
    state_end(newest());
    disk_model_destroy(h.disk);
}

const struct scenario scenario_vmfs_crash = {
    .name = "vmfs-crash",
    .what = "a VMFS history with a power cut before every block it writes",
    .cpus = 1,
    .run = run,
};
