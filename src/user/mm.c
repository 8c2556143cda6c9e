// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/mm.c -- the memory of a process: an address space, its map lock, and mapped files.
 *
 * mem/ knows regions and pages; here is what it needs from above: a sleeping lock around
 * changes of the map, limits of the process, and files behind mappings. A file system that can
 * map hands out its own pages, so all processes share one copy of busybox; for the others a
 * private mapping reads into pages of its own.
 *
 * Invariants
 *   - process.mm changes only while the process has one thread, which does it (mm_switch()).
 * Locking    mm.map_lock (sleeping) before anything of fs/; process.mm under the user lock.
 */
#include "core/assert.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mem/page.h"
#include "user/user_internal.h"

/* ---- files behind mappings ---- */

struct file_object {
    struct aspace_object object;
    uint32_t refs;  // (a)
    struct file *file;
    bool by_reading;  // (a) the file system cannot map
};

static struct file_object *file_object_of(struct aspace_object *object)
{
    return container_of(object, struct file_object, object);
}

/* A private copy of the page; beyond the end of the file there is none. */
static vmk_status page_read(struct file *file, uint64_t index, mpn_t *out)
{
    size_t done = 0;
    vmk_status status = aspace_memory_wait(false);

    if (status == VMK_OK)
        status = page_alloc_zeroed(0, MEM_OWNER_USER, out);

    if (status != VMK_OK)
        return status;
    status = file_pread(file, mpn_map(*out), PAGE_SIZE, index << PAGE_SHIFT, &done);
    if (status == VMK_OK && done == 0)
        status = VMK_BAD_PARAM;
    if (status != VMK_OK)
        page_put(*out);
    return status;
}

static vmk_status object_page_get(struct aspace_object *object, uint64_t index, bool write,
                                  mpn_t *out)
{
    struct file_object *o = file_object_of(object);

    if (!__atomic_load_n(&o->by_reading, __ATOMIC_RELAXED)) {
        vmk_status status = file_page_get(o->file, index, write, out);

        if (status != VMK_UNSUPPORTED)
            return status;
        __atomic_store_n(&o->by_reading, true, __ATOMIC_RELAXED);
    }
    return page_read(o->file, index, out);
}

static void object_page_put(struct aspace_object *object, uint64_t index, mpn_t page)
{
    struct file_object *o = file_object_of(object);

    if (o->by_reading)
        page_put(page);
    else
        file_page_put(o->file, index, page);
}

static void object_page_ref(struct aspace_object *object, uint64_t index, mpn_t page)
{
    struct file_object *o = file_object_of(object);

    if (!o->by_reading)
        file_page_ref(o->file, index, page);
    else if (!page_share(page))
        vmk_panic("a page of a file is mapped 65536 times");
}

static void object_ref(struct aspace_object *object)
{
    __atomic_fetch_add(&file_object_of(object)->refs, 1, __ATOMIC_RELAXED);
}

static void object_unref(struct aspace_object *object)
{
    struct file_object *o = file_object_of(object);

    if (__atomic_fetch_sub(&o->refs, 1, __ATOMIC_ACQ_REL) != 1)
        return;
    if (o->file->vnode)
        __atomic_fetch_sub(&o->file->vnode->mapped, 1, __ATOMIC_RELAXED);
    file_put(o->file);
    heap_free(o);
}

static void object_describe(struct aspace_object *object, char *name, size_t size,
                            uint64_t *device, uint64_t *inode)
{
    struct file_object *o = file_object_of(object);
    struct vfs_attr attr;
    const struct vfs_where where = vfs_where_kernel();

    if (file_getattr(o->file, &attr) == VMK_OK) {
        *device = attr.device;
        *inode = attr.inode;
    }
    if (file_path(where.root, o->file, name, size) != VMK_OK)
        vmk_snprintf(name, size, "?");
}

/* Mappings of one file share its pages, so it is the file that a futex there is known by. */
static const void *object_identity(const struct aspace_object *object)
{
    const struct file_object *o = container_of(object, const struct file_object, object);

    return o->file->vnode && !o->by_reading ? (const void *)o->file->vnode
                                            : (const void *)object;
}

static const struct aspace_object_ops file_object_ops = {
    .identity = object_identity,
    .page_get = object_page_get,
    .page_put = object_page_put,
    .page_ref = object_page_ref,
    .ref = object_ref,
    .unref = object_unref,
    .describe = object_describe,
};

static bool maps_vnode(const struct aspace_object *object, const void *vnode)
{
    return object->ops == &file_object_ops &&
           container_of(object, const struct file_object, object)->file->vnode == vnode;
}

