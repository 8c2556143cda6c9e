// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/user_swap_place.c -- where user worlds are swapped to: options, changes, and what is shown of it.
 *
 *     mem.user-swap=datastore:NAME   a file there; "datastore1" if it is mounted at boot and
 *                                    nothing else is said
 *     mem.user-swap=host:DEVICE      that device, whose contents are lost
 *     mem.user-swap=0                none
 *
 * The world that swaps (user_swap.c) moves from one place to another itself: pages come back,
 * the new place is opened when it is needed first.
 *
 * Locking    config (sleeping) is held while the place changes; slots_lock for what is shown.
 * Start at   user_swap_init(), user_swap_set().
 */
#include "core/core.h"
#include "core/log.h"
#include "fs/proc/procfs.h"
#include "fs/vmfs/datastore.h"
#include "io/storage.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mem/memsched.h"
#include "mem/page.h"
#include "user/user_swap_internal.h"

#define FLOOR_SLACK 32u  // pages that the VMkernel may take below it, at least
#define LOW_PERCENT 16u  // of minFree, as in mem/memsched_tunables.def
#define FIRST       "datastore1"

static bool is_place(const char *text, size_t length)
{
    const size_t word = strncmp(text, "host:", 5) == 0         ? 5
                        : strncmp(text, "datastore:", 10) == 0 ? 10
                                                               : 0;

    return word && length > word && length < sizeof(((struct user_swap *)NULL)->place) &&
           !strchr(text + word, '/');
}

/* Is there such a datastore or device now? */
static vmk_status place_look(const char *place)
{
    struct block_device *device;
    struct datastore d;
    vmk_status status;

    if (strncmp(place, "host:", 5) == 0) {
        status = storage_open(place + 5, &device);
        if (status == VMK_OK)
            storage_close(device);
        return status;
    }
    if (!datastore_find(place + 10, &d))
        return VMK_NOT_FOUND;
    return d.read_only ? VMK_READ_ONLY : VMK_OK;
}

vmk_status user_swap_set(const char *place)
{
    struct user_swap *s = user_swap_state();
    const bool off = strcmp(place, "off") == 0;
    vmk_status status;

    if (!off && !is_place(place, strlen(place)))
        return VMK_BAD_PARAM;
    mutex_lock(&s->config);
    status = off ? VMK_OK : place_look(place);
    if (status == VMK_OK && !off)
        status = user_swap_start(s);
    if (status == VMK_OK && s->world.raw) {
        vmk_snprintf(s->next, sizeof(s->next), "%s", off ? "" : place);
        user_swap_tell(s, &s->moving);
        while (LOAD(s->moving)) {
            bool irqs = plat_irq_save();

            spin_lock_irqs_off(&s->waiters.lock);
            if (LOAD(s->moving))
                (void)!wait_queue_block_as(&s->waiters, PLAT_NS_NEVER, WAIT_FIRM);
            else
                spin_unlock_irqs_off(&s->waiters.lock);
            plat_irq_restore(irqs);
        }
        status = s->moved;
    }
    mutex_unlock(&s->config);
    return status;
}

void user_swap_get(struct user_swap_summary *out)
{
    struct user_swap *s = user_swap_state();
    bool irqs = spin_lock(&s->slots_lock);

    *out = (struct user_swap_summary){.enabled = s->place[0] != 0,
                                      .is_open = swap_store_is_there(&s->store),
                                      .slots = s->store.slots,
                                      .used = s->store.used_count,
                                      .out = s->out,
                                      .in = s->in,
                                      .stayed = s->stayed,
                                      .errors = s->errors + s->store.errors,
                                      .waits = s->waits,
                                      .wait_ns = s->wait_ns};
    memcpy(out->place, s->place, sizeof(out->place));
    spin_unlock(&s->slots_lock, irqs);
}

