// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/user/posix/anonymous.c -- descriptors of things without names: signalfd, memfd, O_TMPFILE,
 * splice; and locks and futexes in memory that was mapped twice.
 */
#include "posix.h"

#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <termio.h>

static void signals(void)
{
    struct signalfd_siginfo info[2];
    struct pollfd fd = {.events = POLLIN};
    sigset_t set;
    pid_t child;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fd.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    SHOW(read(fd.fd, info, sizeof(info)));
    SHOW(poll(&fd, 1, 0));
    sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 7});
    SHOW(poll(&fd, 1, 0));
    SHOW(read(fd.fd, info, 100));
    SHOW(read(fd.fd, info, sizeof(info)));
    printf("signal %u code %d value %d\n", info[0].ssi_signo, info[0].ssi_code,
           info[0].ssi_int);
    child = fork();
    if (child == 0)
        _exit(3);
    SHOW(poll(&fd, 1, 5000));
    SHOW(read(fd.fd, info, sizeof(info)));
    printf("signal %u status %d own child %d\n", info[0].ssi_signo, info[0].ssi_status,
           (pid_t)info[0].ssi_pid == child);
    waitpid(child, NULL, 0);
    SHOW(signalfd(0, &set, 0));
    close(fd.fd);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void files(void)
{
    const struct iovec iov = {"hello", 5};
    char text[16] = {0};
    struct stat st;
    int fd, ends[2];

    fd = memfd_create("name", MFD_CLOEXEC);
    SHOW(pwritev2(fd, &iov, 1, 3, 0));
    SHOW(pwritev2(fd, &iov, 1, 0, 0x1000));
    SHOW(fstat(fd, &st));
    printf("size %d links %d\n", (int)st.st_size, (int)st.st_nlink);
    SHOW(lseek(fd, 0, SEEK_END));
    SHOW(lseek(fd, 8, SEEK_DATA));
    SHOW(lseek(fd, 4, SEEK_HOLE));
    SHOW(preadv2(fd, &(struct iovec){text, 5}, 1, 3, 0));
    printf("%s\n", text);
    SHOW(fgetxattr(fd, "user.x", text, 4) < 0);
    SHOW(pipe(ends));
    SHOW(splice(fd, &(loff_t){4}, ends[1], NULL, 100, 0));
    SHOW(read(ends[0], text, sizeof(text)));
    SHOW(splice(ends[0], NULL, fd, &(loff_t){0}, 10, SPLICE_F_NONBLOCK));
    SHOW(write(ends[1], "HE", 2));
    SHOW(splice(ends[0], NULL, fd, &(loff_t){3}, 10, 0));
    SHOW(pread(fd, text, 5, 3));
    printf("%.5s\n", text);
    SHOW(splice(fd, NULL, fd, NULL, 1, 0));
    close(fd);
    fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    SHOW(fd >= 0);
    SHOW(write(fd, "x", 1));
    SHOW(fstat(fd, &st));
    printf("size %d links %d mode %o\n", (int)st.st_size, (int)st.st_nlink, st.st_mode);
    SHOW(open("/tmp", O_TMPFILE | O_RDONLY, 0600));
    close(fd);
    close(ends[0]);
    close(ends[1]);
}

/* A futex is the same for two processes that map the file each for itself. */
static void two_mappings(void)
{
    int fd = memfd_create("shared", 0);
    sem_t *semaphores;
    int status = -1;

    SHOW(ftruncate(fd, 4096));
    semaphores = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    sem_init(&semaphores[0], 1, 0);
    sem_init(&semaphores[1], 1, 0);
    fflush(stdout);
    if (fork() == 0) {
        sem_t *own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        _exit(own == semaphores || sem_wait(&own[0]) || sem_post(&own[1]));
    }
    usleep(20000);
    SHOW(sem_post(&semaphores[0]));
    SHOW(sem_wait(&semaphores[1]));
    wait(&status);
    printf("child %d\n", status);
    munmap(semaphores, 4096);
    close(fd);
}

static pthread_mutex_t inheriting;
static int turns;

static void *take_turns(void *unused)
{
    (void)unused;
    for (int i = 0; i < 500; i++) {
        pthread_mutex_lock(&inheriting);
        turns++;
        if (i % 50 == 0)
            usleep(100);
        pthread_mutex_unlock(&inheriting);
    }
    return NULL;
}

