// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/linux.h -- numbers and layouts of the Linux x86-64 system-call ABI.
 *
 * Facts of the interface, named as its manual pages name them, with L_ in front so that nothing
 * collides with the host's own headers in hosted builds. Every struct here crosses to ring 3.
 */
#pragma once

#include "lib/types.h"

/* ---- errno ---- */
#define L_EPERM                 1
#define L_ENOENT                2
#define L_ESRCH                 3
#define L_EINTR                 4
#define L_EIO                   5
#define L_ENXIO                 6
#define L_E2BIG                 7
#define L_ENOEXEC               8
#define L_EBADF                 9
#define L_ECHILD                10
#define L_EAGAIN                11
#define L_ENOMEM                12
#define L_EACCES                13
#define L_EFAULT                14
#define L_EBUSY                 16
#define L_EEXIST                17
#define L_EXDEV                 18
#define L_ENODEV                19
#define L_ENOTDIR               20
#define L_EISDIR                21
#define L_EINVAL                22
#define L_ENFILE                23
#define L_EMFILE                24
#define L_ENOTTY                25
#define L_ETXTBSY               26
#define L_EFBIG                 27
#define L_ENOSPC                28
#define L_ESPIPE                29
#define L_EROFS                 30
#define L_EMLINK                31
#define L_EPIPE                 32
#define L_ERANGE                34
#define L_EDEADLK               35
#define L_ENAMETOOLONG          36
#define L_ENOLCK                37
#define L_ENOSYS                38
#define L_ENOTEMPTY             39
#define L_ELOOP                 40
#define L_ENOMSG                42
#define L_EIDRM                 43
#define L_EOVERFLOW             75
#define L_ENOTSOCK              88
#define L_EMSGSIZE              90
#define L_EPROTOTYPE            91
#define L_ENOPROTOOPT           92
#define L_EPROTONOSUPPORT       93
#define L_ESOCKTNOSUPPORT       94
#define L_EOPNOTSUPP            95
#define L_EAFNOSUPPORT          97
#define L_EADDRINUSE            98
#define L_EISCONN               106
#define L_ENOTCONN              107
#define L_ETIMEDOUT             110
#define L_ECONNREFUSED          111
#define L_EDQUOT                122
/* Inside the kernel only: what a call interrupted by a signal returns (sigframe.c decides). */
#define L_ERESTARTSYS           512  // again, unless a handler without SA_RESTART ran
#define L_ERESTARTNOINTR        513  // always again
#define L_ERESTARTNOHAND        514  // again, unless any handler ran
#define L_ERESTART_RESTARTBLOCK 516  // the same, by restart_syscall with what is left

/* ---- signals ---- */
#define L_NSIG                  64u
#define L_CSIGNAL               0xffu  // clone: what the child sends when it ends
#define L_POSIX_FADV_LAST       5u
#define L_SIGHUP                1
#define L_SIGINT                2
#define L_SIGQUIT               3
#define L_SIGILL                4
#define L_SIGTRAP               5
#define L_SIGABRT               6
#define L_SIGBUS                7
#define L_SIGFPE                8
#define L_SIGKILL               9
#define L_SIGUSR1               10
#define L_SIGSEGV               11
#define L_SIGUSR2               12
#define L_SIGPIPE               13
#define L_SIGALRM               14
#define L_SIGTERM               15
#define L_SIGSTKFLT             16
#define L_SIGCHLD               17
#define L_SIGCONT               18
#define L_SIGSTOP               19
#define L_SIGTSTP               20
#define L_SIGTTIN               21
#define L_SIGTTOU               22
#define L_SIGURG                23
#define L_SIGXCPU               24
#define L_SIGXFSZ               25
#define L_SIGVTALRM             26
#define L_SIGPROF               27
#define L_SIGWINCH              28
#define L_SIGIO                 29
#define L_SIGPWR                30
#define L_SIGSYS                31
#define L_SIGRTMIN              32

