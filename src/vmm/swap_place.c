// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/swap_place.c -- which file or device a VM's pages are swapped to.
 *
 *   sched.swap.dir in its .vmx      a file there
 *   its .vmx lies on a disk         a file beside it, NAME-N.vswp
 *   mem.swap.space=host:DEVICE      a part of that device, whose contents are lost
 *   mem.swap.space=ramdisk:64M      a part of a disk in memory: for tests and the simulation
 *   else                            none: only its balloon and its compression cache give pages
 *                                   back
 *
 * A file or part is as large as what the VM may lose: its memory less its reservation. It is
 * made at power-on, and grows before a reservation gets lower.
 * A VM whose .vmx is in visorfs (which is memory) gets no file beside it.
 *
 * Invariants
 *   - Parts of the device do not overlap.
 * Locking    vmm_state.lock for the parts.
 */
#include "vmm/swap_place.h"

#include "core/core.h"
#include "core/log.h"
#include "fs/vfs.h"
#include "io/storage.h"
#include "lib/format.h"
#include "lib/string.h"
#include "vmm/ram_disk.h"
#include "vmm/vm.h"
#include "vmm/vmm_state.h"

#define SPACE_SIZE 128u
#define MB(bytes)  ((unsigned long long)((bytes) >> 20))

struct swap_area {
    struct block_device *block;
    struct {
        const struct vm *vm;  // whose; null: nobody's
        uint64_t base, size;
    } parts[VMM_VMS_MAX];
};

/* Pages that may have to go: none of a VM that reserves all it has. */
static uint64_t slots_of(const struct vm *vm)
{
    return vm->page_count - MIN(vm->config.mem_min_mb * 256ull, vm->page_count);
}

void swap_place_start(void)
{
    struct vmm_state *vmm = this_host()->vmm;
    struct swap_area *area;
    char space[SPACE_SIZE];
    vmk_status status = VMK_BAD_PARAM;
    uint64_t megabytes;
    const char *end;

    if (!core_option("mem.swap.space", space, sizeof(space)))
        return;
    area = heap_alloc(sizeof(*area), MEM_OWNER_VMM);
    if (!area)
        return;
    if (strncmp(space, "ramdisk:", 8) == 0) {
        if (parse_u64(space + 8, &end, &megabytes) && strcmp(end, "M") == 0 && megabytes &&
            megabytes < 1u << 20)
            status = ram_disk_create("swap", megabytes << 20, NULL, 0, NULL, &area->block);
    } else if (strncmp(space, "host:", 5) == 0) {
        status = storage_open(space + 5, &area->block);
    }
    if (status != VMK_OK) {
        vmk_log(
            VMK_LOG_ERROR,
            "Mem: mem.swap.space=%s: %s; it is host:DEVICE or ramdisk:SIZE like ramdisk:64M",
            space, vmk_status_text(status));
        heap_free(area);
        return;
    }
    vmk_log(VMK_LOG_INFO, "Mem: %s, %llu MB, takes what VMs without a swap file swap out",
            area->block->name, MB(area->block->size));
    vmm->swap_area = area;
}

bool swap_place_uses(const char *name)
{
    const struct swap_area *area = this_host()->vmm->swap_area;

    return area && storage_names_meet(area->block->name, name);
}

/* ---- parts of the device ---- */

/*
 * The lowest place behind which `size` bytes are free, or UINT64_MAX; *most is the largest gap.
 */
static uint64_t place_find(const struct swap_area *a, uint64_t size, uint64_t *most)
{
    uint64_t at = 0;

    *most = 0;
    for (;;) {
        uint64_t next = a->block->size, after = UINT64_MAX;

        for (unsigned i = 0; i < VMM_VMS_MAX; i++) {
            if (a->parts[i].vm && a->parts[i].base >= at && a->parts[i].base < next) {
                next = a->parts[i].base;
                after = next + a->parts[i].size;
            }
        }
        *most = MAX(*most, next - at);
        if (next - at >= size)
            return at;
        if (after == UINT64_MAX)
            return UINT64_MAX;
        at = after;
    }
}

static void part_set(struct swap_area *a, const struct vm *from, const struct vm *to,
                     uint64_t base, uint64_t size)
{
    unsigned i = 0;

    while (i < VMM_VMS_MAX && a->parts[i].vm != from)
        i++;
    if (i < VMM_VMS_MAX) {
        a->parts[i].vm = to;
        a->parts[i].base = base;
        a->parts[i].size = size;
    }
}

static void part_give(struct swap_area *a, const struct vm *vm)
{
    bool irqs = spin_lock(&this_host()->vmm->lock);

    part_set(a, vm, NULL, 0, 0);
    spin_unlock(&this_host()->vmm->lock, irqs);
}

static vmk_status part_open(struct vm *vm, struct swap_store *s)
{
    struct vmm_state *vmm = this_host()->vmm;
    struct swap_area *area = vmm->swap_area;
    uint64_t size = slots_of(vm) * PAGE_SIZE, base, most;
    vmk_status status = VMK_NO_SPACE;
    bool irqs = spin_lock(&vmm->lock);

    base = place_find(area, size, &most);
    if (base != UINT64_MAX)
        part_set(area, NULL, vm, base, size);
    spin_unlock(&vmm->lock, irqs);
    if (base != UINT64_MAX)
        status = swap_store_open_block(s, area->block, base, slots_of(vm), vm->page_count);
    if (status == VMK_OK)
        return VMK_OK;
    if (base != UINT64_MAX)
        part_give(area, vm);
    vmk_log(VMK_LOG_ERROR,
            "Mem: %s is not admitted: it needs %llu MB of swap space and %s has %llu MB: %s; "
            "give it less memory, power a VM off, or make mem.swap.space larger",
            vm->config.name, MB(size), area->block->name, MB(most), vmk_status_text(status));
    return status;
}

