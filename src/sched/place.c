// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/place.c -- which CPU: topology, wake-ups, pulling, balancing.
 *
 * Each world waits on the queue of one CPU, so that it comes back to its cache. Five things
 * move it:
 *   - At a wake-up it is pushed to an idle CPU if there is one; the goodness of one is, in this
 *     order: where it ran last; home node; whole core idle (an SMT partner that is busy takes
 *     away up to half); shared last-level cache; package; number. If none is idle it stays,
 *     unless it would run at once on one of a few others.
 *   - A CPU without work pulls: from the nearest CPU where somebody waits, the one who waits
 *     longest.
 *   - A CPU with work looks now and then at a few others (the width ESX uses is 4) and pulls a
 *     world that is due more than its own best, by pull-slack. This is what makes CPUs together
 *     fair.
 *   - Less often it compares loads, in shares and reservations due, and takes a world that
 *     evens them out; so that fairness seldom needs the third.
 *   - On a host with NUMA nodes a world has a home. Idle CPUs elsewhere may still take it, for
 *     nothing idles while somebody waits; an idle CPU at home calls it back.
 * A global queue was turned down: it is fair by itself, but at each quantum the world next in
 * line is mostly one whose cache is elsewhere.
 *
 * Invariants
 *   - Nobody is placed on a CPU outside its affinity while one of it is online.
 *   - Each loop is over bits of a 64-bit mask or a fixed number of list members.
 * Locking    the caller's.
 * Start at   place_wake(), place_pull_idle(), place_pull_fair().
 * Sources    docs/design/scheduler.md
 */
#include "sched/machine_internal.h"

#define LOOKED_AT_MAX 8u  // waiting worlds looked at on one CPU

#define for_each_bit(i, mask)                                                                  \
    for (uint64_t rest_ = (mask); rest_; rest_ &= rest_ - 1)                                   \
        for (uint32_t i = (uint32_t)__builtin_ctzll(rest_), once_ = 1; once_; once_ = 0)

void place_topology(struct sched_machine *m)
{
    uint64_t total = 0;

    m->has_nodes = false;
    for (uint32_t i = 0; i < m->cpu_count; i++) {
        struct sched_cpu *c = &m->cpu[i];

        m->has_nodes |= c->numa != m->cpu[0].numa;
        c->smt_mask = c->llc_mask = c->package_mask = c->numa_mask = 0;
        for (uint32_t j = 0; j < m->cpu_count; j++) {
            const struct sched_cpu *o = &m->cpu[j];
            bool package = c->package == o->package;

            c->smt_mask |= package && c->core == o->core ? BIT(j) : 0;
            c->llc_mask |= package && c->llc == o->llc ? BIT(j) : 0;
            c->package_mask |= package ? BIT(j) : 0;
            c->numa_mask |= c->numa == o->numa ? BIT(j) : 0;
        }
    }
    m->capacity_mhz = 0;
    for_each_bit(i, m->online) m->capacity_mhz += m->cpu[i].mhz;
    for (uint32_t i = 0; i < m->cpu_count; i++)
        total += m->cpu[i].mhz;
    m->reference_mhz = (uint32_t)(m->online ? m->capacity_mhz / sched_mask_count(m->online)
                                            : total / m->cpu_count);
}

/* Bits of CPUs whose whole core is idle. */
static uint64_t whole_cores(const struct sched_machine *m, uint64_t idle)
{
    uint64_t whole = 0;

    for_each_bit(i, idle)
    {
        if (!(m->cpu[i].smt_mask & m->online & ~idle))
            whole |= BIT(i);
    }
    return whole;
}

/* The part of `mask` that is also in `preferred`, if there is any. */
static uint64_t prefer(uint64_t mask, uint64_t preferred)
{
    return mask & preferred ? mask & preferred : mask;
}

