// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/proc/proc_sched.c -- the scheduler in /proc/vmware: what worlds get, and changing it.
 *
 *   sched/policy          the policy's name; writing another switches to it
 *   sched/cpus            each CPU's busy time, and what the host has counted
 *   sched/esxtop          a line per pool, VM, world and idle world: every sum that esxtop's
 *                         CPU columns are made of, in ns, all of one instant
 *   sched/worlds          a line per world; writing "ID shares N", "ID min MHZ", "ID max MHZ",
 *                         "ID pool ID" or "ID affinity HEXMASK" changes one (also pools and
 *                         VMs)
 *   config/sched/NAME     one file per tunable of sched/tunables.def
 *
 * A write takes effect at once or says BAD_PARAM with a line in the log that tells what is
 * understood.
 *
 * Invariants
 *   - No value passes that the scheduler's own functions would not take; they check.
 * Locking    the world table's lock while ids are gathered; nothing while text is made.
 */
#include "core/log.h"
#include "fs/proc/proc_internal.h"
#include "lib/format.h"
#include "lib/string.h"
#include "sched/sched.h"
#include "world/world.h"

#define MS 1000000ull

/* ---- policy and tunables ---- */

static vmk_status show_policy(struct procfs_text *out, void *argument)
{
    (void)argument;
    procfs_printf(out, "%s\n", sched_policy_name(sched_policy_now()));
    return VMK_OK;
}

static vmk_status store_policy(const char *text, size_t length, void *argument)
{
    char name[32];
    enum sched_policy_id policy = SCHED_POLICY_COUNT;

    (void)argument;
    if (procfs_line(text, length, name, sizeof(name)))
        policy = sched_policy_by_name(name);
    if (policy == SCHED_POLICY_COUNT) {
        vmk_log(VMK_LOG_WARN, "Proc: sched/policy: no such policy; there are %s, %s, %s, %s",
                sched_policy_name(SCHED_POLICY_SHARE), sched_policy_name(SCHED_POLICY_CREDIT2),
                sched_policy_name(SCHED_POLICY_RR), sched_policy_name(SCHED_POLICY_EDF));
        return VMK_BAD_PARAM;
    }
    return sched_set_policy(policy);
}

static vmk_status show_tunable(struct procfs_text *out, void *argument)
{
    enum sched_tunable t = (enum sched_tunable)(uintptr_t)argument;

    procfs_printf(out, "%llu\n", (unsigned long long)sched_get_tunable(t));
    return VMK_OK;
}

static vmk_status store_tunable(const char *text, size_t length, void *argument)
{
    enum sched_tunable t = (enum sched_tunable)(uintptr_t)argument;
    char word[32];
    const char *end;
    uint64_t value;
    vmk_status status = VMK_BAD_PARAM;

    if (procfs_line(text, length, word, sizeof(word)) && parse_u64(word, &end, &value) && !*end)
        status = sched_set_tunable(t, value);
    if (status != VMK_OK)
        vmk_log(VMK_LOG_WARN,
                "Proc: config/sched/%s: not set: a number within the bounds of "
                "sched/tunables.def is wanted",
                sched_tunable_name(t));
    return status;
}

/* ---- CPUs ---- */

static vmk_status show_cpus(struct procfs_text *out, void *argument)
{
    struct sched_host_usage *u = heap_alloc(sizeof(*u), MEM_OWNER_FS);
    plat_ns now = plat_time_now();

    (void)argument;
    if (!u)
        return VMK_NO_MEMORY;
    sched_host_usage_get(u);
    procfs_printf(out, "policy %s, %u worlds, %u pools, %llu of %llu MHz reserved\n", u->policy,
                  u->worlds, u->pools, (unsigned long long)u->reserved_mhz,
                  (unsigned long long)u->capacity_mhz);
    procfs_printf(out, "%4s %12s %12s\n", "cpu", "busy ms", "idle ms");
    for (uint32_t i = 0; i < u->cpus && i < PLAT_CPUS_MAX; i++)
        procfs_printf(out, "%4u %12llu %12llu\n", i, (unsigned long long)(u->used[i] / MS),
                      (unsigned long long)((now - MIN(u->used[i], now)) / MS));
    heap_free(u);
    return VMK_OK;
}

