// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sys_mem.c -- mmap and its family.
 *
 * Locking    mm.map_lock around every call marked [map] in mem/aspace.h.
 */
#include "lib/string.h"
#include "user/user_internal.h"

static unsigned protection_of(uint64_t prot)
{
    return (prot & L_PROT_READ ? ASPACE_READ : 0u) | (prot & L_PROT_WRITE ? ASPACE_WRITE : 0u) |
           (prot & L_PROT_EXEC ? ASPACE_EXEC : 0u);
}

static int64_t mmap_errno(vmk_status status)
{
    return status == VMK_EXISTS ? -L_EEXIST : user_errno(status);
}

/*
 * What stands behind the mapping: map->object has one reference, or is null for private
 * anonymous.
 */
static int64_t mmap_object(struct thread *t, const uint64_t *a, struct aspace_map *map)
{
    bool shared = (a[3] & L_MAP_TYPE) != L_MAP_PRIVATE;
    struct vfs_attr attr;
    struct file *file;
    vmk_status status;
    mpn_t page;

    if (a[3] & L_MAP_ANONYMOUS) {
        if (!shared)
            return 0;
        return user_errno(
            aspace_shared_create(round_up(a[1], PAGE_SIZE) >> PAGE_SHIFT, &map->object));
    }
    file = user_fd_get(t, a[4]);
    if (!file)
        return -L_EBADF;
    if (!file_may_read(file) || (shared && (a[2] & L_PROT_WRITE) && !file_may_write(file))) {
        file_put(file);
        return -L_EACCES;
    }
    status = file_getattr(file, &attr);
    if (status == VMK_OK && (attr.mode & VFS_TYPE_MASK) == VFS_TYPE_DIR)
        status = VMK_NO_DEVICE;
    if (status == VMK_OK && !file->ops->page_get && !file->ops->seekable)
        status = VMK_NO_DEVICE;
    if (status == VMK_OK && shared) {  // can it hand out its own pages?
        status = file_page_get(file, a[5] >> PAGE_SHIFT, false, &page);
        if (status == VMK_OK)
            file_page_put(file, a[5] >> PAGE_SHIFT, page);
        else
            status = status == VMK_UNSUPPORTED ? VMK_NO_DEVICE : VMK_OK;
    }
    if (status == VMK_OK)
        status = mm_file_object(file, shared && (a[2] & L_PROT_WRITE), &map->object);
    map->never_write = shared && !file_may_write(file);
    if (status == VMK_OK && (attr.mode & VFS_TYPE_MASK) == VFS_TYPE_REGULAR && attr.size) {
        uint8_t byte;
        struct vfs_iov iov = {.to = &byte, .size = 1};

        (void)!vnode_read(file->vnode, &iov);  // mapping it counts as an access
    }
    file_put(file);
    return status == VMK_NO_DEVICE ? -L_ENODEV : user_errno(status);
}

int64_t sys_mmap(struct thread *t, const uint64_t *a)
{
    struct user_mm *mm = t->process->mm;
    struct aspace_map map = {
        .address = a[0],
        .size = a[1],
        .protection = protection_of(a[2]),
        .fixed = a[3] & (L_MAP_FIXED | L_MAP_FIXED_NOREPLACE),
        .replace = a[3] & L_MAP_FIXED,
        .shared = (a[3] & L_MAP_TYPE) != L_MAP_PRIVATE,
        .kind = a[3] & L_MAP_GROWSDOWN ? ASPACE_REGION_STACK : ASPACE_REGION_PLAIN,
        .offset = a[5] >> PAGE_SHIFT,
    };
    uint64_t type = a[3] & L_MAP_TYPE;
    uint64_t address = 0;
    int64_t result;
    vmk_status status;

    if (a[1] == 0 || (a[5] & (PAGE_SIZE - 1)) || (map.fixed && (a[0] & (PAGE_SIZE - 1))) ||
        (type != L_MAP_PRIVATE && type != L_MAP_SHARED && type != L_MAP_SHARED_VALIDATE))
        return -L_EINVAL;
    if (a[1] > ASPACE_END || a[5] + a[1] < a[5])
        return a[1] > ASPACE_END ? -L_ENOMEM : -L_EOVERFLOW;
    result = mmap_object(t, a, &map);
    if (result)
        return result;
    if (a[3] & L_MAP_ANONYMOUS)
        map.offset = 0;
    mutex_lock(&mm->map_lock);
    status = aspace_map(mm->as, &map, &address);
    mutex_unlock(&mm->map_lock);
    if (map.object)
        map.object->ops->unref(map.object);
    if (status == VMK_BAD_PARAM && map.fixed)
        return -L_ENOMEM;
    return status == VMK_OK ? (int64_t)address : mmap_errno(status);
}