static uint64_t home_mask(const struct sched_machine *m, const struct sched_entity *e)
{
    return e->home == SCHED_NO_CPU ? ~0ull : m->cpu[e->home].numa_mask;
}

static uint32_t best_idle(const struct sched_machine *m, const struct sched_entity *e,
                          uint64_t idle)
{
    const struct sched_cpu *last = &m->cpu[e->cpu];
    uint64_t home = prefer(idle, home_mask(m, e));
    uint64_t whole = home & (home - 1) ? whole_cores(m, idle) : ~0ull;

    if (home & BIT(e->cpu) && (whole & BIT(e->cpu) || !(home & whole)))
        return e->cpu;
    idle = prefer(home, whole);
    idle = prefer(idle, last->llc_mask);
    idle = prefer(idle, last->package_mask);
    return (uint32_t)__builtin_ctzll(idle);
}

/* The least loaded CPU of a mask: by load, then waiting worlds, then number. */
static uint32_t least_loaded(const struct sched_machine *m, uint64_t mask)
{
    uint32_t best = (uint32_t)__builtin_ctzll(mask);

    for_each_bit(i, mask)
    {
        const struct sched_cpu *c = &m->cpu[i];
        const struct sched_cpu *b = &m->cpu[best];

        if (c->load < b->load || (c->load == b->load && c->waiting < b->waiting))
            best = i;
    }
    return best;
}

/* CPUs on which a VM's other vCPUs run or wait: two on one CPU can never run together. */
static uint64_t sibling_cpus(const struct sched_machine *m, const struct sched_entity *e)
{
    uint64_t mask = 0;

    if (!cosched_applies(m, e))
        return 0;
    list_for_each (link, &e->node.parent->runnable) {
        const struct sched_entity *other = list_entry(link, struct sched_entity, runnable_link);

        if (other != e)
            mask |= BIT(other->cpu);
    }
    return mask | e->node.parent->running;
}

/* Would it run at once on that busy CPU? */
static bool preempts(struct sched_machine *m, struct sched_entity *e, uint32_t cpu)
{
    machine_charge(m, cpu);
    return m->policy->preempts(m, e, m->cpu[cpu].current);
}

/*
 * Of a few CPUs that are all busy, the first on which it would run at once; else where it was.
 */
static uint32_t best_busy(struct sched_machine *m, struct sched_entity *e, uint64_t allowed)
{
    uint64_t others = allowed & ~BIT(e->cpu);
    uint64_t width = tune(m, SCHED_TUNABLE_WAKE_WIDTH);

    if (!width || preempts(m, e, e->cpu))
        return e->cpu;
    for (uint64_t near = others & m->cpu[e->cpu].llc_mask; others && width; width--) {
        uint64_t from = near ? near : others;
        uint64_t ahead = e->cpu < 63 ? from >> (e->cpu + 1) << (e->cpu + 1) : 0;
        uint32_t cpu = (uint32_t)__builtin_ctzll(ahead ? ahead : from);

        if (preempts(m, e, cpu))
            return cpu;
        others &= ~BIT(cpu);
        near &= ~BIT(cpu);
    }
    return e->cpu;
}

static void home_set(struct sched_node *n, uint32_t home);

/* The node whose CPUs have least to do; a VM has one home for all its vCPUs. */
static void first_home(struct sched_machine *m, struct sched_entity *e)
{
    uint64_t load[SCHED_CPUS_MAX] = {0};
    uint32_t best = SCHED_NO_CPU;

    for_each_bit(i, m->online) load[__builtin_ctzll(m->cpu[i].numa_mask)] += m->cpu[i].load;
    for_each_bit(i, m->online)
    {
        uint32_t node = (uint32_t)__builtin_ctzll(m->cpu[i].numa_mask);

        if (e->affinity & m->cpu[i].numa_mask &&
            (best == SCHED_NO_CPU || load[node] < load[best]))
            best = node;
    }
    if (best != SCHED_NO_CPU)
        home_set(e->node.parent->node.flags & SCHED_POOL_VM ? &e->node.parent->node : &e->node,
                 best);
}