/* ---- worlds ---- */

struct gathered {
    uint32_t *ids;
    char (*names)[WORLD_NAME_SIZE];
    uint32_t count, room;
};

static void gather(struct world *w, void *argument)
{
    struct gathered *g = argument;

    if (g->count < g->room) {
        g->ids[g->count] = w->id.raw;
        memcpy(g->names[g->count], w->name, WORLD_NAME_SIZE);
    }
    g->count++;
}

/* All worlds, however many: twice as much room until they fit. */
static vmk_status gather_all(struct gathered *g)
{
    for (g->room = 64;; g->room *= 2) {
        g->ids = heap_alloc(g->room * sizeof(*g->ids), MEM_OWNER_FS);
        g->names = heap_alloc(g->room * sizeof(*g->names), MEM_OWNER_FS);
        if (!g->ids || !g->names) {
            heap_free(g->ids);
            heap_free(g->names);
            return VMK_NO_MEMORY;
        }
        g->count = 0;
        world_for_all(gather, g);
        if (g->count <= g->room)
            return VMK_OK;
        heap_free(g->ids);
        heap_free(g->names);
    }
}

static vmk_status show_worlds(struct procfs_text *out, void *argument)
{
    struct gathered g;
    vmk_status status = gather_all(&g);

    (void)argument;
    if (status != VMK_OK)
        return status;
    procfs_printf(out, "%8s %8s %4s %8s %7s %7s %10s %10s %12s  %s\n", "world", "parent", "cpu",
                  "shares", "min", "max", "run ms", "ready ms", "wait ms", "name");
    for (uint32_t i = 0; i < g.count; i++) {
        struct sched_usage u;

        if (sched_usage_get(g.ids[i], &u) != VMK_OK)
            continue;  // it ended meanwhile
        procfs_printf(out, "%8u %8u %4u %8u %7u ", g.ids[i], u.parent, u.cpu, u.shares,
                      u.min_mhz);
        if (u.max_mhz == 0 || u.max_mhz == SCHED_UNLIMITED)
            procfs_printf(out, "%7s ", "-");
        else
            procfs_printf(out, "%7u ", u.max_mhz);
        procfs_printf(out, "%10llu %10llu %12llu  %s\n", (unsigned long long)(u.times.run / MS),
                      (unsigned long long)(u.times.ready / MS),
                      (unsigned long long)(u.times.wait / MS), g.names[i]);
    }
    heap_free(g.ids);
    heap_free(g.names);
    return VMK_OK;
}

/* Hexadecimal, with or without 0x. */
static bool read_mask(const char *text, const char **end, uint64_t *mask)
{
    char with[20] = "0x";
    size_t n = 0;

    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
        return parse_u64(text, end, mask);
    while (n < 16 && text[n] && text[n] != ' ' && text[n] != '\n') {
        with[2 + n] = text[n];
        n++;
    }
    if (!n || !parse_u64(with, end, mask) || (size_t)(*end - with) != n + 2)
        return false;
    *end = text + n;
    return true;
}

static bool is_word(const char **at, const char *word)
{
    size_t length = strlen(word);

    if (strncmp(*at, word, length) != 0 || (*at)[length] != ' ')
        return false;
    *at += length + 1;
    return true;
}

/* One change; BAD_PARAM if it is not understood. */
static vmk_status change(const char *text)
{
    static const struct {
        const char *word;
        vmk_status (*set)(uint32_t id, uint32_t value);
    } settings[] = {{"shares", sched_set_shares},
                    {"min", sched_set_min},
                    {"max", sched_set_max},
                    {"pool", sched_set_pool}};
    const char *at;
    uint64_t id, value;

    if (!parse_u64(text, &at, &id) || id > UINT32_MAX || *at++ != ' ')
        return VMK_BAD_PARAM;
    if (is_word(&at, "affinity")) {
        if (!read_mask(at, &at, &value) || (*at && *at != '\n'))
            return VMK_BAD_PARAM;
        return sched_set_affinity((uint32_t)id, value);
    }
    for (size_t i = 0; i < ARRAY_COUNT(settings); i++) {
        if (!is_word(&at, settings[i].word))
            continue;
        if (!parse_u64(at, &at, &value) || value > UINT32_MAX || (*at && *at != '\n'))
            return VMK_BAD_PARAM;
        return settings[i].set((uint32_t)id, (uint32_t)value);
    }
    return VMK_BAD_PARAM;
}

