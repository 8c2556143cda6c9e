// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/exec.c -- execve: a new program in place of the old.
 *
 * Everything that can fail happens in a new address space while the old one still runs:
 * opening, reading headers, mapping segments (exec_image.c), copying strings (exec_stack.c).
 * Only then are the other threads ended and the spaces exchanged, which cannot fail. A script
 * (#!) makes its interpreter the program and puts words in front of the arguments, at most a
 * few levels deep.
 *
 * Locking    none; the new space is nobody's until mm_switch().
 * Start at   exec().
 */
#include "lib/format.h"
#include "lib/string.h"
#include "user/exec_internal.h"

#define SCRIPT_LINE 256u

/* ---- scripts ---- */

static char *copy_text(const char *text, size_t length)
{
    char *copy = heap_alloc(length + 1, MEM_OWNER_USER);

    if (copy)
        memcpy(copy, text, length);
    return copy;
}

static vmk_status add_extra(struct loader *l, const char *text, size_t length)
{
    char *copy;

    if (l->extra_count == ARRAY_COUNT(l->extra))
        return VMK_TOO_MANY_LINKS;
    copy = copy_text(text, length);
    if (!copy)
        return VMK_NO_MEMORY;
    l->extra[l->extra_count++] = copy;
    return VMK_OK;
}

/*
 * The interpreter's line, if the file starts with one: *interpreter is the file to run instead.
 */
static vmk_status script_line(struct loader *l, const char *path, struct file *file,
                              char *interpreter, bool *is_script)
{
    char line[SCRIPT_LINE];
    size_t done = 0, at = 2, end, word;
    vmk_status status = file_pread(file, line, sizeof(line) - 1, 0, &done);

    *is_script = false;
    if (status != VMK_OK || done < 2 || line[0] != '#' || line[1] != '!')
        return status;
    line[done] = 0;
    for (end = 2; line[end] && line[end] != '\n'; end++)
        ;
    while (end > at && (line[end - 1] == ' ' || line[end - 1] == '\t'))
        end--;
    line[end] = 0;
    while (line[at] == ' ' || line[at] == '\t')
        at++;
    for (word = at; line[word] && line[word] != ' ' && line[word] != '\t'; word++)
        ;
    if (word == at)
        return VMK_BAD_FORMAT;
    *is_script = true;
    /* Innermost last: the script's name, its option, the interpreter's name. */
    if (l->script) {  // the interpreter is a script itself: its name is there already
        heap_free(l->extra[--l->extra_count]);
    }
    status = add_extra(l, path, strlen(path));
    if (status == VMK_OK && word < end) {
        size_t option = word;

        while (line[option] == ' ' || line[option] == '\t')
            option++;
        status = add_extra(l, line + option, end - option);
    }
    if (status == VMK_OK)
        status = add_extra(l, line + at, word - at);
    memcpy(interpreter, line + at, word - at);
    interpreter[word - at] = 0;
    l->script = true;
    return status;
}

/* ---- the exchange ---- */

/*
 * /proc/self/exe and /proc/self/fd/N lead to a file without a name; the running program's own
 * file, or the one that execveat named, has one.
 */
static void keep_name(struct thread *t, const struct file *named, struct file **file)
{
    struct user_mm *mm = t->process->mm;

    if ((*file)->name)
        return;
    if (named && named->vnode == (*file)->vnode && named->name)
        file_name_set(*file, named->dir, named->name, strlen(named->name));
    if ((*file)->name || !mm || !mm->exe || mm->exe->vnode != (*file)->vnode)
        return;
    file_put(*file);
    *file = mm->exe;
    file_ref(*file);
}

static vmk_status open_program(struct thread *t, const char *path, const struct file *named,
                               struct file **out)
{
    struct user_path where;
    struct vnode *vnode;
    struct vfs_attr attr;
    vmk_status status;

    where_get(t, &where);
    status = vfs_walk(&where.where, path, 0, &vnode);
    if (status == VMK_OK) {
        status = vnode_getattr(vnode, &attr);
        if (status == VMK_OK && (attr.mode & VFS_TYPE_MASK) != VFS_TYPE_REGULAR)
            status = VMK_NO_PERMISSION;
        if (status == VMK_OK && (vnode->mount->flags & VFS_MOUNT_NOEXEC))
            status = VMK_NO_PERMISSION;
        if (status == VMK_OK)
            status = vnode_access(vnode, VFS_MAY_EXEC, where.where.cred);
        /*
         * By name, so that /proc/<pid>/exe can say it; who may execute need not be able to
         * read.
         */
        where.where.cred = &vfs_cred_root;
        if (status == VMK_OK)
            status = vfs_open(&where.where, path, VFS_O_RDONLY, 0, out);
        if (status == VMK_OK)
            keep_name(t, named, out);
        vnode_put(vnode);
    }
    path_put(&where);
    return status;
}

static void name_set(struct thread *t, const char *path)
{
    char text[USER_NAME_SIZE] = {0};
    const char *name = path;

    for (const char *c = path; *c; c++)
        name = *c == '/' && c[1] ? c + 1 : name;

    memcpy(text, name, MIN(strlen(name), sizeof(text) - 1));
    thread_name_set(t, text);
}

/* Handlers of the old program mean nothing in the new one. */
static bool actions_reset(struct process *p)
{
    struct user_state *user = user_state();
    struct user_actions *fresh = heap_alloc(sizeof(*fresh), MEM_OWNER_USER), *old;

    if (!fresh)
        return false;

    bool irqs = spin_lock(&user->lock);

    for (unsigned i = 0; i < L_NSIG; i++) {
        if (p->actions->actions[i].handler == L_SIG_IGN)
            fresh->actions[i].handler = L_SIG_IGN;
    }
    fresh->refs = 1;
    old = p->actions;
    p->actions = fresh;
    spin_unlock(&user->lock, irqs);
    if (__atomic_fetch_sub(&old->refs, 1, __ATOMIC_ACQ_REL) == 1)
        heap_free(old);
    return true;
}

/* Set-id bits of the file, unless the mount or the process forbids. */
static void credentials_set(struct process *p, struct file *file)
{
    struct vfs_attr attr;

    if (file_getattr(file, &attr) == VMK_OK && !p->no_new_privileges && file->vnode &&
        !(file->vnode->mount->flags & VFS_MOUNT_NOSUID)) {
        if (attr.mode & VFS_MODE_SETUID)
            p->euid = attr.uid;
        if ((attr.mode & VFS_MODE_SETGID) && (attr.mode & 0010))
            p->egid = attr.gid;
    }
    p->suid = p->euid;
    p->sgid = p->egid;
    p->cred.uid = p->euid;
    p->cred.gid = p->egid;
    p->dumpable = p->uid == p->euid && p->gid == p->egid;
}

static bool fds_unshare(struct process *p)
{
    struct user_fds *copy, *old = p->fds;

    if (__atomic_load_n(&old->refs, __ATOMIC_ACQUIRE) == 1)
        return true;
    copy = fds_copy(old);
    if (!copy)
        return false;
    p->fds = copy;
    fds_put(old);
    return true;
}

static void registers_set(struct thread *t, const struct loader *l)
{
    bool irqs = plat_irq_save();

    thread_fpu_reset(t);
    if (thread_current() == t)
        plat_fpu_load(t->fpu, t->fpu_xcr0);
    plat_irq_restore(irqs);
    t->regs = (struct plat_user_regs){.rip = l->entry, .rflags = 0x202};
    t->regs.gpr[4] = l->sp;
    t->altstack = (struct l_stack){.flags = L_SS_DISABLE};
    t->clear_child_tid = 0;
    t->robust_list = 0;
    posix_timers_delete(t->process);
    t->set_child_tid = 0;
    t->syscall = -1;
}

/* From here on there is no way back. */
static int64_t exchange(struct loader *l, const char *path, struct file *file)
{
    struct thread *t = l->t;
    struct process *p = l->p;
    bool running = thread_current() == t;

    if (running) {
        if (!process_single_thread(t))
            return -L_EAGAIN;  // the process ends
        futex_thread_exit(t);
    }
    if (!actions_reset(p) || !fds_unshare(p))
        return -L_ENOMEM;
    l->mm->exe = file;
    file_ref(file);
    mm_switch(p, l->mm);
    l->mm = NULL;
    process_vfork_release(t);
    fds_close_on_exec(p->fds);
    name_set(t, path);
    memset(p->reported_missing, 0, sizeof(p->reported_missing));
    p->execed = true;
    registers_set(t, l);
    return 0;
}

static int64_t exec_errno(vmk_status status)
{
    if (status == VMK_BAD_FORMAT)
        return -L_ENOEXEC;
    return status == VMK_TOO_BIG ? -L_E2BIG : user_errno(status);
}

static int64_t exec(struct thread *t, const char *first_path, const struct file *named,
                    const struct words *argv, const struct words *envp)
{
    struct loader l = {
        .t = t, .p = t->process, .old = t->process->mm ? t->process->mm->as : NULL};
    char interpreter[SCRIPT_LINE];
    const char *path = first_path;
    struct file *file = NULL;
    uint32_t old_euid = l.p->euid, old_egid = l.p->egid;
    bool is_script = true;
    vmk_status status;
    int64_t result;

    for (unsigned level = 0; is_script; level++) {
        char next[SCRIPT_LINE];

        file_put(file);
        file = NULL;
        status = level > EXEC_SCRIPT_LEVELS ? VMK_TOO_MANY_LINKS
                                            : open_program(t, path, named, &file);
        if (status == VMK_OK)
            status = script_line(&l, path, file, next, &is_script);
        if (status != VMK_OK)
            goto out;
        if (is_script) {
            memcpy(interpreter, next, sizeof(next));
            path = interpreter;
        }
    }
    credentials_set(l.p, file);
    status = mm_create(l.p, &l.mm);
    if (status != VMK_OK)
        goto out;
    l.as = l.mm->as;
    status = exec_image_load(&l, path, file);
    if (status == VMK_OK)
        status = exec_stack_make(&l, first_path, argv, envp);
out:
    result = exec_errno(status);
    if (result == 0)
        result = exchange(&l, first_path, file);
    if (result) {
        l.p->euid = l.p->cred.uid = old_euid;
        l.p->egid = l.p->cred.gid = old_egid;
    }
    if (l.mm)
        mm_put(l.mm);
    file_put(file);
    for (unsigned i = 0; i < l.extra_count; i++)
        heap_free(l.extra[i]);
    return result;
}

int64_t process_exec_kernel(struct thread *t, const char *path, const char *const *argv,
                            const char *const *envp)
{
    const struct words a = {.kernel = argv}, e = {.kernel = envp};

    return exec(t, path, NULL, &a, &e);
}

int64_t sys_execve(struct thread *t, const uint64_t *a)
{
    const struct words argv = {.user = a[1]}, envp = {.user = a[2]};
    struct user_path path;
    int64_t result = path_get(t, L_AT_FDCWD, a[0], &path);

    if (result)
        return result;
    result = exec(t, path.text, NULL, &argv, &envp);
    path_put(&path);
    return result;
}

/*
 * The program that `fd` is, or that `text` names from there; as on Linux by a path through
 * /dev/fd.
 */
static int64_t exec_from(struct thread *t, int fd, const char *text, const struct words *argv,
                         const struct words *envp)
{
    struct file *file = user_fd_get(t, (uint64_t)(int64_t)fd);
    size_t size = strlen(text) + 32;
    char *path = heap_alloc(size, MEM_OWNER_USER);
    int64_t result = !file ? -L_EBADF : !path ? -L_ENOMEM : 0;

    if (!result) {
        (void)vmk_snprintf(path, size, "/dev/fd/%d%s%s", fd, *text ? "/" : "", text);
        result = exec(t, path, *text ? NULL : file, argv, envp);
    }
    heap_free(path);
    file_put(file);
    return result;
}

int64_t sys_execveat(struct thread *t, const uint64_t *a)
{
    const struct words argv = {.user = a[2]}, envp = {.user = a[3]};
    int dir = (int)a[0];
    bool empty_ok = a[4] & L_AT_EMPTY_PATH;
    struct user_path path;
    int64_t result;

    if (a[4] & ~(uint64_t)(L_AT_EMPTY_PATH | L_AT_SYMLINK_NOFOLLOW))
        return -L_EINVAL;
    if (a[4] & L_AT_SYMLINK_NOFOLLOW) {
        struct vnode *vnode;

        result = path_vnode(t, dir, a[1], empty_ok, VFS_WALK_NOFOLLOW, &vnode);
        if (result)
            return result;
        result = vnode->type == VFS_TYPE_LINK ? -L_ELOOP : 0;
        vnode_put(vnode);
        if (result)
            return result;
    }
    result = path_get_flags(t, dir, a[1], empty_ok, &path);
    if (result)
        return result;
    if (path.text[0] == '/' || dir == L_AT_FDCWD)
        result = path.text[0] ? exec(t, path.text, NULL, &argv, &envp) : -L_EACCES;
    else
        result = exec_from(t, dir, path.text, &argv, &envp);
    path_put(&path);
    return result;
}