uint32_t place_wake(struct sched_machine *m, struct sched_entity *e)
{
    uint64_t allowed = e->affinity & m->online;
    uint64_t idle = allowed & m->idle;

    if (m->has_nodes && e->home == SCHED_NO_CPU && tune(m, SCHED_TUNABLE_NUMA_REBALANCE))
        first_home(m, e);
    if (!allowed) {
        allowed = e->affinity & (m->cpu_count == 64 ? ~0ull : BIT(m->cpu_count) - 1);
        return allowed & BIT(e->cpu) ? e->cpu : (uint32_t)__builtin_ctzll(allowed);
    }
    if (idle)
        return best_idle(m, e, idle);
    if (!e->times.switches || !(allowed & BIT(e->cpu)))
        return least_loaded(m, prefer(allowed, ~sibling_cpus(m, e)));

    /* It shares its old CPU with a sibling: anywhere else, or one of the two always waits. */
    uint64_t siblings = sibling_cpus(m, e);

    if (siblings & BIT(e->cpu) && allowed & ~siblings)
        return least_loaded(m, allowed & ~siblings);
    return best_busy(m, e, allowed & ~siblings);
}

static plat_ns move_cost(const struct sched_machine *m, uint32_t from, uint32_t to)
{
    const struct sched_cpu *c = &m->cpu[from];

    if (c->smt_mask & BIT(to))
        return tune(m, SCHED_TUNABLE_COST_SMT);
    if (!(c->numa_mask & BIT(to)) || !(c->package_mask & BIT(to)))
        return tune(m, SCHED_TUNABLE_COST_NUMA);
    return tune(m, c->llc_mask & BIT(to) ? SCHED_TUNABLE_COST_LLC : SCHED_TUNABLE_COST_PACKAGE);
}

/* A balancing move is named for the widest border it crosses. */
static uint32_t level_of(const struct sched_machine *m, uint32_t from, uint32_t to)
{
    const struct sched_cpu *c = &m->cpu[from];

    if (c->smt_mask & BIT(to))
        return MIGRATE_KIND_SMT;
    if (!(c->numa_mask & BIT(to)))
        return MIGRATE_KIND_NUMA;
    return c->llc_mask & BIT(to) ? MIGRATE_KIND_LLC : MIGRATE_KIND_PACKAGE;
}

void place_move(struct sched_machine *m, struct sched_entity *e, uint32_t cpu, uint32_t kind)
{
    bool queued = e->queued;
    uint32_t from = e->cpu;

    if (from == cpu)
        return;
    if (queued)
        machine_dequeue(m, e);
    e->cpu = cpu;
    if (e->times.switches) {
        plat_ns cost = move_cost(m, from, cpu);

        e->times.migrations[kind]++;
        m->counters.migrations[kind]++;
        machine_tell(m, &(struct sched_event){.kind = SCHED_EVENT_MIGRATE,
                                              .id = e->node.id,
                                              .src = from,
                                              .dst = cpu,
                                              .state = kind,
                                              .a = (uint32_t)cost});
    }
    if (queued)
        machine_enqueue(m, e);
}

/* Of those who wait longest on `from`, the first that may run on `cpu`. */
static struct sched_entity *oldest_for(const struct sched_machine *m, uint32_t from,
                                       uint32_t cpu)
{
    unsigned looked = 0;

    list_for_each (link, &m->cpu[from].movable) {
        struct sched_entity *e = list_entry(link, struct sched_entity, movable_link);

        if (e->affinity & BIT(cpu))
            return e;
        if (++looked == LOOKED_AT_MAX)
            break;
    }
    return NULL;
}

