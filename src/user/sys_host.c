// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sys_host.c -- system calls about the host as a whole: switching it off, and its log.
 *
 * Whoever started process 1 and waits for it carries the power request out (it may have
 * machines to stop first); without anybody there the platform does it at once.
 *
 * Invariants
 *   - One reader of syslog(2) type 2 (klogd) sees every line that the ring still had once.
 * Locking    the log's positions are atomic words; two klogds would share the lines.
 */
#include "core/log.h"
#include "lib/string.h"
#include "user/user_internal.h"

#define REBOOT_MAGIC       0xfee1deadu
#define REBOOT_HALT        0xcdef0123u
#define REBOOT_POWER_OFF   0x4321fedcu
#define REBOOT_RESTART     0x01234567u
#define REBOOT_CAD_ON      0x89abcdefu
#define REBOOT_CAD_OFF     0u

#define LOG_CHUNK          131072u  // the whole ring, and the levels of its lines
#define LOG_POLL_NS        200000000ull
#define CONSOLE_LEVELS_ALL 4u

static int64_t power(struct thread *t, enum user_end how)
{
    vfs_sync();
    vmk_log(VMK_LOG_INFO, "User: %s (%u) %s the host", t->process->name, t->process->pid,
            how == USER_END_RESET ? "restarts" : "powers off");
    if (!user_power_request(how)) {
        if (how == USER_END_RESET)
            plat_reset();
        plat_power_off();
    }
    /* It is under way; the caller of reboot(2) does not expect to live on. */
    while (world_sleep_until(PLAT_NS_NEVER) == VMK_OK)
        ;
    return 0;
}

int64_t sys_reboot(struct thread *t, const uint64_t *a)
{
    if (t->process->euid)
        return -L_EPERM;
    if ((uint32_t)a[0] != REBOOT_MAGIC)
        return -L_EINVAL;
    switch ((uint32_t)a[2]) {
    case REBOOT_POWER_OFF:
    case REBOOT_HALT: return power(t, USER_END_POWER_OFF);
    case REBOOT_RESTART: return power(t, USER_END_RESET);
    case REBOOT_CAD_ON:
    case REBOOT_CAD_OFF: return 0;  // Ctrl-Alt-Del: there is none
    default: return -L_EINVAL;
    }
}

/* ---- syslog(2) ---- */

/* Lines from *position on, to the program. */
static int64_t log_out(struct thread *t, uint64_t *position, uint64_t to, uint64_t size)
{
    size_t room = (size_t)MIN(size, LOG_CHUNK), length;
    char *text = heap_alloc(room, MEM_OWNER_USER);
    uint64_t at = __atomic_load_n(position, __ATOMIC_RELAXED);
    int64_t result;

    if (!text)
        return -L_ENOMEM;
    length = log_ring_read(&at, text, room);
    result = user_out(t, to, text, length);
    heap_free(text);
    if (result)
        return result;
    __atomic_store_n(position, at, __ATOMIC_RELAXED);
    return (int64_t)length;
}

/*
 * Waits for lines. vmk_log() runs in any context and can wake nobody, so this looks now and
 * then.
 */
static int64_t log_wait(struct thread *t, uint64_t to, uint64_t size)
{
    struct user_state *user = user_state();
    struct wait_queue queue;
    vmk_status status = VMK_OK;

    wait_queue_init(&queue, "syslog");
    while (log_ring_end() == __atomic_load_n(&user->log_read, __ATOMIC_RELAXED)) {
        bool irqs = spin_lock(&queue.lock);

        status = wait_queue_block_interruptible(&queue, plat_time_now() + LOG_POLL_NS);
        plat_irq_restore(irqs);
        if (status != VMK_TIMEOUT && status != VMK_OK)
            return user_errno_restart(status);
    }
    return log_out(t, &user->log_read, to, size);
}

/*
 * The newest lines that were not cleared. A line grows by two bytes on its way out, and has
 * more than thirty-two.
 */
static int64_t log_show(struct thread *t, uint64_t to, uint64_t size, bool clear)
{
    struct user_state *user = user_state();
    uint64_t end = log_ring_end();
    uint64_t at = __atomic_load_n(&user->log_clear, __ATOMIC_RELAXED);
    int64_t length;

    if (end - at > size - size / 16)
        at = end - (size - size / 16);
    length = log_out(t, &at, to, size);
    if (clear && length >= 0)
        __atomic_store_n(&user->log_clear, end, __ATOMIC_RELAXED);
    return length;
}

/* A program says which of Linux's levels (3 errors, 4 warnings, 6 information, 7 debugging) are
 * shown: those below `level`. */
static int64_t log_level(int64_t level)
{
    if (level < 1 || level > 8)
        return -L_EINVAL;
    log_console_levels_set((unsigned)((level > 3) + (level > 4) + (level > 6) + (level > 7)));
    return 0;
}

int64_t sys_syslog(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    int type = (int)a[0];

    if (type != 3 && type != 10 && t->process->euid)
        return -L_EPERM;
    if (type >= 2 && type <= 4 && (int32_t)a[2] < 0)
        return -L_EINVAL;
    if (type >= 2 && type <= 4 && !a[2])
        return 0;
    switch (type) {
    case 0:
    case 1: return 0;
    case 2: return log_wait(t, a[1], a[2]);
    case 3: return log_show(t, a[1], a[2], false);
    case 4: return log_show(t, a[1], a[2], true);
    case 5: __atomic_store_n(&user->log_clear, log_ring_end(), __ATOMIC_RELAXED); return 0;
    case 6: return log_level(1);
    case 7: log_console_levels_set(CONSOLE_LEVELS_ALL); return 0;
    case 8: return log_level((int32_t)a[2]);
    case 9: {
        uint64_t unread = log_ring_end() - __atomic_load_n(&user->log_read, __ATOMIC_RELAXED);

        return (int64_t)MIN(unread, (uint64_t)LOG_CHUNK);
    }
    case 10: return LOG_CHUNK;
    default: return -L_EINVAL;
    }
}
