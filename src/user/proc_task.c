// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/proc_task.c -- the threads of a process, as /proc/<pid>/task has them.
 *
 * fs/proc asks which there are and whose; what their files say is made in proc.c, by the same
 * functions as for processes.
 *
 * Locking    the user lock.
 */
#include "fs/proc/procfs.h"
#include "lib/string.h"
#include "user/user_internal.h"

bool proc_thread_next(uint32_t pid, uint32_t after, uint32_t *tid)
{
    struct user_state *user = user_state();
    bool found = false;
    bool irqs = spin_lock(&user->lock);
    const struct process *p = process_find_locked(pid);

    if (p) {
        list_for_each (node, &p->threads) {
            const struct thread *t = list_entry(node, struct thread, process_link);

            if (t->tid > after && (!found || t->tid < *tid)) {
                *tid = t->tid;
                found = true;
            }
        }
    }
    spin_unlock(&user->lock, irqs);
    return found;
}

uint32_t proc_thread_process(uint32_t tid)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);
    const struct thread *t = thread_find_locked(tid);
    uint32_t pid = t ? t->process->pid : 0;

    spin_unlock(&user->lock, irqs);
    return pid;
}

vmk_status proc_comm_store(const char *text, size_t length, uint32_t tid)
{
    const struct thread *self = thread_current();
    struct user_state *user = user_state();
    char name[USER_NAME_SIZE] = {0};
    vmk_status status = VMK_NOT_FOUND;
    struct thread *t;
    bool irqs;

    if (length && text[length - 1] == '\n')
        length--;
    memcpy(name, text, MIN(length, sizeof(name) - 1));
    irqs = spin_lock(&user->lock);
    t = thread_find_locked(tid);
    if (t) {
        status = self && self->process == t->process ? VMK_OK : VMK_BAD_PARAM;
        if (status == VMK_OK)
            thread_name_set_locked(t, name);
    }
    spin_unlock(&user->lock, irqs);
    return status;
}