struct sched_entity *place_pull_idle(struct sched_machine *m, uint32_t cpu)
{
    const struct sched_cpu *c = &m->cpu[cpu];
    const uint64_t near[] = {c->smt_mask, c->llc_mask, c->package_mask & c->numa_mask,
                             c->numa_mask, ~0ull};
    uint64_t seen = BIT(cpu);

    for (unsigned i = 0; i < ARRAY_COUNT(near) && m->busy & ~seen; i++) {
        struct sched_entity *best = NULL;
        uint32_t most = 0;

        for_each_bit(from, m->busy & near[i] & ~seen)
        {
            struct sched_entity *e =
                m->cpu[from].waiting > most ? oldest_for(m, from, cpu) : NULL;

            if (e) {
                best = e;
                most = m->cpu[from].waiting;
            }
        }
        seen |= near[i];
        if (best) {
            m->counters.pulls++;
            place_move(m, best, cpu, MIGRATE_KIND_PULL);
            return best;
        }
    }
    return NULL;
}

/*
 * What would be left of `gap` if `give` came from the CPU with the most load, and `take` (null:
 * nobody) went there.
 */
static uint64_t gap_after(uint64_t gap, const struct sched_entity *give,
                          const struct sched_entity *take)
{
    uint64_t given = 2ull * give->load;
    uint64_t wanted = gap + (take ? 2ull * take->load : 0);

    return given > wanted ? given - wanted : wanted - given;
}

/*
 * The CPU with the most load gives the world whose move brings both nearest to even, against
 * one of this CPU's if that is better: where each CPU has heavy and light ones, no single move
 * may help.
 */
static void pull_load(struct sched_machine *m, uint32_t cpu)
{
    struct sched_cpu *c = &m->cpu[cpu];
    struct sched_entity *best = NULL, *best_back = NULL;
    uint64_t best_rest;
    unsigned looked = 0;
    uint32_t from = cpu;

    for_each_bit(i, m->busy & ~BIT(cpu))
    {
        if (m->cpu[i].load > m->cpu[from].load)
            from = i;
    }

    uint64_t gap = m->cpu[from].load - c->load;

    /* Rounding makes even loads differ a little; below 1/16 of a CPU nothing is gained. */
    if (from == cpu || gap < 4096)
        return;
    best_rest = gap - gap / 16;
    list_for_each (link, &m->cpu[from].movable) {
        struct sched_entity *e = list_entry(link, struct sched_entity, movable_link);
        unsigned looked_back = 0;

        if (e->affinity & BIT(cpu) && gap_after(gap, e, NULL) < best_rest) {
            best = e;
            best_back = NULL;
            best_rest = gap_after(gap, e, NULL);
        }
        list_for_each (own_link, &c->movable) {
            struct sched_entity *own = list_entry(own_link, struct sched_entity, movable_link);

            if (e->affinity & BIT(cpu) && own->affinity & BIT(from) &&
                gap_after(gap, e, own) < best_rest) {
                best = e;
                best_back = own;
                best_rest = gap_after(gap, e, own);
            }
            if (++looked_back == LOOKED_AT_MAX)
                break;
        }
        if (++looked == LOOKED_AT_MAX)
            break;
    }
    if (best)
        place_move(m, best, cpu, level_of(m, from, cpu));
    if (best_back)
        place_move(m, best_back, from, level_of(m, cpu, from));
}

static struct sched_entity *neediest(struct sched_machine *m, uint32_t cpu)
{
    return m->policy->neediest ? m->policy->neediest(m, cpu) : m->policy->first(m, cpu);
}

static bool needier(struct sched_machine *m, struct sched_entity *a, struct sched_entity *b,
                    plat_ns slack)
{
    return m->policy->needier ? m->policy->needier(m, a, b, slack)
                              : m->policy->before(m, a, b, slack);
}

