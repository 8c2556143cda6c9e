// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/user_internal.h -- processes, threads and what the files of this folder share.
 */
#pragma once

#include "core/heap.h"
#include "core/host.h"
#include "core/spinlock.h"
#include "core/timer.h"
#include "fs/tty.h"
#include "fs/vfs.h"
#include "mem/aspace.h"
#include "plat/plat_user.h"
#include "plat/plat_virt.h"
#include "user/linux.h"
#include "user/user.h"
#include "world/mutex.h"
#include "world/world.h"

#define USER_PID_HASH       256u
#define USER_PID_MAX        0x400000u
#define USER_FDS_MAX        65536u
#define USER_THREADS_MAX    4096u  // of all processes
#define USER_SIGNALS_QUEUED 1024u  // per process
#define USER_NAME_SIZE      16u

/* ---- what processes share ---- */

/* Memory and the program in it: one per address space. */
struct user_mm {
    uint32_t refs;  // (a)
    struct aspace *as;
    struct mutex map_lock;  // serialises calls marked [map] in mem/aspace.h
    // Set by execve, before anybody else sees it.
    struct file *exe;  // referenced; may be null
    uint64_t arg_start, arg_end, env_start, env_end;
    uint64_t code_start, code_end, stack_start, auxv_start, auxv_end;
};

struct user_fd {
    struct file *file;  // referenced; null: free
    bool cloexec;
};
struct user_fds {
    struct spinlock lock;  // rank USER
    uint32_t refs;         // (a)
    uint32_t size;         // lock
    uint32_t lowest_free;  // lock; none below is free
    struct user_fd *entries;
};

/* Where its paths begin. */
struct user_fs {
    struct spinlock lock;  // rank USER
    uint32_t refs;         // (a)
    struct vnode *root, *cwd;
    uint32_t umask;
};

struct user_actions {
    uint32_t refs;                       // (a)
    struct l_sigaction actions[L_NSIG];  // user lock
};

struct user_session {
    uint32_t refs;  // user lock
    uint32_t id;
    struct tty *tty;  // user lock; referenced, or null
};

/* One queued signal. */
struct user_signal {
    struct list link;
    struct l_siginfo info;
};
struct user_pending {
    uint64_t set;       // user lock; bit n - 1
    struct list queue;  // user lock; struct user_signal. A signal may be in the set only
};

/* ---- time ---- */

/* Whoever must know when the wall clock is set: moved() is called then, user lock held. */
struct clock_watch {
    struct list link;  // user lock
    void (*moved)(struct clock_watch *watch);
    void *owner;
};

/* When a wait ends: a moment since boot, or of the wall clock, which may be set meanwhile. */
struct wait_deadline {
    bool wall;
    plat_ns at;                // of that clock; PLAT_NS_NEVER
    struct wait_queue *queue;  // woken when the clock is set
    struct clock_watch watch;
};

/*
 * ITIMER_VIRTUAL and ITIMER_PROF: due when the process has used that much CPU time; 0: not set.
 */
struct cpu_itimer {
    plat_ns at, interval;
};

/* ---- process ---- */

enum process_state {
    PROCESS_RUNNING,
    PROCESS_ZOMBIE,  // waits for its parent
};

struct process {
    uint32_t pid;   // (i)
    uint32_t refs;  // (a) table, threads, visitors
    struct list all_link;

    // Guarded by the user lock.
    enum process_state state;
    uint32_t group;
    struct user_session *session;  // referenced
    struct process *parent;        // null: the kernel
    struct list children, sibling_link;
    struct list threads;
    uint32_t thread_count;
    struct user_pending pending;
    uint32_t queued;
    struct user_actions *actions;  // referenced
    bool group_exiting;            // exit_status is decided, all threads end
    bool group_execing;            // all threads but one end
    int exit_status;               // as wait4 has it
    bool stopped;                  // by a signal, until SIGCONT
    int stop_signal;
    bool report_stop, report_continue;  // the parent has not been told yet
    int exit_signal;                    // to the parent, 0: none
    bool execed;
    bool subreaper;           // (a) takes over what its descendants leave behind
    int parent_death_signal;  // (a) sent to it when its parent ends; 0: none
    bool kernel_child;        // started by user_start(): user_wait() collects it
    uint64_t children_utime, children_stime;
    uint64_t dead_utime, dead_stime;  // of threads that ended
    uint64_t minor_faults;

