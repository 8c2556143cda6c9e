// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/user/posix/robust.c -- mutexes and conditions that processes share, and what is left of an owner that died.
 */
#include "posix.h"

struct shared {
    pthread_mutex_t robust, plain;
    pthread_cond_t cond;
    int turn, value;
};

int test_robust(void)
{
    struct shared *s =
        mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_t attr;
    pthread_condattr_t cond;
    int status;

    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&s->plain, &attr);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&s->robust, &attr);
    pthread_condattr_init(&cond);
    pthread_condattr_setpshared(&cond, PTHREAD_PROCESS_SHARED);
    pthread_cond_init(&s->cond, &cond);

    for (int how = 0; how < 3; how++) {
        pid_t child = fork();

        if (child == 0) {
            pthread_mutex_lock(&s->robust);
            s->value = how + 1;
            if (how == 0)
                _exit(0);
            if (how == 1)
                raise(SIGKILL);
            execl("/nowhere", "nowhere", (char *)NULL);
            abort();
        }
        waitpid(child, &status, 0);
        status = pthread_mutex_lock(&s->robust);
        printf("owner %d gone: %s, value %d\n", how, strerrorname_np(status), s->value);
        printf("consistent %d\n", pthread_mutex_consistent(&s->robust));
        pthread_mutex_unlock(&s->robust);
        printf("again %d\n", pthread_mutex_lock(&s->robust));
        pthread_mutex_unlock(&s->robust);
    }
    if (fork() == 0) {
        pthread_mutex_lock(&s->robust);
        _exit(0);
    }
    wait(&status);
    pthread_mutex_lock(&s->robust);
    pthread_mutex_unlock(&s->robust);  // without making it consistent
    printf("not recoverable: %s\n", strerrorname_np(pthread_mutex_lock(&s->robust)));

    /* Two processes in turn. */
    if (fork() == 0) {
        for (int i = 0; i < 100; i++) {
            pthread_mutex_lock(&s->plain);
            while (s->turn != 1)
                pthread_cond_wait(&s->cond, &s->plain);
            s->value = s->value * 3 + 1;
            s->turn = 0;
            pthread_cond_signal(&s->cond);
            pthread_mutex_unlock(&s->plain);
        }
        _exit(0);
    }
    s->value = 0;
    for (int i = 0; i < 100; i++) {
        pthread_mutex_lock(&s->plain);
        s->value ^= i;
        s->turn = 1;
        pthread_cond_signal(&s->cond);
        while (s->turn != 0)
            pthread_cond_wait(&s->cond, &s->plain);
        pthread_mutex_unlock(&s->plain);
    }
    wait(&status);
    printf("in turn: %x\n", (unsigned)s->value);
    return munmap(s, sizeof(*s));
}
