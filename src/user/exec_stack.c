// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/exec_stack.c -- what a new program finds on its stack.
 *
 * From high to low: environment strings, argument strings, file name, random bytes, platform,
 * auxiliary vector, envp, argv, argc. The strings of arguments and environment lie in order, as
 * /proc/<pid>/cmdline shows them.
 *
 * Locking    none; the new space is nobody's until mm_switch().
 * Start at   exec_stack_make().
 * Sources    System V ABI AMD64 "Process Initialization"
 */
#include "core/assert.h"
#include "lib/string.h"
#include "user/exec_internal.h"

#define STACK_TOP   (ASPACE_END - 0x10000)
#define STACK_FIRST (128u << 10)  // mapped at first; it grows
#define STRINGS_MAX (2u << 20)    // arguments and environment
#define WORDS_MAX   65536u

static vmk_status push_bytes(struct loader *l, const void *bytes, size_t size)
{
    l->strings += size;
    if (l->strings > STRINGS_MAX)
        return VMK_TOO_BIG;
    l->sp -= size;
    return aspace_copy_out(l->as, l->sp, bytes, size);
}

/* One string of the old space; its length first, then piece by piece. */
static vmk_status push_user_string(struct loader *l, uint64_t from)
{
    char *piece = buffer_get();
    uint64_t size = 0;
    size_t length = 0;
    vmk_status status;

    if (!piece)
        return VMK_NO_MEMORY;
    do {
        status = aspace_copy_string(l->old, piece, from + size, USER_BUFFER_SIZE, &length);
        size += status == VMK_OK ? length + 1 : USER_BUFFER_SIZE;
    } while (status == VMK_NAME_TOO_LONG && size + l->strings <= STRINGS_MAX);
    if (status != VMK_OK || size + l->strings > STRINGS_MAX) {
        buffer_put(piece);
        return status == VMK_OK || status == VMK_NAME_TOO_LONG ? VMK_TOO_BIG : VMK_FAULT;
    }
    l->strings += size;
    l->sp -= size;
    for (uint64_t at = 0; at < size && status == VMK_OK;) {
        size_t part = (size_t)MIN(size - at, (uint64_t)USER_BUFFER_SIZE);

        status = aspace_copy_in(l->old, piece, from + at, part);
        if (status == VMK_OK) {
            if (at + part == size)
                piece[part - 1] = 0;  // another thread may have changed it meanwhile
            status = aspace_copy_out(l->as, l->sp + at, piece, part);
        }
        at += part;
    }
    buffer_put(piece);
    return status;
}

static vmk_status words_count(struct loader *l, const struct words *w, size_t *count)
{
    *count = 0;
    if (w->kernel) {
        while (w->kernel[*count])
            (*count)++;
        return VMK_OK;
    }
    if (!w->user)
        return VMK_OK;
    for (;; (*count)++) {
        uint64_t pointer;

        if (aspace_copy_in(l->old, &pointer, w->user + *count * 8, 8) != VMK_OK)
            return VMK_FAULT;
        if (!pointer)
            return VMK_OK;
        if (*count >= WORDS_MAX)
            return VMK_TOO_BIG;
    }
}

/* Pushes words [from, count), last first, and notes where each lies. */
static vmk_status push_words(struct loader *l, const struct words *w, size_t from, size_t count,
                             uint64_t *addresses)
{
    vmk_status status = VMK_OK;

    for (size_t i = count; i-- > from && status == VMK_OK;) {
        if (w->kernel) {
            status = push_bytes(l, w->kernel[i], strlen(w->kernel[i]) + 1);
        } else {
            uint64_t pointer;

            status = aspace_copy_in(l->old, &pointer, w->user + i * 8, 8);
            if (status == VMK_OK)
                status = push_user_string(l, pointer);
        }
        addresses[i - from] = l->sp;
    }
    return status;
}

struct vector {
    uint64_t *words;
    size_t count, room;
};

static void vector_add(struct vector *v, uint64_t word)
{
    vmk_assert(v->count < v->room);
    v->words[v->count++] = word;
}

static void vector_pair(struct vector *v, uint64_t key, uint64_t value)
{
    vector_add(v, key);
    vector_add(v, value);
}

