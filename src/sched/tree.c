// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/tree.c -- the tree of pools: who hangs where, what each is due of its parent's time.
 *
 * Each pool has a virtual time: the mean of its active children's, weighted by their shares. A
 * child's own virtual time advances by service / shares. So a child whose virtual time is
 * behind its parent's has had less than its part, and the sum of all such lags, times shares,
 * is 0: that is the fluid ideal (GPS) kept exactly and incrementally, O(depth) per charge,
 * whoever comes and goes. Charges come late, when somebody switches; who comes meanwhile is
 * placed where the mean will be when those who run have paid (mean_now()). Recomputing flat
 * weights instead was turned down: every block or wake of anybody changes the weights of all,
 * and doing that rarely is what makes others' hierarchies approximate.
 *
 * Four corrections keep the past from ruling the present; each is booked as service that was
 * not really given or taken, so that the sum of lags stays 0:
 *   - Sleeping earns nothing: who comes back has the lag it left with, less the time it slept,
 *     and no more. Its lead, though, it keeps.
 *   - Lag and lead are bounded (bound-lag quanta of own time).
 *   - A node below which nobody waits lacks nothing: others' service does not make its lag grow
 *     (lag_cap). This is what makes infeasible weights right: a vCPU that has 9/10 of the
 *     shares of two CPUs can use but one of them, and the others divide the rest by their own
 *     shares.
 *   - If nobody waits in the whole pool, nobody can owe or be owed: all are at the mean.
 *
 * Invariants
 *   - node.active = entities below that are READY or RUN; node.waiting = of these, queued.
 *   - joined exactly if active > 0; pool.active_shares = shares of the joined children.
 * Locking    the caller's. No recursion deeper than SCHED_DEPTH_MAX.
 * Start at   tree_charge(), tree_activate(), admit_change().
 * Sources    [GPS], [BVT]; docs/design/scheduler.md
 */
#include "sched/machine_internal.h"

/* ---- ids ---- */

static struct sched_node **bucket(const struct sched_machine *m, uint32_t id)
{
    return (struct sched_node **)&m->hash[id % SCHED_HASH_SIZE];
}

struct sched_node *sched_node_find(const struct sched_machine *m, uint32_t id)
{
    struct sched_node *n = *bucket(m, id);

    while (n && n->id != id)
        n = n->hash_next;
    return n;
}

struct sched_entity *sched_entity_find(const struct sched_machine *m, uint32_t id)
{
    struct sched_node *n = sched_node_find(m, id);

    return n && !n->is_pool ? entity_of(n) : NULL;
}

struct sched_pool *sched_pool_find(const struct sched_machine *m, uint32_t id)
{
    struct sched_node *n = sched_node_find(m, id);

    return n && n->is_pool ? pool_of(n) : NULL;
}

static void hash_remove(struct sched_machine *m, struct sched_node *n)
{
    struct sched_node **at = bucket(m, n->id);

    while (*at != n)
        at = &(*at)->hash_next;
    *at = n->hash_next;
}

/* ---- virtual time ---- */

uint64_t tree_scale(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t high;

    while (__builtin_mul_overflow(a, b, &high)) {
        if (a > b)
            a >>= 1;
        else
            b >>= 1;
        c = MAX(c >> 1, 1ull);
    }
    return high / c;
}

/* The mean of p's children after one of them had `ns` of service. */
static void mean_advance(struct sched_pool *p, plat_ns ns)
{
    uint64_t sum = (MIN(ns, 1ull << 42) << VTIME_BITS) + p->vtime_rest;

    p->vtime += sum / p->active_shares;
    p->served += sum / p->active_shares;
    p->vtime_rest = sum % p->active_shares;
}

/* A joined child moves to `vtime` without service; the mean follows. */
static void shift(struct sched_pool *p, struct sched_node *n, uint64_t vtime)
{
    uint64_t by = vtime - n->vtime;
    bool up = (int64_t)by >= 0;
    uint64_t mean = tree_scale(up ? by : -by, n->shares, p->active_shares);

    n->vtime = vtime;
    p->vtime += up ? mean : -mean;
    p->served += up ? mean : -mean;
}

