// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sys_small.c -- calls that programs make and that mean little here: capabilities, personalities,
 * extended attributes, I/O priorities, barriers of other threads.
 *
 * Each answers what a Linux answers that has the thing and not more of it than this host: root
 * has all capabilities and others none, no file has extended attributes, membarrier offers no
 * command.
 *
 * Locking    none.
 */
#include "user/user_internal.h"

/* ---- capabilities ---- */

#define CAPABILITY_VERSION_1 0x19980330u
#define CAPABILITY_VERSION_2 0x20071026u
#define CAPABILITY_VERSION_3 0x20080522u
#define CAPABILITIES_ALL     0x1ffffffffffull  // 41 of them

struct l_cap_header {
    uint32_t version;
    int32_t pid;
};
struct l_cap_data {
    uint32_t effective, permitted, inheritable;
};

/* How many words of each set that version has; 0: unknown. */
static unsigned cap_words(uint32_t version)
{
    if (version == CAPABILITY_VERSION_1)
        return 1;
    return version == CAPABILITY_VERSION_2 || version == CAPABILITY_VERSION_3 ? 2 : 0;
}

static int64_t cap_header(struct thread *t, uint64_t at, struct l_cap_header *h,
                          unsigned *words)
{
    const uint32_t newest = CAPABILITY_VERSION_3;

    if (user_in(t, h, at, sizeof(*h)))
        return -L_EFAULT;
    *words = cap_words(h->version);
    if (*words)
        return h->pid < 0 ? -L_EINVAL : 0;
    return user_out(t, at, &newest, sizeof(newest)) ? -L_EFAULT : -L_EINVAL;
}

int64_t sys_capget(struct thread *t, const uint64_t *a)
{
    struct l_cap_data data[2] = {{0, 0, 0}};
    struct l_cap_header h;
    struct process *p;
    unsigned words;
    int64_t error = cap_header(t, a[0], &h, &words);

    if (error)
        return !a[1] && error == -L_EINVAL && !words ? 0 : error;
    p = process_find(h.pid ? (uint32_t)h.pid : t->process->pid);
    if (!p)
        return -L_ESRCH;
    for (unsigned i = 0; i < words; i++) {
        uint32_t all = (uint32_t)(CAPABILITIES_ALL >> 32 * i);

        data[i].effective = p->euid ? 0 : all;
        data[i].permitted = p->uid && p->euid && p->suid ? 0 : all;
    }
    process_put(p);
    return a[1] ? user_out(t, a[1], data, words * sizeof(data[0])) : 0;
}

/* Giving some up is noted and changes nothing; asking for more than the user has is refused. */
int64_t sys_capset(struct thread *t, const uint64_t *a)
{
    struct l_cap_data data[2];
    struct l_cap_header h;
    const struct process *p = t->process;
    unsigned words;
    int64_t error = cap_header(t, a[0], &h, &words);

    if (error)
        return error;
    if (h.pid && (uint32_t)h.pid != p->pid && (uint32_t)h.pid != t->tid)
        return -L_EPERM;
    if (user_in(t, data, a[1], words * sizeof(data[0])))
        return -L_EFAULT;
    for (unsigned i = 0; i < words; i++) {
        if ((data[i].effective | data[i].permitted) && p->uid && p->euid && p->suid)
            return -L_EPERM;
    }
    return 0;
}

/* ---- extended attributes: no file system has any ---- */

int64_t sys_xattr_path(struct thread *t, const uint64_t *a)
{
    struct vnode *vnode;
    int64_t error = path_vnode(t, L_AT_FDCWD, a[0], false, 0, &vnode);

    if (error)
        return error;
    vnode_put(vnode);
    return -L_EOPNOTSUPP;
}

int64_t sys_xattr_fd(struct thread *t, const uint64_t *a)
{
    struct file *file = user_fd_get(t, a[0]);

    file_put(file);
    return file ? -L_EOPNOTSUPP : -L_EBADF;
}

/* ---- what is granted ---- */

#define PERSONALITY_QUERY 0xffffffffu

int64_t sys_personality(struct thread *t, const uint64_t *a)
{
    (void)t;
    return (uint32_t)a[0] == PERSONALITY_QUERY || (a[0] & 0xff) == 0 ? 0 : -L_EINVAL;
}

/* The query says that there are no commands, so C libraries do it by signals. */
int64_t sys_membarrier(struct thread *t, const uint64_t *a)
{
    (void)t;
    return a[0] == 0 && a[1] == 0 ? 0 : -L_EINVAL;
}

/* Class "none": by the nice value. */
int64_t sys_ioprio_get(struct thread *t, const uint64_t *a)
{
    (void)t;
    return a[0] >= 1 && a[0] <= 3 ? 0 : -L_EINVAL;
}

int64_t sys_ioprio_set(struct thread *t, const uint64_t *a)
{
    (void)t;
    return a[0] >= 1 && a[0] <= 3 && (a[2] & 0xffff) >> 13 <= 3 ? 0 : -L_EINVAL;
}
