// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/scenario/vmfs_judge.c -- is a volume after a power cut what its history allows?
 *
 *   check     vmfs_check() finds nothing
 *   names     tree, types, sizes, modes, link counts and link targets are those of one moment
 *             of the history between the last acknowledged sync and now: operations survive in
 *             order, whole
 *   contents  each byte of each file is what it was at one moment of that time; so what was
 *             synced and not written since is there exactly, and nobody sees another file's
 *             bytes
 *   peer      fsck.vmfs, which we did not write, finds nothing either
 *
 * Locking    none: one world.
 * Start at   judge()
 */
#include <unistd.h>

#include "sim/scenario/vmfs_model.h"

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

noreturn_fn void judge_failed(const char *what, uint64_t detail)
{
    const char *path = getenv("ORRERY_SAVE");

    if (path && !disk_model_save(history.cut.disk, path))
        perror(path);
    sim_fail("operation %llu, write %llu, survivors %llx, second cut %llu: %s (%llu)",
             (unsigned long long)history.op, (unsigned long long)history.points,
             (unsigned long long)history.cut.seed, (unsigned long long)history.cut.second, what,
             (unsigned long long)detail);
}

void judge_check(struct vmfs_volume *v)
{
    vmk_status status;
    unsigned count;

    problem_count = 0;
    count = vmfs_check(v, on_problem, NULL, &status);
    if (status != VMK_OK)
        judge_failed(vmk_status_text(status), 0);
    if (count)
        judge_failed("problems found by the check", count);
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
            judge_failed("more names than were ever made", i);
        for (name = 0; name < NAMES && strcmp(entry.name, model_name_text(name)) != 0; name++)
            ;
        if (name == NAMES)
            judge_failed("a name that nobody gave", i);
        s->parent = parent;
        s->name = name;
        status = vmfs_attributes(v, entry.id, &s->a);
        if (status != VMK_OK)
            judge_failed("attributes", status);
        memset(s->target, 0, sizeof(s->target));
        if (s->a.type == VMFS_SYMLINK) {
            size_t got;

            status = vmfs_read(v, entry.id, 0, s->target, sizeof(s->target) - 1, &got);
            if (status != VMK_OK)
                judge_failed("link target", status);
        }
    }
    if (status != VMK_NOT_FOUND)
        judge_failed("reading a directory", status);
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
 * A sector that no moment had as a whole: a write that ended in it left behind the new end what
 * was there. Each byte must still be of one moment.
 */
static void check_bytes(const unsigned char *data, uint64_t at, size_t size, unsigned node)
{
    bool good[SECTOR] = {false};
    unsigned char want[SECTOR];

    for (unsigned i = 0; i < history.count; i++) {
        const struct version *version = history.window[i].nodes[node];

        if (!version || version->type != VMFS_FILE)
            continue;
        model_read(version, at, want, size);
        for (size_t k = 0; k < size; k++)
            good[k] = good[k] || want[k] == data[k];
    }
    for (size_t k = 0; k < size; k++) {
        if (!good[k])
            judge_failed("a byte of a file that no moment since the last sync had", at + k);
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
        judge_failed("reading a file", got);
    for (uint64_t at = 0; at < got; at += SECTOR) {
        size_t size = MIN(SECTOR, got - at);
        bool good = false;

        for (unsigned i = history.count; i > 0 && !good; i--) {
            /* Nearest first: nearly always it is the state itself. */
            const struct version *version = history
                                                .window[i == history.count ? moment
                                                        : i == moment + 1  ? history.count - 1
                                                                           : i - 1]
                                                .nodes[node];

            if (!version || version->type != VMFS_FILE)
                continue;
            model_read(version, at, want, size);
            good = memcmp(want, data + at, size) == 0;
        }
        if (!good)
            check_bytes(data + at, at, size, node);
    }
}

void judge(struct vmfs_volume *v)
{
    static uint8_t node[ENTRIES];
    const char *why = NULL;
    unsigned moment;
    bool all = history.crashes % 32 == 0;

    judge_check(v);
    seen_count = 0;
    load_dir(v, vmfs_root(v), 0);
    for (unsigned i = 0; i < seen_count; i++) {
        if (seen[i].a.type == VMFS_DIRECTORY)
            load_dir(v, seen[i].a.id, i + 1);
    }
    for (moment = history.count; moment > 0; moment--) {
        why = mismatch(&history.window[moment - 1], node);
        if (!why)
            break;
    }
    if (!moment) {
        for (unsigned i = 0; i < history.count; i++) {
            printf("  moment %u: %s\n", i, mismatch(&history.window[i], node));
            for (unsigned k = 0; k < history.window[i].count; k++)
                printf("     in node %u %s is node %u, mode %o, %llu bytes\n",
                       history.window[i].entries[k].dir,
                       model_name_text(history.window[i].entries[k].name),
                       history.window[i].entries[k].node,
                       history.window[i].nodes[history.window[i].entries[k].node]->mode,
                       (unsigned long long)history.window[i]
                           .nodes[history.window[i].entries[k].node]
                           ->size);
        }
        for (unsigned i = 0; i < seen_count; i++)
            printf("  %u: in %u, %s, 0x%x, mode %o, %u links, %llu bytes; newest: mode %o, "
                   "made by %llu\n",
                   i + 1, seen[i].parent, model_name_text(seen[i].name), seen[i].a.id.address,
                   seen[i].a.mode, seen[i].a.links, (unsigned long long)seen[i].a.length,
                   model_newest()->nodes[node[i]]->mode,
                   (unsigned long long)model_newest()->nodes[node[i]]->made_by);
        judge_failed("the names are those of no moment since the last sync", history.count);
    }
    for (unsigned i = 0; i < seen_count; i++) {
        const struct version *version = history.window[moment - 1].nodes[node[i]];

        if (version->type == VMFS_FILE &&
            (all || version->made_by + WINDOW >= history.acked_op ||
             model_newest()->nodes[node[i]] != version))
            check_content(v, &seen[i], node[i], moment - 1);
    }
}

/* The checker ends with status 0 whatever it finds; its counters say. */
void judge_ask_peer(struct disk_model *disk)
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
                judge_failed(counters[i], strtoul(colon + 1, NULL, 10));
        }
    }
    if (out)
        pclose(out);
    unlink(path);
    if (found != ARRAY_COUNT(counters))
        sim_fail("fsck.vmfs gave %u of %zu counters: is Debian's vmfs-tools installed?", found,
                 ARRAY_COUNT(counters));
    history.peers++;
}
