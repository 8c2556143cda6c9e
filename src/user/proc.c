// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/proc.c -- what /proc/<pid> says: the provider behind fs/proc.
 *
 * Each function finds the process anew and answers NOT_FOUND when it is gone, so a file that is
 * open keeps nothing alive. Formats are Linux's, field by field as proc(5) lists them; fields
 * that mean nothing here are 0.
 *
 * Locking    the user lock while a process is looked at; text is made without it.
 */
#include "fs/proc/procfs.h"
#include "lib/format.h"
#include "lib/string.h"
#include "user/user_internal.h"

#define TICK_NS (1000000000u / L_HZ)
#define ULL(x)  ((unsigned long long)(x))

/* What most files need, taken under the user lock. */
struct view {
    struct process *p;   // referenced
    struct user_mm *mm;  // referenced, or null
    char name[USER_NAME_SIZE];
    char state;
    uint32_t ppid, group, session, threads;
    uint64_t tty;
    int32_t foreground;
    uint64_t utime, stime;
    uint64_t pending, blocked, ignored, caught;
    uint64_t own_pending;  // of the thread, in the view of one
    struct aspace_use use;
};

/* What is the thread's own. User lock held. */
static void view_thread_locked(struct thread *t, struct view *v)
{
    memcpy(v->name, t->name, sizeof(v->name));
    v->state = thread_state_letter_locked(t);
    v->blocked = t->blocked;
    v->own_pending = t->pending.set;
    thread_times(t, &v->utime, &v->stime);
}

/* Of a process, or (`of_thread`) of a thread with that number. */
static vmk_status view_get_of(uint32_t pid, bool of_thread, struct view *v)
{
    struct user_state *user = user_state();
    struct tty *tty = NULL;
    bool irqs = spin_lock(&user->lock);
    struct thread *t = of_thread ? thread_find_locked(pid) : NULL;
    struct process *p = t ? t->process : of_thread ? NULL : process_find_locked(pid);

    if (!p) {
        spin_unlock(&user->lock, irqs);
        return VMK_NOT_FOUND;
    }
    memset(v, 0, sizeof(*v));
    v->p = p;
    process_ref(p);
    v->mm = p->mm;
    if (v->mm)
        mm_ref(v->mm);
    memcpy(v->name, p->name, sizeof(v->name));
    v->state = process_state_letter_locked(p);
    v->ppid = p->parent ? p->parent->pid : 0;
    v->group = p->group;
    v->session = p->session->id;
    v->threads = p->thread_count;
    v->foreground = -1;
    tty = p->session->tty;
    if (tty)
        tty_ref(tty);
    v->pending = p->pending.set;
    if (!list_is_empty(&p->threads))
        v->blocked = list_entry(p->threads.next, struct thread, process_link)->blocked;
    for (unsigned i = 0; i < L_NSIG && p->actions; i++) {
        uint64_t handler = p->actions->actions[i].handler;

        v->ignored |= handler == L_SIG_IGN ? 1ull << i : 0;
        v->caught |= handler > L_SIG_IGN ? 1ull << i : 0;
    }
    if (t)
        view_thread_locked(t, v);
    spin_unlock(&user->lock, irqs);
    if (tty) {
        v->tty = tty_device(tty);
        v->foreground = (int32_t)tty_foreground(tty);
        tty_put(tty);
    }
    if (!of_thread)
        process_times(p, &v->utime, &v->stime);
    if (v->mm)
        aspace_use_get(v->mm->as, &v->use);
    return VMK_OK;
}

static vmk_status view_get(uint32_t pid, struct view *v)
{
    return view_get_of(pid, false, v);
}

static void view_put(struct view *v)
{
    if (v->mm)
        mm_put(v->mm);
    process_put(v->p);
}

/* ---- files ---- */