#define L_SIG_DFL               0ull
#define L_SIG_IGN               1ull
#define L_SIG_BLOCK             0
#define L_SIG_UNBLOCK           1
#define L_SIG_SETMASK           2

#define L_SA_NOCLDSTOP          0x00000001u
#define L_SA_NOCLDWAIT          0x00000002u
#define L_SA_SIGINFO            0x00000004u
#define L_SA_RESTORER           0x04000000u
#define L_SA_ONSTACK            0x08000000u
#define L_SA_RESTART            0x10000000u
#define L_SA_NODEFER            0x40000000u
#define L_SA_RESETHAND          0x80000000u

#define L_SS_ONSTACK            1
#define L_SS_DISABLE            2
#define L_SS_AUTODISARM         ((int)0x80000000)
#define L_MINSIGSTKSZ           2048u

#define L_SI_USER               0
#define L_SI_KERNEL             0x80
#define L_SI_QUEUE              (-1)
#define L_SI_TIMER              (-2)
#define L_SI_MESGQ              (-3)
#define L_SI_TKILL              (-6)
#define L_FPE_INTDIV            1
#define L_FPE_FLTINV            7
#define L_ILL_ILLOPN            2
#define L_SEGV_MAPERR           1
#define L_SEGV_ACCERR           2
#define L_BUS_ADRALN            1
#define L_BUS_ADRERR            2
#define L_TRAP_BRKPT            1
#define L_TRAP_TRACE            2
#define L_CLD_EXITED            1
#define L_CLD_KILLED            2
#define L_CLD_DUMPED            3
#define L_CLD_STOPPED           5
#define L_CLD_CONTINUED         6

struct l_siginfo {
    int32_t signo, error, code, pad;
    union {
        struct {
            int32_t pid;
            uint32_t uid;
            union {
                struct {
                    int32_t status, pad;
                    int64_t utime, stime;
                } child;
                uint64_t value;
            };
        };
        struct {
            int32_t timer, overrun;
            uint64_t timer_value;
        };
        uint64_t address;
        uint8_t bytes[112];
    };
};
_Static_assert(sizeof(struct l_siginfo) == 128, "siginfo_t");

struct l_sigevent {
    uint64_t value;
    int32_t signal, notify, tid;
    uint8_t pad[44];
};
_Static_assert(sizeof(struct l_sigevent) == 64, "struct sigevent");
#define L_SIGEV_SIGNAL    0
#define L_SIGEV_NONE      1
#define L_SIGEV_THREAD    2  // of mq_notify: by a netlink socket
#define L_SIGEV_THREAD_ID 4

struct l_sigaction {
    uint64_t handler;
    uint64_t flags;
    uint64_t restorer;
    uint64_t mask;
};

struct l_stack {
    uint64_t sp;
    int32_t flags, pad;
    uint64_t size;
};

struct l_sigcontext {
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
    uint16_t cs, gs, fs, ss;
    uint64_t err, trapno, oldmask, cr2;
    uint64_t fpstate;
    uint64_t reserved[8];
};
_Static_assert(sizeof(struct l_sigcontext) == 256, "struct sigcontext");

struct l_ucontext {
    uint64_t flags, link;
    struct l_stack stack;
    struct l_sigcontext context;
    uint64_t mask;
};
#define L_UC_FP_XSTATE         1u
#define L_UC_SIGCONTEXT_SS     2u
#define L_UC_STRICT_RESTORE_SS 4u

struct l_sigframe {
    uint64_t restorer;
    struct l_ucontext uc;
    struct l_siginfo info;
};
_Static_assert(sizeof(struct l_sigframe) == 8 + 304 + 128, "struct rt_sigframe");

#define L_FP_XSTATE_MAGIC1     0x46505853u
#define L_FP_XSTATE_MAGIC2     0x46505845u