    struct wait_queue child_wait;  // parents in wait4
    struct wait_queue stop_wait;   // stopped threads

    // Replaced by the process itself only (execve, single-threaded then).
    struct user_mm *mm;    // referenced
    struct user_fds *fds;  // referenced
    struct user_fs *fs;    // referenced

    // Written by the process itself, read by anybody: each word is atomic.
    uint32_t uid, euid, suid, gid, egid, sgid;
    struct vfs_cred cred;  // the effective ids
    struct l_rlimit limits[L_RLIMITS];
    char name[USER_NAME_SIZE];
    int nice;
    int sched_policy, sched_priority;
    bool dumpable, no_new_privileges;
    bool sem_undo;  // sysv.sem.mutex; may have changes of semaphores to take back
    uint64_t reported_missing[8];  // system calls it was told about: one bit each

    // alarm, setitimer(ITIMER_REAL)
    struct timer alarm;
    plat_ns alarm_at;        // user lock; 0: none
    plat_ns alarm_interval;  // user lock
    struct list timers;      // user lock; posix_timer.c
    struct {
        struct timer timer;
        struct cpu_itimer itimers[2];  // user lock
        plat_ns seen;                  // user lock; CPU time used at the last look
        bool off;                      // user lock; the process ends
    } cpu;                             // cpu_timer.c
    plat_ns started;                   // (i)
};

/* ---- thread ---- */

#define THREAD_WORK_SIGNAL 1u  // look for signals
#define THREAD_WORK_EXIT   2u  // end now

struct user_wait;

struct thread {
    uint32_t tid;             // (i)
    struct process *process;  // (i) referenced
    struct list process_link;
    struct list hash_link;
    struct list dead_link;
    char name[USER_NAME_SIZE];  // user lock; the first thread's is the process's, too
    world_id world_id;
    struct world *world;  // user lock; null until it runs, and when it ends
    uint32_t on_cpu;      // (a) CPU + 1 while its world has one
    struct aspace *as;    // own; what it runs in, null when it gave that up

    struct plat_user_regs regs;  // own
    void *fpu;                   // own, or the world switch's
    uint64_t fpu_xcr0;           // (i)
    uint64_t user_tsc;           // own; ticks in ring 3
    unsigned short_of_memory;    // own; faults in a row that found no page
    uint64_t user_entered;       // (a) the tick at which it went to ring 3; 0: it is not there
    uint32_t work;               // (a) THREAD_WORK_*
    uint64_t affinity;           // user lock; CPUs it may use, 0: all
    int64_t syscall;             // own; number, -1: not in one
    // Own; the last exception, for signal frames.
    uint32_t fault_vector, fault_error;
    uint64_t fault_address;

    struct user_pending pending;  // user lock
    uint64_t blocked;             // user lock to write; SIGKILL and SIGSTOP never in it
    uint64_t waiting_for;         // user lock; sigtimedwait: wakes for these though blocked
    uint64_t saved_mask;          // own; of sigsuspend and its like
    bool restore_mask;            // own
    struct l_stack altstack;      // own

    uint64_t set_child_tid, clear_child_tid;  // own
    uint64_t robust_list;                     // own
    struct wait_queue *vfork_wait;            // user lock; the parent that waits
    bool *vfork_done;                         // user lock

    // restart_syscall: what is left of a sleep.
    struct {
        int64_t (*again)(struct thread *t);
        plat_ns deadline;
        uint64_t remaining_at;
        uint64_t args[4];
    } restart;
};

/* ---- state of the host ---- */

struct futex_waiter;
#define FUTEX_BUCKETS 256u

struct user_state {
    struct spinlock lock;   // rank USER: the "user lock"
    struct list processes;  // by pid
    struct list threads[USER_PID_HASH];
    uint32_t next_pid;
    bool pids_wrapped;
    uint32_t process_count, thread_count;
    struct process *init;

    struct list dead;  // threads whose world ended or is about to
    struct wait_queue dead_wait;
    struct wait_queue kernel_wait;  // user_wait()
    uint32_t power_waiters;         // in user_wait_end()
    enum user_end power_wanted;