/* Takes so much off a joined child's lag (or gives it so much more), the mean following. */
static void shift_lag(struct sched_pool *p, struct sched_node *n, int64_t by)
{
    uint64_t others = p->active_shares - n->shares;

    if (!others)
        return;
    if (by >= 0)
        shift(p, n, n->vtime + tree_scale((uint64_t)by, p->active_shares, others));
    else
        shift(p, n, n->vtime - tree_scale((uint64_t)-by, p->active_shares, others));
}

/* Below n nobody waits from now on. */
static void mark_satisfied(struct sched_node *n)
{
    n->lag_cap = n->parent->served - n->vtime;
}

/* The bounds of lag and lead, and the two rules about those who lack nothing. */
static void bound(struct sched_machine *m, struct sched_pool *p, struct sched_node *n)
{
    int64_t lag;
    int64_t most = (int64_t)(n->grain * m->bound_grains);
    int64_t grown = (int64_t)(p->served - n->vtime - n->lag_cap);

    if (sched_mask_count(p->running) == p->node.active)
        most = 0;  // everybody who wants to runs
    else if (!n->waiting && grown > 0)
        shift_lag(p, n, grown);
    lag = (int64_t)(p->vtime - n->vtime);
    if (lag > most) {
        shift_lag(p, n, lag - most);
    } else if (lag < -most) {
        shift_lag(p, n, lag + most);
        share_rekey(m, n);
    }
    if (!n->waiting && grown <= 0)
        mark_satisfied(n);
}

void tree_charge(struct sched_machine *m, struct sched_entity *e, plat_ns used)
{
    struct sched_node *n = &e->node;

    for (struct sched_pool *p = n->parent; p; n = &p->node, p = n->parent) {
        n->vtime += vtime_of(n, used);
        reserve_charge(m, n, used);
        if (!n->joined)
            continue;
        mean_advance(p, used);
        bound(m, p, n);
    }
}

/* The mean as it will be when all who run below p have paid up to now. */
static uint64_t mean_now(const struct sched_machine *m, const struct sched_pool *p)
{
    uint64_t unpaid = sched_mask_count(p->running) * m->now - p->charged_sum;

    if ((int64_t)unpaid <= 0)
        return p->vtime;
    return p->vtime + (MIN(unpaid, 1ull << 42) << VTIME_BITS) / p->active_shares;
}

/* n starts to compete among p's children. */
static void join(struct sched_machine *m, struct sched_pool *p, struct sched_node *n)
{
    uint64_t most = n->grain * m->bound_grains;

    uint64_t mean;

    n->due = MAX(n->due, m->now);
    n->joined = true;
    if (!p->active_shares) {
        if (earlier(p->vtime, n->vtime))
            p->vtime = n->vtime;
        n->vtime = p->vtime;
        p->active_shares = n->shares;
        return;
    }
    mean = mean_now(m, p);
    if (earlier(n->vtime, mean)) {
        uint64_t slept = vtime_of(n, m->now - n->left_at);

        /* What it was owed when it went to sleep, less what it could have had meanwhile. */
        n->vtime = mean - (n->lag_left > slept ? n->lag_left - slept : 0);
    }
    if (earlier(mean + most, n->vtime))
        n->vtime = mean + most;
    p->active_shares += n->shares;
    /* The mean of W + w, of which W were at the old mean. */
    if (earlier(n->vtime, p->vtime))
        p->vtime -= tree_scale(p->vtime - n->vtime, n->shares, p->active_shares);
    else
        p->vtime += tree_scale(n->vtime - p->vtime, n->shares, p->active_shares);
}

static void leave(struct sched_machine *m, struct sched_pool *p, struct sched_node *n)
{
    int64_t lead = (int64_t)(n->vtime - p->vtime);

    n->joined = false;
    n->left_at = m->now;
    n->lag_left = 0;
    p->active_shares -= n->shares;
    if (!p->active_shares) {
        p->vtime = n->vtime;
        p->vtime_rest = 0;
    } else if (lead >= 0) {
        p->vtime -= tree_scale((uint64_t)lead, n->shares, p->active_shares);
    } else {
        p->vtime += tree_scale((uint64_t)-lead, n->shares, p->active_shares);
    }
    /* Against the mean of those who stay, as join() will apply it. */
    if (p->active_shares) {
        uint64_t mean = mean_now(m, p);

        n->lag_left = earlier(n->vtime, mean) ? mean - n->vtime : 0;
    }
}