void place_pull_fair(struct sched_machine *m, uint32_t cpu, struct sched_entity *current)
{
    struct sched_cpu *c = &m->cpu[cpu];
    uint64_t others = m->busy & ~BIT(cpu);
    plat_ns slack = tune(m, SCHED_TUNABLE_PULL_SLACK);

    if (!(m->online & ~BIT(cpu)) || !others)
        return;
    if (tune(m, SCHED_TUNABLE_BALANCE) &&
        m->now - c->balanced >= tune(m, SCHED_TUNABLE_BALANCE)) {
        c->balanced = m->now;
        pull_load(m, cpu);
        others = m->busy & ~BIT(cpu);
    }
    if (m->now - c->pulled < tune(m, SCHED_TUNABLE_REBALANCE))
        return;
    c->pulled = m->now;

    struct sched_entity *best = NULL;
    uint64_t width = tune(m, SCHED_TUNABLE_PULL_WIDTH);

    for (; others && width; width--) {
        /* Round the CPUs, from where the last look ended. */
        uint64_t ahead = c->pull_next < 64 ? others >> c->pull_next << c->pull_next : 0;
        uint32_t from = (uint32_t)__builtin_ctzll(ahead ? ahead : others);
        struct sched_entity *e = neediest(m, from);

        others &= ~BIT(from);
        c->pull_next = from + 1;
        if (e && e->affinity & BIT(cpu) && (!best || needier(m, e, best, 0)))
            best = e;
    }
    if (!best)
        return;

    struct sched_entity *own = neediest(m, cpu);

    if (current && (!own || !needier(m, own, current, 0)))
        own = current;
    if (own && needier(m, best, own, slack)) {
        place_move(m, best, cpu, level_of(m, best->cpu, cpu));
        c->preempt = c->preempt || own == current;
    }
}

void place_spread(struct sched_machine *m, uint32_t cpu)
{
    struct sched_cpu *c = &m->cpu[cpu];
    unsigned looked = 0;

    if (!m->idle || !c->waiting)
        return;
    list_for_each (link, &c->movable) {
        const struct sched_entity *e = list_entry(link, struct sched_entity, movable_link);
        uint64_t idle = e->affinity & m->idle & ~BIT(cpu);

        if (idle) {
            uint32_t to = best_idle(m, e, idle);

            m->idle &= ~BIT(to);
            machine_kick(m, to);
            return;
        }
        if (++looked == LOOKED_AT_MAX)
            return;
    }
}

/* ---- NUMA: home nodes ---- */

/* One world or VM gets that home. */
static void home_set(struct sched_node *n, uint32_t home)
{
    if (!n->is_pool) {
        entity_of(n)->home = home;
        return;
    }
    list_for_each (link, &pool_of(n)->children) {
        struct sched_node *child = list_entry(link, struct sched_node, siblings);

        if (!child->is_pool)
            entity_of(child)->home = home;
    }
}

/* A VM or world with a home: what it uses of a CPU, 1/65536. */
static uint32_t node_load(const struct sched_machine *m, const struct sched_node *n,
                          uint32_t *home)
{
    uint32_t load = 0;

    *home = SCHED_NO_CPU;
    if (!n->is_pool) {
        const struct sched_entity *e = entity_of((struct sched_node *)n);

        *home = e->home;
        return n->active ? tree_load(m, e) : 0;
    }
    list_for_each (link, &pool_of((struct sched_node *)n)->children) {
        const struct sched_node *child = list_entry(link, struct sched_node, siblings);

        if (!child->is_pool) {
            *home = entity_of((struct sched_node *)child)->home;
            load += child->active ? tree_load(m, entity_of((struct sched_node *)child)) : 0;
        }
    }
    return load;
}

struct numa_survey {
    uint64_t load[SCHED_CPUS_MAX];  // by the lowest CPU of the node
    uint64_t gap;
    uint32_t from, to;
    struct sched_node *best;
    uint64_t best_rest;
};