    uint64_t log_read;   // (a) syslog(2): where the next read begins
    uint64_t log_clear;  // (a) what `dmesg -c` has shown

    struct spinlock futex_lock;  // rank USER
    struct list futexes[FUTEX_BUCKETS];

    struct spinlock buffer_lock;  // rank USER
    struct list buffers;
    uint32_t buffer_count;

    struct mutex epoll_nesting;  // an epoll is added to another

    struct mutex mqueue_mutex;
    struct list mqueues, mqueue_charges;  // mqueue_mutex; with a name; all
    uint32_t mqueue_count;                // mqueue_mutex

    struct sysv *sysv;  // (i) after user_init(); sysv.h
    struct vdso *vdso;  // (i) after user_init(); vdso.c

    struct list inotifies;  // notify lock; inotify.c

    struct mutex vms_mutex;  // a VM is admitted and made

    char hostname[65], domainname[65];
    uint64_t cpu_user_tsc[PLAT_CPUS_MAX];  // (a) ticks of ring 3; written by the CPU itself
    uint64_t host_pages;                   // bound for all user worlds together
    struct user_swap *swap;                // (i) after user_init()
    struct list clock_watches;             // user lock
    struct list signalfds;                 // user lock
    plat_ns report_window;                 // of core reports
    uint32_t reports;
};

static inline struct user_state *user_state(void)
{
    return this_host()->user;
}
struct thread *thread_current(void);  // null in a kernel world

/* ---- process.c ---- */
/*
 * A process with a number, on the tables, without threads, memory, descriptors or directories;
 * what a child inherits by value comes from `parent`. Null: it leads a session of its own. The
 * reference is the tables'. NO_MEMORY, LIMIT (RLIMIT_NPROC, or too many threads on the host).
 */
must_check vmk_status process_create(struct process *parent, struct process **out);
/*
 * A thread on the tables, with FPU state as after exec, not yet running. NO_MEMORY, LIMIT (or
 * it ends).
 */
must_check vmk_status thread_create(struct process *process, struct thread **out);
/*
 * Makes it a world and lets it run; it may have ended and be gone on return. On failure nothing
 * has changed.
 */
must_check vmk_status thread_start(struct thread *t);
void process_ref(struct process *p);
void process_put(struct process *p);
/* The one with that number, or null; not referenced. User lock held. */
struct process *process_find_locked(uint32_t pid);
struct thread *thread_find_locked(uint32_t tid);
/* `name` has USER_NAME_SIZE bytes. */
void thread_name_set(struct thread *t, const char *name);
void thread_name_set_locked(struct thread *t, const char *name);  // user lock held
/* R, S, T or Z, as process_state_letter_locked(). */
char thread_state_letter_locked(const struct thread *t);
/* Referenced, or null. */
struct process *process_find(uint32_t pid);
/*
 * CPU time of all its threads, also of those that ended: in ring 3, and for it in the kernel.
 */
void process_times(struct process *p, uint64_t *utime_ns, uint64_t *stime_ns);
void process_times_locked(struct process *p, uint64_t *utime_ns, uint64_t *stime_ns);
void thread_times(struct thread *t, uint64_t *utime_ns, uint64_t *stime_ns);
/* As /proc/<pid>/stat has it: R, S, T or Z. */
char process_state_letter_locked(const struct process *p);
/* Joins the session, with a reference to it. User lock held. */
void process_session_set_locked(struct process *p, struct user_session *session);
/*
 * Gives one back, null is fine; *tty_to_put, if not null, is put after the lock. User lock
 * held.
 */
void session_put_locked(struct user_session *session, struct tty **tty_to_put);

void process_init(void);

/* ---- process_exit.c ---- */
/* Undo thread_create() before the thread ran, and process_create(). */
void thread_discard(struct thread *t);
void process_discard(struct process *p);
noreturn_fn void thread_exit(struct thread *t);
/* All threads of the process will end with that wait status. */
void process_exit_begin(struct process *p, int status);
/* Ends all other threads and waits for them; false: somebody else does that already. */
must_check bool process_single_thread(struct thread *t);
/* Lets the parent go on that waits in vfork() for this thread, if one does. */
void process_vfork_release(struct thread *t);
/*
 * Takes a zombie off the tables; the caller puts the tty and then the process. User lock held.
 */