void tree_activate(struct sched_machine *m, struct sched_entity *e)
{
    struct sched_node *n = &e->node;

    vmk_assert(!n->active);
    n->active = 1;
    for (struct sched_pool *p = n->parent; p; n = &p->node, p = n->parent) {
        if (!n->joined)
            join(m, p, n);
        p->node.active++;
    }
}

void tree_deactivate(struct sched_machine *m, struct sched_entity *e)
{
    struct sched_node *n = &e->node;

    vmk_assert(n->active);
    n->active = 0;
    for (struct sched_pool *p = n->parent; p; n = &p->node, p = n->parent) {
        if (!n->active)
            leave(m, p, n);
        p->node.active--;
    }
}

void tree_waiting(struct sched_machine *m, struct sched_entity *e, bool waits)
{
    struct sched_node *n = &e->node;

    (void)m;
    for (;; n = &n->parent->node) {
        n->waiting = waits ? n->waiting + 1 : n->waiting - 1;
        if (!n->parent)
            return;
        if (!n->waiting)
            mark_satisfied(n);
    }
}

uint64_t tree_part(const struct sched_entity *e)
{
    uint64_t part = 1ull << 32;

    for (const struct sched_node *n = &e->node; n->parent; n = &n->parent->node) {
        uint64_t all = n->parent->active_shares + (n->joined ? 0 : n->shares);

        part = part * n->shares / MAX(all, 1ull);
    }
    return MAX(part, 1ull);
}

/*
 * The largest reservation, or smallest limit, that it has by itself or as its part of a pool's.
 */
static void bounds(const struct sched_machine *m, const struct sched_entity *e, uint64_t *least,
                   uint64_t *most)
{
    uint64_t below = 65536;  // its part of what the node gets

    *least = 0;
    *most = 65536;
    for (const struct sched_node *n = &e->node; n->parent; n = &n->parent->node) {
        uint64_t all = n->parent->active_shares + (n->joined ? 0 : n->shares);

        *least = MAX(*least, below * n->min_mhz / m->reference_mhz);
        if (n->max_mhz != SCHED_UNLIMITED)
            *most = MIN(*most, below * n->max_mhz / m->reference_mhz);
        below = below * n->shares / MAX(all, 1ull);
    }
}

uint64_t tree_least(const struct sched_machine *m, const struct sched_entity *e)
{
    uint64_t least, most;

    bounds(m, e, &least, &most);
    return least;
}

uint32_t tree_load(const struct sched_machine *m, const struct sched_entity *e)
{
    uint64_t part = tree_part(e) * sched_mask_count(m->online | 1) >> 16;
    uint64_t least, most;

    bounds(m, e, &least, &most);
    return (uint32_t)MIN(MAX(part, least), most);
}

/* ---- walking ---- */

void tree_walk(struct sched_machine *m, struct sched_node *n,
               void (*visit)(struct sched_machine *, struct sched_entity *))
{
    if (!n->is_pool) {
        visit(m, entity_of(n));
        return;
    }

    struct sched_pool *p = pool_of(n);

    for (struct list *link = p->children.next, *next; link != &p->children; link = next) {
        next = link->next;
        tree_walk(m, list_entry(link, struct sched_node, siblings), visit);
    }
}

void tree_retune(struct sched_machine *m)
{
    m->bound_grains = MAX(tune(m, SCHED_TUNABLE_BOUND_LAG) * tune(m, SCHED_TUNABLE_QUANTUM) /
                              tune(m, SCHED_TUNABLE_GRANULARITY),
                          1ull);
    for (unsigned i = 0; i < SCHED_HASH_SIZE; i++) {
        for (struct sched_node *n = m->hash[i]; n; n = n->hash_next)
            n->grain = vtime_of(n, tune(m, SCHED_TUNABLE_GRANULARITY));
    }
}