int64_t sys_munmap(struct thread *t, const uint64_t *a)
{
    struct user_mm *mm = t->process->mm;
    vmk_status status;

    mutex_lock(&mm->map_lock);
    status = aspace_unmap(mm->as, a[0], a[1]);
    mutex_unlock(&mm->map_lock);
    return user_errno(status);
}

int64_t sys_mprotect(struct thread *t, const uint64_t *a)
{
    struct user_mm *mm = t->process->mm;
    vmk_status status;

    if (a[2] & ~(uint64_t)(7u | L_PROT_GROWSDOWN))
        return -L_EINVAL;
    mutex_lock(&mm->map_lock);
    status = aspace_protect(mm->as, a[0], a[1], protection_of(a[2]));
    mutex_unlock(&mm->map_lock);
    return user_errno(status);
}

int64_t sys_brk(struct thread *t, const uint64_t *a)
{
    struct user_mm *mm = t->process->mm;
    uint64_t end;

    mutex_lock(&mm->map_lock);
    end = aspace_heap_move(mm->as, a[0], t->process->limits[L_RLIMIT_DATA].current);
    mutex_unlock(&mm->map_lock);
    return (int64_t)end;
}

int64_t sys_mremap(struct thread *t, const uint64_t *a)
{
    struct user_mm *mm = t->process->mm;
    uint64_t address;
    vmk_status status;

    if ((a[3] & ~7ull) || ((a[3] & 6) && !(a[3] & L_MREMAP_MAYMOVE)) || a[2] == 0 ||
        a[1] == 0 || ((a[3] & L_MREMAP_DONTUNMAP) && a[1] != a[2]))
        return -L_EINVAL;
    mutex_lock(&mm->map_lock);
    status = aspace_remap(mm->as, a[0], a[1], a[2],
                          (a[3] & L_MREMAP_MAYMOVE ? ASPACE_REMAP_MAY_MOVE : 0) |
                              (a[3] & L_MREMAP_DONTUNMAP ? ASPACE_REMAP_KEEP : 0),
                          a[3] & L_MREMAP_FIXED ? &a[4] : NULL, &address);
    mutex_unlock(&mm->map_lock);
    return status == VMK_OK ? (int64_t)address : user_errno(status);
}

static vmk_status at_fork(struct aspace *as, const uint64_t *a, unsigned flag, bool on)
{
    return aspace_at_fork(as, a[0], round_up(MIN(a[1], ASPACE_END), PAGE_SIZE), flag, on);
}

int64_t sys_madvise(struct thread *t, const uint64_t *a)
{
    struct user_mm *mm = t->process->mm;
    vmk_status status = VMK_OK;

    if (a[0] & (PAGE_SIZE - 1))
        return -L_EINVAL;
    if (a[1] == 0)
        return 0;
    if (a[2] > 25)
        return -L_EINVAL;
    mutex_lock(&mm->map_lock);
    switch (a[2]) {
    case L_MADV_DONTNEED:
    case L_MADV_FREE: status = aspace_discard(mm->as, a[0], a[1]); break;
    case L_MADV_DONTFORK:
    case L_MADV_DOFORK:
        status = at_fork(mm->as, a, ASPACE_FORK_LEAVES_OUT, a[2] == L_MADV_DONTFORK);
        break;
    case L_MADV_WIPEONFORK:
    case L_MADV_KEEPONFORK:
        status = at_fork(mm->as, a, ASPACE_FORK_WIPES, a[2] == L_MADV_WIPEONFORK);
        break;
    default: break;
    }
    mutex_unlock(&mm->map_lock);
    return user_errno(status);
}

/* Every page of the range mapped? */
static bool range_mapped(struct aspace *as, uint64_t at, uint64_t size)
{
    struct aspace_region_info info;
    uint64_t end = at + size;

    while (at < end) {
        if (!aspace_region_next(as, at, &info) || info.start > at)
            return false;
        at = info.end;
    }
    return true;
}