void user_swap_stop(void)
{
    struct user_swap *s = user_swap_state();
    int code;

    if (!s || !s->world.raw)
        return;
    mutex_lock(&s->config);
    STORE(s->usable, false);
    user_swap_tell(s, &s->stop);
    wait_queue_wake(&s->waiters, WAIT_QUEUE_ALL);
    if (world_wait(s->world, PLAT_NS_NEVER, &code) != VMK_OK)
        vmk_log(VMK_LOG_WARN, "User: the world that swaps does not end");
    if (s->out)
        vmk_log(VMK_LOG_INFO,
                "User: %llu pages of user worlds swapped out, %llu in; %llu stayed, %llu "
                "errors; %llu waits of %llu us",
                (unsigned long long)s->out, (unsigned long long)s->in,
                (unsigned long long)s->stayed, (unsigned long long)s->errors,
                (unsigned long long)s->waits, (unsigned long long)s->wait_ns / 1000);
    mutex_unlock(&s->config);
}

/* ---- /proc/vmware/sched/userswap ---- */

static vmk_status show(struct procfs_text *out, void *argument)
{
    struct user_swap_summary u;

    (void)argument;
    user_swap_get(&u);
    procfs_printf(out, "enabled %u active %u place %s\n", u.enabled, u.is_open,
                  u.place[0] ? u.place : "-");
    procfs_printf(out, "size-kb %llu used-kb %llu\n", (unsigned long long)u.slots * 4,
                  (unsigned long long)u.used * 4);
    procfs_printf(out, "out %llu in %llu stayed %llu errors %llu waits %llu wait-us %llu\n",
                  (unsigned long long)u.out, (unsigned long long)u.in,
                  (unsigned long long)u.stayed, (unsigned long long)u.errors,
                  (unsigned long long)u.waits, (unsigned long long)u.wait_ns / 1000);
    return VMK_OK;
}

static vmk_status store(const char *text, size_t length, void *argument)
{
    char place[USER_SWAP_PLACE];
    vmk_status status = VMK_BAD_PARAM;

    (void)argument;
    if (procfs_line(text, length, place, sizeof(place)))
        status = user_swap_set(place);
    if (status == VMK_BAD_PARAM)
        vmk_log(VMK_LOG_WARN, "User: /proc/vmware/sched/userswap takes \"datastore:NAME\", "
                              "\"host:DEVICE\" or \"off\"");
    return status;
}

void user_swap_init(void)
{
    struct user_swap *s = heap_alloc(sizeof(*s), MEM_OWNER_USER);
    char place[USER_SWAP_PLACE] = "";
    struct datastore d;
    vmk_status status;

    if (!s) {
        vmk_log(VMK_LOG_WARN, "User: no memory for the swapping of user worlds");
        return;
    }
    mutex_init(&s->config, "userswap");
    wait_queue_init(&s->work, "userswap");
    wait_queue_init(&s->waiters, "userswap waiters");
    list_init(&s->wanted);
    spin_init(&s->slots_lock, "userswap slots", LOCK_RANK_SLOTS);
    s->floor_alone = memsched_min_free(page_total_count()) * LOW_PERCENT / 100;
    s->floor_alone += MAX(s->floor_alone / 8, (uint64_t)FLOOR_SLACK);
    user_state()->swap = s;
    user_swap_pager_set();
    status = procfs_register("vmware/sched/userswap", show, store, NULL);
    if (status != VMK_OK)
        vmk_log(VMK_LOG_WARN, "User: no /proc/vmware/sched/userswap: %s",
                vmk_status_text(status));
    if (core_option("mem.user-swap", place, sizeof(place))) {
        if (strcmp(place, "0") == 0)
            return;
        status = user_swap_set(place);
        if (status != VMK_OK)
            vmk_log(VMK_LOG_WARN,
                    "User: mem.user-swap=%s: %s; it is datastore:NAME, host:DEVICE or 0", place,
                    vmk_status_text(status));
        return;
    }
    if (datastore_find(FIRST, &d) && !d.read_only &&
        user_swap_set("datastore:" FIRST) != VMK_OK)
        vmk_log(VMK_LOG_WARN, "User: pages of user worlds are not swapped");
}
