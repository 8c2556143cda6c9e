// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/vmk_device.c -- /dev/vmk: who asks, is the request whole, may he; then to whoever can answer.
 *
 * The system-call layer has copied the request's structure into the kernel by the size in its
 * number, so a request of another size is another number and is refused here as unknown.
 * Pointers inside structures are followed by vmk_list.c and vmk_vm.c, through checked copies of
 * the calling thread.
 *
 * Invariants
 *   - Nothing is looked at before vmk_head_ok(), nothing changed before vmk_may().
 * Locking    none of its own.
 * Start at   control_ioctl().
 */
#include "user/vmk_device.h"

#include "core/log.h"
#include "fs/vm_console.h"
#include "fs/vmfs/vmfs_vfs.h"
#include "lib/format.h"
#include "lib/string.h"
#include "sched/sched.h"
#include "vmm/vm.h"

#define CONTROL_MAJOR 239u

bool vmk_head_ok(const void *data, size_t size)
{
    const struct vmk_head *head = data;

    return head->size == size && head->version == VMK_ABI_VERSION;
}

bool vmk_may(const struct thread *t, uint32_t owner_uid)
{
    uint32_t uid = t->process->euid;

    return uid == 0 || uid == owner_uid;
}

vmk_status vmk_fd_give(struct thread *t, struct file *file, int32_t *fd)
{
    int64_t result = user_fd_install(t, file, 0, true);

    if (result < 0)
        return result == -L_ENOMEM ? VMK_NO_MEMORY : VMK_LIMIT;
    *fd = (int32_t)result;
    return VMK_OK;
}

/* ---- the scheduler ---- */

static vmk_status set_one(const struct vmk_sched_set *s, uint32_t what)
{
    switch (what) {
    case VMK_SET_SHARES: return sched_set_shares(s->id, s->shares);
    case VMK_SET_MIN: return sched_set_min(s->id, s->min_mhz);
    case VMK_SET_MAX: return sched_set_max(s->id, s->max_mhz);
    case VMK_SET_AFFINITY: return sched_set_affinity(s->id, s->affinity);
    case VMK_SET_POOL: return sched_set_pool(s->id, s->pool_id);
    default: return VMK_BAD_PARAM;
    }
}

struct vm_search {
    uint32_t world;
    uint32_t how;
    const struct thread *asker;
    uint32_t owner, cartel;  // out
    bool may;                // out
    uint32_t flags;
    vmk_status status;  // out
    struct file *file;  // out
};

static bool owner_find(struct vm *vm, void *argument)
{
    struct vm_search *s = argument;

    if (!vm_has_world(vm, s->world))
        return false;
    s->may = vmk_may(s->asker, vm->owner.uid);
    return true;
}

static vmk_status sched_set(struct thread *t, struct vmk_sched_set *s)
{
    const uint32_t known =
        VMK_SET_SHARES | VMK_SET_MIN | VMK_SET_MAX | VMK_SET_AFFINITY | VMK_SET_POOL;
    struct vm_search search = {.world = s->id, .asker = t};

    if (!s->what || (s->what & ~known))
        return VMK_BAD_PARAM;
    // The owner of a VM may divide what the VM has, not take more of the host.
    if (t->process->euid != 0 && (!vm_table_visit(owner_find, &search) || !search.may ||
                                  (s->what & (VMK_SET_MIN | VMK_SET_MAX | VMK_SET_POOL))))
        return VMK_NOT_OWNER;
    memset(s->reason, 0, sizeof(s->reason));
    for (uint32_t bit = 1; bit <= VMK_SET_POOL; bit <<= 1) {
        vmk_status status = s->what & bit ? set_one(s, bit) : VMK_OK;

        if (status == VMK_LIMIT) {
            (void)sched_refusal(s->reason, sizeof(s->reason));
            return VMK_OK;
        }
        if (status != VMK_OK)
            return status;
    }
    return VMK_OK;
}

/* ---- VMs by a world's id ---- */

static bool kill_visit(struct vm *vm, void *argument)
{
    struct vm_search *s = argument;

    if (!vm_has_world(vm, s->world))
        return false;
    s->cartel = vm->owner.cartel;
    s->may = vmk_may(s->asker, vm->owner.uid);
    if (!s->may)
        return true;
    switch (s->how) {
    case VMK_KILL_BUTTON: vmk_vm_button(vm); break;
    case VMK_KILL_RESET: vm_request_reset(vm, "somebody asked for it"); break;
    case VMK_KILL_FORCE: vm_stop(vm, 1, "killed"); break;
    default:
        if (!s->cartel)
            vm_stop(vm, 1, "killed");
        break;
    }
    return true;
}

static vmk_status vm_kill(struct thread *t, const struct vmk_vm_kill *k)
{
    struct vm_search s = {.world = k->world_id, .how = k->how, .asker = t};
    struct process *p;

    if (k->how < VMK_KILL_SOFT || k->how > VMK_KILL_RESET)
        return VMK_BAD_PARAM;
    if (!vm_table_visit(kill_visit, &s))
        return VMK_NOT_FOUND;
    if (!s.may)
        return VMK_NOT_OWNER;
    if (k->how >= VMK_KILL_FORCE || !s.cartel)
        return VMK_OK;
    p = process_find(s.cartel);
    if (!p)
        return VMK_OK;  // gone meanwhile, and the VM with it
    signal_send(p, NULL, k->how == VMK_KILL_SOFT ? L_SIGTERM : L_SIGKILL, NULL);
    process_put(p);
    return VMK_OK;
}

