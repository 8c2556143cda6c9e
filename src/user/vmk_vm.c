// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/vmk_vm.c -- a virtual machine as a file: what its vmx holds.
 *
 * The file owns the VM. Its last close (the vmx closed it, ended, or was killed: the kernel
 * closes what a process had) stops the vCPUs, waits for them and frees everything, so there is
 * no way to lose a VM. Loading is the vmx's: it writes guest memory by pwrite() and says where
 * vCPU 0 begins; no file format of a guest is parsed in the kernel for it.
 *
 * Invariants
 *   - vm is there from vmk_vm_create() to release(); every call holds the file, so release() is
 *     last.
 *   - Guest memory outside RAM is never reached: vm_memory_read() and vm_memory_write() check.
 * Locking    box.lock, a mutex: one change of power at a time; never held while waiting for
 *            events.
 * Start at   vmk_vm_create(), vm_ioctl().
 */
#include "vmm/vm.h"

#include "core/log.h"
#include "fs/vm_console.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mem/page.h"
#include "sched/sched.h"
#include "user/vmk_device.h"
#include "vmm/dev/vpm.h"
#include "vmm/vm_client.h"

#define TEXT_MAX           16384u
#define USER_FRACTION      4u  // of free memory, for a user who is not root
#define ALL_USERS_FRACTION 2u  // for all of them

_Static_assert(VMK_CALL_REGS == VM_CALL_REGS, "registers of a call");
_Static_assert((int)VMK_CALL_BACKDOOR == (int)VM_CALL_BACKDOOR &&
                   (int)VMK_CALL_PORT == (int)VM_CALL_PORT,
               "kinds of a call");
_Static_assert(VM_EXIT_KIND_COUNT <= VMK_EXIT_KINDS, "exit kinds fit");
_Static_assert((int)VMK_VM_OFF == (int)VM_STATE_OFF && (int)VMK_VM_ON == (int)VM_STATE_ON,
               "states of a VM");

/* A VM and its file. */
struct box {
    struct vm *vm;
    struct vm_client client;
    struct poll_head poll;
    struct mutex lock;
    char config_file[VMK_PATH_SIZE];
};

static void text_copy(char *to, size_t room, const char *from)
{
    (void)vmk_snprintf(to, room, "%s", from);
}

static void changed(struct vm_client *client)
{
    struct box *box = container_of(client, struct box, client);

    poll_notify(&box->poll, VFS_POLLIN | VFS_POLLRDNORM);
}

void vmk_vm_fill(struct vm *vm, struct vmk_vm *out)
{
    *out = (struct vmk_vm){
        .head = {sizeof(*out), VMK_ABI_VERSION},
        .world_id = vm->vcpus[0] ? vm->vcpus[0]->world.raw : 0,
        .cartel_id = vm->owner.cartel,
        .group_id = vm->sched_group,
        .state = (uint32_t)__atomic_load_n(&vm->state, __ATOMIC_SEQ_CST),
        .uid = vm->owner.uid,
        .gid = vm->owner.gid,
        .vcpus = vm->vcpu_count,
        .memory_mb = vm->config.memory_mb,
        .memory_pages = vm->page_count,
        .granted_pages = p2m_granted(&vm->p2m),
        .overhead_pages = vm->nested.table_count,
        .status = vm->status,
        .resets = __atomic_load_n(&vm->reset_count, __ATOMIC_RELAXED),
    };
    if (out->state == VMK_VM_NEW)
        out->world_id = 0;
    else
        out->uptime_ns = vm_time(vm);
    if (vm->console)
        vm_console_counts(vm->console, &out->console_out_bytes, &out->console_in_bytes);
    memcpy(out->uuid, vm->config.uuid, sizeof(out->uuid));
    text_copy(out->name, sizeof(out->name), vm->config.name);
    text_copy(out->config_file, sizeof(out->config_file),
              vm->owner.config_file ? vm->owner.config_file : "");
    text_copy(out->reason, sizeof(out->reason), vm->end_reason ? vm->end_reason : "");
}

/* ---- making ---- */

static const struct file_ops vm_ops;