/* ---- coming and going ---- */

static void attach(struct sched_machine *m, struct sched_node *n, struct sched_pool *parent)
{
    n->parent = parent;
    n->depth = (uint16_t)(parent->node.depth + 1);
    n->vtime = parent->vtime;
    n->due = m->now;
    list_add_tail(&parent->children, &n->siblings);
    parent->child_count++;
}

static void add(struct sched_machine *m, struct sched_node *n, const struct sched_input *in,
                struct sched_pool *parent, uint64_t shares)
{
    struct sched_node **at = bucket(m, in->id);

    n->id = in->id;
    n->flags = (uint8_t)in->small;
    n->shares = shares ? (uint32_t)shares : SCHED_SHARES_DEFAULT;
    n->max_mhz = SCHED_UNLIMITED;
    n->grain = vtime_of(n, tune(m, SCHED_TUNABLE_GRANULARITY));
    n->hash_next = *at;
    *at = n;
    if (parent)
        attach(m, n, parent);
}

static void pool_prepare(struct sched_machine *m, struct sched_pool *p)
{
    *p = (struct sched_pool){.node.is_pool = true, .cpu_count = m->cpu_count};
    list_init(&p->children);
    list_init(&p->runnable);
    list_init(&p->costopped);
    for (uint32_t i = 0; i < m->cpu_count; i++) {
        p->cpu[i] = (struct sched_pool_cpu){0};
        prioq_init(&p->cpu[i].ready);
    }
    m->pools++;
}

void tree_root_init(struct sched_machine *m)
{
    const struct sched_input in = {.id = SCHED_ROOT_ID};

    pool_prepare(m, m->root);
    add(m, &m->root->node, &in, NULL, 0);
}

/* Where a new node may hang, with so many levels of its own. */
static vmk_status place_for(const struct sched_machine *m, const struct sched_input *in,
                            uint32_t levels, struct sched_pool **parent)
{
    *parent = sched_pool_find(m, in->arg ? in->arg : SCHED_ROOT_ID);
    if (!in->storage || !in->id || in->value > SCHED_SHARES_MAX)
        return VMK_BAD_PARAM;
    if (sched_node_find(m, in->id))
        return VMK_EXISTS;
    if (!*parent)
        return VMK_NOT_FOUND;
    return (*parent)->node.depth + levels > SCHED_DEPTH_MAX ? VMK_LIMIT : VMK_OK;
}

vmk_status tree_pool_add(struct sched_machine *m, const struct sched_input *in)
{
    struct sched_pool *parent;
    vmk_status status = place_for(m, in, 2, &parent);

    if (status != VMK_OK)
        return status;
    if (parent->node.flags & SCHED_POOL_VM)
        return VMK_LIMIT;

    struct sched_pool *p = in->storage;

    pool_prepare(m, p);
    add(m, &p->node, in, parent, in->value);
    return VMK_OK;
}

vmk_status tree_pool_remove(struct sched_machine *m, const struct sched_input *in)
{
    struct sched_pool *p = sched_pool_find(m, in->id);

    if (!p || p == m->root)
        return p ? VMK_BAD_PARAM : VMK_NOT_FOUND;
    if (p->child_count)
        return VMK_BUSY;
    (void)!admit_change(m, p->node.parent, admit_taken_now(&p->node), 0);
    p->node.max_mhz = SCHED_UNLIMITED;
    limit_reset(m, &p->node);
    list_remove(&p->node.siblings);
    p->node.parent->child_count--;
    hash_remove(m, &p->node);
    m->pools--;
    return VMK_OK;
}

vmk_status tree_world_add(struct sched_machine *m, const struct sched_input *in)
{
    struct sched_pool *parent;
    vmk_status status = place_for(m, in, 1, &parent);

    if (status != VMK_OK)
        return status;

    struct sched_entity *e = in->storage;

    *e = (struct sched_entity){.state = SCHED_STATE_NEW, .affinity = ~0ull, .since = m->now};
    e->times.created = m->now;
    e->home = SCHED_NO_CPU;
    e->cpu = in->cpu;
    list_init(&e->runnable_link);
    list_init(&e->movable_link);
    list_init(&e->costop_link);
    add(m, &e->node, in, parent, in->value);
    if (!(parent->node.flags & SCHED_POOL_VM))
        e->node.flags &= (uint8_t)~SCHED_WORLD_VCPU;
    m->entities++;
    machine_tell(m, &(struct sched_event){
                        .kind = SCHED_EVENT_STATE, .id = in->id, .state = SCHED_STATE_NEW});
    return VMK_OK;
}