static bool console_visit(struct vm *vm, void *argument)
{
    struct vm_search *s = argument;

    if (!vm_has_world(vm, s->world))
        return false;
    if (!vmk_may(s->asker, vm->owner.uid))
        s->status = VMK_NOT_OWNER;
    else if (!vm->console)
        s->status = VMK_NO_DEVICE;
    else
        s->status = vm_console_open(vm->console, VFS_O_RDWR, &s->file);
    return true;
}

static vmk_status console_open(struct thread *t, struct vmk_console_open *c)
{
    struct vm_search s = {.world = c->world_id, .asker = t};

    c->fd = -1;
    if (!vm_table_visit(console_visit, &s))
        return VMK_NOT_FOUND;
    return s.status == VMK_OK ? vmk_fd_give(t, s.file, &c->fd) : s.status;
}

/* ---- files ---- */

_Static_assert(sizeof(((struct vmk_file_info *)0)->text) == VMFS_DESCRIBE_SIZE, "text");

static vmk_status file_info(struct thread *t, struct vmk_file_info *info)
{
    struct file *file = user_fd_get(t, (uint64_t)(int64_t)info->fd);
    struct vmfs_volume *volume;
    vmfs_id id;
    vmk_status status = file ? VMK_BAD_PARAM : VMK_BAD_HANDLE;

    if (file && file->vnode && vmfs_of_vnode(file->vnode, &volume, &id))
        status = vmfs_describe(volume, id, info->text, sizeof(info->text));
    file_put(file);
    return status;
}

/* ---- the device ---- */

struct request {
    uint32_t number;
    size_t size;
};

static vmk_status control_ioctl(struct file *file, uint32_t request, uint64_t argument,
                                void *data)
{
    static const struct request requests[] = {
        {VMK_HOST_GET, sizeof(struct vmk_host)},
        {VMK_LIST, sizeof(struct vmk_list)},
        {VMK_SCHED_SET, sizeof(struct vmk_sched_set)},
        {VMK_VM_KILL, sizeof(struct vmk_vm_kill)},
        {VMK_CONSOLE_OPEN, sizeof(struct vmk_console_open)},
        {VMK_MEMORY_GET, sizeof(struct vmk_host_memory)},
        {VMK_MEMORY_SET, sizeof(struct vmk_memory_set)},
        {VMK_DISK_SET, sizeof(struct vmk_disk_set)},
        {VMK_DATASTORE_SET, sizeof(struct vmk_datastore_set)},
        {VMK_SWAP_GET, sizeof(struct vmk_swap)},
        {VMK_SWAP_SET, sizeof(struct vmk_swap_set)},
        {VMK_COREDUMP_GET, sizeof(struct vmk_coredump)},
        {VMK_COREDUMP_SET, sizeof(struct vmk_coredump_set)},
        {VMK_FILE_INFO, sizeof(struct vmk_file_info)},
        {VMK_VM_CREATE, sizeof(struct vmk_vm_create)},
    };
    struct thread *t = thread_current();
    size_t size = 0;

    (void)file;
    (void)argument;
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
        if (requests[i].number == request)
            size = requests[i].size;
    }
    if (!size || !t)
        return VMK_NOT_TTY;
    if (request == VMK_HOST_GET)  // how a program finds out which version it talks to
        return vmk_host_get(data);
    if (!vmk_head_ok(data, size))
        return VMK_BAD_PARAM;
    switch (request) {
    case VMK_LIST: return vmk_list(t, data);
    case VMK_SCHED_SET: return sched_set(t, data);
    case VMK_VM_KILL: return vm_kill(t, data);
    case VMK_CONSOLE_OPEN: return console_open(t, data);
    case VMK_MEMORY_GET: return vmk_memory_get(data);
    case VMK_MEMORY_SET: return vmk_memory_set(t, data);
    case VMK_DISK_SET: return vmk_disk_set(t, data);
    case VMK_DATASTORE_SET: return vmk_datastore_set(t, data);
    case VMK_SWAP_GET: return vmk_swap_get(data);
    case VMK_SWAP_SET: return vmk_swap_set(t, data);
    case VMK_COREDUMP_GET: return vmk_coredump_get(data);
    case VMK_COREDUMP_SET: return vmk_coredump_set(t, data);
    case VMK_FILE_INFO: return file_info(t, data);
    default: return vmk_vm_create(t, data);
    }
}

static const struct file_ops control_ops = {.ioctl = control_ioctl};

static vmk_status control_open(struct vfs_device_driver *driver, struct file *file)
{
    (void)driver;
    file->ops = &control_ops;
    return VMK_OK;
}

void vmk_device_init(void)
{
    struct vfs_device_driver *driver = heap_alloc(sizeof(*driver), MEM_OWNER_USER);
    vmk_status status = VMK_NO_MEMORY;

    if (driver) {
        *driver = (struct vfs_device_driver){.name = "vmk",
                                             .type = VFS_TYPE_CHAR,
                                             .mode = 0666,
                                             .device = vfs_device(CONTROL_MAJOR, 0),
                                             .open = control_open};
        status = vfs_device_register(driver);
    }
    if (status != VMK_OK) {
        vmk_log(VMK_LOG_ERROR, "User: no %s: %s", VMK_DEVICE, vmk_status_text(status));
        heap_free(driver);
    }
}