/* The text of the caller, and what it says. */
static vmk_status config_read(struct thread *t, struct vmk_vm_create *c,
                              struct vm_config *config)
{
    char *text;
    vmk_status status;

    if (!c->text_size || c->text_size > TEXT_MAX) {
        (void)vmk_snprintf(c->error, sizeof(c->error), "%s: %s", c->config_file,
                           c->text_size ? "longer than 16384 bytes" : "an empty file");
        return VMK_BAD_FORMAT;
    }
    text = heap_alloc(c->text_size, MEM_OWNER_USER);
    if (!text)
        return VMK_NO_MEMORY;
    status = aspace_copy_in(t->as, text, c->text, c->text_size);
    if (status == VMK_OK)
        status = vmx_config_parse(c->config_file, text, c->text_size, config, c->error,
                                  sizeof(c->error));
    heap_free(text);
    return status;
}

static bool refuse(struct vmk_vm_create *c, const char *what, const char *why)
{
    (void)vmk_snprintf(c->error, sizeof(c->error), "%s: %s: %s", c->config_file, what, why);
    return false;
}

/*
 * May that user have the file of a disk, as it lies there now? Its name is relative to the .vmx
 * file.
 */
static bool disk_allowed(const struct vm_disk_config *disk, const struct vfs_cred *cred,
                         struct vmk_vm_create *c)
{
    static const char device[] = "host:", memory[] = "ramdisk:";
    const struct vfs_where where = vfs_where_kernel();
    const char *slash = NULL;
    size_t folder;
    char path[VMK_PATH_SIZE + VM_PATH_SIZE];
    struct vnode *vnode;
    vmk_status status;

    for (const char *at = strchr(c->config_file, '/'); at; at = strchr(at + 1, '/'))
        slash = at;
    if (strncmp(disk->file, device, sizeof(device) - 1) == 0 ||
        strncmp(disk->file, memory, sizeof(memory) - 1) == 0)
        return refuse(c, disk->file,
                      "only root's machines may have devices and memory of the host");
    folder = disk->file[0] == '/' || !slash ? 0 : (size_t)(slash - c->config_file) + 1;
    (void)vmk_snprintf(path, sizeof(path), "%.*s%s", (int)folder, c->config_file, disk->file);
    if (vfs_walk(&where, path, 0, &vnode) != VMK_OK)
        return refuse(c, path, "no such file");
    status = vnode_access(
        vnode, VFS_MAY_READ | (disk->mode == VM_DISK_PERSISTENT ? VFS_MAY_WRITE : 0u), cred);
    vnode_put(vnode);
    return status == VMK_OK || refuse(c, path, "its owner may not use it");
}

/* What the machines of users who are not root have. */
struct users_memory {
    uint32_t uid;
    uint64_t his, all;  // pages of their sizes
    uint64_t held;      // pages they hold by now
};

static bool add_vm(struct vm *vm, void *argument)
{
    struct users_memory *sums = argument;

    if (vm->owner.uid == 0)
        return false;
    sums->all += vm->page_count;
    sums->his += vm->owner.uid == sums->uid ? vm->page_count : 0;
    sums->held += p2m_granted(&vm->p2m);
    return false;
}

/* Free memory is what would be free without the machines of users. vms_mutex held. */
static bool memory_allowed(const struct vm_config *config, uint32_t uid,
                           struct vmk_vm_create *c)
{
    const uint64_t pages = (uint64_t)config->memory_mb << (20 - PAGE_SHIFT);
    struct users_memory sums = {.uid = uid};
    uint64_t free;

    (void)vm_table_visit(add_vm, &sums);
    free = page_free_count() + sums.held;
    if (sums.his + pages > free / USER_FRACTION)
        return refuse(c, "memSize",
                      "more than a quarter of the host's free memory for this user's machines");
    if (sums.all + pages > free / ALL_USERS_FRACTION)
        return refuse(c, "memSize",
                      "more than half of the host's free memory for users who are not root");
    return true;
}