void process_collect_locked(struct process *p, struct tty **tty);
/* The kernel world that frees the threads that ended. */
noreturn_fn void process_reaper(void *argument);

/* ---- exec.c ---- */
must_check int64_t process_exec_kernel(struct thread *t, const char *path,
                                       const char *const *argv, const char *const *envp);

/* ---- mm.c ---- */
must_check vmk_status mm_create(const struct process *p, struct user_mm **out);
must_check vmk_status mm_fork(struct user_mm *mm, struct user_mm **out);
void mm_ref(struct user_mm *mm);
void mm_put(struct user_mm *mm);
/*
 * The memory of the process with the least number above *pid, referenced; null: there is none.
 */
struct user_mm *mm_after(uint32_t *pid);
/* The process, which runs now, goes on in that memory; the old one is put. */
void mm_switch(struct process *p, struct user_mm *mm);
void mm_limits_apply(struct process *p);
/* A mapping of a file: one reference. */
must_check vmk_status mm_file_object(struct file *file, bool shared_write,
                                     struct aspace_object **out);
/*
 * The file was cut to that size: what processes mapped beyond it is SIGBUS from now on. May
 * block.
 */
void mm_file_cut(struct vnode *vnode, uint64_t size);

/* ---- fd.c ---- */
must_check struct user_fds *fds_create(void);
must_check struct user_fds *fds_copy(struct user_fds *fds);
void fds_put(struct user_fds *fds);
void fds_close_on_exec(struct user_fds *fds);
/* The file behind a descriptor, referenced, or null. */
struct file *user_fd_get(struct thread *t, uint64_t fd);
/* Gives a file (whose reference it takes over, also on failure) a descriptor >= from. */
int64_t user_fd_install(struct thread *t, struct file *file, uint32_t from, bool cloexec);
int64_t user_fd_close(struct thread *t, uint64_t fd);
int64_t user_fd_replace(struct thread *t, struct file *file, uint64_t fd, bool cloexec);
must_check bool fds_next(struct user_fds *fds, uint32_t from, uint32_t *fd, struct file **file);
struct user_fs *fs_create(struct vnode *root, struct vnode *cwd, uint32_t umask);
struct user_fs *fs_copy(struct user_fs *fs);
void fs_put(struct user_fs *fs);

/* ---- path.c: a path of the user, and where it begins ---- */
struct user_path {
    char *text;
    char small[256];
    struct vfs_where where;
    struct file *dir;  // referenced
};
/* 0, or minus an errno and nothing to release. */
must_check int64_t path_get(struct thread *t, int dirfd, uint64_t address,
                            struct user_path *out);
must_check int64_t path_get_flags(struct thread *t, int dirfd, uint64_t address, bool empty_ok,
                                  struct user_path *out);
void path_put(struct user_path *path);
/*
 * The object that a path of the user leads to, referenced. `empty_ok`: "" is the directory
 * itself;
 * `walk`: VFS_WALK_ flags. 0 or minus an errno. May block.
 */
must_check int64_t path_vnode(struct thread *t, int dirfd, uint64_t address, bool empty_ok,
                              unsigned walk, struct vnode **out);
/* The same, opened as vfs_open() does; the caller has the reference. */
must_check int64_t path_open(struct thread *t, int dirfd, uint64_t address, uint32_t flags,
                             uint32_t mode, struct file **out);
/* Asks the file system: a directory? False also if it cannot say. */
must_check bool file_is_directory(struct file *file);
/* Only where paths begin. */
void where_get(struct thread *t, struct user_path *out);

/* ---- sys_file.c ---- */
#define USER_TRANSFER_MAX 0x7ffff000ull  // what Linux moves at most in one call
/* A request that could not be met at all: the errno, and SIGPIPE. */
int64_t transfer_error(struct thread *t, vmk_status status);

/* ---- buffers for copies: 16 KB, from a pool ---- */
#define USER_BUFFER_SIZE 16384u
/* Null: no memory. Goes back by buffer_put(), also null. World context. */
void *buffer_get(void);
void buffer_put(void *buffer);

