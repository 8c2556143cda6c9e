// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/scenario/vmfs_crash.c -- vmfs-crash: every place where the power can go in a VMFS history.
 *
 * A history of random operations runs on the modelled disk (--ops N of them, default 200).
 * Before each block that the volume writes, the disk is forked (its memory is shared until it
 * is written) and the fork loses power there; of a run beyond RUN blocks, at a sample of
 * places. It loses it once with all earlier writes in order, and at every few blocks with
 * random subsets of what no FLUSH has covered. The fork is mounted, which replays, and judged
 * (vmfs_judge.c).
 *
 * Now and then the power goes a second time, during the replay, and after the replay the volume
 * is worked with and checked once more.
 *
 * Even seeds mount for this host alone, odd ones with on-disk locks. ORRERY_SAVE=FILE keeps the
 * disk of a failure.
 *
 * Locking    none: one world, and a disk without latency.
 * Start at   run(), before_write()
 */
#include "core/log.h"
#include "sim/scenario/vmfs_model.h"

#define DISK_SIZE  (1100ull << 20)
#define DEFAULT    200u
#define PEER_EVERY 2500u
#define RUN        48u

uint64_t scenario_ops;

/* ---- crashes ---- */

static uint64_t fixed_seconds(void)
{
    return 1700000000;
}

