// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/memsched_target.c -- the division of memory: one price for a page, and what follows from it.
 *
 * At price p (pages of charge per share) a node with S shares may be charged S * p pages. Its
 * active pages are charged once, idle ones k = 1 / (1 - tax) times, so
 *
 *     pages │            ╱ slope 1 - tax         pages(p) grows with p, and so does the sum over
 *           │        _.-'                        all siblings: a binary search finds the price at
 *       hot ┤     ╱'                             which the sum is what there is.
 *           │   ╱  slope 1
 *           └─────────────── charge S * p
 *
 * Taking pages one at a time from who pays least (the paper's way) ends at the same point. A
 * node whose pages are charged less than S * p at that price loses none. It may have as many
 * active ones more as the rest pays for, before it is its own turn: those are due to it.
 *
 * Invariants
 *   - low <= given <= high of each node; the given of siblings sum up to at most what they
 *     divide, or all of them have their low (divide()).
 * Locking    the caller's.
 * Start at   memsched_reallocate().
 * Sources    [WALDSPURGER02] sections 5.1 and 5.2
 */
#include "core/assert.h"
#include "mem/memsched_internal.h"

#define PRICE_BITS 20u           // fraction of a price
#define PRICE_TOP  59u           // a price at which one share pays for everything
#define CHARGE_MAX (1ull << 40)  // more than any host has pages, k = 100

/* What it pays for at a price. */
static uint64_t paid_at(const struct memsched_node *n, uint64_t price)
{
    unsigned __int128 charge = ((unsigned __int128)n->shares * price) >> PRICE_BITS;

    return charge > CHARGE_MAX ? CHARGE_MAX : (uint64_t)charge;
}

static uint64_t pages_at(const struct memsched *m, const struct memsched_node *n,
                         uint64_t price)
{
    uint64_t c = paid_at(n, price);
    uint64_t left = 100 - memsched_tune(m, MEMSCHED_TUNABLE_IDLE_TAX);
    uint64_t pages = c <= n->hot ? c : n->hot + memsched_percent(c - n->hot, left);

    return MAX(MIN(pages, n->high), n->low);
}

#define for_each_child(m, n, pool)                                                             \
    for (struct memsched_node * (n) = &(m)->nodes[1]; (n) < &(m)->nodes[MEMSCHED_NODES_MAX];   \
         (n)++)                                                                                \
        if ((n)->id && &(m)->nodes[(n)->parent] == (pool))

static uint64_t sum_at(struct memsched *m, const struct memsched_node *pool, uint64_t price)
{
    uint64_t sum = 0;

    for_each_child(m, n, pool) sum += pages_at(m, n, price);
    return sum;
}

/*
 * The highest price that siblings can pay with `amount`; what is left by rounding goes in
 * order. Returns it.
 */
static uint64_t divide(struct memsched *m, const struct memsched_node *pool, uint64_t amount)
{
    uint64_t price = 0, rest;

    for (unsigned bit = PRICE_TOP; bit-- > 0;) {
        if (sum_at(m, pool, price | 1ull << bit) <= amount)
            price |= 1ull << bit;
    }
    rest = sum_at(m, pool, price);
    rest = amount > rest ? amount - rest : 0;
    for_each_child(m, n, pool)
    {
        uint64_t more;

        n->given = pages_at(m, n, price);
        more = MIN(pages_at(m, n, price + 1) - n->given, rest);
        n->given += more;
        rest -= more;
        vmk_assert(n->given >= n->low && n->given <= n->high);
    }
    return price;
}

/* Bounds and active pages, from the leaves up. */
static void bounds(struct memsched *m, struct memsched_node *n)
{
    uint64_t low = 0, high = 0, hot = 0, later = 0, claim = 0;

    if (!n->is_pool) {
        high = n->touched - n->saved;
        n->high = MIN(high, (uint64_t)n->max);
        n->low = MIN((uint64_t)n->min, n->high);
        n->hot = MIN(memsched_active_pages(n), n->high);
        n->later = n->min > n->high ? n->min - n->high : 0;
        n->claim = MAX(memsched_held(n), (uint64_t)n->min);
        return;
    }
    for_each_child(m, child, n)
    {
        bounds(m, child);
        low += child->low;
        high += child->high;
        hot += child->hot;
        later += child->later;
        claim += child->claim;
    }
    n->high = MIN(high, (uint64_t)n->max);
    n->low = MIN(MAX(low, (uint64_t)n->min), n->high);
    n->hot = MIN(hot, n->high);
    n->later = MAX(later, n->min > n->high ? n->min - n->high : 0ull);
    n->claim = MAX(claim, (uint64_t)n->min);
}

/* What a node that gets `given` is charged. */
static uint64_t charge_of(const struct memsched *m, const struct memsched_node *n)
{
    uint64_t idle = n->given > n->hot ? n->given - n->hot : 0;

    return MIN(n->given, n->hot) +
           idle * 100 / (100 - memsched_tune(m, MEMSCHED_TUNABLE_IDLE_TAX));
}

/*
 * Nothing is taken from a node that gets all it touched: then more is due to it, as far as it
 * would pay the price for active pages, and as far as more is due to the pool it is in.
 */
static uint64_t due_at(const struct memsched *m, const struct memsched_node *n, uint64_t price,
                       uint64_t room)
{
    uint64_t paid = paid_at(n, price), charge = charge_of(m, n), due = n->given;
    uint64_t most = n->is_pool ? n->max : MIN((uint64_t)n->size, (uint64_t)n->max);

    if (n->given == n->high && paid > charge)
        due += MIN(paid - charge, room);
    return MAX(MIN(due, most), n->given);
}

static void divide_below(struct memsched *m, const struct memsched_node *pool, uint64_t amount)
{
    const uint64_t price = divide(m, pool, amount);
    const uint64_t room = pool == &m->nodes[0] ? CHARGE_MAX : pool->due - pool->given;

    for_each_child(m, n, pool)
    {
        n->due = due_at(m, n, price, room);
        if (n->is_pool)
            divide_below(m, n, n->given);
    }
}

static uint32_t price_of(const struct memsched *m, const struct memsched_node *vm)
{
    uint64_t charge = charge_of(m, vm);
    uint64_t price = ((uint64_t)vm->shares << 16) / MAX(charge, 1ull);

    return (uint32_t)MIN(price, UINT32_MAX);
}

static void target_tell(const struct memsched *m, const struct memsched_node *vm,
                        const struct memsched_target *before)
{
    const struct memsched_target *t = &vm->target;
    const struct memsched_event event = {.kind = MEMSCHED_EVENT_TARGET,
                                         .small = t->blocked,
                                         .id = vm->id,
                                         .a = t->entitlement,
                                         .b = t->balloon,
                                         .c = t->swap,
                                         .d = t->price,
                                         .e = t->cap,
                                         .f = t->due};

    if (m->observer.event &&
        (t->entitlement != before->entitlement || t->balloon != before->balloon ||
         t->swap != before->swap || t->blocked != before->blocked || t->cap != before->cap))
        m->observer.event(m->observer.context, &event);
}

/* ---- limits ---- */

/* No limit below the VM's size says anything about it. */
static bool is_capped(const struct memsched_node *vm)
{
    return vm->target.cap < vm->size;
}

/*
 * What each VM below `pool` may hold when the pool may hold `cap`. A limited pool divides what
 * it has by the price that holds for the host, and keeps what reservations may still claim.
 * Each child may grow by an equal part of what is left over, but not before its siblings gave
 * back what they have too much; the next USAGE divides again.
 */
static void caps_below(struct memsched *m, const struct memsched_node *pool, uint64_t cap)
{
    const bool limited = cap != MEMSCHED_UNLIMITED;
    uint64_t later = 0, sum = 0, claims = 0, count = 0, room, spare;

    for_each_child(m, n, pool)
    {
        later += n->later;
        claims += n->claim;
        count++;
    }
    if (limited) {
        divide(m, pool, cap > later ? cap - later : 0);
        for_each_child(m, n, pool) sum += n->given;
    }
    room = count && cap > sum + later ? (cap - sum - later) / count : 0;
    spare = count && cap > claims ? (cap - claims) / count : 0;
    for_each_child(m, n, pool)
    {
        uint64_t may = limited ? MIN(n->given + n->later + room, n->claim + spare) : n->max;

        may = MIN(may, (uint64_t)n->max);
        if (n->is_pool)
            caps_below(m, n, may);
        else
            n->target.cap = (uint32_t)may;
    }
}

/* Does a pool above the VM have a limit, so that its siblings decide what it may hold? */
static bool is_pool_limited(const struct memsched *m, const struct memsched_node *n)
{
    while (n != &m->nodes[0]) {
        n = &m->nodes[n->parent];
        if (n->max != MEMSCHED_UNLIMITED)
            return true;
    }
    return false;
}

/* Guest pages that must go for the VM to hold `keep_free` less than its limits let it. */
static uint64_t above_cap(const struct memsched_node *vm, uint64_t keep_free)
{
    uint64_t there = (uint64_t)vm->touched - vm->saved;
    uint64_t most = vm->target.cap > keep_free ? vm->target.cap - keep_free : 0;

    most = MAX(most, (uint64_t)vm->min);
    return is_capped(vm) && there > most ? there - most : 0;
}

/*
 * What limits ask for, at any level of the host: the balloon begins below the limit, so that
 * compression and swapping find nothing to do unless it is slow, refuses or is not there.
 */
static void limit_raise(const struct memsched *m, struct memsched_node *vm)
{
    uint64_t out = (uint64_t)vm->swapped + vm->compressed;
    uint64_t room =
        memsched_percent(vm->target.cap, memsched_tune(m, MEMSCHED_TUNABLE_LIMIT_ROOM));
    uint64_t balloon, swap;

    if (!is_capped(vm))
        return;
    balloon = above_cap(vm, MIN(room, (uint64_t)vm->size - vm->target.cap));
    balloon = MIN(balloon > out ? balloon - out : 0, (uint64_t)vm->balloon_max);
    swap = above_cap(vm, 0);
    swap = swap > vm->ballooned ? swap - vm->ballooned : 0;
    if (memsched_tune(m, MEMSCHED_TUNABLE_BALLOON))
        vm->target.balloon = (uint32_t)MAX((uint64_t)vm->target.balloon, balloon);
    if (memsched_tune(m, MEMSCHED_TUNABLE_SWAP))
        vm->target.swap = (uint32_t)MAX((uint64_t)vm->target.swap, swap);
    vm->target.blocked |= memsched_held(vm) >= MAX(vm->target.cap, vm->min);
}

/*
 * Who takes it: the balloon what it can, swapping the rest, each only when the level asks for
 * it.
 */
static void target_set(struct memsched *m, struct memsched_node *vm,
                       const struct memsched_target *before)
{
    uint64_t gone = vm->touched - vm->saved - vm->given;  // guest pages that should not be here
    uint64_t out = (uint64_t)vm->swapped + vm->compressed;
    uint64_t balloon = MIN(gone > out ? gone - out : 0, (uint64_t)vm->balloon_max);
    uint64_t swap = gone > vm->ballooned ? gone - vm->ballooned : 0;

    if (m->level < MEMSCHED_SOFT || !memsched_tune(m, MEMSCHED_TUNABLE_BALLOON))
        balloon = MIN(balloon, (uint64_t)vm->ballooned);
    if (m->level < MEMSCHED_HARD || !memsched_tune(m, MEMSCHED_TUNABLE_SWAP))
        swap = MIN(swap, out);
    vm->target = (struct memsched_target){
        .entitlement = (uint32_t)vm->given,
        .cap = vm->target.cap,
        .due = (uint32_t)vm->due,
        .balloon = (uint32_t)balloon,
        .swap = (uint32_t)swap,
        .price = price_of(m, vm),
        .blocked = m->level == MEMSCHED_LOW && memsched_held(vm) > vm->given,
    };
    limit_raise(m, vm);
    target_tell(m, vm, before);
}

/*
 * Between two reallocations a guest may touch what was taken, or free its balloon, and each
 * mechanism works without knowing of the other. Below the level at which one may take, it is
 * not to take that again; and both together are to take no more than the VM has above its
 * entitlement. Limits hold at all levels.
 */
static void follow(const struct memsched *m, struct memsched_node *vm,
                   const struct memsched_target *before)
{
    uint64_t out = (uint64_t)vm->swapped + vm->compressed;
    uint64_t there = (uint64_t)vm->touched - vm->saved;
    uint64_t gone = there > before->entitlement ? there - before->entitlement : 0;
    uint64_t balloon = MAX((uint64_t)vm->ballooned, gone > out ? gone - out : 0);
    uint64_t swap = MAX(out, gone > vm->ballooned ? gone - vm->ballooned : 0);

    if (m->level < MEMSCHED_SOFT)
        balloon = vm->ballooned;
    if (m->level < MEMSCHED_HARD)
        swap = out;
    vm->target.balloon = (uint32_t)MIN((uint64_t)before->balloon, balloon);
    vm->target.swap = (uint32_t)MIN((uint64_t)before->swap, swap);
    vm->target.blocked = m->level == MEMSCHED_LOW && memsched_held(vm) > vm->target.entitlement;
    limit_raise(m, vm);
    target_tell(m, vm, before);
}

/* What limits let each VM hold, anew; `before` gets all targets as they were. */
static void caps_anew(struct memsched *m, struct memsched_target before[MEMSCHED_NODES_MAX])
{
    for (unsigned i = 1; i < MEMSCHED_NODES_MAX; i++)
        before[i] = m->nodes[i].target;
    bounds(m, &m->nodes[0]);
    caps_below(m, &m->nodes[0], MEMSCHED_UNLIMITED);
}

void memsched_target_follow(struct memsched *m, struct memsched_node *vm)
{
    struct memsched_target before[MEMSCHED_NODES_MAX];

    if (!is_pool_limited(m, vm)) {
        before[0] = vm->target;
        follow(m, vm, &before[0]);
        return;
    }
    caps_anew(m, before);
    for (unsigned i = 1; i < MEMSCHED_NODES_MAX; i++) {
        if (m->nodes[i].id && !m->nodes[i].is_pool)
            follow(m, &m->nodes[i], &before[i]);
    }
}

void memsched_reallocate(struct memsched *m)
{
    uint64_t goal = memsched_percent(m->min_free, memsched_tune(m, MEMSCHED_TUNABLE_GOAL));
    uint64_t there = m->free;
    struct memsched_target before[MEMSCHED_NODES_MAX];

    caps_anew(m, before);
    for (unsigned i = 1; i < MEMSCHED_NODES_MAX; i++) {
        if (m->nodes[i].id && !m->nodes[i].is_pool)
            there += memsched_held(&m->nodes[i]);
    }
    divide_below(m, &m->nodes[0], there > goal ? there - goal : 0);
    for (unsigned i = 1; i < MEMSCHED_NODES_MAX; i++) {
        if (m->nodes[i].id && !m->nodes[i].is_pool)
            target_set(m, &m->nodes[i], &before[i]);
    }
    m->free_at_reallocation = m->free;
    m->reallocations++;
}