vmk_status tree_world_remove(struct sched_machine *m, const struct sched_input *in)
{
    struct sched_entity *e = sched_entity_find(m, in->id);

    if (!e)
        return VMK_NOT_FOUND;
    if (e->state != SCHED_STATE_NEW && e->state != SCHED_STATE_ZOMBIE)
        return VMK_BUSY;
    tree_release(m, e);
    e->node.max_mhz = SCHED_UNLIMITED;
    limit_reset(m, &e->node);
    list_remove(&e->node.siblings);
    e->node.parent->child_count--;
    hash_remove(m, &e->node);
    m->entities--;
    return VMK_OK;
}

/* ---- changes at run time ---- */

/* Lets go of the tree what an entity holds in it, and takes hold again. */
static void entity_out(struct sched_machine *m, struct sched_entity *e)
{
    if (e->queued)
        machine_dequeue(m, e);
    if (e->state == SCHED_STATE_RUN) {
        machine_charge(m, e->cpu);
        machine_running(e, e->cpu, false);
    }
    if (state_is_runnable(e->state))
        list_remove(&e->runnable_link);
    if (e->node.flags & SCHED_WORLD_VCPU)
        e->node.parent->stalled -= state_is_stalled(e->state);
    if (list_is_linked(&e->costop_link))
        list_remove(&e->costop_link);
    if (e->node.active)
        tree_deactivate(m, e);
}

static void entity_in(struct sched_machine *m, struct sched_entity *e)
{
    if (e->node.flags & SCHED_WORLD_VCPU)
        e->node.parent->stalled += state_is_stalled(e->state);
    if (state_is_runnable(e->state))
        list_add_tail(&e->node.parent->runnable, &e->runnable_link);
    if (e->state == SCHED_STATE_RUN) {
        tree_activate(m, e);
        machine_running(e, e->cpu, true);
        machine_kick(m, e->cpu);  // its limits and slice are others now
    } else if (state_is_runnable(e->state)) {
        machine_make_ready(m, e, WAKE_REASON_EVENT);
    }
}

/* Depth of everything below follows the parent's. */
static void deepen(struct sched_node *n)
{
    n->depth = n->parent ? (uint16_t)(n->parent->node.depth + 1) : 0;
    if (!n->is_pool)
        return;
    list_for_each (link, &pool_of(n)->children)
        deepen(list_entry(link, struct sched_node, siblings));
}

static uint32_t height(const struct sched_node *n)
{
    uint32_t most = 0;

    if (!n->is_pool)
        return 0;
    list_for_each (link, &pool_of((struct sched_node *)n)->children)
        most = MAX(most, height(list_entry(link, struct sched_node, siblings)) + 1);
    return most;
}

vmk_status tree_set_pool(struct sched_machine *m, const struct sched_input *in)
{
    struct sched_node *n = sched_node_find(m, in->id);
    struct sched_pool *to = sched_pool_find(m, in->arg ? in->arg : SCHED_ROOT_ID);

    if (!n || !to)
        return VMK_NOT_FOUND;
    if (!n->parent)
        return VMK_BAD_PARAM;
    for (struct sched_pool *p = to; p; p = p->node.parent) {
        if (&p->node == n)
            return VMK_BAD_PARAM;  // below itself
    }
    if ((n->flags & SCHED_WORLD_VCPU && !n->is_pool) || (to->node.flags & SCHED_POOL_VM))
        return VMK_BAD_PARAM;  // a vCPU stays with its VM
    if (to->node.depth + 1u + height(n) > SCHED_DEPTH_MAX)
        return VMK_LIMIT;
    if (to == n->parent)
        return VMK_OK;

    /* Out of the old pool first: both may draw on the same ancestor. */
    struct sched_pool *from = n->parent;
    uint32_t mhz = admit_taken_now(n);

    (void)!admit_change(m, from, mhz, 0);
    if (!admit_change(m, to, 0, mhz)) {
        (void)!admit_change(m, from, 0, mhz);
        return VMK_LIMIT;
    }
    tree_walk(m, n, entity_out);
    list_remove(&n->siblings);
    from->child_count--;
    attach(m, n, to);
    deepen(n);
    tree_walk(m, n, entity_in);
    return VMK_OK;
}