static vmk_status print_stat(struct procfs_text *out, uint32_t pid, bool of_thread)
{
    struct view v;
    vmk_status status = view_get_of(pid, of_thread, &v);

    if (status != VMK_OK)
        return status;
    procfs_printf(out,
                  "%u (%s) %c %u %u %u %llu %d 0 %llu 0 0 0 %llu %llu %llu %llu %d %d %u 0 "
                  "%llu %llu %llu %llu ",
                  pid, v.name, v.state, v.ppid, v.group, v.session, ULL(v.tty), v.foreground,
                  ULL(v.p->minor_faults), ULL(v.utime / TICK_NS), ULL(v.stime / TICK_NS),
                  ULL(v.p->children_utime / TICK_NS), ULL(v.p->children_stime / TICK_NS),
                  20 + v.p->nice, v.p->nice, v.threads, ULL(v.p->started / TICK_NS),
                  ULL(v.use.virtual_pages << PAGE_SHIFT), ULL(v.use.resident_pages),
                  ULL(v.p->limits[L_RLIMIT_RSS].current));
    procfs_printf(out,
                  "%llu %llu %llu 0 0 %llu %llu %llu %llu 0 0 0 %d 0 0 0 0 0 0 0 0 0 "
                  "%llu %llu %llu %llu %d\n",
                  ULL(v.mm ? v.mm->code_start : 0), ULL(v.mm ? v.mm->code_end : 0),
                  ULL(v.mm ? v.mm->stack_start : 0), ULL(v.pending & 0xffffffff),
                  ULL(v.blocked & 0xffffffff), ULL(v.ignored & 0xffffffff),
                  ULL(v.caught & 0xffffffff), v.p->exit_signal, ULL(v.mm ? v.mm->arg_start : 0),
                  ULL(v.mm ? v.mm->arg_end : 0), ULL(v.mm ? v.mm->env_start : 0),
                  ULL(v.mm ? v.mm->env_end : 0), v.p->exit_status);
    view_put(&v);
    return VMK_OK;
}

static vmk_status show_stat(struct procfs_text *out, uint32_t pid)
{
    return print_stat(out, pid, false);
}

static vmk_status show_thread_stat(struct procfs_text *out, uint32_t tid)
{
    return print_stat(out, tid, true);
}

static const char *state_word(char state)
{
    switch (state) {
    case 'R': return "running";
    case 'S': return "sleeping";
    case 'T': return "stopped";
    case 'Z': return "zombie";
    default: return "?";
    }
}

static vmk_status print_status(struct procfs_text *out, uint32_t pid, bool of_thread)
{
    struct view v;
    vmk_status status = view_get_of(pid, of_thread, &v);
    uint64_t kb = PAGE_SIZE >> 10;

    if (status != VMK_OK)
        return status;
    procfs_printf(out,
                  "Name:\t%s\nState:\t%c (%s)\nTgid:\t%u\nPid:\t%u\nPPid:\t%u\n"
                  "TracerPid:\t0\nUid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\n",
                  v.name, v.state, state_word(v.state), v.p->pid, pid, v.ppid, v.p->uid,
                  v.p->euid, v.p->suid, v.p->euid, v.p->gid, v.p->egid, v.p->sgid, v.p->egid);
    procfs_printf(out, "Groups:\t");
    for (uint32_t i = 0; i < v.p->cred.group_count; i++)
        procfs_printf(out, "%u ", v.p->cred.groups[i]);
    procfs_printf(out, "\n");
    if (v.mm)
        procfs_printf(
            out,
            "VmPeak:\t%8llu kB\nVmSize:\t%8llu kB\nVmLck:\t%8llu kB\nVmHWM:\t%8llu kB\n"
            "VmRSS:\t%8llu kB\nVmData:\t%8llu kB\nVmStk:\t%8llu kB\n"
            "VmExe:\t%8llu kB\nVmPTE:\t%8llu kB\nVmSwap:\t%8llu kB\n",
            ULL(v.use.virtual_pages * kb), ULL(v.use.virtual_pages * kb),
            ULL(v.use.locked_pages * kb), ULL(v.use.peak_pages * kb),
            ULL(v.use.resident_pages * kb), ULL(v.use.heap_pages * kb),
            ULL(v.use.stack_pages * kb), ULL(v.use.exec_pages * kb),
            ULL(v.use.table_pages * kb), ULL(v.use.swapped_pages * kb));
    procfs_printf(out,
                  "Threads:\t%u\nSigQ:\t%u/%u\nSigPnd:\t%016llx\nShdPnd:\t%016llx\n"
                  "SigBlk:\t%016llx\nSigIgn:\t%016llx\nSigCgt:\t%016llx\n",
                  v.threads, v.p->queued, USER_SIGNALS_QUEUED, ULL(v.own_pending),
                  ULL(v.pending), ULL(v.blocked), ULL(v.ignored), ULL(v.caught));
    view_put(&v);
    return VMK_OK;
}

static vmk_status show_status(struct procfs_text *out, uint32_t pid)
{
    return print_status(out, pid, false);
}

static vmk_status show_thread_status(struct procfs_text *out, uint32_t tid)
{
    return print_status(out, tid, true);
}