static vmk_status mount_on(struct disk_model *disk, struct vmfs_volume **v)
{
    const struct vmfs_mount how = {.host = vmfs_uuid_make(1001, 77, 100),
                                   .host_text = "10.0.0.1",
                                   .private_volume = history.private_volume,
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
        status = vmfs_write(v, id, 0, model_name_text, 20000 % 8000);
    if (status == VMK_OK)
        status = vmfs_sync(v);
    if (status == VMK_OK)
        status = vmfs_remove(v, vmfs_root(v), "after", false);
    if (status == VMK_OK)
        status = vmfs_sync(v);
    if (status != VMK_OK)
        judge_failed("work after the replay", status);
    judge_check(v);
}

static void crash(uint64_t seed)
{
    struct disk_model *disk = disk_model_fork(history.disk);
    struct vmfs_volume *v;
    vmk_status status;

    history.cut.seed = seed;
    history.cut.second = 0;
    history.cut.disk = disk;
    history.crashes++;
    disk_model_power_on(disk, seed);
    if (rng_below(&history.chance, 8) == 0) {
        history.cut.second =
            1 + rng_below(&history.chance, rng_below(&history.chance, 2) ? 60 : 2300);
        disk_model_cut_after(disk, history.cut.second);
        history.seconds_crashes++;
        if (mount_on(disk, &v) == VMK_OK)
            vmfs_abandon(v);
        disk_model_power_on(disk,
                            rng_below(&history.chance, 3) ? rng_next(&history.chance) : 0);
    }
    disk_model_durable(disk);  // no power goes any more here
    status = mount_on(disk, &v);
    if (status != VMK_OK)
        judge_failed(vmk_status_text(status), 0);
    judge(v);
    if (rng_below(&history.chance, 16) == 0)
        work_on(v);
    if (history.crashes % PEER_EVERY == 1) {
        status = vmfs_unmount(v);
        if (status != VMK_OK)
            judge_failed(vmk_status_text(status), 0);
        judge_ask_peer(disk);
    } else {
        vmfs_abandon(v);
    }
    disk_model_destroy(disk);
}

/*
 * In a long run of blocks, data or zeros, one place is as another: far into it a sample will
 * do.
 */
static bool is_worth_it(uint64_t offset)
{
    history.run = offset == history.next ? history.run + 1 : 0;
    history.next = offset + SECTOR;
    return history.run < RUN || rng_below(&history.chance, 50) == 0;
}

static void before_write(void *context, uint64_t offset)
{
    (void)context;
    history.points++;
    if (!is_worth_it(offset))
        return;
    crash(0);
    if (rng_below(&history.chance, 6) == 0) {
        crash(UINT64_MAX);
        for (unsigned i = 0; i < 3; i++)
            crash(rng_next(&history.chance) | 2);
    }
}

/* ---- the history ---- */

static unsigned pick(unsigned below)
{
    return (unsigned)rng_below(&history.rng, below);
}

static void must(vmk_status status, const char *what)
{
    sim_check(status == VMK_OK, "operation %llu: %s: %s", (unsigned long long)history.op, what,
              vmk_status_text(status));
}

/* A node of that type with a name, or -1. */
static int pick_node(const struct state *s, enum vmfs_type type)
{
    unsigned start = pick(NODES);

    for (unsigned i = 0; i < NODES; i++) {
        unsigned n = (start + i) % NODES;

        if (s->nodes[n] && s->nodes[n]->type == type && (!n || model_names_of(s, n)))
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
    if (!model_names_of(s, node) && !history.open[node]) {
        model_version_put(s->nodes[node]);
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
    if (node == NODES || s->count >= ENTRIES - 1 || model_find(s, dir, name) >= 0) {
        model_pop();
        return;
    }
    version = model_change(s, node);
    version->type = type;
    version->mode = 0600 + pick(64);
    if (type == VMFS_SYMLINK)
        snprintf(version->target, sizeof(version->target), "../to/%llu",
                 (unsigned long long)history.op);
    add(s, dir, name, node);
    must(vmfs_create(history.v, history.ids[dir], model_name_text(name), type, version->mode, 0,
                     0, version->target, &history.ids[node]),
         "create");
}

static void do_remove(struct state *s)
{
    unsigned i = s->count ? pick(s->count) : 0;
    struct entry e = s->entries[i];
    bool is_dir = s->count && s->nodes[e.node]->type == VMFS_DIRECTORY;

    if (!s->count || (is_dir && !model_is_empty(s, e.node))) {
        model_pop();
        return;
    }
    take(s, i);
    forget(s, e.node);
    must(vmfs_remove(history.v, history.ids[e.dir], model_name_text(e.name), is_dir), "remove");
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
    int taken = model_find(s, dir, name);
    bool is_dir = s->count && s->nodes[e.node]->type == VMFS_DIRECTORY;

    if (taken >= 0) {
        struct entry t = s->entries[taken];
        bool target_dir = s->nodes[t.node]->type == VMFS_DIRECTORY;

        if (t.node == e.node || target_dir != is_dir ||
            (target_dir && !model_is_empty(s, t.node)))
            taken = -2;
    }
    if (!s->count || taken == -2 || (is_dir && is_inside(s, dir, e.node))) {
        model_pop();
        return;
    }
    s->entries[i].dir = (uint8_t)dir;
    s->entries[i].name = (uint8_t)name;
    if (taken >= 0) {
        unsigned victim = s->entries[taken].node;

        take(s, (unsigned)taken);
        forget(s, victim);
    }
    must(vmfs_rename(history.v, history.ids[e.dir], model_name_text(e.name), history.ids[dir],
                     model_name_text(name)),
         "rename");
}

static void do_link(struct state *s)
{
    int node = pick_node(s, VMFS_FILE);
    unsigned dir = (unsigned)pick_node(s, VMFS_DIRECTORY);
    unsigned name = pick(NAMES);

    if (node < 0 || s->count >= ENTRIES - 1 || model_find(s, dir, name) >= 0) {
        model_pop();
        return;
    }
    add(s, dir, name, (unsigned)node);
    must(vmfs_link(history.v, history.ids[node], history.ids[dir], model_name_text(name)),
         "link");
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
        model_pop();
        return;
    }
    for (unsigned i = 0; i < size; i += 4) {
        uint32_t word = (uint32_t)(history.op * 2654435761u) ^ (at + i);

        memcpy(data + i, &word, MIN(4u, size - i));
    }
    model_write(model_change(s, (unsigned)node), at, data, size);
    must(vmfs_write(history.v, history.ids[node], at, data, size), "write");
}

static void do_length(struct state *s)
{
    int node = pick_node(s, VMFS_FILE);
    unsigned size = pick(pick(3) ? 12000 : CHUNKS * CHUNK);

    if (node < 0) {
        model_pop();
        return;
    }

    struct version *version = model_change(s, (unsigned)node);

    if (pick(4) == 0 && size > version->size) {
        version->size = size;
        must(vmfs_allocate(history.v, history.ids[node], size, VMFS_EAGER_ZEROED), "allocate");
        return;
    }
    if (size < version->size)
        model_truncate(version, size);
    version->size = size;
    must(vmfs_truncate(history.v, history.ids[node], size), "truncate");
}

static void do_mode(struct state *s)
{
    int node = pick_node(s, VMFS_FILE);
    struct vmfs_attributes a = {.mode = 0400 + pick(256)};

    if (node < 0) {
        model_pop();
        return;
    }
    model_change(s, (unsigned)node)->mode = a.mode;
    must(vmfs_attributes_set(history.v, history.ids[node], VMFS_SET_MODE, &a), "attributes");
}

/* An open file keeps its storage without a name; after a power cut it is gone. */
static void do_open(struct state *s)
{
    int node = pick_node(s, VMFS_FILE);

    for (unsigned i = 1; i < NODES && pick(2); i++) {
        if (!history.open[i])
            continue;
        history.open[i] = false;
        forget(s, i);
        vmfs_close(history.v, history.ids[i], i & 1);
        return;
    }
    model_pop();
    if (node < 0 || history.open[node])
        return;
    history.open[node] = true;
    must(vmfs_open(history.v, history.ids[node], node & 1), "open");
}

static void remount(void)
{
    for (unsigned i = 1; i < NODES; i++) {
        if (!history.open[i])
            continue;
        history.open[i] = false;
        forget(model_newest(), i);
        vmfs_close(history.v, history.ids[i], i & 1);
    }
    must(vmfs_unmount(history.v), "unmount");
    model_acknowledge();
    must(mount_on(history.disk, &history.v), "mount");
}

static void step(void)
{
    static void (*const kinds[])(struct state *) = {
        do_create, do_create, do_create, do_remove, do_remove, do_rename, do_rename,
        do_link,   do_write,  do_write,  do_write,  do_length, do_mode,   do_open};
    unsigned what = pick(200);

    history.op++;
    if (what < 1) {
        remount();
    } else if (what < 6) {
        must(vmfs_tick(history.v), "tick");
        model_acknowledge();
    } else if (what < 26 || history.count >= WINDOW - 1) {
        must(vmfs_sync(history.v), "sync");
        model_acknowledge();
    } else {
        kinds[pick(ARRAY_COUNT(kinds))](model_push());
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
    history.private_volume = seed % 2 == 0;
    rng_init(&history.rng, seed, "vmfs-crash history", 0);
    rng_init(&history.chance, seed, "vmfs-crash cuts", 0);
    history.disk = disk_model_create("crash", DISK_SIZE);
    device = disk_model_device(history.disk);
    must(vmfs_format(&device, 1, &how), "format");
    must(mount_on(history.disk, &history.v), "mount");
    history.ids[0] = vmfs_root(history.v);
    history.count = 1;
    model_change(&history.window[0], 0)->type = VMFS_DIRECTORY;
    disk_model_watch(history.disk, before_write, NULL);
    while (history.op < ops) {
        step();
        if (history.op % 100 == 0 && ops > DEFAULT) {
            fprintf(stderr, "\r%llu of %llu operations, %llu crashes",
                    (unsigned long long)history.op, (unsigned long long)ops,
                    (unsigned long long)history.crashes);
        }
    }
    disk_model_watch(history.disk, NULL, NULL);
    remount();
    judge_check(history.v);
    must(vmfs_unmount(history.v), "unmount");
    printf("vmfs-crash: %llu operations, %llu acknowledged syncs, %llu blocks written: "
           "%llu power cuts, %llu of them twice, fsck.vmfs asked %llu times\n",
           (unsigned long long)history.op, (unsigned long long)history.syncs,
           (unsigned long long)history.points, (unsigned long long)history.crashes,
           (unsigned long long)history.seconds_crashes, (unsigned long long)history.peers);
    model_state_end(model_newest());
    disk_model_destroy(history.disk);
}

const struct scenario scenario_vmfs_crash = {
    .name = "vmfs-crash",
    .what = "a VMFS history with a power cut before every block it writes",
    .cpus = 1,
    .one_host = true,
    .run = run,
};