/* What a machine of somebody who is not root may not take from the host. vms_mutex held. */
static bool allowed(const struct thread *t, const struct vm_config *config,
                    struct vmk_vm_create *c)
{
    const struct vfs_cred cred = {
        .uid = c->owner_uid == VMK_CALLER ? t->process->euid : c->owner_uid,
        .gid = c->owner_gid == VMK_CALLER ? t->process->egid : c->owner_gid,
    };

    if (cred.uid == 0)
        return true;
    if (!memory_allowed(config, cred.uid, c))
        return false;
    if (config->serial_port >= 0)
        return refuse(c, "serial0.fileName", "only root's machines may have the host's ports");
    for (unsigned i = 0; i < config->disk_count; i++) {
        if (!disk_allowed(&config->disks[i], &cred, c))
            return false;
    }
    return true;
}

static struct box *box_create(struct thread *t, const struct vm_config *config,
                              struct vmk_vm_create *c)
{
    struct box *box = heap_alloc(sizeof(*box), MEM_OWNER_USER);
    const struct process *p = t->process;
    vmk_status status = VMK_NO_MEMORY;

    if (box) {
        const struct vm_owner owner = {
            .uid = c->owner_uid == VMK_CALLER ? p->euid : c->owner_uid,
            .gid = c->owner_gid == VMK_CALLER ? p->egid : c->owner_gid,
            .cartel = p->pid,
            .config_file = box->config_file,
        };

        text_copy(box->config_file, sizeof(box->config_file), c->config_file);
        mutex_init(&box->lock, "vm file");
        poll_head_init(&box->poll, "vm file");
        box->client.changed = changed;
        status = vm_create_empty(config, &owner, &box->client, &box->vm);
    }
    if (status != VMK_OK) {
        (void)vmk_snprintf(c->error, sizeof(c->error), "%s: cannot be made: %s%s",
                           c->config_file, vmk_status_text(status),
                           status == VMK_UNSUPPORTED ? ": no VT-x or AMD-V" : "");
        heap_free(box);
        return NULL;
    }
    return box;
}

static void result_fill(const struct vm *vm, struct vmk_vm_create *c)
{
    const struct vm_config *config = &vm->config;

    text_copy(c->name, sizeof(c->name), config->name);
    text_copy(c->kernel, sizeof(c->kernel), config->kernel);
    text_copy(c->initrd, sizeof(c->initrd), config->initrd);
    text_copy(c->cmdline, sizeof(c->cmdline), config->cmdline);
    c->memory_low_bytes = vm->low_page_count << PAGE_SHIFT;
    c->memory_high_bytes = (vm->page_count - vm->low_page_count) << PAGE_SHIFT;
    c->vcpus = vm->vcpu_count;
}

static void box_destroy(struct box *box)
{
    vm_stop(box->vm, 1, "its vmx ended");
    vm_wait(box->vm);
    vm_destroy(box->vm);
    heap_free(box);
}

vmk_status vmk_vm_create(struct thread *t, struct vmk_vm_create *c)
{
    struct vm_config *config;
    struct box *box = NULL;
    struct file *file;
    vmk_status status;

    c->fd = -1;
    c->config_file[sizeof(c->config_file) - 1] = 0;
    memset(c->error, 0, sizeof(c->error));
    if (c->reserved ||
        ((c->owner_uid != VMK_CALLER || c->owner_gid != VMK_CALLER) && t->process->euid != 0))
        return c->reserved ? VMK_BAD_PARAM : VMK_NOT_OWNER;
    config = heap_alloc(sizeof(*config), MEM_OWNER_USER);
    if (!config)
        return VMK_NO_MEMORY;
    status = config_read(t, c, config);
    mutex_lock(&user_state()->vms_mutex);
    if (status == VMK_OK && allowed(t, config, c))
        box = box_create(t, config, c);
    mutex_unlock(&user_state()->vms_mutex);
    heap_free(config);
    if (!box)
        return c->error[0] ? VMK_OK : status;
    result_fill(box->vm, c);
    status = file_create(&vm_ops, box, VFS_O_RDWR, &file);
    if (status != VMK_OK) {
        box_destroy(box);
        return status;
    }
    return vmk_fd_give(t, file, &c->fd);
}