vmk_status exec_stack_make(struct loader *l, const char *path, const struct words *argv,
                           const struct words *envp)
{
    const struct aspace_map map = {.address = STACK_TOP - STACK_FIRST,
                                   .size = STACK_FIRST,
                                   .protection = ASPACE_READ | ASPACE_WRITE,
                                   .fixed = true,
                                   .kind = ASPACE_REGION_STACK};
    const struct process *p = l->p;
    bool secure = p->uid != p->euid || p->gid != p->egid;
    uint64_t random[2] = {plat_entropy(), plat_entropy()};
    uint64_t path_at, random_at, platform_at, vdso_at;
    size_t argc, envc, first = 0;
    struct vector v = {0};
    vmk_status status = exec_map(l, &map);

    l->sp = STACK_TOP - 16;
    if (status == VMK_OK)
        status = vdso_map(l, &vdso_at);
    if (status == VMK_OK)
        status = words_count(l, argv, &argc);
    if (status == VMK_OK)
        status = words_count(l, envp, &envc);
    if (status != VMK_OK)
        return status;
    if (l->script && argc)
        first = 1;  // the script's own name replaces it
    v.room = argc + envc + l->extra_count + 64;
    v.words = heap_alloc(v.room * 8, MEM_OWNER_USER);
    if (!v.words)
        return VMK_NO_MEMORY;

    /*
     * The addresses are collected where the vector will be: argv from 1, envp behind its null.
     */
    size_t argv_count = l->extra_count + argc - first;
    uint64_t *argv_words = v.words + 1, *envp_words = argv_words + argv_count + 1;

    l->mm->env_end = l->sp;
    status = push_words(l, envp, 0, envc, envp_words);
    l->mm->env_start = l->mm->arg_end = l->sp;
    if (status == VMK_OK)
        status = push_words(l, argv, first, argc, argv_words + l->extra_count);
    for (unsigned i = 0; i < l->extra_count && status == VMK_OK; i++) {
        /* extra[0] is the last of them on the command line. */
        status = push_bytes(l, l->extra[i], strlen(l->extra[i]) + 1);
        argv_words[l->extra_count - 1 - i] = l->sp;
    }
    l->mm->arg_start = l->sp;
    if (status == VMK_OK)
        status = push_bytes(l, path, strlen(path) + 1);
    path_at = l->sp;
    if (status == VMK_OK)
        status = push_bytes(l, "x86_64", 7);
    platform_at = l->sp;
    l->sp = round_down(l->sp, 16);
    if (status == VMK_OK)
        status = push_bytes(l, random, sizeof(random));
    random_at = l->sp;
    if (status != VMK_OK)
        goto out;

    v.words[0] = argv_count;
    v.count = 1 + argv_count;
    vector_add(&v, 0);
    v.count += envc;
    vector_add(&v, 0);
    first = v.count;  // of the auxiliary vector
    vector_pair(&v, L_AT_SYSINFO_EHDR, vdso_at);
    vector_pair(&v, L_AT_HWCAP, plat_cpuid(1, 0).edx);
    vector_pair(&v, L_AT_PAGESZ, PAGE_SIZE);
    vector_pair(&v, L_AT_CLKTCK, L_HZ);
    vector_pair(&v, L_AT_PHDR, l->headers);
    vector_pair(&v, L_AT_PHENT, 56);
    vector_pair(&v, L_AT_PHNUM, l->header_count);
    vector_pair(&v, L_AT_BASE, l->base);
    vector_pair(&v, L_AT_FLAGS, 0);
    vector_pair(&v, L_AT_ENTRY, l->program_entry);
    vector_pair(&v, L_AT_UID, p->uid);
    vector_pair(&v, L_AT_EUID, p->euid);
    vector_pair(&v, L_AT_GID, p->gid);
    vector_pair(&v, L_AT_EGID, p->egid);
    vector_pair(&v, L_AT_SECURE, secure);
    vector_pair(&v, L_AT_RANDOM, random_at);
    vector_pair(&v, L_AT_EXECFN, path_at);
    vector_pair(&v, L_AT_PLATFORM, platform_at);
    vector_pair(&v, L_AT_NULL, 0);
    l->sp = round_down(l->sp - v.count * 8, 16);
    status = aspace_copy_out(l->as, l->sp, v.words, v.count * 8);
    l->mm->stack_start = l->sp;
    l->mm->auxv_start = l->sp + first * 8;
    l->mm->auxv_end = l->sp + v.count * 8;
out:
    heap_free(v.words);
    return status;
}