vmk_status tree_set_shares(struct sched_machine *m, const struct sched_input *in)
{
    struct sched_node *n = sched_node_find(m, in->id);

    if (!n)
        return VMK_NOT_FOUND;
    if (!in->arg || in->arg > SCHED_SHARES_MAX || !n->parent)
        return VMK_BAD_PARAM;
    if (n->joined) {
        /* Its lag in ns stays, so its lag in virtual time shrinks as its shares grow. */
        int64_t lag = (int64_t)(n->parent->vtime - n->vtime);
        uint64_t now = tree_scale((uint64_t)(lag < 0 ? -lag : lag), n->shares, in->arg);

        n->parent->active_shares += (uint64_t)in->arg - n->shares;
        n->shares = in->arg;
        n->vtime = lag < 0 ? n->parent->vtime + now : n->parent->vtime - now;
        n->grain = vtime_of(n, tune(m, SCHED_TUNABLE_GRANULARITY));
        mark_satisfied(n);
        share_rekey(m, n);
    }
    n->shares = in->arg;
    n->grain = vtime_of(n, tune(m, SCHED_TUNABLE_GRANULARITY));
    for (uint64_t rest = n->is_pool ? pool_of(n)->running : 0; rest; rest &= rest - 1)
        machine_kick(m, (uint32_t)__builtin_ctzll(rest));
    return VMK_OK;
}

vmk_status tree_set_min(struct sched_machine *m, const struct sched_input *in)
{
    struct sched_node *n = sched_node_find(m, in->id);

    if (!n)
        return VMK_NOT_FOUND;
    if (!n->parent || in->arg > n->max_mhz || in->arg == SCHED_UNLIMITED)
        return VMK_BAD_PARAM;
    if (!n->is_pool && tune(m, SCHED_TUNABLE_VCPU_MIN_CHECK) && in->arg > m->reference_mhz) {
        (void)admit_refuse(m, n->parent, in->arg, m->reference_mhz);
        return VMK_LIMIT;
    }
    if (!n->is_pool && !tree_pin_fits(m, entity_of(n), entity_of(n)->affinity, in->arg)) {
        (void)admit_refuse(m, n->parent, in->arg, 0);
        return VMK_LIMIT;
    }

    uint32_t reserved = n->is_pool ? pool_of(n)->reserved_mhz : 0;

    /* A pool may not fall below what it has promised, unless it may expand. */
    if (n->is_pool && in->arg < reserved && !(n->flags & SCHED_POOL_EXPANDABLE)) {
        (void)admit_refuse(m, pool_of(n), reserved, in->arg);
        return VMK_LIMIT;
    }
    if (!admit_change(m, n->parent, admit_taken_now(n), admit_taken(n, in->arg, reserved)))
        return VMK_LIMIT;
    if (!n->is_pool) {
        tree_pin(m, entity_of(n), entity_of(n)->affinity, in->arg);
        entity_of(n)->policy.edf.period = in->value;
    }
    tree_walk(m, n, entity_out);
    n->min_mhz = in->arg;
    n->due = m->now;
    tree_walk(m, n, entity_in);
    return VMK_OK;
}

vmk_status tree_set_max(struct sched_machine *m, const struct sched_input *in)
{
    struct sched_node *n = sched_node_find(m, in->id);

    if (!n)
        return VMK_NOT_FOUND;
    if (!n->parent || !in->arg || in->arg < n->min_mhz)
        return VMK_BAD_PARAM;
    n->max_mhz = in->arg;
    limit_reset(m, n);
    return VMK_OK;
}