/* ---- signal.c ---- */
#define SIGNAL_BIT(n)      (1ull << ((n)-1))
#define SIGNAL_UNBLOCKABLE (SIGNAL_BIT(L_SIGKILL) | SIGNAL_BIT(L_SIGSTOP))
/* A set of pending signals: empty; emptied again, its details freed. */
void pending_init(struct user_pending *pending);
void pending_flush(struct user_pending *pending);
/* User lock held. `t` null: to the process, any thread. info may be null (SI_KERNEL). */
void signal_send_locked(struct process *p, struct thread *t, int signal,
                        const struct l_siginfo *info);
void signal_send(struct process *p, struct thread *t, int signal, const struct l_siginfo *info);
/* A fault of the current thread: cannot be blocked or ignored. */
void signal_force(struct thread *t, int signal, int code, uint64_t address);
/* To every process of a group; how many there were. User lock held. */
unsigned signal_group_locked(uint32_t group, int signal, const struct l_siginfo *info);
/* Recomputes what the thread must do. User lock held. */
void signal_recalculate_locked(struct thread *t);
bool signal_pending(struct thread *t);
/* Sets the mask of the current thread. */
void signal_mask_set(struct thread *t, uint64_t mask);
/* Before it goes back to ring 3: acts on signals, stops, ends. */
void signal_deliver(struct thread *t);
bool signal_ignored_by(struct thread *t, int signal);
/* Takes a pending signal of `set`; 0: none. User lock held. */
int signal_take_locked(struct thread *t, uint64_t set, struct l_siginfo *info);
/* Wakes a thread out of ring 3 or a wait. User lock held. */
void thread_kick_locked(struct thread *t);

/* ---- signalfd.c ---- */
/* That signal became pending somewhere. */
void signalfds_tell_locked(int signal);

/* ---- netlink.c ---- */
#define NETLINK_NOTE_SIZE 32u
/*
 * The socket that mq_notify(2) of a C library makes; what netlink_put() notes is read from it.
 * A seventeenth unread note is lost.
 */
must_check vmk_status netlink_create(uint32_t flags, struct file **out);
bool netlink_is(const struct file *file);
void netlink_put(struct file *file, const uint8_t note[NETLINK_NOTE_SIZE]);

/* ---- sigframe.c ---- */
/* Makes the frame and points the registers at the handler; false: the stack is bad. */
must_check bool sigframe_push(struct thread *t, int signal, const struct l_sigaction *action,
                              const struct l_siginfo *info, uint64_t mask);
int64_t sigframe_pop(struct thread *t);
void thread_fpu_reset(struct thread *t);

/* ---- core_report.c ---- */
void core_report(struct thread *t, int signal, const struct l_siginfo *info);

/* Makes the shares of its world follow the nice value. User lock held. */
void thread_nice_apply(struct thread *t);
uint32_t nice_shares(int nice);

/* ---- user_world.c ---- */
void thread_main(void *thread);
void thread_switch_in(struct world *w);
void thread_switch_out(struct world *w);

/* ---- syscall.c ---- */
int64_t user_errno(vmk_status status);  // 0 or minus an errno
/* The same for a wait that a signal ends: restartable. */
int64_t user_errno_restart(vmk_status status);
void syscall_dispatch(struct thread *t);

/* ---- vdso.c ---- */
void vdso_init(void);

/* ---- vsyscall.c ---- */
#define VSYSCALL_PAGE 0xffffffffff600000ull
/* Ring 3 jumped into that page: does what it called. False: there is nothing, or not for it. */
bool vsyscall(struct thread *t);

/* ---- futex.c ---- */
void futex_init(void);
/*
 * What a thread that ends leaves to others: robust futexes, the word of CLONE_CHILD_CLEARTID.
 */
void futex_thread_exit(struct thread *t);

/* ---- job.c ---- */
void job_init(void);
bool job_group_orphaned_locked(uint32_t group, const struct process *without);
/* A process left or moved: its group may have lost the last who could continue it. */
void job_check_orphans_locked(struct process *p, struct process *parent);

/* ---- proc.c ---- */
void user_proc_init(void);
/* ---- proc_task.c: the threads of /proc/<pid>/task ---- */
bool proc_thread_next(uint32_t pid, uint32_t after, uint32_t *tid);
uint32_t proc_thread_process(uint32_t tid);
/* Writing `comm`: only a thread of the same process may. */
vmk_status proc_comm_store(const char *text, size_t length, uint32_t tid);

