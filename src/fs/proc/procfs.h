// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/proc/procfs.h -- /proc: files whose text is made when they are opened, and that may be written.
 *
 * A subsystem registers a path below /proc with a function that prints it and, if it may be
 * written, one that takes a text. Directories on the way appear by themselves. The text is made
 * at the first read after open (and again after a seek to 0), so one reader sees one moment.
 */
#pragma once

#include "fs/vfs.h"

/* The text under construction. Grows by itself; when memory ends the text is cut. */
struct procfs_text {
    char *text;
    size_t length, room;
    bool failed;
};
void procfs_printf(struct procfs_text *out, const char *format, ...) printf_like(2, 3);
void procfs_write(struct procfs_text *out, const void *bytes, size_t size);

/* A world context; may block. */
typedef vmk_status (*procfs_show)(struct procfs_text *out, void *argument);
/*
 * One write(2): `text` ends with NUL (and maybe a newline before it). BAD_PARAM: not
 * understood; say in the log what would be.
 */
typedef vmk_status (*procfs_store)(const char *text, size_t length, void *argument);
/*
 * What was written as a string in `line`, without blanks, line ends and NULs at its end. False:
 * it does not fit.
 */
must_check bool procfs_line(const char *text, size_t length, char *line, size_t size);

/*
 * `path` without "/proc/": "vmware/sched/policy". Mode 0444, or 0644 with store (which may be
 * null).
 * EXISTS, BAD_PARAM (a part is a file), NO_MEMORY. After procfs_unregister() returns neither
 * function runs or will run; directories that became empty go too.
 */
must_check vmk_status procfs_register(const char *path, procfs_show show, procfs_store store,
                                      void *argument);
void procfs_unregister(const char *path);

/* ---- /proc/<pid>: user/ provides the processes ---- */

struct procfs_process_file {
    const char *name;  // "stat"; in the directory of a thread, `pid` is the thread's
    uint32_t mode;     // permission bits
    vmk_status (*show)(struct procfs_text *out, uint32_t pid);
    vmk_status (*store)(const char *text, size_t length, uint32_t pid);  // may be null
};
struct procfs_process_link {
    const char *name;  // "exe", "cwd", "root"
    /* The text readlink shows; NUL-terminated. */
    vmk_status (*path)(uint32_t pid, char *out, size_t size);
    /* Where following it leads, referenced. May be null: then the text is walked. */
    vmk_status (*target)(uint32_t pid, struct vnode **out);
};
struct procfs_processes {
    /* The lowest pid above `after`; false: none. */
    bool (*next)(uint32_t after, uint32_t *pid);
    bool (*exists)(uint32_t pid);
    uint32_t (*self)(void);  // of the running process, 0: a kernel world. For /proc/self
    plat_ns (*user_time)(unsigned cpu);  // how long that CPU was in ring 3. For /proc/stat
    vmk_status (*owner)(uint32_t pid, uint32_t *uid, uint32_t *gid);
    const struct procfs_process_file *files;
    size_t file_count;
    const struct procfs_process_link *links;
    size_t link_count;
    /* /proc/<pid>/fd: the lowest open fd >= from; the file behind one, referenced. */
    bool (*fd_next)(uint32_t pid, uint32_t from, uint32_t *fd);
    vmk_status (*fd_file)(uint32_t pid, uint32_t fd, struct file **out);
    /*
     * /proc/<pid>/task: the lowest thread of the process above `after`; the process of a
     * thread, 0: there is no such thread. Null: there is no such directory.
     */
    bool (*thread_next)(uint32_t pid, uint32_t after, uint32_t *tid);
    uint32_t (*thread_process)(uint32_t tid);
    const struct procfs_process_file *thread_files;
    size_t thread_file_count;
};
/* 1, 5, 15 minutes in 1/2048, for sysinfo(2). A world. */
void procfs_loads(uint32_t loads[3]);
/* What /proc/mounts says. */
vmk_status procfs_mounts_show(struct procfs_text *out, void *argument);
/* Once; `processes` stays. */
void procfs_processes_set(const struct procfs_processes *processes);