static void vm_release(struct file *file)
{
    struct box *box = file->private;

    vmk_log(VMK_LOG_INFO, "VM: %s: its vmx let it go", box->vm->config.name);
    box_destroy(box);
}

/* ---- memory ---- */

static vmk_status vm_read(struct file *file, struct vfs_iov *iov)
{
    struct box *box = file->private;
    vmk_status status = vm_memory_read(box->vm, gpa_make(iov->offset), iov->to, iov->size);

    if (status == VMK_OK)
        iov->done = iov->size;
    return status == VMK_NOT_FOUND ? VMK_BAD_PARAM : status;
}

static vmk_status vm_write(struct file *file, struct vfs_iov *iov)
{
    struct box *box = file->private;
    vmk_status status = vm_memory_write(box->vm, gpa_make(iov->offset), iov->from, iov->size);

    if (status == VMK_OK)
        iov->done = iov->size;
    return status == VMK_NOT_FOUND ? VMK_BAD_PARAM : status;
}

/* ---- power ---- */

static vmk_status start(struct box *box, const struct vmk_vm_start *s)
{
    const struct loader_entry entry = {
        .long_mode = s->mode == VMK_START_LONG,
        .rip = s->rip,
        .rsp = s->rsp,
        .rax = s->rax,
        .rbx = s->rbx,
        .rsi = s->rsi,
        .cr3 = s->cr3,
        .gdt_base = s->gdt_base,
        .gdt_limit = s->gdt_limit,
        .code_selector = s->code_selector,
        .data_selector = s->data_selector,
    };
    vmk_status status;

    // A CR3 that the processor would refuse ends the VM at its first entry; not accepted here.
    if (s->mode > VMK_START_RESET || s->reserved || (s->cr3 & ~0x000ffffffffff000ull))
        return VMK_BAD_PARAM;
    mutex_lock(&box->lock);
    status = vm_client_start(box->vm, s->mode == VMK_START_RESET ? NULL : &entry);
    mutex_unlock(&box->lock);
    return status;
}

void vmk_vm_button(struct vm *vm)
{
    bool irqs = spin_lock(&vm->lock);

    if (vm->pm)  // not while a reset makes the devices anew
        vpm_power_button_locked(vm->pm);
    spin_unlock(&vm->lock, irqs);
}

static vmk_status power(struct box *box, const struct vmk_vm_power *p)
{
    struct vm *vm = box->vm;

    switch (p->op) {
    case VMK_POWER_OFF: vm_stop(vm, p->status, "powered off by its vmx"); return VMK_OK;
    case VMK_POWER_RESET: vm_request_reset(vm, "its vmx asked for it"); return VMK_OK;
    case VMK_POWER_BUTTON: vmk_vm_button(vm); return VMK_OK;
    default: return VMK_BAD_PARAM;
    }
}

/* ---- events ---- */

static vmk_status event(struct file *file, struct vmk_vm_event *e)
{
    struct box *box = file->private;
    struct vm *vm = box->vm;
    enum vm_client_want want;
    struct vm_call call;
    vmk_status status;

    *e = (struct vmk_vm_event){.head = e->head};
    status = vm_client_next(vm, file->flags & VFS_O_NONBLOCK, &want, &e->vcpu, &call);
    if (status != VMK_OK)
        return status;
    e->time_ns = plat_time_now();
    switch (want) {
    case VM_WANT_CALL:
        e->kind = VMK_EVENT_CALL;
        e->call = call.kind;
        e->sequence = call.sequence;
        memcpy(e->regs, call.regs, sizeof(e->regs));
        return VMK_OK;
    case VM_WANT_RESET: e->kind = VMK_EVENT_RESET; break;
    case VM_WANT_END:
        e->kind = VMK_EVENT_ENDED;
        e->status = vm->status;
        text_copy(e->text, sizeof(e->text), vm->end_reason ? vm->end_reason : "");
        break;
    case VM_WANT_NOTHING: break;
    }
    e->vcpu = 0;
    return VMK_OK;
}

static vmk_status irq(struct box *box, const struct vmk_vm_irq *i)
{
    return i->high > 1 ? VMK_BAD_PARAM : vm_client_irq(box->vm, i->line, i->high);
}