/* ---- sys_time.c ---- */
int64_t clock_now_ns(int clock, struct thread *t);  // negative: no such clock
/*
 * A CPU clock as a number that names its process or thread for everybody; other clocks as they
 * are.
 */
int clock_global(int clock, struct thread *t);
/* One of those, of this process or another; negative: gone. User lock held. */
int64_t cpu_clock_locked(int clock, struct process *self);
must_check int64_t timespec_in(struct thread *t, uint64_t at, plat_ns *duration);
void alarm_stop(struct process *p);

/* ---- wall_clock.c ---- */
/* A deadline `duration` from now, that does not wrap. */
plat_ns deadline_after(plat_ns duration);
/* vfs_time_now() will say that, and whoever waits for a moment of it hears. */
void wall_clock_set(int64_t ns);
/* When, since boot, a moment of the wall clock is, as it is set now; 1 if long ago. */
plat_ns wall_clock_deadline(uint64_t when);
void clock_watch_add_locked(struct clock_watch *watch);
void clock_watch_remove_locked(struct clock_watch *watch);
void clock_watch_remove(struct clock_watch *watch);
/* Around a wait on `queue`, which has to ask wait_deadline_now() again whenever it is woken. */
void wait_deadline_begin(struct wait_deadline *d, struct wait_queue *queue);
void wait_deadline_end(struct wait_deadline *d);
plat_ns wait_deadline_now(const struct wait_deadline *d);

/* ---- cpu_timer.c ---- */
void cpu_timers_init(struct process *p);
/* Something was set, or RLIMIT_CPU changed. */
void cpu_timers_changed(struct process *p);
/* Sends what is due and arms the timer for the rest. User lock held. */
void cpu_timers_look_locked(struct process *p);
/* None rings any more: the process ends. */
void cpu_timers_stop(struct process *p);
/* `which`: 0 ITIMER_VIRTUAL, 1 ITIMER_PROF. */
void cpu_itimer_set(struct process *p, unsigned which, plat_ns value, plat_ns interval);
void cpu_itimer_get(struct process *p, unsigned which, plat_ns *left, plat_ns *interval);

/* ---- posix_timer.c ---- */
void posix_timers_delete(struct process *p);
/*
 * Those on CPU clocks: sends what is due, answers what is left until the next. User lock held.
 */
plat_ns posix_timers_cpu_locked(struct process *p);
/* That signal of a timer is taken: what was missed meanwhile goes into it. User lock held. */
void posix_timer_taken_locked(struct process *p, struct l_siginfo *info);

/* ---- mqueue.c ---- */
void mqueue_init(void);

/* ---- inotify.c ---- */
void inotify_init(void);

/* ---- sysv_ids.c, sysv_sem.c ---- */
void sysv_init(void);
/* What its semaphores owe it: SEM_UNDO. */
void sysv_process_end(struct process *p);

/* ---- sys_lock.c: the part of fcntl ---- */
int64_t fcntl_lock_get(struct thread *t, struct file *file, uint64_t at, bool open_file);
int64_t fcntl_lock_set(struct thread *t, uint64_t fd, struct file *file, uint64_t at,
                       bool open_file, bool wait);

/* ---- anonymous files (event_file.c, epoll.c) and polling (sys_poll.c) ---- */
/* Copies in and out of the current thread; 0 or -EFAULT. */
must_check int64_t user_in(struct thread *t, void *to, uint64_t from, size_t size);
must_check int64_t user_out(struct thread *t, uint64_t to, const void *from, size_t size);
/* A signal mask for the time of a call: pselect6, ppoll, epoll_pwait. 0 or minus an errno. */
must_check int64_t temporary_mask_begin(struct thread *t, uint64_t mask_at, uint64_t size);
void temporary_mask_end(struct thread *t, int64_t result);

typedef int64_t (*syscall_handler)(struct thread *t, const uint64_t *a);
#define SYSCALL(number, name, parameters, handler, note)                                       \
    int64_t handler(struct thread *t, const uint64_t *a);
#include "user/syscall.def"