static vmk_status show_statm(struct procfs_text *out, uint32_t pid)
{
    struct view v;
    vmk_status status = view_get(pid, &v);

    if (status != VMK_OK)
        return status;
    procfs_printf(out, "%llu %llu 0 %llu 0 %llu 0\n", ULL(v.use.virtual_pages),
                  ULL(v.use.resident_pages), ULL(v.use.exec_pages),
                  ULL(v.use.heap_pages + v.use.stack_pages));
    view_put(&v);
    return VMK_OK;
}

static vmk_status print_comm(struct procfs_text *out, uint32_t pid, bool of_thread)
{
    struct view v;
    vmk_status status = view_get_of(pid, of_thread, &v);

    if (status != VMK_OK)
        return status;
    procfs_printf(out, "%s\n", v.name);
    view_put(&v);
    return VMK_OK;
}

static vmk_status show_comm(struct procfs_text *out, uint32_t pid)
{
    return print_comm(out, pid, false);
}

static vmk_status show_thread_comm(struct procfs_text *out, uint32_t tid)
{
    return print_comm(out, tid, true);
}

enum part {
    PART_ARGUMENTS,
    PART_ENVIRONMENT,
    PART_AUXV,
};

/* A range of the process's memory, at most 64 KB of it. */
static vmk_status show_memory(struct procfs_text *out, uint32_t pid, enum part part_of)
{
    struct view v;
    uint8_t bytes[256];
    uint64_t at, end;
    vmk_status status = view_get(pid, &v);

    if (status != VMK_OK)
        return status;
    if (v.mm) {
        const uint64_t ranges[][2] = {[PART_ARGUMENTS] = {v.mm->arg_start, v.mm->arg_end},
                                      [PART_ENVIRONMENT] = {v.mm->env_start, v.mm->env_end},
                                      [PART_AUXV] = {v.mm->auxv_start, v.mm->auxv_end}};

        at = ranges[part_of][0];
        end = MIN(ranges[part_of][1], at + 65536);
        while (at < end) {
            size_t part = (size_t)MIN(end - at, sizeof(bytes));
            size_t done = aspace_copy_in_some(v.mm->as, bytes, at, part);

            procfs_write(out, bytes, done);
            if (done < part)
                break;
            at += part;
        }
    }
    view_put(&v);
    return VMK_OK;
}

static vmk_status show_cmdline(struct procfs_text *out, uint32_t pid)
{
    return show_memory(out, pid, PART_ARGUMENTS);
}

static vmk_status show_environ(struct procfs_text *out, uint32_t pid)
{
    return show_memory(out, pid, PART_ENVIRONMENT);
}

/* As the program was given it. */
static vmk_status show_auxv(struct procfs_text *out, uint32_t pid)
{
    return show_memory(out, pid, PART_AUXV);
}

static vmk_status show_mounts(struct procfs_text *out, uint32_t pid)
{
    (void)pid;
    return procfs_mounts_show(out, NULL);
}

static const char *region_name(const struct aspace_region_info *info)
{
    if (info->kind == ASPACE_REGION_HEAP)
        return "[heap]";
    if (info->kind == ASPACE_REGION_STACK)
        return "[stack]";
    return info->name;
}

static void print_regions(struct procfs_text *out, struct aspace *as, bool smaps)
{
    struct aspace_region_info info;
    uint64_t at = 0;

    while (aspace_region_next(as, at, &info)) {
        procfs_printf(out, "%08llx-%08llx %c%c%c%c %08llx %02llx:%02llx %llu", ULL(info.start),
                      ULL(info.end), info.protection & ASPACE_READ ? 'r' : '-',
                      info.protection & ASPACE_WRITE ? 'w' : '-',
                      info.protection & ASPACE_EXEC ? 'x' : '-', info.shared ? 's' : 'p',
                      ULL(info.offset), ULL(info.device >> 8), ULL(info.device & 0xff),
                      ULL(info.inode));
        procfs_printf(out, "%s%s\n", region_name(&info)[0] ? "                          " : "",
                      region_name(&info));
        if (smaps)
            procfs_printf(out, "Size:           %8llu kB\n",
                          ULL((info.end - info.start) >> 10));
        at = info.end;
    }
}

static vmk_status show_regions(struct procfs_text *out, uint32_t pid, bool smaps)
{
    struct view v;
    vmk_status status = view_get(pid, &v);

    if (status != VMK_OK)
        return status;
    if (v.mm)
        print_regions(out, v.mm->as, smaps);
    if (v.mm && !smaps)
        procfs_printf(out, "%llx-%llx --xp 00000000 00:00 0                  [vsyscall]\n",
                      VSYSCALL_PAGE, VSYSCALL_PAGE + PAGE_SIZE);
    view_put(&v);
    return VMK_OK;
}

