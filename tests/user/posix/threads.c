// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/user/posix/threads.c -- thread-local storage, keys, barriers, read-write locks, semaphores, cancellation, time-outs.
 */
#include "posix.h"

#include <semaphore.h>

#define COUNT 8

static __thread long own = 7;
static __thread char big[2000];
static pthread_key_t key;
static pthread_barrier_t barrier;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static sem_t semaphore;
static int destroyed, once_ran, shared;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;

static void destroy(void *value)
{
    __atomic_add_fetch(&destroyed, (int)(long)value, __ATOMIC_RELAXED);
}

static void run_once(void)
{
    once_ran++;
}

static void *work(void *argument)
{
    long n = (long)argument, sum = own;

    own += n;
    memset(big, (int)n, sizeof(big));
    pthread_setspecific(key, (void *)(n + 1));
    pthread_once(&once, run_once);
    for (int round = 0; round < 50; round++) {
        pthread_barrier_wait(&barrier);
        pthread_rwlock_rdlock(&rwlock);
        sum += shared;
        pthread_rwlock_unlock(&rwlock);
        pthread_barrier_wait(&barrier);
        if (round % COUNT == n) {
            pthread_rwlock_wrlock(&rwlock);
            shared++;
            pthread_rwlock_unlock(&rwlock);
        }
    }
    for (size_t i = 0; i < sizeof(big); i++)
        sum += big[i] == (char)n;
    sem_post(&semaphore);
    return (void *)(sum + own);
}

static void cleanup(void *argument)
{
    *(int *)argument += 1;
}

static void *forever(void *argument)
{
    pthread_cleanup_push(cleanup, argument);
    for (;;)
        pause();
    pthread_cleanup_pop(0);
    return argument;
}

int test_threads(void)
{
    pthread_t threads[COUNT], sleeper;
    struct timespec deadline;
    pthread_attr_t attr;
    long total = 0;
    int cleaned = 0;
    void *result;
    size_t size;

    pthread_key_create(&key, destroy);
    pthread_barrier_init(&barrier, NULL, COUNT);
    sem_init(&semaphore, 0, 0);
    for (long i = 0; i < COUNT; i++)
        pthread_create(&threads[i], NULL, work, (void *)i);
    for (int i = 0; i < COUNT; i++)
        sem_wait(&semaphore);
    for (int i = 0; i < COUNT; i++) {
        pthread_join(threads[i], &result);
        total += (long)result;
    }
    printf("total %ld shared %d destroyed %d once %d own %ld\n", total, shared, destroyed,
           once_ran, own);
    SHOW(sem_trywait(&semaphore));
    pthread_create(&sleeper, NULL, forever, &cleaned);
    usleep(20000);
    SHOW(pthread_cancel(sleeper));
    pthread_join(sleeper, &result);
    printf("cancelled %d, cleaned up %d\n", result == PTHREAD_CANCELED, cleaned);
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_nsec += 20000000;
    if (deadline.tv_nsec >= 1000000000) {
        deadline.tv_nsec -= 1000000000;
        deadline.tv_sec++;
    }
    pthread_mutex_lock(&lock);
    printf("timed wait %s\n",
           strerrorname_np(pthread_cond_timedwait(&never, &lock, &deadline)));
    printf("trylock %s\n", strerrorname_np(pthread_mutex_trylock(&lock)));
    printf("timedlock %s\n", strerrorname_np(pthread_mutex_timedlock(&lock, &deadline)));
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 128 * 1024);
    pthread_attr_getstacksize(&attr, &size);
    printf("stack %zu\n", size);
    /* Threads that come and go. */
    for (int i = 0; i < 200; i++) {
        if (pthread_create(&threads[0], &attr, (void *(*)(void *))(uintptr_t)strdup, "x") != 0)
            puts("no thread");
        pthread_join(threads[0], &result);
        free(result);
    }
    return 0;
}