static vmk_status store_worlds(const char *text, size_t length, void *argument)
{
    vmk_status status = change(text);
    char why[160];

    (void)argument;
    (void)length;
    if (status == VMK_BAD_PARAM) {
        vmk_log(VMK_LOG_WARN,
                "Proc: sched/worlds: not understood; write ID shares N, ID min MHZ, "
                "ID max MHZ, ID pool ID or ID affinity HEXMASK");
    } else if (status == VMK_LIMIT) {
        size_t n = sched_refusal(why, sizeof(why));

        vmk_log(VMK_LOG_WARN, "Proc: sched/worlds: refused: %.*s", (int)MIN(n, sizeof(why) - 1),
                why);
        status = VMK_BAD_PARAM;
    }
    return status;
}

/* ---- what esxtop is made of ---- */

/* Samples of everything, however many: more room until they fit. Null: no memory. */
static struct sched_sample *samples_all(uint32_t *count)
{
    for (uint32_t room = 64;; room = *count + 16) {
        struct sched_sample *all = heap_alloc(room * sizeof(*all), MEM_OWNER_FS);

        if (!all)
            return NULL;
        *count = sched_samples_get(all, room);
        if (*count <= room)
            return all;
        heap_free(all);
    }
}

#define ULL(x) ((unsigned long long)(x))

static vmk_status show_esxtop(struct procfs_text *out, void *argument)
{
    static const char *const kinds[] = {"idle", "world", "vcpu", "pool", "vm"};
    uint32_t count;
    struct sched_sample *all = samples_all(&count);

    (void)argument;
    if (!all)
        return VMK_NO_MEMORY;
    procfs_printf(out, "# at %llu ns; times in ns since created, sums of groups\n",
                  ULL(all[0].at));
    procfs_printf(out, "id parent group kind nwld elapsed used run sys wait idle io swpwt rdy "
                       "ovrlp cstp mlmtd smt swtch mig qexp wake name\n");
    for (uint32_t i = 0; i < count; i++) {
        const struct sched_sample *s = &all[i];

        procfs_printf(out, "%u %u %u %s %u %llu %llu %llu %llu ", s->id, s->parent, s->group,
                      kinds[s->kind], s->worlds, ULL(s->elapsed), ULL(s->used), ULL(s->run),
                      ULL(s->system));
        procfs_printf(out, "%llu %llu %llu %llu %llu %llu %llu %llu %llu ", ULL(s->wait),
                      ULL(s->wait_idle), ULL(s->wait_io), ULL(s->wait_swap), ULL(s->ready),
                      ULL(s->overlap), ULL(s->costop), ULL(s->limited), ULL(s->smt));
        procfs_printf(out, "%llu %llu %llu %llu %s\n", ULL(s->switches), ULL(s->migrations),
                      ULL(s->quantum_expiries), ULL(s->wakes), s->name);
    }
    heap_free(all);
    return VMK_OK;
}

vmk_status procfs_sched_register(void)
{
    char path[64];
    vmk_status status = procfs_register("vmware/sched/policy", show_policy, store_policy, NULL);

    if (status == VMK_OK)
        status = procfs_register("vmware/sched/cpus", show_cpus, NULL, NULL);
    if (status == VMK_OK)
        status = procfs_register("vmware/sched/esxtop", show_esxtop, NULL, NULL);
    if (status == VMK_OK)
        status = procfs_register("vmware/sched/worlds", show_worlds, store_worlds, NULL);
    for (uintptr_t t = 0; t < SCHED_TUNABLE_COUNT && status == VMK_OK; t++) {
        (void)vmk_snprintf(path, sizeof(path), "vmware/config/sched/%s",
                           sched_tunable_name((enum sched_tunable)t));
        status = procfs_register(path, show_tunable, store_tunable, (void *)t);
    }
    return status;
}