static vmk_status show_maps(struct procfs_text *out, uint32_t pid)
{
    return show_regions(out, pid, false);
}

static vmk_status show_smaps(struct procfs_text *out, uint32_t pid)
{
    return show_regions(out, pid, true);
}

static void print_limit(struct procfs_text *out, uint64_t value)
{
    if (value == L_RLIM_INFINITY)
        procfs_printf(out, "%-20s ", "unlimited");
    else
        procfs_printf(out, "%-20llu ", ULL(value));
}

static vmk_status show_limits(struct procfs_text *out, uint32_t pid)
{
    static const struct {
        const char *name, *unit;
    } rows[L_RLIMITS] = {
        {"Max cpu time", "seconds"},     {"Max file size", "bytes"},
        {"Max data size", "bytes"},      {"Max stack size", "bytes"},
        {"Max core file size", "bytes"}, {"Max resident set", "bytes"},
        {"Max processes", "processes"},  {"Max open files", "files"},
        {"Max locked memory", "bytes"},  {"Max address space", "bytes"},
        {"Max file locks", "locks"},     {"Max pending signals", "signals"},
        {"Max msgqueue size", "bytes"},  {"Max nice priority", ""},
        {"Max realtime priority", ""},   {"Max realtime timeout", "us"},
    };
    struct view v;
    vmk_status status = view_get(pid, &v);

    if (status != VMK_OK)
        return status;
    procfs_printf(out, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit",
                  "Units");
    for (unsigned i = 0; i < L_RLIMITS; i++) {
        procfs_printf(out, "%-25s ", rows[i].name);
        print_limit(out, v.p->limits[i].current);
        print_limit(out, v.p->limits[i].maximum);
        procfs_printf(out, "%-10s\n", rows[i].unit);
    }
    view_put(&v);
    return VMK_OK;
}

/* ---- links ---- */

static vmk_status exe_file(uint32_t pid, struct file **out)
{
    struct view v;
    vmk_status status = view_get(pid, &v);

    if (status != VMK_OK)
        return status;
    if (v.mm && v.mm->exe) {
        *out = v.mm->exe;
        file_ref(*out);
    } else {
        status = VMK_NOT_FOUND;
    }
    view_put(&v);
    return status;
}

static vmk_status exe_path(uint32_t pid, char *out, size_t size)
{
    struct file *file;
    vmk_status status = exe_file(pid, &file);

    if (status == VMK_OK) {
        status = file_path(vfs_where_kernel().root, file, out, size);
        file_put(file);
    }
    return status;
}

static vmk_status exe_target(uint32_t pid, struct vnode **out)
{
    struct file *file;
    vmk_status status = exe_file(pid, &file);

    if (status == VMK_OK) {
        *out = file->vnode;
        if (*out)
            vnode_ref(*out);
        else
            status = VMK_NOT_FOUND;
        file_put(file);
    }
    return status;
}

static vmk_status directory(uint32_t pid, bool root, struct vnode **out)
{
    struct user_state *user = user_state();
    struct user_fs *fs = NULL;
    bool irqs = spin_lock(&user->lock);
    struct process *p = process_find_locked(pid);

    if (p)
        fs = p->fs;
    if (fs)
        __atomic_fetch_add(&fs->refs, 1, __ATOMIC_RELAXED);
    spin_unlock(&user->lock, irqs);
    if (!fs)
        return VMK_NOT_FOUND;
    irqs = spin_lock(&fs->lock);
    *out = root ? fs->root : fs->cwd;
    vnode_ref(*out);
    spin_unlock(&fs->lock, irqs);
    fs_put(fs);
    return VMK_OK;
}

static vmk_status cwd_target(uint32_t pid, struct vnode **out)
{
    return directory(pid, false, out);
}

static vmk_status root_target(uint32_t pid, struct vnode **out)
{
    return directory(pid, true, out);
}

static vmk_status directory_path(uint32_t pid, bool root, char *out, size_t size)
{
    struct vnode *dir;
    vmk_status status = directory(pid, root, &dir);

    if (status == VMK_OK) {
        status = vfs_path_of(vfs_where_kernel().root, dir, out, size);
        vnode_put(dir);
    }
    return status;
}