/* ---- clone ---- */
#define L_CLONE_VM             0x00000100u
#define L_CLONE_FS             0x00000200u
#define L_CLONE_FILES          0x00000400u
#define L_CLONE_SIGHAND        0x00000800u
#define L_CLONE_VFORK          0x00004000u
#define L_CLONE_PARENT         0x00008000u
#define L_CLONE_THREAD         0x00010000u
#define L_CLONE_SYSVSEM        0x00040000u
#define L_CLONE_SETTLS         0x00080000u
#define L_CLONE_PARENT_SETTID  0x00100000u
#define L_CLONE_CHILD_CLEARTID 0x00200000u
#define L_CLONE_DETACHED       0x00400000u
#define L_CLONE_UNTRACED       0x00800000u
#define L_CLONE_CHILD_SETTID   0x01000000u
#define L_CLONE_KNOWN                                                                          \
    (0xffu | L_CLONE_VM | L_CLONE_FS | L_CLONE_FILES | L_CLONE_SIGHAND | L_CLONE_VFORK |       \
     L_CLONE_PARENT | L_CLONE_THREAD | L_CLONE_SYSVSEM | L_CLONE_SETTLS |                      \
     L_CLONE_PARENT_SETTID | L_CLONE_CHILD_CLEARTID | L_CLONE_DETACHED | L_CLONE_UNTRACED |    \
     L_CLONE_CHILD_SETTID)

#define L_WNOHANG               1u
#define L_WUNTRACED             2u
#define L_WEXITED               4u
#define L_WCONTINUED            8u
#define L_WNOWAIT               0x01000000u
#define L_P_ALL                 0
#define L_P_PID                 1
#define L_P_PGID                2

/* ---- time ---- */
/* clone3; the first form ended with tls. */
#define L_CLONE_ARGS_SIZE_FIRST 64u
struct l_clone_args {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
    uint64_t set_tid, set_tid_size, cgroup;
};
struct l_timespec {
    int64_t sec, nsec;
};
struct l_timeval {
    int64_t sec, usec;
};
#define L_ADJ_OFFSET_SS_READ 0xa001u
#define L_STA_UNSYNC         0x40
#define L_TIME_ERROR         5
#define L_TIMEX_ERROR_MAX    16000000  // microseconds: unknown
struct l_timex {
    uint32_t modes;
    int64_t offset, freq, maxerror, esterror;
    int32_t status;
    int64_t constant, precision, tolerance;
    struct l_timeval time;
    int64_t tick, ppsfreq, jitter;
    int32_t shift;
    int64_t stabil, jitcnt, calcnt, errcnt, stbcnt;
    int32_t tai, reserved[11];
};
_Static_assert(sizeof(struct l_timex) == 208, "struct timex");
struct l_itimerval {
    struct l_timeval interval, value;
};
struct l_itimerspec {
    struct l_timespec interval, value;
};
#define L_CLOCK_REALTIME           0
#define L_CLOCK_MONOTONIC          1
#define L_CLOCK_PROCESS_CPUTIME_ID 2
#define L_CLOCK_THREAD_CPUTIME_ID  3
#define L_CLOCK_MONOTONIC_RAW      4
#define L_CLOCK_REALTIME_COARSE    5
#define L_CLOCK_MONOTONIC_COARSE   6
#define L_CLOCK_BOOTTIME           7
#define L_TIMER_ABSTIME            1u
#define L_ITIMER_REAL              0
#define L_ITIMER_VIRTUAL           1
#define L_ITIMER_PROF              2
#define L_HZ                       100u  // USER_HZ, of times() and /proc

struct l_rusage {
    struct l_timeval utime, stime;
    int64_t maxrss, ixrss, idrss, isrss, minflt, majflt, nswap, inblock, oublock, msgsnd,
        msgrcv, nsignals, nvcsw, nivcsw;
};

