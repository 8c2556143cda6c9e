// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/init.c -- the first program, and programs started by the kernel.
 *
 * Locking    the user lock for the tables.
 */
#include "core/assert.h"
#include "core/log.h"
#include "lib/string.h"
#include "sched/sched.h"
#include "user/user_internal.h"
#include "user/user_swap.h"
#include "user/vmk_device.h"

uint32_t nice_shares(int nice)
{
    /* Each step of nice is worth a quarter, as on Linux. */
    uint64_t shares = SCHED_SHARES_DEFAULT;

    for (; nice > 0; nice--)
        shares = MAX(shares * 4 / 5, 1u);
    for (; nice < 0; nice++)
        shares = shares * 5 / 4;
    return (uint32_t)shares;
}

void thread_nice_apply(struct thread *t)
{
    /* One that has not run yet starts with them. */
    if (t->world)
        (void)!sched_set_shares(t->world_id.raw, nice_shares(t->process->nice));
}

/* Names that lead through the running process. */
static void make_links(void)
{
    static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
                                           {"/proc/self/fd/0", "/dev/stdin"},
                                           {"/proc/self/fd/1", "/dev/stdout"},
                                           {"/proc/self/fd/2", "/dev/stderr"}};
    const struct vfs_where where = vfs_where_kernel();

    for (unsigned i = 0; i < ARRAY_COUNT(links); i++)
        (void)!vfs_symlink(&where, links[i][0], links[i][1]);
}

void user_init(void)
{
    process_init();
    user_swap_init();
    futex_init();
    job_init();
    user_proc_init();
    mutex_init(&user_state()->epoll_nesting, "epoll nesting");
    mutex_init(&user_state()->vms_mutex, "making VMs");
    mqueue_init();
    sysv_init();
    vdso_init();
    inotify_init();
    vmk_device_init();
    make_links();
}

/* Descriptors 0, 1 and 2, and the controlling terminal. */
static vmk_status open_console(struct thread *t, const char *path)
{
    const struct vfs_where where = vfs_where_kernel();
    struct file *file;
    struct tty *tty;
    vmk_status status = vfs_open(&where, path, VFS_O_RDWR, 0, &file);

    if (status != VMK_OK)
        return status;
    tty = tty_of_file(file);
    if (tty && !t->process->session->tty) {
        tty_ref(tty);
        t->process->session->tty = tty;
    }
    for (unsigned i = 0; i < 3; i++) {
        file_ref(file);
        if (user_fd_install(t, file, 0, false) < 0)
            status = VMK_NO_MEMORY;
    }
    file_put(file);
    return status;
}

static vmk_status prepare(struct process *p, struct process *parent)
{
    const struct vfs_where where = vfs_where_kernel();

    (void)parent;
    p->actions = heap_alloc(sizeof(*p->actions), MEM_OWNER_USER);
    p->fds = fds_create();
    p->fs = fs_create(where.root, where.root, 022);
    if (!p->actions || !p->fds || !p->fs)
        return VMK_NO_MEMORY;
    p->actions->refs = 1;
    return VMK_OK;
}

vmk_status user_start(const char *path, const char *const *argv, const char *const *envp,
                      const char *console, uint32_t *pid)
{
    struct user_state *user = user_state();
    struct process *p;
    struct thread *t = NULL;
    vmk_status status = process_create(NULL, &p);
    int64_t error;

    if (status != VMK_OK)
        goto failed;
    status = prepare(p, NULL);
    if (status == VMK_OK)
        status = thread_create(p, &t);
    if (status == VMK_OK && console)
        status = open_console(t, console);
    if (status == VMK_OK) {
        error = process_exec_kernel(t, path, argv, envp);
        if (error)
            status = error == -L_ENOENT    ? VMK_NOT_FOUND
                     : error == -L_ENOEXEC ? VMK_BAD_FORMAT
                     : error == -L_ENOMEM  ? VMK_NO_MEMORY
                                           : VMK_NO_PERMISSION;
    }
    if (status == VMK_OK) {
        bool irqs = spin_lock(&user->lock);

        if (!user->init)
            user->init = p;
        *pid = p->pid;
        spin_unlock(&user->lock, irqs);
        status = thread_start(t);
    }
    if (status == VMK_OK)
        return VMK_OK;
    if (t)
        thread_discard(t);
    process_discard(p);
failed:
    vmk_log(VMK_LOG_ERROR, "User: cannot start %s: %s", path, vmk_status_text(status));
    return status;
}

/* end: null, power requests are not for this caller. */
static vmk_status wait_process(uint32_t pid, enum user_end *end, int *status)
{
    struct user_state *user = user_state();
    struct tty *tty = NULL;
    struct process *p;
    bool irqs = spin_lock(&user->lock);

    for (;;) {
        p = process_find_locked(pid);
        if (!p || !p->kernel_child) {
            spin_unlock(&user->lock, irqs);
            return VMK_NOT_FOUND;
        }
        if (p->state == PROCESS_ZOMBIE)
            break;
        if (end && user->power_wanted != USER_END_EXIT) {
            *end = user->power_wanted;
            spin_unlock(&user->lock, irqs);
            return VMK_OK;
        }
        spin_lock_irqs_off(&user->kernel_wait.lock);
        spin_unlock_irqs_off(&user->lock);
        (void)!wait_queue_block_as(&user->kernel_wait, PLAT_NS_NEVER, WAIT_FIRM);
        spin_lock_irqs_off(&user->lock);
    }
    *status = p->exit_status;
    process_collect_locked(p, &tty);
    spin_unlock(&user->lock, irqs);
    if (tty)
        tty_put(tty);
    process_put(p);
    return VMK_OK;
}

vmk_status user_wait(uint32_t pid, int *status)
{
    return wait_process(pid, NULL, status);
}

vmk_status user_wait_end(uint32_t pid, enum user_end *end, int *status)
{
    struct user_state *user = user_state();
    vmk_status result;
    bool irqs = spin_lock(&user->lock);

    user->power_waiters++;
    spin_unlock(&user->lock, irqs);
    *end = USER_END_EXIT;
    result = wait_process(pid, end, status);
    irqs = spin_lock(&user->lock);
    user->power_waiters--;
    spin_unlock(&user->lock, irqs);
    return result;
}

bool user_power_request(enum user_end how)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);
    bool somebody = user->power_waiters > 0;

    if (somebody)
        user->power_wanted = how;
    spin_unlock(&user->lock, irqs);
    if (somebody)
        wait_queue_wake(&user->kernel_wait, WAIT_QUEUE_ALL);
    return somebody;
}