static vmk_status cwd_path(uint32_t pid, char *out, size_t size)
{
    return directory_path(pid, false, out, size);
}

static vmk_status root_path(uint32_t pid, char *out, size_t size)
{
    return directory_path(pid, true, out, size);
}

/* ---- processes and descriptors ---- */

static bool next(uint32_t after, uint32_t *pid)
{
    struct user_state *user = user_state();
    bool found = false;
    bool irqs = spin_lock(&user->lock);

    list_for_each (node, &user->processes) {
        const struct process *p = list_entry(node, struct process, all_link);

        if (p->pid > after && (!found || p->pid < *pid)) {
            *pid = p->pid;
            found = true;
        }
    }
    spin_unlock(&user->lock, irqs);
    return found;
}

static bool exists(uint32_t pid)
{
    struct process *p = process_find(pid);

    if (p)
        process_put(p);
    return p;
}

static uint32_t self(void)
{
    struct thread *t = thread_current();

    return t ? t->process->pid : 0;
}

static vmk_status owner(uint32_t pid, uint32_t *uid, uint32_t *gid)
{
    struct process *p = process_find(pid);

    if (!p)
        return VMK_NOT_FOUND;
    *uid = p->dumpable ? p->euid : 0;
    *gid = p->dumpable ? p->egid : 0;
    process_put(p);
    return VMK_OK;
}

static struct user_fds *fds_of(uint32_t pid)
{
    struct user_state *user = user_state();
    struct user_fds *fds = NULL;
    bool irqs = spin_lock(&user->lock);
    struct process *p = process_find_locked(pid);

    if (p)
        fds = p->fds;
    if (fds)
        __atomic_fetch_add(&fds->refs, 1, __ATOMIC_RELAXED);
    spin_unlock(&user->lock, irqs);
    return fds;
}

static bool fd_next(uint32_t pid, uint32_t from, uint32_t *fd)
{
    struct user_fds *fds = fds_of(pid);
    bool found = fds && fds_next(fds, from, fd, NULL);

    if (fds)
        fds_put(fds);
    return found;
}

static vmk_status fd_file(uint32_t pid, uint32_t fd, struct file **out)
{
    struct user_fds *fds = fds_of(pid);
    struct file *file = NULL;
    uint32_t found;

    if (fds) {
        if (fds_next(fds, fd, &found, &file) && found != fd) {
            file_put(file);
            file = NULL;
        }
        fds_put(fds);
    }
    *out = file;
    return file ? VMK_OK : VMK_NOT_FOUND;
}

static plat_ns user_time(unsigned cpu)
{
    uint64_t khz = plat_tsc_khz();
    uint64_t ticks = __atomic_load_n(&user_state()->cpu_user_tsc[cpu], __ATOMIC_RELAXED);

    return khz ? ticks / khz * 1000000 + ticks % khz * 1000000 / khz : 0;
}

void user_proc_init(void)
{
    static const struct procfs_process_file files[] = {
        {"stat", 0444, show_stat, NULL},       {"status", 0444, show_status, NULL},
        {"statm", 0444, show_statm, NULL},     {"comm", 0644, show_comm, proc_comm_store},
        {"cmdline", 0444, show_cmdline, NULL}, {"environ", 0400, show_environ, NULL},
        {"maps", 0444, show_maps, NULL},       {"smaps", 0444, show_smaps, NULL},
        {"limits", 0444, show_limits, NULL},   {"auxv", 0400, show_auxv, NULL},
        {"mounts", 0444, show_mounts, NULL},
    };
    static const struct procfs_process_file thread_files[] = {
        {"stat", 0444, show_thread_stat, NULL},
        {"status", 0444, show_thread_status, NULL},
        {"comm", 0644, show_thread_comm, proc_comm_store},
    };
    static const struct procfs_process_link links[] = {
        {"exe", exe_path, exe_target},
        {"cwd", cwd_path, cwd_target},
        {"root", root_path, root_target},
    };
    static const struct procfs_processes processes = {
        .next = next,
        .exists = exists,
        .self = self,
        .user_time = user_time,
        .owner = owner,
        .files = files,
        .file_count = ARRAY_COUNT(files),
        .links = links,
        .link_count = ARRAY_COUNT(links),
        .fd_next = fd_next,
        .fd_file = fd_file,
        .thread_next = proc_thread_next,
        .thread_process = proc_thread_process,
        .thread_files = thread_files,
        .thread_file_count = ARRAY_COUNT(thread_files),
    };

    procfs_processes_set(&processes);
}