struct l_sysinfo {
    int64_t uptime;
    uint64_t loads[3], totalram, freeram, sharedram, bufferram, totalswap, freeswap;
    uint16_t procs, pad;
    uint32_t pad2;
    uint64_t totalhigh, freehigh;
    uint32_t mem_unit, pad3;
};
_Static_assert(sizeof(struct l_sysinfo) == 112, "struct sysinfo");

struct l_utsname {
    char sysname[65], nodename[65], release[65], version[65], machine[65], domainname[65];
};

/* ---- limits ---- */
enum {
    L_RLIMIT_CPU,
    L_RLIMIT_FSIZE,
    L_RLIMIT_DATA,
    L_RLIMIT_STACK,
    L_RLIMIT_CORE,
    L_RLIMIT_RSS,
    L_RLIMIT_NPROC,
    L_RLIMIT_NOFILE,
    L_RLIMIT_MEMLOCK,
    L_RLIMIT_AS,
    L_RLIMIT_LOCKS,
    L_RLIMIT_SIGPENDING,
    L_RLIMIT_MSGQUEUE,
    L_RLIMIT_NICE,
    L_RLIMIT_RTPRIO,
    L_RLIMIT_RTTIME,
    L_RLIMITS
};
#define L_RLIM_INFINITY UINT64_MAX
struct l_rlimit {
    uint64_t current, maximum;
};

/* ---- memory ---- */
#define L_PROT_READ           1u
#define L_PROT_WRITE          2u
#define L_PROT_EXEC           4u
#define L_PROT_GROWSDOWN      0x01000000u
#define L_MAP_SHARED          0x01u
#define L_MAP_PRIVATE         0x02u
#define L_MAP_SHARED_VALIDATE 0x03u
#define L_MAP_TYPE            0x0fu
#define L_MAP_FIXED           0x10u
#define L_MAP_ANONYMOUS       0x20u
#define L_MAP_GROWSDOWN       0x0100u
#define L_MAP_POPULATE        0x8000u
#define L_MAP_STACK           0x20000u
#define L_MAP_FIXED_NOREPLACE 0x100000u
#define L_MREMAP_MAYMOVE      1u
#define L_MREMAP_FIXED        2u
#define L_MREMAP_DONTUNMAP    4u
#define L_MS_INVALIDATE       2u
#define L_MADV_DONTNEED       4
#define L_MADV_FREE           8
#define L_MADV_DONTFORK       10
#define L_MADV_DOFORK         11
#define L_MADV_WIPEONFORK     18
#define L_MADV_KEEPONFORK     19

/* ---- files ---- */
#define L_AT_FDCWD            (-100)
#define L_AT_SYMLINK_NOFOLLOW 0x100u
#define L_AT_REMOVEDIR        0x200u
#define L_AT_EACCESS          0x200u
#define L_AT_SYMLINK_FOLLOW   0x400u
#define L_AT_NO_AUTOMOUNT     0x800u
#define L_AT_EMPTY_PATH       0x1000u
#define L_O_TMPFILE_BIT       020000000u  // O_TMPFILE is this and O_DIRECTORY
#define L_SEEK_DATA           3
#define L_SEEK_HOLE           4

struct l_stat {
    uint64_t dev, ino, nlink;
    uint32_t mode, uid, gid, pad;
    uint64_t rdev;
    int64_t size, blksize, blocks;
    struct l_timespec atime, mtime, ctime;
    int64_t reserved[3];
};
_Static_assert(sizeof(struct l_stat) == 144, "struct stat");

struct l_statx_time {
    int64_t sec;
    uint32_t nsec;
    int32_t pad;
};
struct l_statx {
    uint32_t mask, blksize;
    uint64_t attributes;
    uint32_t nlink, uid, gid;
    uint16_t mode, pad;
    uint64_t ino, size, blocks, attributes_mask;
    struct l_statx_time atime, btime, ctime, mtime;
    uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
    uint64_t mount_id;
    uint64_t pad2[13];
};
_Static_assert(sizeof(struct l_statx) == 256, "struct statx");
#define L_STATX_BASIC 0x7ffu