/*
 * Shared file pages are the file's own, so what is written is in the file; on disk after fsync.
 */
int64_t sys_msync(struct thread *t, const uint64_t *a)
{
    uint64_t size = round_up(MIN(a[1], ASPACE_END), PAGE_SIZE);

    if ((a[0] & (PAGE_SIZE - 1)) || (a[2] & ~7ull) || a[1] > ASPACE_END)
        return -L_EINVAL;
    if (!range_mapped(t->as, a[0], size))
        return -L_ENOMEM;
    return (a[2] & L_MS_INVALIDATE) && aspace_range_locked(t->as, a[0], size) ? -L_EBUSY : 0;
}

int64_t sys_mincore(struct thread *t, const uint64_t *a)
{
    uint64_t pages = round_up(MIN(a[1], ASPACE_END), PAGE_SIZE) >> PAGE_SHIFT;
    uint8_t ones[64];

    if (a[0] & (PAGE_SIZE - 1))
        return -L_EINVAL;
    if (a[1] > ASPACE_END || !range_mapped(t->as, a[0], pages << PAGE_SHIFT))
        return -L_ENOMEM;
    memset(ones, 1, sizeof(ones));
    for (uint64_t i = 0; i < pages; i += sizeof(ones)) {
        if (user_out(t, a[2] + i, ones, (size_t)MIN(pages - i, sizeof(ones))))
            return -L_EFAULT;
    }
    return 0;
}

/* Locked pages are not swapped, and those that were come back. */
static int64_t lock_range(struct thread *t, const uint64_t *a, bool lock)
{
    struct user_mm *mm = t->process->mm;
    uint64_t start = a[0] & ~(uint64_t)(PAGE_SIZE - 1);
    uint64_t limit = t->process->limits[L_RLIMIT_MEMLOCK].current;
    struct aspace_use use;
    vmk_status status;
    uint64_t end;

    if (__builtin_add_overflow(a[0], a[1], &end))
        return -L_EINVAL;
    if (end > ASPACE_END)
        return -L_ENOMEM;
    end = round_up(end, PAGE_SIZE);
    if (lock && t->process->euid) {
        aspace_use_get(mm->as, &use);
        if (!limit)
            return -L_EPERM;
        if ((use.locked_pages << PAGE_SHIFT) + (end - start) > limit)
            return -L_ENOMEM;
    }
    if (end == start)
        return 0;
    mutex_lock(&mm->map_lock);
    status = aspace_lock(mm->as, start, end - start, lock);
    if (status == VMK_OK && lock)
        status = aspace_bring_back(mm->as, start, end - start);
    mutex_unlock(&mm->map_lock);
    return user_errno(status);
}

int64_t sys_mlock(struct thread *t, const uint64_t *a)
{
    return lock_range(t, a, true);
}

int64_t sys_munlock(struct thread *t, const uint64_t *a)
{
    return lock_range(t, a, false);
}

static vmk_status lock_all(struct thread *t, bool now, bool future)
{
    struct user_mm *mm = t->process->mm;
    vmk_status status = VMK_OK;

    mutex_lock(&mm->map_lock);
    aspace_lock_all(mm->as, now, future);
    if (now)
        status = aspace_bring_back(mm->as, ASPACE_LOWEST, ASPACE_END - ASPACE_LOWEST);
    mutex_unlock(&mm->map_lock);
    return status;
}

#define MCL_CURRENT 1u
#define MCL_FUTURE  2u
#define MCL_ONFAULT 4u

int64_t sys_mlockall(struct thread *t, const uint64_t *a)
{
    uint64_t limit = t->process->limits[L_RLIMIT_MEMLOCK].current;
    struct aspace_use use;

    if (!(a[0] & (MCL_CURRENT | MCL_FUTURE)) ||
        (a[0] & ~(uint64_t)(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)))
        return -L_EINVAL;
    if (t->process->euid && !limit)
        return -L_EPERM;
    aspace_use_get(t->process->mm->as, &use);
    if (t->process->euid && (a[0] & MCL_CURRENT) && use.virtual_pages << PAGE_SHIFT > limit)
        return -L_ENOMEM;
    return user_errno(lock_all(t, a[0] & MCL_CURRENT, a[0] & MCL_FUTURE));
}

int64_t sys_munlockall(struct thread *t, const uint64_t *a)
{
    (void)a;
    return user_errno(lock_all(t, false, false));
}