static void inheriting_mutex(void)
{
    const struct timespec past = {.tv_sec = 1};
    pthread_mutexattr_t attr;
    pthread_t threads[3];

    pthread_mutexattr_init(&attr);
    SHOW(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT));
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    SHOW(pthread_mutex_init(&inheriting, &attr));
    SHOW(pthread_mutex_lock(&inheriting));
    SHOW(pthread_mutex_lock(&inheriting) == EDEADLK);
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, take_turns, NULL);
    usleep(10000);
    printf("turns %d\n", turns);
    SHOW(pthread_mutex_unlock(&inheriting));
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    printf("turns %d\n", turns);
    SHOW(pthread_mutex_lock(&inheriting));
    SHOW(pthread_mutex_timedlock(&inheriting, &past) == EDEADLK);
    SHOW(pthread_mutex_unlock(&inheriting));
    SHOW(pthread_mutex_unlock(&inheriting) == EPERM);
}

static sem_t told;

static void message_came(union sigval value)
{
    printf("told %d\n", value.sival_int);
    fflush(stdout);
    sem_post(&told);
}

static void notified_by_thread(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD};
    mqd_t queue = mq_open("/posix-told", O_CREAT | O_RDWR, 0600, NULL);

    event.sigev_notify_function = message_came;
    event.sigev_value.sival_int = 99;
    sem_init(&told, 0, 0);
    SHOW(mq_notify(queue, &event));
    SHOW(mq_notify(queue, &event));
    SHOW(mq_send(queue, "x", 1, 0));
    SHOW(sem_wait(&told));
    SHOW(mq_notify(queue, &event));
    SHOW(mq_notify(queue, NULL));
    mq_close(queue);
    SHOW(mq_unlink("/posix-told"));
}

static void parents(void)
{
    int ends[2], told[2], status;
    pid_t child, grandchild = 0;

    SHOW(prctl(PR_SET_CHILD_SUBREAPER, 1));
    pipe(ends);
    pipe(told);
    fflush(stdout);
    child = fork();
    if (child == 0) {
        if (fork() == 0) {
            grandchild = getpid();
            prctl(PR_SET_PDEATHSIG, SIGTERM);
            write(told[1], &grandchild, sizeof(grandchild));
            write(ends[1], "x", 1);
            pause();
        }
        read(ends[0], &status, 1);
        _exit(4);
    }
    read(told[0], &grandchild, sizeof(grandchild));
    SHOW(waitpid(child, &status, 0) == child);
    printf("child %x\n", (unsigned)status);
    SHOW(waitpid(grandchild, &status, 0) == grandchild);
    printf("grandchild %x\n", (unsigned)status);
    SHOW(prctl(PR_SET_CHILD_SUBREAPER, 0));
    close(ends[0]);
    close(ends[1]);
    close(told[0]);
    close(told[1]);
}

/* Locked memory cannot be dropped, and a limit holds for who is not root. */
static void locked_memory(void)
{
    char *memory =
        mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    SHOW(mlock(memory + 0x1000, 0x1000));
    SHOW(msync(memory, 0x1000, MS_SYNC | MS_INVALIDATE));
    SHOW(msync(memory, 0x2000, MS_SYNC | MS_INVALIDATE));
    SHOW(msync(memory, 0x2000, MS_SYNC));
    SHOW(munlock(memory, 0x4000));
    SHOW(msync(memory, 0x4000, MS_SYNC | MS_INVALIDATE));
    SHOW(mlockall(MCL_CURRENT | MCL_FUTURE));
    SHOW(msync(memory, 0x1000, MS_INVALIDATE));
    SHOW(munlockall());
    SHOW(msync(memory, 0x1000, MS_INVALIDATE));
    SHOW(mlockall(8));
    munmap(memory, 0x4000);
}

/* A pseudo terminal asked in the old way, and by packets. */
static void old_terminal(void)
{
    struct termio settings;
    char text[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    int on = 1, master = posix_openpt(O_RDWR | O_NOCTTY), slave;

    grantpt(master);
    unlockpt(master);
    slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    SHOW(ioctl(slave, TCGETA, &settings));
    printf("echo %d intr %d\n", (settings.c_lflag & ECHO) != 0, settings.c_cc[VINTR]);
    settings.c_lflag &= (unsigned short)~ECHO;
    settings.c_oflag = 0;
    SHOW(ioctl(slave, TCSETA, &settings));
    SHOW(ioctl(master, TIOCPKT, &on));
    SHOW(write(slave, "abc", 3));
    SHOW(read(master, text, sizeof(text)));
    printf("%d %.3s\n", text[0], text + 1);
    close(slave);
    close(master);
}

int test_anonymous(void)
{
    locked_memory();
    old_terminal();
    signals();
    files();
    two_mappings();
    inheriting_mutex();
    notified_by_thread();
    parents();
    return 0;
}
