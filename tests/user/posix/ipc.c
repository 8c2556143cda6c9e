// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/user/posix/ipc.c -- System V IPC: shared memory, semaphores with undo, messages by type.
 */
#include "posix.h"

#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

union argument {
    int value;
    struct semid_ds *ds;
    unsigned short *values;
    struct seminfo *info;
};

/* Ids and addresses differ by nature. */
#define GOOD(call)                                                                             \
    do {                                                                                       \
        long good_result;                                                                      \
        errno = 0;                                                                             \
        good_result = (long)(call);                                                            \
        printf("%s: %s\n", #call, good_result == -1 ? strerrorname_np(errno) : "good");        \
    } while (0)

static void on_signal(int signal)
{
    (void)signal;
}

/* A child that runs `body`, of which the parent hears nothing but its end. */
static pid_t start(int (*body)(int id), int id)
{
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child == 0) {
        int status = body(id);

        fflush(stdout);
        _exit(status);
    }
    return child;
}

static int end_of(pid_t child)
{
    int status = -1;

    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* ---- shared memory ---- */

static void show_segment(int id)
{
    struct shmid_ds ds;

    if (shmctl(id, IPC_STAT, &ds)) {
        printf("stat %s\n", strerrorname_np(errno));
        return;
    }
    printf("%zu bytes, mode %o, %lu attached, made by %s, key %s\n", ds.shm_segsz,
           (unsigned)ds.shm_perm.mode, (unsigned long)ds.shm_nattch,
           ds.shm_cpid == getpid() ? "me" : "another", ds.shm_perm.__key ? "some" : "none");
}

static int write_there(int id)
{
    char *p = shmat(id, NULL, 0);

    show_segment(id);
    strcpy(p, "from the child");
    return 3;
}

static void shared_memory(void)
{
    key_t key = 0x4f520000 + getpid();
    int id, other, null = 0;
    struct shmid_ds ds;
    struct shminfo info;
    char *p, *q, *room;

    SHOW(shmget(key, 4096, 0));
    SHOW(shmget(key, 0, IPC_CREAT | 0600));
    id = shmget(key, 10000, IPC_CREAT | IPC_EXCL | 0600);
    printf("made %d\n", id >= 0);
    SHOW(shmget(key, 10000, IPC_CREAT | IPC_EXCL | 0600));
    SHOW(shmget(key, 20000, 0));
    printf("same %d\n", shmget(key, 100, 0) == id);
    other = shmget(IPC_PRIVATE, 4096, 0644);
    printf("another %d\n", other >= 0 && other != id);
    show_segment(id);
    p = shmat(id, NULL, 0);
    show_segment(id);
    printf("zero %d %d\n", p[0], p[9999]);
    p[9999] = 7;
    q = shmat(id, NULL, SHM_RDONLY);
    printf("twice %d %d\n", p != q, q[9999]);
    SHOW(mprotect(q, 4096, PROT_READ | PROT_WRITE));
    SHOW(end_of(start(write_there, id)));
    printf("%s\n", q);
    show_segment(id);
    SHOW(shmdt(q));
    SHOW(shmdt(q));
    SHOW(shmdt(p + 1));
    room = mmap(NULL, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    GOOD(shmat(id, room, 0));
    GOOD(shmat(id, room + 5, 0));
    GOOD(shmat(id, NULL, SHM_REMAP));
    printf("over %d\n", (char *)shmat(id, room + 4096 + 5, SHM_REMAP | SHM_RND) - room == 4096);
    printf("%s\n", room + 4096);
    SHOW(munmap(room + 8192, 4096));  // in the middle of it
    show_segment(id);
    SHOW(shmdt(room + 4096));
    show_segment(id);
    SHOW(shmctl(id, IPC_STAT, &ds));
    ds.shm_perm.mode = 0640;
    SHOW(shmctl(id, IPC_SET, &ds));
    show_segment(id);
    SHOW(shmctl(id, SHM_LOCK, NULL));
    show_segment(id);
    SHOW(shmctl(id, SHM_UNLOCK, NULL));
    SHOW(shmctl(id, IPC_RMID, NULL));
    show_segment(id);
    SHOW(shmget(key, 100, 0));
    printf("%s\n", p);
    GOOD(shmat(id, NULL, 0));
    SHOW(shmdt(p));
    show_segment(id);
    SHOW(shmctl(other, IPC_RMID, NULL));
    SHOW(shmctl(other, IPC_RMID, NULL));
    SHOW(shmctl(-1, IPC_STAT, &ds));
    SHOW(shmctl(other, 99, &ds));
    printf("info %d\n", shmctl(0, IPC_INFO, (struct shmid_ds *)&info) >= 0);
    printf("least %lu\n", (unsigned long)info.shmmin);
    GOOD(shmat(null - 1, NULL, 0));
}

/* ---- semaphores ---- */

static int one(int id, int number, int by, int flags)
{
    struct sembuf op = {(unsigned short)number, (short)by, (short)flags};

    return semop(id, &op, 1);
}

static int take_and_die(int id)
{
    one(id, 0, -2, SEM_UNDO);
    one(id, 1, 5, SEM_UNDO);
    return semctl(id, 0, GETVAL);
}

static int wait_for_one(int id)
{
    return one(id, 2, -1, 0) ? errno : 0;
}

static int wait_for_zero(int id)
{
    return one(id, 2, 0, 0) ? errno : 0;
}

static void until_waiting(int id, int number, int command, int count)
{
    while (semctl(id, number, command) != count)
        usleep(1000);
}

static void semaphores(void)
{
    struct sembuf both[] = {{0, -1, 0}, {1, -1, IPC_NOWAIT}};
    struct sembuf twice[] = {{0, 1, 0}, {0, -1, 0}, {0, 1, 0}};
    struct timespec soon = {0, 5000000}, bad = {-1, 0};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    unsigned short values[4] = {3, 2, 1, 0};
    struct semid_ds ds;
    pid_t child, second;
    int id = semget(IPC_PRIVATE, 4, 0600);

    SHOW(semget(IPC_PRIVATE, 0, 0600));
    SHOW(semget(IPC_PRIVATE, 1 << 20, 0600));
    SHOW(semctl(id, 0, SETALL, (union argument){.values = values}));
    SHOW(semctl(id, 1, GETVAL));
    SHOW(semctl(id, 4, GETVAL));
    printf("mine %d\n", semctl(id, 1, GETPID) == getpid());
    SHOW(semctl(id, 1, SETVAL, (union argument){.value = 40000}));
    SHOW(semctl(id, 1, SETVAL, (union argument){.value = -1}));
    SHOW(semctl(id, 1, SETVAL, (union argument){.value = 0}));
    SHOW(semop(id, both, 2));  // the first is taken back
    SHOW(semctl(id, 0, GETVAL));
    SHOW(semop(id, twice, 3));
    SHOW(semctl(id, 0, GETVAL));
    SHOW(one(id, 4, 1, 0));
    SHOW(one(id, 0, 32767, 0));
    SHOW(semop(id, both, 0));
    SHOW(semop(id, both, 100000));
    SHOW(one(id, 3, -1, IPC_NOWAIT));
    SHOW(semtimedop(id, &(struct sembuf){3, -1, 0}, 1, &soon));
    SHOW(semtimedop(id, &(struct sembuf){3, -1, 0}, 1, &bad));
    SHOW(one(id, 3, 0, 0));
    SHOW(end_of(start(take_and_die, id)));
    SHOW(semctl(id, 0, GETVAL));
    SHOW(semctl(id, 1, GETVAL));
    SHOW(semctl(id, 2, SETVAL, (union argument){.value = 0}));
    child = start(wait_for_one, id);
    until_waiting(id, 2, GETNCNT, 1);
    SHOW(semctl(id, 2, GETZCNT));
    SHOW(one(id, 2, 1, 0));
    SHOW(end_of(child));
    SHOW(one(id, 2, 1, 0));
    child = start(wait_for_zero, id);
    until_waiting(id, 2, GETZCNT, 1);
    SHOW(semctl(id, 2, SETVAL, (union argument){.value = 0}));
    SHOW(end_of(child));
    child = start(wait_for_one, id);
    second = start(wait_for_one, id);
    until_waiting(id, 2, GETNCNT, 2);
    kill(child, SIGKILL);
    SHOW(end_of(child));
    SHOW(semctl(id, 2, GETNCNT));
    sigaction(SIGALRM, &action, NULL);
    ualarm(10000, 0);
    SHOW(one(id, 3, -1, 0));  // never again by itself
    SHOW(semctl(id, 0, IPC_STAT, (union argument){.ds = &ds}));
    printf("%lu semaphores, mode %o\n", (unsigned long)ds.sem_nsems,
           (unsigned)ds.sem_perm.mode);
    SHOW(semctl(id, 0, IPC_RMID));
    printf("the other %s\n", strerrorname_np(end_of(second)));
    SHOW(semctl(id, 0, GETVAL));
    SHOW(one(id, 0, 1, 0));
}

/* ---- messages ---- */

struct text {
    long type;
    char text[64];
};

static int send_text(int id, long type, const char *text, int flags)
{
    struct text m = {.type = type};

    snprintf(m.text, sizeof(m.text), "%s", text);
    return msgsnd(id, &m, strlen(text), flags);
}

static void show_taken(int id, size_t room, long type, int flags)
{
    struct text m = {0};
    long size = msgrcv(id, &m, room, type, flags);

    if (size < 0)
        printf("take %ld: %s\n", type, strerrorname_np(errno));
    else
        printf("take %ld: %ld %.*s\n", type, m.type, (int)size, m.text);
}

static int take_five(int id)
{
    struct text m;

    return msgrcv(id, &m, sizeof(m.text), 5, 0) == 7 ? (int)m.type : errno;
}

static int send_much(int id)
{
    return send_text(id, 1, "when there is room", 0) ? errno : 0;
}

static void show_queue(int id)
{
    struct msqid_ds ds;

    SHOW(msgctl(id, IPC_STAT, &ds));
    printf("%lu messages, %lu bytes of %lu, mode %o\n", (unsigned long)ds.msg_qnum,
           (unsigned long)ds.__msg_cbytes, (unsigned long)ds.msg_qbytes,
           (unsigned)ds.msg_perm.mode);
}

static void messages(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    int id = msgget(IPC_PRIVATE, 0600);
    struct msqid_ds ds;
    pid_t child;

    SHOW(send_text(id, 3, "three", 0));
    SHOW(send_text(id, 1, "one", 0));
    SHOW(send_text(id, 2, "two", 0));
    SHOW(send_text(id, 1, "one more", 0));
    SHOW(send_text(id, 0, "no such type", 0));
    SHOW(msgsnd(id, &(struct text){.type = 1}, 100000, 0));
    show_queue(id);
    show_taken(id, 64, 1, MSG_COPY | IPC_NOWAIT);
    show_taken(id, 64, 9, MSG_COPY | IPC_NOWAIT);
    show_taken(id, 64, 1, MSG_COPY);
    show_taken(id, 64, 2, 0);
    show_taken(id, 64, -2, 0);
    show_taken(id, 4, 1, 0);
    show_taken(id, 4, 1, MSG_NOERROR);
    show_taken(id, 64, 3, MSG_EXCEPT | IPC_NOWAIT);
    show_taken(id, 64, 0, 0);
    show_taken(id, 64, 0, IPC_NOWAIT);
    sigaction(SIGALRM, &action, NULL);
    ualarm(10000, 0);
    show_taken(id, 64, 0, 0);
    child = start(take_five, id);
    usleep(20000);
    SHOW(send_text(id, 4, "not for him", 0));
    SHOW(send_text(id, 5, "for him", 0));
    SHOW(end_of(child));
    show_queue(id);
    SHOW(msgctl(id, IPC_STAT, &ds));
    ds.msg_qbytes = 20;
    SHOW(msgctl(id, IPC_SET, &ds));
    SHOW(send_text(id, 1, "too much now", IPC_NOWAIT));
    child = start(send_much, id);
    usleep(20000);
    show_queue(id);
    show_taken(id, 64, 4, 0);
    show_taken(id, 64, 0, 0);
    SHOW(end_of(child));
    SHOW(send_text(id, 1, "fills it altogether", 0));
    child = start(send_much, id);
    usleep(20000);
    SHOW(msgctl(id, IPC_RMID, NULL));
    printf("the other %s\n", strerrorname_np(end_of(child)));
    SHOW(send_text(id, 1, "gone", 0));
    show_taken(id, 64, 0, 0);
    SHOW(msgctl(id, IPC_STAT, &ds));
}

int test_ipc(void)
{
    shared_memory();
    semaphores();
    messages();
    return 0;
}
