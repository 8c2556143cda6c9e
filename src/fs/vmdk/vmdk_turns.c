// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmdk/vmdk_turns.c -- start-time fair queueing of virtual disks on one file system.
 *
 * The same tags as in io/ioshares.c, with worlds in place of requests: a request's start tag is
 * the later of the volume's virtual time and its disk's last finish tag, its finish tag lies
 * its cost over the disk's shares behind. Who has the lowest start tag is next. A disk whose
 * next request is there already competes while it gives its turn away; otherwise any other disk
 * that waits would go in between, and two disks would get the same whatever their shares.
 *
 * Turned down: the shares of the physical disk. Requests of a file system reach it one at a
 * time, with nothing left to choose.
 *
 * Invariants
 *   - At most one turn of a volume is TURN_HAS; while one is TURN_WAITS, exactly one is.
 *   - A volume's turns are freed with the last disk that leaves.
 * Locking    turns lock (rank IO) for the list of volumes and everything in them; a turn's wait
 *            queue (rank WAITQ) is taken under it.
 * Start at   vmdk_turn_give().
 * Sources    [SFQD]
 */
#include "fs/vmdk/vmdk_turns.h"

#include "core/assert.h"
#include "core/heap.h"
#include "core/host.h"
#include "io/ioshares.h"
#include "plat/plat.h"

#define TAG_SCALE IOSHARES_MAX

struct vmdk_turns {
    struct list link;
    const void *volume;
    unsigned users;
    uint64_t now;  // virtual time
    struct vmdk_turn *holder;
    struct list waiting;  // struct vmdk_turn.link
};

struct turns_state {
    struct spinlock lock;
    struct list volumes;
};
HOST_STATE(turns);

void vmdk_turns_init(void)
{
    struct turns_state *state = this_host()->turns;

    spin_init(&state->lock, "vmdk turns", LOCK_RANK_IO);
    list_init(&state->volumes);
}

static struct vmdk_turns *find(struct turns_state *state, const void *volume)
{
    list_for_each (node, &state->volumes) {
        struct vmdk_turns *t = list_entry(node, struct vmdk_turns, link);

        if (t->volume == volume)
            return t;
    }
    return NULL;
}

vmk_status vmdk_turn_join(struct vmdk_turn *turn, const void *volume, uint32_t shares)
{
    struct turns_state *state = this_host()->turns;
    struct vmdk_turns *fresh = heap_alloc(sizeof(*fresh), MEM_OWNER_FS);
    struct vmdk_turns *t;
    bool irqs;

    if (!fresh)
        return VMK_NO_MEMORY;
    list_init(&fresh->waiting);
    fresh->volume = volume;
    *turn = (struct vmdk_turn){.shares = MIN(MAX(shares, 1u), IOSHARES_MAX)};
    wait_queue_init(&turn->wait, "vmdk turn");
    irqs = spin_lock(&state->lock);
    t = find(state, volume);
    if (!t) {
        t = fresh;
        fresh = NULL;
        list_add_tail(&state->volumes, &t->link);
    }
    t->users++;
    turn->of = t;
    spin_unlock(&state->lock, irqs);
    heap_free(fresh);
    return VMK_OK;
}

void vmdk_turn_leave(struct vmdk_turn *turn)
{
    struct turns_state *state = this_host()->turns;
    struct vmdk_turns *t = turn->of;
    bool irqs = spin_lock(&state->lock);

    vmk_assert(turn->state == TURN_NONE);
    if (--t->users == 0)
        list_remove(&t->link);
    else
        t = NULL;
    spin_unlock(&state->lock, irqs);
    heap_free(t);
}

/* Locked. The request gets its tags and stands in the queue. */
static void enqueue(struct vmdk_turn *turn, uint64_t cost)
{
    struct vmdk_turns *t = turn->of;

    turn->start = MAX(t->now, turn->finish);
    turn->finish = turn->start + cost * TAG_SCALE / turn->shares;
    turn->state = TURN_WAITS;
    list_add_tail(&t->waiting, &turn->link);
}

/* Locked; nobody has the turn. Gives it to the lowest start tag. */
static void pass_on(struct vmdk_turns *t)
{
    struct vmdk_turn *best = NULL;

    list_for_each (node, &t->waiting) {
        struct vmdk_turn *turn = list_entry(node, struct vmdk_turn, link);

        if (!best || turn->start < best->start)
            best = turn;
    }
    t->holder = best;
    if (!best)
        return;
    list_remove(&best->link);
    t->now = best->start;
    spin_lock_irqs_off(&best->wait.lock);
    best->state = TURN_HAS;
    spin_unlock_irqs_off(&best->wait.lock);
    wait_queue_wake(&best->wait, 1);
}

void vmdk_turn_take(struct vmdk_turn *turn, uint64_t cost)
{
    struct turns_state *state = this_host()->turns;
    bool irqs = spin_lock(&state->lock);

    if (turn->state == TURN_NONE) {
        enqueue(turn, cost);
        if (!turn->of->holder)
            pass_on(turn->of);
    }
    spin_unlock(&state->lock, irqs);
    irqs = plat_irq_save();
    spin_lock_irqs_off(&turn->wait.lock);
    while (turn->state != TURN_HAS) {
        (void)!wait_queue_block_as(&turn->wait, PLAT_NS_NEVER, WAIT_FIRM);
        spin_lock_irqs_off(&turn->wait.lock);
    }
    spin_unlock_irqs_off(&turn->wait.lock);
    plat_irq_restore(irqs);
}

void vmdk_turn_give(struct vmdk_turn *turn, uint64_t next_cost)
{
    struct turns_state *state = this_host()->turns;
    bool irqs = spin_lock(&state->lock);

    vmk_assert(turn->of->holder == turn && turn->state == TURN_HAS);
    turn->state = TURN_NONE;
    if (next_cost)
        enqueue(turn, next_cost);
    pass_on(turn->of);
    spin_unlock(&state->lock, irqs);
}
