// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/fuzz/fuzz_syscall.c -- random system calls with random arguments of a process that is real but
 * for its ring 3: nothing may crash, hang, or stay behind.
 *
 * An input is a list of calls. Each argument is chosen from what hurts: descriptors, small numbers,
 * addresses of memory that is mapped, read-only, absent or the kernel's, and plain random words. A
 * call that blocks for ever ends by SIGKILL after a second of virtual time.
 *
 * Invariants
 *   - When the process is gone, user memory is what it was before, but for cached copy buffers.
 * Locking    none: one input at a time.
 */
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "mem/page.h"
#include "sim/platform/sim.h"
#include "user/user_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RW_BASE     0x10000000ull
#define RO_BASE     0x20000000ull
#define MAP_SIZE    0x10000ull
#define CALLS_MAX   24u
#define SYS_REBOOT  169u
#define BUFFERS_MAX 32u  // pages that buffer_put() may keep

struct input {
    const uint8_t *data;
    size_t size, at;
};

static uint64_t take(struct input *in, size_t bytes)
{
    uint64_t value = 0;

    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | (in->at < in->size ? in->data[in->at++] : 0u);
    return value;
}

static uint64_t argument(struct input *in)
{
    static const uint64_t edges[] = {0,         1,          2,          8,
                                     4095,      4096,       INT32_MAX,  UINT32_MAX,
                                     INT64_MAX, UINT64_MAX, 1ull << 47, ASPACE_END};
    uint64_t kind = take(in, 1);

    switch (kind % 10) {
    case 0: return take(in, 1) % 12;                  // a descriptor
    case 1: return take(in, 2);                       // flags, sizes
    case 2: return RW_BASE + take(in, 2) % MAP_SIZE;  // memory
    case 3: return RW_BASE + (take(in, 1) << 8);      // aligned
    case 4: return RO_BASE + take(in, 2) % MAP_SIZE;
    case 5: return edges[take(in, 1) % ARRAY_COUNT(edges)];
    case 6: return RW_BASE + MAP_SIZE - take(in, 1);  // across the end
    case 7: return take(in, 8);
    case 8: return (uint64_t)(int64_t)(int8_t)take(in, 1);
    default: return RW_BASE + 0x100 * (take(in, 1) % 16);  // where paths are
    }
}

static struct input input;

static void map(struct thread *t, uint64_t at, unsigned protection)
{
    const struct aspace_map m = {
        .address = at, .size = MAP_SIZE, .protection = protection, .fixed = true};
    uint64_t address;

    if (aspace_map(t->as, &m, &address) != VMK_OK)
        abort();
}

/* In place of thread_main(): the calls come from the input, not from ring 3. */
static void calls(void *argument_thread)
{
    static const char paths[][32] = {
        "/tmp",      "/tmp/a",   "/tmp/a/b",  "/dev/null", "/dev/zero", "/proc/self/status",
        "..",        "/dev/tty", "/dev/ptmx", "/tmp/l",    "",          "/proc/1/fd",
        "/dev/full", "a",        "/",         "/tmp/f"};
    struct thread *t = argument_thread;
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);

    t->world = world_current();
    spin_unlock(&user->lock, irqs);
    map(t, RW_BASE, ASPACE_READ | ASPACE_WRITE);
    map(t, RO_BASE, ASPACE_READ);
    for (unsigned i = 0; i < ARRAY_COUNT(paths); i++)
        (void)!aspace_copy_out(t->as, RW_BASE + i * 0x100, paths[i], sizeof(paths[i]));
    for (unsigned i = 0; i < CALLS_MAX && input.at < input.size; i++) {
        static const uint8_t order[6] = {7, 6, 2, 10, 8, 9};
        uint64_t number = take(&input, 2) % 450;

        if (number == SYS_REBOOT)
            continue;
        t->regs.gpr[0] = number;
        for (unsigned a = 0; a < 6; a++)
            t->regs.gpr[order[a]] = argument(&input);
        syscall_dispatch(t);
        if (__atomic_load_n(&t->work, __ATOMIC_SEQ_CST))
            signal_deliver(t);
    }
    process_exit_begin(t->process, 0);
    thread_exit(t);
}

static struct thread *start(void)
{
    const struct vfs_where where = vfs_where_kernel();
    struct world_params params = {.name = "fuzz",
                                  .entry = calls,
                                  .switch_in = thread_switch_in,
                                  .switch_out = thread_switch_out};
    struct process *p;
    struct thread *t;

    if (process_create(NULL, &p) != VMK_OK)
        abort();
    p->actions = heap_alloc(sizeof(*p->actions), MEM_OWNER_USER);
    p->actions->refs = 1;
    p->fds = fds_create();
    p->fs = fs_create(where.root, where.root, 022);
    if (mm_create(p, &p->mm) != VMK_OK || thread_create(p, &t) != VMK_OK)
        abort();
    t->as = p->mm->as;
    params.argument = params.owner = t;
    if (world_create(&params, &t->world_id) != VMK_OK)
        abort();
    return t;
}

/* Everybody who is left. */
static void kill_all(void)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);

    list_for_each (node, &user->processes)
        signal_send_locked(list_entry(node, struct process, all_link), NULL, L_SIGKILL, NULL);
    spin_unlock(&user->lock, irqs);
}

static void sleep_ms(unsigned ms)
{
    if (world_sleep_until(plat_time_now() + ms * 1000000ull) != VMK_OK)
        abort();
}

static bool ended(uint32_t pid)
{
    struct process *p = process_find(pid);
    bool gone = !p || p->state == PROCESS_ZOMBIE;

    if (p)
        process_put(p);
    return gone;
}

static void one(void *unused)
{
    struct user_state *user = user_state();
    uint64_t heap = heap_owned(MEM_OWNER_USER);
    struct thread *t = start();
    uint32_t pid = t->process->pid;
    int status;

    (void)unused;
    for (unsigned i = 0; !ended(pid); i++) {
        sleep_ms(i < 10 ? 1 : 100);
        if (i > 20)
            kill_all();
        if (i > 1000)
            abort();  // a call that SIGKILL does not end
    }
    if (user_wait(pid, &status) != VMK_OK)
        abort();
    for (unsigned i = 0; user->thread_count || !list_is_empty(&user->processes); i++) {
        kill_all();
        sleep_ms(10);
        if (i > 1000)
            abort();
    }
    sleep_ms(10);  // the reaper
    if (heap_owned(MEM_OWNER_USER) != heap || page_owned_count(MEM_OWNER_USER) > BUFFERS_MAX)
        abort();
}

static void up(void *unused)
{
    (void)unused;
    if (fs_init() != VMK_OK)
        abort();
    user_init();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;

    if (!ready) {
        sim_test_begin();
        log_sinks_set(0);
        sim_test_run(up, NULL);
        ready = true;
    }
    input = (struct input){data, size, 0};
    sim_test_run(one, NULL);
    return 0;
}