struct user_mm *mm_after(uint32_t *pid)
{
    struct user_state *user = user_state();
    const struct process *next = NULL;
    struct user_mm *mm = NULL;
    bool irqs = spin_lock(&user->lock);

    list_for_each (node, &user->processes) {
        const struct process *p = list_entry(node, struct process, all_link);

        if (p->pid > *pid && p->mm && (!next || p->pid < next->pid))
            next = p;
    }
    if (next) {
        *pid = next->pid;
        mm = next->mm;
        mm_ref(mm);
    }
    spin_unlock(&user->lock, irqs);
    return mm;
}

void mm_file_cut(struct vnode *vnode, uint64_t size)
{
    uint32_t pid = 0;
    struct user_mm *mm;

    if (!vnode || !__atomic_load_n(&vnode->mapped, __ATOMIC_SEQ_CST))
        return;
    while ((mm = mm_after(&pid))) {
        mutex_lock(&mm->map_lock);
        aspace_object_cut(mm->as, maps_vnode, vnode, round_up(size, PAGE_SIZE) >> PAGE_SHIFT);
        mutex_unlock(&mm->map_lock);
        mm_put(mm);
    }
}

vmk_status mm_file_object(struct file *file, bool shared_write, struct aspace_object **out)
{
    struct file_object *o = heap_alloc(sizeof(*o), MEM_OWNER_USER);

    (void)shared_write;
    if (!o)
        return VMK_NO_MEMORY;
    o->object.ops = &file_object_ops;
    o->refs = 1;
    o->file = file;
    file_ref(file);
    if (file->vnode)
        __atomic_fetch_add(&file->vnode->mapped, 1, __ATOMIC_SEQ_CST);
    *out = &o->object;
    return VMK_OK;
}

/* ---- memory ---- */

static void limits_of(const struct process *p, struct aspace_limits *out)
{
    out->virtual_bytes = p->limits[L_RLIMIT_AS].current;
    out->stack_bytes = MIN(p->limits[L_RLIMIT_STACK].current, 1ull << 30);
    out->host_pages = user_state()->host_pages;
}

static struct user_mm *mm_alloc(void)
{
    struct user_mm *mm = heap_alloc(sizeof(*mm), MEM_OWNER_USER);

    if (mm) {
        mm->refs = 1;
        mutex_init(&mm->map_lock, "map");
    }
    return mm;
}

vmk_status mm_create(const struct process *p, struct user_mm **out)
{
    struct user_mm *mm = mm_alloc();
    struct aspace_limits limits;
    vmk_status status;

    if (!mm)
        return VMK_NO_MEMORY;
    limits_of(p, &limits);
    status = aspace_create(&limits, &mm->as);
    if (status != VMK_OK)
        heap_free(mm);
    else
        *out = mm;
    return status;
}

vmk_status mm_fork(struct user_mm *from, struct user_mm **out)
{
    struct user_mm *mm = mm_alloc();
    vmk_status status;

    if (!mm)
        return VMK_NO_MEMORY;
    mutex_lock(&from->map_lock);
    status = aspace_fork(from->as, &mm->as);
    mutex_unlock(&from->map_lock);
    if (status != VMK_OK) {
        heap_free(mm);
        return status;
    }
    mm->exe = from->exe;
    if (mm->exe)
        file_ref(mm->exe);
    mm->arg_start = from->arg_start;
    mm->arg_end = from->arg_end;
    mm->env_start = from->env_start;
    mm->env_end = from->env_end;
    mm->code_start = from->code_start;
    mm->code_end = from->code_end;
    mm->stack_start = from->stack_start;
    mm->auxv_start = from->auxv_start;
    mm->auxv_end = from->auxv_end;
    *out = mm;
    return VMK_OK;
}

void mm_ref(struct user_mm *mm)
{
    __atomic_fetch_add(&mm->refs, 1, __ATOMIC_RELAXED);
}

void mm_put(struct user_mm *mm)
{
    if (__atomic_fetch_sub(&mm->refs, 1, __ATOMIC_ACQ_REL) != 1)
        return;
    aspace_unref(mm->as);
    file_put(mm->exe);
    heap_free(mm);
}

void mm_switch(struct process *p, struct user_mm *mm)
{
    struct user_state *user = user_state();
    struct thread *t = thread_current();
    struct user_mm *old;
    bool irqs = spin_lock(&user->lock);

    old = p->mm;
    p->mm = mm;
    if (t && t->process == p) {
        aspace_switch_out(t->as);
        t->as = mm->as;
    }
    spin_unlock(&user->lock, irqs);
    if (old)
        mm_put(old);
}

void mm_limits_apply(struct process *p)
{
    struct aspace_limits limits;

    limits_of(p, &limits);
    aspace_limits_set(p->mm->as, &limits);
}