/* Visits every VM and every world outside a VM below a pool. */
static void survey(struct sched_machine *m, struct sched_pool *p, struct numa_survey *s,
                   void (*visit)(struct sched_machine *, struct sched_node *,
                                 struct numa_survey *))
{
    list_for_each (link, &p->children) {
        struct sched_node *n = list_entry(link, struct sched_node, siblings);

        if (n->is_pool && !(n->flags & SCHED_POOL_VM))
            survey(m, pool_of(n), s, visit);
        else
            visit(m, n, s);
    }
}

static void survey_load(struct sched_machine *m, struct sched_node *n, struct numa_survey *s)
{
    uint32_t home;
    uint32_t load = node_load(m, n, &home);

    if (!load)
        return;
    if (home == SCHED_NO_CPU) {
        home = s->to;  // its first home: where least is
        for_each_bit(i, m->online)
        {
            uint32_t node = (uint32_t)__builtin_ctzll(m->cpu[i].numa_mask);

            if (s->load[node] < s->load[home])
                home = node;
        }
        home_set(n, home);
    }
    s->load[home] += load;
}

static void survey_best(struct sched_machine *m, struct sched_node *n, struct numa_survey *s)
{
    uint32_t home;
    uint64_t moved = 2ull * node_load(m, n, &home);
    uint64_t rest = moved > s->gap ? moved - s->gap : s->gap - moved;

    if (home == s->from && moved && rest < s->best_rest) {
        s->best = n;
        s->best_rest = rest;
    }
}

void place_numa(struct sched_machine *m)
{
    plat_ns period = tune(m, SCHED_TUNABLE_NUMA_REBALANCE);
    struct numa_survey s;

    if (!m->has_nodes || !period || m->now - m->numa_balanced < period)
        return;
    m->numa_balanced = m->now;
    s = (struct numa_survey){.gap = 0};  // half a kilobyte: not before it is needed
    s.from = s.to = (uint32_t)__builtin_ctzll(m->online | BIT(63));
    survey(m, m->root, &s, survey_load);
    for_each_bit(i, m->online)
    {
        uint32_t node = (uint32_t)__builtin_ctzll(m->cpu[i].numa_mask);

        s.from = s.load[node] > s.load[s.from] ? node : s.from;
        s.to = s.load[node] < s.load[s.to] ? node : s.to;
    }
    s.gap = s.load[s.from] - s.load[s.to];
    /* ESX moves from 10 % of imbalance on, and only if half of it goes away. */
    if (s.gap * 10 < s.load[s.from])
        return;
    s.best_rest = s.gap / 2 + 1;
    survey(m, m->root, &s, survey_best);
    if (s.best)
        home_set(s.best, s.to);
}

void place_invite(struct sched_machine *m, uint32_t cpu)
{
    if (!m->has_nodes)
        return;
    for_each_bit(i, m->online & ~m->idle & ~m->cpu[cpu].numa_mask)
    {
        struct sched_cpu *c = &m->cpu[i];
        const struct sched_entity *e = c->current;

        if (e->idle || c->kicked || e->home == SCHED_NO_CPU || !(e->affinity & BIT(cpu)) ||
            !(m->cpu[e->home].numa_mask & BIT(cpu)) ||
            m->now - e->started < tune(m, SCHED_TUNABLE_NUMA_STAY))
            continue;
        c->invited = true;
        machine_kick(m, i);
        return;
    }
}

uint32_t place_homeward(struct sched_machine *m, uint32_t cpu)
{
    struct sched_cpu *c = &m->cpu[cpu];
    const struct sched_entity *e = c->current;
    uint64_t idle;

    if (!c->invited)
        return SCHED_NO_CPU;
    c->invited = false;
    if (e->idle || e->home == SCHED_NO_CPU)
        return SCHED_NO_CPU;
    idle = e->affinity & m->idle & m->cpu[e->home].numa_mask;
    return idle && !(BIT(cpu) & m->cpu[e->home].numa_mask) ? best_idle(m, e, idle)
                                                           : SCHED_NO_CPU;
}