/* ---- files ---- */

/* Where the last part of a path begins. */
static size_t folder_length(const char *path)
{
    size_t length = strlen(path);

    while (length && path[length - 1] != '/')
        length--;
    return length;
}

static bool on_disk(const char *folder)
{
    const struct vfs_where where = vfs_where_kernel();
    struct vnode *vnode;
    bool yes;

    if (vfs_walk(&where, folder, VFS_WALK_DIRECTORY, &vnode) != VMK_OK)
        return false;
    yes = strcmp(vnode->mount->type->name, "visorfs") != 0;
    vnode_put(vnode);
    return yes;
}

/* FOLDER/NAME-INDEX.vswp. False: too long. */
static bool path_make(const struct vm *vm, const char *folder, char *path, size_t room)
{
    char name[VM_NAME_SIZE];
    int length;

    vmk_snprintf(name, sizeof(name), "%s", vm->config.name);
    for (char *at = name; *at; at++) {
        if (*at == '/')
            *at = '_';
    }
    length = vmk_snprintf(path, room, "%s/%s-%u.vswp", folder, name, vm->index);
    return length > 0 && (size_t)length < room;
}

static vmk_status file_open(struct vm *vm, const char *folder, struct swap_store *s)
{
    uint64_t size = slots_of(vm) * PAGE_SIZE, available = 0;
    char path[VM_PATH_SIZE + VM_NAME_SIZE + 16];
    vmk_status status = vfs_is_up() ? VMK_NAME_TOO_LONG : VMK_NO_DEVICE;

    if (status == VMK_NAME_TOO_LONG && path_make(vm, folder, path, sizeof(path)))
        status = swap_store_open_file(s, path, slots_of(vm), vm->page_count, &available);
    if (status == VMK_NO_SPACE)
        vmk_log(VMK_LOG_ERROR,
                "Mem: %s is not admitted: its swap file %s needs %llu MB and %llu MB are "
                "available; make room there, give it less memory, or name another place by "
                "sched.swap.dir",
                vm->config.name, path, MB(size), MB(available));
    else if (status != VMK_OK)
        vmk_log(VMK_LOG_WARN, "Mem: %s: its swap file cannot be made in %s: %s",
                vm->config.name, folder, vmk_status_text(status));
    return status;
}

vmk_status swap_place_open(struct vm *vm, struct swap_store *s)
{
    const char *config = vm->owner.config_file;
    char folder[VM_PATH_SIZE];
    vmk_status status = VMK_NOT_FOUND;

    *s = (struct swap_store){0};
    if (!slots_of(vm))
        return VMK_OK;
    if (vm->config.swap_dir[0])
        return file_open(vm, vm->config.swap_dir, s);
    if (vfs_is_up() && config && config[0] == '/') {
        size_t length = folder_length(config);

        if (length > 1 && length <= sizeof(folder)) {
            vmk_snprintf(folder, sizeof(folder), "%.*s", (int)length - 1, config);
            if (on_disk(folder))
                status = file_open(vm, folder, s);
        }
    }
    // A folder that cannot take the file does not keep a VM from running; a full one does.
    if (status == VMK_OK || status == VMK_NO_SPACE)
        return status;
    *s = (struct swap_store){0};
    return this_host()->vmm->swap_area ? part_open(vm, s) : VMK_OK;
}

/* As much behind its part of the device as it wants more? Then the part has it. */
static vmk_status part_grow(const struct vm *vm, const struct swap_store *s, uint64_t slots)
{
    struct vmm_state *vmm = this_host()->vmm;
    struct swap_area *a = vmm->swap_area;
    const uint64_t end = s->base + slots * PAGE_SIZE;
    vmk_status status = end <= a->block->size ? VMK_OK : VMK_NO_SPACE;
    bool irqs = spin_lock(&vmm->lock);

    for (unsigned i = 0; i < VMM_VMS_MAX; i++) {
        if (a->parts[i].vm && a->parts[i].vm != vm && a->parts[i].base > s->base &&
            a->parts[i].base < end)
            status = VMK_NO_SPACE;
    }
    for (unsigned i = 0; status == VMK_OK && i < VMM_VMS_MAX; i++) {
        if (a->parts[i].vm == vm)
            a->parts[i].size = slots * PAGE_SIZE;
    }
    spin_unlock(&vmm->lock, irqs);
    return status;
}

vmk_status swap_place_grow(struct vm *vm, struct swap_store *s, uint64_t slots)
{
    uint64_t available = 0;
    vmk_status status = VMK_OK;

    if (slots <= s->slots)
        return VMK_OK;
    if (s->block && this_host()->vmm->swap_area)
        status = part_grow(vm, s, slots);
    if (status == VMK_OK)
        status = swap_store_grow(s, slots, &available);
    if (status != VMK_OK)
        vmk_log(
            VMK_LOG_ERROR,
            "Mem: %s: its reservation stays: %s would need %llu MB more than its %llu MB and "
            "%llu MB are available: %s; make room there, or power the VM off and on",
            vm->config.name, s->name, MB((slots - s->slots) * PAGE_SIZE),
            MB((uint64_t)s->slots * PAGE_SIZE), MB(available), vmk_status_text(status));
    return status;
}

void swap_place_close(struct vm *vm, struct swap_store *s)
{
    struct swap_area *area = this_host()->vmm->swap_area;
    bool part = s->block != NULL;

    swap_store_close(s);
    if (part && area)
        part_give(area, vm);
}