static unsigned vm_poll(struct file *file, struct poll_table *table)
{
    struct box *box = file->private;

    poll_wait_on(table, &box->poll);
    return vm_client_has(box->vm) ? VFS_POLLIN | VFS_POLLRDNORM : 0;
}

/* ---- figures ---- */

static vmk_status vcpu_get(struct box *box, struct vmk_vm_vcpu *out)
{
    const struct vcpu *v;
    bool irqs;

    if (out->vcpu >= box->vm->vcpu_count)
        return VMK_BAD_PARAM;
    v = box->vm->vcpus[out->vcpu];
    *out = (struct vmk_vm_vcpu){
        .head = out->head,
        .vcpu = out->vcpu,
        .world_id = v->world.raw,
        .exit_kinds = VM_EXIT_KIND_COUNT,
    };
    if (plat_tsc_khz())
        out->guest_ns = v->guest_cycles / plat_tsc_khz() * 1000000u +
                        v->guest_cycles % plat_tsc_khz() * 1000000u / plat_tsc_khz();
    irqs = spin_lock(&box->vm->ended.lock);
    out->user_calls = box->client.call_count;
    out->user_call_ns = box->client.call_ns;
    spin_unlock(&box->vm->ended.lock, irqs);
    for (unsigned i = 0; i < VM_EXIT_KIND_COUNT; i++) {
        out->exits[i] = v->exit_counts[i];
        text_copy(out->exit_names[i], sizeof(out->exit_names[i]),
                  vm_exit_name((enum vm_exit_kind)i));
    }
    return VMK_OK;
}

static vmk_status console(struct thread *t, struct box *box, struct vmk_console_open *c)
{
    struct file *file;
    vmk_status status =
        box->vm->console ? vm_console_open(box->vm->console, VFS_O_RDWR, &file) : VMK_NO_DEVICE;

    c->fd = -1;
    return status == VMK_OK ? vmk_fd_give(t, file, &c->fd) : status;
}

/* ---- the file ---- */

static vmk_status tables(struct box *box, struct vmk_vm_tables *out)
{
    gpa_t rsdp;
    vmk_status status = vm_write_tables(box->vm, &rsdp);

    if (status == VMK_OK)
        out->rsdp = rsdp.raw;
    return status;
}

static vmk_status vm_get(struct box *box, struct vmk_vm *out)
{
    vmk_vm_fill(box->vm, out);
    return VMK_OK;
}

static vmk_status vm_ioctl(struct file *file, uint32_t request, uint64_t argument, void *data)
{
    struct box *box = file->private;
    struct thread *t = thread_current();
    const struct vmk_vm_answer *answer = data;

    (void)argument;
    if ((request & 0xff00u) != 0x5600u || !data || !t)
        return VMK_NOT_TTY;
    // The size is in the number; a structure too small to have a head is no request of ours.
    if (((request >> 16) & 0x3fffu) < sizeof(struct vmk_head) ||
        !vmk_head_ok(data, (request >> 16) & 0x3fffu))
        return VMK_BAD_PARAM;
    switch (request) {
    case VMK_VM_GET: return vm_get(box, data);
    case VMK_VM_TABLES: return tables(box, data);
    case VMK_VM_START: return start(box, data);
    case VMK_VM_POWER: return power(box, data);
    case VMK_VM_EVENT: return event(file, data);
    case VMK_VM_ANSWER:
        return vm_client_answer(box->vm, answer->vcpu, answer->sequence, answer->regs);
    case VMK_VM_IRQ: return irq(box, data);
    case VMK_VM_VCPU: return vcpu_get(box, data);
    case VMK_VM_CONSOLE: return console(t, box, data);
    default: return VMK_NOT_TTY;
    }
}

static int vm_describe(struct file *file, char *out, size_t size)
{
    const struct box *box = file->private;

    return vmk_snprintf(out, size, "vm:[%s]", box->vm->config.name);
}

static const struct file_ops vm_ops = {
    .read = vm_read,
    .write = vm_write,
    .ioctl = vm_ioctl,
    .poll = vm_poll,
    .describe = vm_describe,
    .release = vm_release,
    .seekable = true,
};
