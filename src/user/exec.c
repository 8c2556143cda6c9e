// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/exec.c -- execve: a new program in place of the old.
 *
 * Everything that can fail happens in a new address space while the old one still runs: opening,
 * reading headers, mapping segments, copying strings. Only then are the other threads ended and the
 * spaces exchanged, which cannot fail. A script (#!) makes its interpreter the program and puts
 * words in front of the arguments, at most a few levels deep.
 *
 * The new stack, from high to low: environment strings, argument strings, file name, random bytes,
 * platform, auxiliary vector, envp, argv, argc. The strings of arguments and environment lie in
 * order, as /proc/<pid>/cmdline shows them.
 *
 * Locking    none; the new space is nobody's until mm_switch().
 * Start at   process_exec().
 * Sources    [ELF]; System V ABI AMD64 "Process Initialization"
 */
#include "core/assert.h"
#include "core/log.h"
#include "lib/string.h"
#include "user/elf.h"
#include "user/user_internal.h"

#define STACK_TOP     (ASPACE_END - 0x10000)
#define STACK_FIRST   (128u << 10)  // mapped at first; it grows
#define PIE_BASE      0x555555554000ull
#define INTERP_BASE   0x7f0000000000ull
#define STRINGS_MAX   (2u << 20)  // arguments and environment
#define WORDS_MAX     65536u
#define SCRIPT_LEVELS 4u
#define SCRIPT_LINE   256u

/* A list of strings: in the caller's memory, or the kernel's own. */
struct words {
    uint64_t user;              // of an array of pointers; used if kernel is null
    const char *const *kernel;  // ends with null
};

struct loader {
    struct thread *t;
    struct process *p;
    struct user_mm *mm;
    struct aspace *as;
    struct aspace *old;  // where user words are
    uint64_t sp;
    uint64_t entry, program_entry, headers, base;
    uint16_t header_count;
    uint64_t strings;  // bytes pushed
    // Words in front of argv[1..], from scripts: newest first on the command line.
    char *extra[2 * SCRIPT_LEVELS + 1];
    unsigned extra_count;
    bool script;
};

/* ---- loading segments ---- */

static vmk_status map_in(struct loader *l, const struct aspace_map *map)
{
    uint64_t address;

    return aspace_map(l->as, map, &address);
}

static vmk_status load_segment(struct loader *l, struct aspace_object *object,
                               const struct elf_segment *s, uint64_t bias)
{
    uint64_t start = round_down(s->address + bias, PAGE_SIZE);
    uint64_t file_end = s->address + bias + s->file_size;
    uint64_t file_top = s->file_size ? round_up(file_end, PAGE_SIZE) : start;
    uint64_t top = round_up(s->address + bias + s->memory_size, PAGE_SIZE);
    struct aspace_map map = {.address = start, .protection = s->protection, .fixed = true};
    vmk_status status = VMK_OK;

    if (file_top > start) {
        map.size = file_top - start;
        map.object = object;
        map.offset = (s->offset - (s->address & (PAGE_SIZE - 1))) >> PAGE_SHIFT;
        status = map_in(l, &map);
        /* What follows the file's bytes in the last page is zero, not the file's next bytes. */
        if (status == VMK_OK && file_end < file_top && s->memory_size > s->file_size) {
            static const uint8_t zeros[256];

            for (uint64_t at = file_end; at < file_top && status == VMK_OK;) {
                size_t part = (size_t)MIN(file_top - at, sizeof(zeros));

                status = aspace_poke(l->as, at, zeros, part);
                at += part;
            }
        }
    }
    if (status == VMK_OK && top > file_top) {
        map.address = file_top;
        map.size = top - file_top;
        map.object = NULL;
        map.offset = 0;
        status = map_in(l, &map);
    }
    return status;
}

static vmk_status load_segments(struct loader *l, struct file *file,
                                const struct elf_image *image, uint64_t bias)
{
    struct aspace_object *object;
    vmk_status status = mm_file_object(file, false, &object);

    for (unsigned i = 0; i < image->segment_count && status == VMK_OK; i++)
        status = load_segment(l, object, &image->segments[i], bias);
    if (object)
        object->ops->unref(object);
    return status;
}

/* Reads and checks the headers. */
static vmk_status read_headers(const char *path, struct file *file, struct elf_image *image)
{
    uint8_t head[ELF_HEAD_SIZE];
    uint8_t *headers;
    struct vfs_attr attr;
    uint64_t offset, size;
    size_t done = 0;
    const char *why;
    vmk_status status = file_pread(file, head, sizeof(head), 0, &done);

    if (status != VMK_OK)
        return status;
    if (done < sizeof(head) || elf_head(head, &offset, &size) != VMK_OK)
        return VMK_BAD_FORMAT;
    status = file_getattr(file, &attr);
    if (status != VMK_OK)
        return status;
    headers = heap_alloc(size, MEM_OWNER_USER);
    if (!headers)
        return VMK_NO_MEMORY;
    status = file_pread(file, headers, size, offset, &done);
    if (status == VMK_OK && done < size)
        status = VMK_BAD_FORMAT;
    if (status == VMK_OK) {
        status = elf_parse(head, headers, attr.size, image, &why);
        if (status != VMK_OK)
            vmk_log(VMK_LOG_INFO, "User: %s: cannot run it: %s", path, why);
    }
    heap_free(headers);
    return status;
}

static uint64_t bias_of(const struct elf_image *image, uint64_t base)
{
    return image->relocatable ? base - image->low : 0;
}

static vmk_status load_interpreter(struct loader *l, struct file *program,
                                   const struct elf_image *image)
{
    char path[ELF_PATH_MAX + 1];
    struct elf_image *inner;
    struct user_path where;
    struct file *file;
    size_t done = 0;
    vmk_status status =
        file_pread(program, path, image->interpreter_size, image->interpreter_offset, &done);

    if (status != VMK_OK || done < image->interpreter_size)
        return VMK_BAD_FORMAT;
    path[done] = 0;
    where_get(l->t, &where);
    status = vfs_open(&where.where, path, VFS_O_RDONLY, 0, &file);
    path_put(&where);
    if (status != VMK_OK) {
        vmk_log(VMK_LOG_INFO, "User: no interpreter %s; link the program with -static", path);
        return status;
    }
    inner = heap_alloc(sizeof(*inner), MEM_OWNER_USER);
    status = inner ? read_headers(path, file, inner) : VMK_NO_MEMORY;
    if (status == VMK_OK) {
        uint64_t bias = bias_of(inner, INTERP_BASE);

        status = load_segments(l, file, inner, bias);
        l->entry = inner->entry + bias;
        l->base = inner->low + bias;
    }
    heap_free(inner);
    file_put(file);
    return status;
}

static vmk_status load_program(struct loader *l, const char *path, struct file *file)
{
    struct elf_image *image = heap_alloc(sizeof(*image), MEM_OWNER_USER);
    vmk_status status = image ? read_headers(path, file, image) : VMK_NO_MEMORY;
    uint64_t bias;

    if (status != VMK_OK)
        goto out;
    bias = bias_of(image, PIE_BASE);
    if (image->high + bias > INTERP_BASE - (1ull << 30)) {
        status = VMK_BAD_FORMAT;
        goto out;
    }
    status = load_segments(l, file, image, bias);
    if (status != VMK_OK)
        goto out;
    l->program_entry = l->entry = image->entry + bias;
    l->headers = image->headers ? image->headers + bias : 0;
    l->header_count = image->header_count;
    l->mm->code_start = image->low + bias;
    l->mm->code_end = image->high + bias;
    aspace_heap_set(l->as, image->high + bias);
    if (image->interpreter_size)
        status = load_interpreter(l, file, image);
out:
    heap_free(image);
    return status;
}

/* ---- the stack ---- */

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

static vmk_status push_stack(struct loader *l, const char *path, const struct words *argv,
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
    uint64_t path_at, random_at, platform_at;
    size_t argc, envc, first = 0;
    struct vector v = {0};
    vmk_status status = map_in(l, &map);

    l->sp = STACK_TOP - 16;
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

    /* The addresses are collected where the vector will be: argv from 1, envp behind its null. */
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
out:
    heap_free(v.words);
    return status;
}

/* ---- scripts ---- */

static char *copy_text(const char *text, size_t length)
{
    char *copy = heap_alloc(length + 1, MEM_OWNER_USER);

    if (copy)
        memcpy(copy, text, length);
    return copy;
}

static vmk_status add_extra(struct loader *l, const char *text, size_t length)
{
    char *copy;

    if (l->extra_count == ARRAY_COUNT(l->extra))
        return VMK_TOO_MANY_LINKS;
    copy = copy_text(text, length);
    if (!copy)
        return VMK_NO_MEMORY;
    l->extra[l->extra_count++] = copy;
    return VMK_OK;
}

/* The interpreter's line, if the file starts with one: *interpreter is the file to run instead. */
static vmk_status script_line(struct loader *l, const char *path, struct file *file,
                              char *interpreter, bool *is_script)
{
    char line[SCRIPT_LINE];
    size_t done = 0, at = 2, end, word;
    vmk_status status = file_pread(file, line, sizeof(line) - 1, 0, &done);

    *is_script = false;
    if (status != VMK_OK || done < 2 || line[0] != '#' || line[1] != '!')
        return status;
    line[done] = 0;
    for (end = 2; line[end] && line[end] != '\n'; end++)
        ;
    while (end > at && (line[end - 1] == ' ' || line[end - 1] == '\t'))
        end--;
    line[end] = 0;
    while (line[at] == ' ' || line[at] == '\t')
        at++;
    for (word = at; line[word] && line[word] != ' ' && line[word] != '\t'; word++)
        ;
    if (word == at)
        return VMK_BAD_FORMAT;
    *is_script = true;
    /* Innermost last: the script's name, its option, the interpreter's name. */
    if (l->script) {  // the interpreter is a script itself: its name is there already
        heap_free(l->extra[--l->extra_count]);
    }
    status = add_extra(l, path, strlen(path));
    if (status == VMK_OK && word < end) {
        size_t option = word;

        while (line[option] == ' ' || line[option] == '\t')
            option++;
        status = add_extra(l, line + option, end - option);
    }
    if (status == VMK_OK)
        status = add_extra(l, line + at, word - at);
    memcpy(interpreter, line + at, word - at);
    interpreter[word - at] = 0;
    l->script = true;
    return status;
}

/* ---- the exchange ---- */

/* /proc/self/exe leads to a file without a name; the running program's own file has one. */
static void keep_name(struct thread *t, struct file **file)
{
    struct user_mm *mm = t->process->mm;

    if ((*file)->name || !mm || !mm->exe || mm->exe->vnode != (*file)->vnode)
        return;
    file_put(*file);
    *file = mm->exe;
    file_ref(*file);
}

static vmk_status open_program(struct thread *t, const char *path, struct file **out)
{
    struct user_path where;
    struct vnode *vnode;
    struct vfs_attr attr;
    vmk_status status;

    where_get(t, &where);
    status = vfs_walk(&where.where, path, 0, &vnode);
    if (status == VMK_OK) {
        status = vnode_getattr(vnode, &attr);
        if (status == VMK_OK && (attr.mode & VFS_TYPE_MASK) != VFS_TYPE_REGULAR)
            status = VMK_NO_PERMISSION;
        if (status == VMK_OK && (vnode->mount->flags & VFS_MOUNT_NOEXEC))
            status = VMK_NO_PERMISSION;
        if (status == VMK_OK)
            status = vnode_access(vnode, VFS_MAY_EXEC, where.where.cred);
        /* By name, so that /proc/<pid>/exe can say it; who may execute need not be able to read. */
        where.where.cred = &vfs_cred_root;
        if (status == VMK_OK)
            status = vfs_open(&where.where, path, VFS_O_RDONLY, 0, out);
        if (status == VMK_OK)
            keep_name(t, out);
        vnode_put(vnode);
    }
    path_put(&where);
    return status;
}

static void name_set(struct process *p, const char *path)
{
    const char *name = path;

    for (const char *c = path; *c; c++)
        name = *c == '/' && c[1] ? c + 1 : name;

    size_t length = MIN(strlen(name), sizeof(p->name) - 1);

    memset(p->name, 0, sizeof(p->name));
    memcpy(p->name, name, length);
}

/* Handlers of the old program mean nothing in the new one. */
static bool actions_reset(struct process *p)
{
    struct user_state *user = user_state();
    struct user_actions *fresh = heap_alloc(sizeof(*fresh), MEM_OWNER_USER), *old;

    if (!fresh)
        return false;

    bool irqs = spin_lock(&user->lock);

    for (unsigned i = 0; i < L_NSIG; i++) {
        if (p->actions->actions[i].handler == L_SIG_IGN)
            fresh->actions[i].handler = L_SIG_IGN;
    }
    fresh->refs = 1;
    old = p->actions;
    p->actions = fresh;
    spin_unlock(&user->lock, irqs);
    if (__atomic_fetch_sub(&old->refs, 1, __ATOMIC_ACQ_REL) == 1)
        heap_free(old);
    return true;
}

/* Set-id bits of the file, unless the mount or the process forbids. */
static void credentials_set(struct process *p, struct file *file)
{
    struct vfs_attr attr;

    if (file_getattr(file, &attr) == VMK_OK && !p->no_new_privileges && file->vnode &&
        !(file->vnode->mount->flags & VFS_MOUNT_NOSUID)) {
        if (attr.mode & VFS_MODE_SETUID)
            p->euid = attr.uid;
        if ((attr.mode & VFS_MODE_SETGID) && (attr.mode & 0010))
            p->egid = attr.gid;
    }
    p->suid = p->euid;
    p->sgid = p->egid;
    p->cred.uid = p->euid;
    p->cred.gid = p->egid;
    p->dumpable = p->uid == p->euid && p->gid == p->egid;
}

static bool fds_unshare(struct process *p)
{
    struct user_fds *copy, *old = p->fds;

    if (__atomic_load_n(&old->refs, __ATOMIC_ACQUIRE) == 1)
        return true;
    copy = fds_copy(old);
    if (!copy)
        return false;
    p->fds = copy;
    fds_put(old);
    return true;
}

static void registers_set(struct thread *t, const struct loader *l)
{
    bool irqs = plat_irq_save();

    thread_fpu_reset(t);
    if (thread_current() == t)
        plat_fpu_load(t->fpu, t->fpu_xcr0);
    plat_irq_restore(irqs);
    t->regs = (struct plat_user_regs){.rip = l->entry, .rflags = 0x202};
    t->regs.gpr[4] = l->sp;
    t->altstack = (struct l_stack){.flags = L_SS_DISABLE};
    t->clear_child_tid = 0;
    t->robust_list = 0;
    posix_timers_delete(t->process);
    t->set_child_tid = 0;
    t->syscall = -1;
}

/* From here on there is no way back. */
static int64_t exchange(struct loader *l, const char *path, struct file *file)
{
    struct thread *t = l->t;
    struct process *p = l->p;
    bool running = thread_current() == t;

    if (running) {
        if (!process_single_thread(t))
            return -L_EAGAIN;  // the process ends
        futex_thread_exit(t);
    }
    if (!actions_reset(p) || !fds_unshare(p))
        return -L_ENOMEM;
    l->mm->exe = file;
    file_ref(file);
    mm_switch(p, l->mm);
    l->mm = NULL;
    process_vfork_release(t);
    fds_close_on_exec(p->fds);
    name_set(p, path);
    memset(p->reported_missing, 0, sizeof(p->reported_missing));
    p->execed = true;
    registers_set(t, l);
    return 0;
}

static int64_t exec_errno(vmk_status status)
{
    if (status == VMK_BAD_FORMAT)
        return -L_ENOEXEC;
    return status == VMK_TOO_BIG ? -L_E2BIG : user_errno(status);
}

static int64_t exec(struct thread *t, const char *first_path, const struct words *argv,
                    const struct words *envp)
{
    struct loader l = {
        .t = t, .p = t->process, .old = t->process->mm ? t->process->mm->as : NULL};
    char interpreter[SCRIPT_LINE];
    const char *path = first_path;
    struct file *file = NULL;
    uint32_t old_euid = l.p->euid, old_egid = l.p->egid;
    bool is_script = true;
    vmk_status status;
    int64_t result;

    for (unsigned level = 0; is_script; level++) {
        char next[SCRIPT_LINE];

        file_put(file);
        file = NULL;
        status = level > SCRIPT_LEVELS ? VMK_TOO_MANY_LINKS : open_program(t, path, &file);
        if (status == VMK_OK)
            status = script_line(&l, path, file, next, &is_script);
        if (status != VMK_OK)
            goto out;
        if (is_script) {
            memcpy(interpreter, next, sizeof(next));
            path = interpreter;
        }
    }
    credentials_set(l.p, file);
    status = mm_create(l.p, &l.mm);
    if (status != VMK_OK)
        goto out;
    l.as = l.mm->as;
    status = load_program(&l, path, file);
    if (status == VMK_OK)
        status = push_stack(&l, first_path, argv, envp);
out:
    result = exec_errno(status);
    if (result == 0)
        result = exchange(&l, first_path, file);
    if (result) {
        l.p->euid = l.p->cred.uid = old_euid;
        l.p->egid = l.p->cred.gid = old_egid;
    }
    if (l.mm)
        mm_put(l.mm);
    file_put(file);
    for (unsigned i = 0; i < l.extra_count; i++)
        heap_free(l.extra[i]);
    return result;
}

int64_t process_exec_kernel(struct thread *t, const char *path, const char *const *argv,
                            const char *const *envp)
{
    const struct words a = {.kernel = argv}, e = {.kernel = envp};

    return exec(t, path, &a, &e);
}

int64_t sys_execve(struct thread *t, const uint64_t *a)
{
    const struct words argv = {.user = a[1]}, envp = {.user = a[2]};
    struct user_path path;
    int64_t result = path_get(t, L_AT_FDCWD, a[0], &path);

    if (result)
        return result;
    result = exec(t, path.text, &argv, &envp);
    path_put(&path);
    return result;
}