struct l_statfs {
    int64_t type, bsize;
    uint64_t blocks, bfree, bavail, files, ffree;
    int32_t fsid[2];
    int64_t namelen, frsize, flags, spare[4];
};
_Static_assert(sizeof(struct l_statfs) == 120, "struct statfs");

struct l_dirent64 {
    uint64_t ino;
    int64_t off;
    uint16_t reclen;
    uint8_t type;
    char name[];
};

struct l_iovec {
    uint64_t base, size;
};
#define L_IOV_MAX         1024u

#define L_F_DUPFD         0
#define L_F_GETFD         1
#define L_F_SETFD         2
#define L_F_GETFL         3
#define L_F_SETFL         4
#define L_F_GETLK         5
#define L_F_SETLK         6
#define L_F_SETLKW        7
#define L_F_RDLCK         0
#define L_F_WRLCK         1
#define L_F_UNLCK         2
#define L_F_OFD_GETLK     36
#define L_F_OFD_SETLK     37
#define L_F_OFD_SETLKW    38
#define L_LOCK_SH         1
#define L_LOCK_EX         2
#define L_LOCK_NB         4
#define L_LOCK_UN         8
#define L_F_SETOWN        8
#define L_F_GETOWN        9
#define L_F_DUPFD_CLOEXEC 1030
#define L_F_GETPIPE_SZ    1032
#define L_FD_CLOEXEC      1u
#define L_FIONBIO         0x5421u
#define L_FIOCLEX         0x5451u
#define L_FIONCLEX        0x5450u

struct l_pollfd {
    int32_t fd;
    int16_t events, revents;
};
struct l_epoll_event {
    uint32_t events;
    uint64_t data;
} packed_layout;
#define L_EPOLL_CTL_ADD        1
#define L_EPOLL_CTL_DEL        2
#define L_EPOLL_CTL_MOD        3
#define L_EPOLLONESHOT         (1u << 30)
#define L_EPOLLET              (1u << 31)
#define L_EPOLLEXCLUSIVE       (1u << 28)
#define L_EPOLLWAKEUP          (1u << 29)

/* ---- futex ---- */
#define L_FUTEX_WAIT           0
#define L_FUTEX_WAKE           1
#define L_FUTEX_REQUEUE        3
#define L_FUTEX_CMP_REQUEUE    4
#define L_FUTEX_WAKE_OP        5
#define L_FUTEX_LOCK_PI        6
#define L_FUTEX_UNLOCK_PI      7
#define L_FUTEX_TRYLOCK_PI     8
#define L_FUTEX_LOCK_PI2       13
#define L_FUTEX_WAIT_BITSET    9
#define L_FUTEX_WAKE_BITSET    10
#define L_FUTEX_CMD_MASK       0x7f
#define L_FUTEX_CLOCK_REALTIME 256
#define L_FUTEX_WAITERS        0x80000000u
#define L_FUTEX_OWNER_DIED     0x40000000u
#define L_FUTEX_TID_MASK       0x3fffffffu

/* ---- misc ---- */
#define L_ARCH_SET_GS          0x1001
#define L_ARCH_SET_FS          0x1002
#define L_ARCH_GET_FS          0x1003
#define L_ARCH_GET_GS          0x1004

#define L_AT_NULL              0
#define L_AT_PHDR              3
#define L_AT_PHENT             4
#define L_AT_PHNUM             5
#define L_AT_PAGESZ            6
#define L_AT_BASE              7
#define L_AT_FLAGS             8
#define L_AT_ENTRY             9
#define L_AT_UID               11
#define L_AT_EUID              12
#define L_AT_GID               13
#define L_AT_EGID              14
#define L_AT_PLATFORM          15
#define L_AT_HWCAP             16
#define L_AT_CLKTCK            17
#define L_AT_SECURE            23
#define L_AT_RANDOM            25
#define L_AT_EXECFN            31
#define L_AT_SYSINFO_EHDR      33
