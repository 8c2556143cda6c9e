// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/user/posix/processes.c -- fork, exec, wait in its kinds, groups, sessions, limits, priorities, environment, scheduling.
 */
#include "posix.h"

#include <linux/sched.h>

#include <sched.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/times.h>

extern char **environ;

/* Programs by descriptor, and children by clone3. */
static void by_descriptor(void)
{
    char *argv[] = {"sh", "-c", "exit 6", NULL}, *envp[] = {NULL};
    struct clone_args args = {.exit_signal = SIGCHLD};
    int fd = open("/bin/sh", O_RDONLY | O_CLOEXEC), dir = open("/bin", O_PATH), status = 0;
    pid_t child = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

    if (child == 0)
        _exit(fexecve(fd, argv, envp) ? 127 : 0);
    SHOW(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 6);
    child = fork();
    if (child == 0)
        _exit(execveat(dir, "sh", argv, envp, 0) ? 127 : 0);
    SHOW(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 6);
    SHOW(execveat(fd, "", argv, envp, 0));
    SHOW(execveat(fd, "x", argv, envp, 0));
    SHOW(execveat(99, "", argv, envp, AT_EMPTY_PATH));
    SHOW(execveat(dir, "", argv, envp, AT_EMPTY_PATH));
    SHOW(execveat(dir, "sh", argv, envp, 1 << 30));
    SHOW(syscall(SYS_clone3, &args, 8));
    args.flags = SIGCHLD;
    SHOW(syscall(SYS_clone3, &args, sizeof(args)));
    close(fd);
    close(dir);
}

int test_processes(void)
{
    struct sched_param param = {.sched_priority = 0};
    struct rlimit limit;
    struct rusage usage;
    siginfo_t info;
    int status, was, ends[2];
    char text[64];
    cpu_set_t cpus;
    ssize_t n;
    pid_t child, grandchild;

    fflush(stdout);
    for (int i = 0; i < 3; i++) {
        child = fork();
        if (child == 0)
            _exit(i * 10);
        SHOW(waitpid(child, &status, 0) == child);
        printf("status %d\n", WEXITSTATUS(status));
    }
    SHOW(waitpid(-1, &status, 0));
    child = fork();
    if (child == 0) {
        for (;;)
            pause();
    }
    SHOW(waitpid(child, &status, WNOHANG));
    kill(child, SIGSTOP);
    SHOW(waitid(P_PID, (id_t)child, &info, WSTOPPED) + (info.si_code == CLD_STOPPED) * 10);
    kill(child, SIGCONT);
    SHOW(waitid(P_PID, (id_t)child, &info, WCONTINUED) + (info.si_code == CLD_CONTINUED) * 10);
    kill(child, SIGTERM);
    SHOW(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) +
         (info.si_code == CLD_KILLED) * 10);
    SHOW(waitpid(child, &status, 0) == child);
    printf("signal %d\n", WTERMSIG(status));

    child = fork();
    if (child == 0) {
        int own = setsid() == getpid() && getpgrp() == getpid() && getsid(0) == getpid();

        _exit(own && setsid() == -1 && errno == EPERM ? 5 : 6);
    }
    waitpid(child, &status, 0);
    printf("session %d\n", WEXITSTATUS(status));
    child = fork();
    if (child == 0) {
        setpgid(0, 0);
        pause();
        _exit(0);
    }
    usleep(30000);
    SHOW(kill(-child, SIGKILL));
    SHOW(waitpid(-child, &status, 0) == child);

    if (pipe(ends) != 0)
        return 1;
    child = fork();  // an orphan goes to process 1
    if (child == 0) {
        grandchild = fork();
        if (grandchild == 0) {
            usleep(50000);
            n = snprintf(text, sizeof(text), "%d", getppid() != 0);
            if (write(ends[1], text, (size_t)n) != n)
                _exit(1);
            _exit(0);
        }
        _exit(0);
    }
    waitpid(child, &status, 0);
    memset(text, 0, sizeof(text));
    SHOW(read(ends[0], text, sizeof(text)));
    printf("orphan has a parent: %s\n", text);
    {
        char *const arguments[] = {"sh",   "-c",  "echo \"spawned $VALUE $0 $1\"; exit 9",
                                   "zero", "one", NULL};
        char *const environment[] = {"VALUE=of environment", NULL};

        fflush(stdout);
        n = posix_spawn(&child, "/bin/sh", NULL, NULL, arguments, environment);
        waitpid(child, &status, 0);
        printf("spawn %d\n", (int)n);
        printf("status %d\n", WEXITSTATUS(status));
        SHOW(posix_spawn(&child, "/bin/nothing-there", NULL, NULL, arguments, environ));
    }
    fflush(stdout);
    child = vfork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", "exit 3", (char *)NULL);
        _exit(127);
    }
    waitpid(child, &status, 0);
    printf("vfork %d\n", WEXITSTATUS(status));
    SHOW(execl("/etc/passwd", "passwd", (char *)NULL));
    SHOW(system("exit 4") >> 8);

    child = fork();
    if (child == 0) {
        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = 10;
        setrlimit(RLIMIT_NOFILE, &limit);
        while ((n = dup(0)) >= 0)
            ;
        printf("files: %s\n", strerrorname_np(errno));
        limit.rlim_cur = limit.rlim_max = 100;
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        close(9);
        n = open("limit-file", O_CREAT | O_WRONLY, 0600);
        memset(text, 'x', sizeof(text));
        SHOW(write((int)n, text, 64));
        SHOW(write((int)n, text, 64));
        SHOW(write((int)n, text, 64));
        unlink("limit-file");
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, &status, 0);
    was = getpriority(PRIO_PROCESS, 0);  // whatever started us may have been nice
    SHOW(getpriority(PRIO_PROCESS, 0) - was);
    SHOW(nice(3) - was);
    SHOW(getpriority(PRIO_PROCESS, 0) - was);
    SHOW(sched_getscheduler(0));
    SHOW(sched_getparam(0, &param));
    SHOW(sched_get_priority_max(SCHED_FIFO));
    SHOW(sched_get_priority_min(SCHED_RR));
    SHOW(sched_setscheduler(0, SCHED_OTHER, &param));
    SHOW(sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) >= 1);
    SHOW(sched_yield());
    getrusage(RUSAGE_CHILDREN, &usage);
    printf("children took time %d\n", usage.ru_utime.tv_usec + usage.ru_stime.tv_usec > 0);
    SHOW(times(NULL) != -1);
    SHOW(setenv("A", "b", 1));
    SHOW(system("test \"$A\" = b"));
    SHOW(kill(getpid(), 0));
    SHOW(kill(999999, 0));
    SHOW(kill(getpid(), 99));
    by_descriptor();
    return 0;
}
