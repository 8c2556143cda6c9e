// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/vmk_list.c -- the lists that /dev/vmk answers with: worlds, processes, VMs, memory, CPUs.
 *
 * Each list is gathered into kernel memory under the locks of what it shows, then copied out
 * entry by entry without any, at the size that the program's entries have. So a program with an
 * older or newer idea of an entry gets what both know, and no lock waits for a page of the
 * program.
 *
 * Invariants
 *   - What is gathered has a bound that the kernel's own tables give; memory is freed on every
 *     path.
 * Locking    world table, user lock, table of VMs, each alone while its list is gathered.
 * Start at   vmk_list().
 */
#include "core/core.h"
#include "fs/proc/procfs.h"
#include "io/storage.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mem/page.h"
#include "plat/plat_virt.h"
#include "sched/sched.h"
#include "user/vmk_device.h"
#include "vmm/vm.h"
#include "vmm/vt.h"
#include "world/world.h"

#define ENTRY_SIZE_MAX 4096u
#define GATHER_FIRST   64u

_Static_assert(VMK_UNLIMITED == SCHED_UNLIMITED, "one word for no limit");

/* What one kind of list is made of. */
struct gather {
    void *entries;
    uint32_t room, count;
    struct thread *asker;
};

static void text_copy(char *to, size_t room, const char *from)
{
    (void)vmk_snprintf(to, room, "%s", from);
}

/* ---- worlds ---- */

static void world_visit(struct world *w, void *argument)
{
    struct gather *g = argument;
    struct vmk_world *out = (struct vmk_world *)g->entries + g->count;

    if (g->count++ >= g->room)
        return;
    *out = (struct vmk_world){.world_id = w->id.raw, .kind = VMK_WORLD_SYSTEM};
    text_copy(out->name, sizeof(out->name), w->name);
    if (w->switch_in == thread_switch_in) {
        const struct thread *t = w->owner;

        // Its program's name: the world has that of the first one it ran.
        out->kind = VMK_WORLD_USER;
        out->cartel_id = t->process->pid;
        text_copy(out->name, sizeof(out->name), t->process->name);
    }
}

static bool vcpu_visit(struct vm *vm, void *argument)
{
    struct vmk_world *out = argument;

    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        if (vm->vcpus[i] && vm->vcpus[i]->world.raw == out->world_id) {
            out->cartel_id = vm->owner.cartel;
            out->vcpu = i;
            return true;
        }
    }
    return false;
}

static uint32_t state_of(uint32_t state)
{
    switch (state) {
    case SCHED_STATE_NEW: return VMK_STATE_NEW;
    case SCHED_STATE_READY:
    case SCHED_STATE_MLMTD: return VMK_STATE_READY;
    case SCHED_STATE_RUN: return VMK_STATE_RUN;
    case SCHED_STATE_COSTOP: return VMK_STATE_COSTOP;
    case SCHED_STATE_ZOMBIE: return VMK_STATE_ENDED;
    default: return VMK_STATE_WAIT;
    }
}

/* What the scheduler knows of them; one that ended meanwhile stays as it was seen. */
static void worlds_finish(struct gather *g)
{
    struct vmk_world *w = g->entries;

    for (uint32_t i = 0; i < MIN(g->count, g->room); i++, w++) {
        struct sched_sample s;

        w->max_mhz = VMK_UNLIMITED;
        if (sched_sample_get(w->world_id, &s) != VMK_OK) {
            w->state = VMK_STATE_ENDED;
            continue;
        }
        w->group_id = s.parent;
        w->state = state_of(s.state);
        w->cpu = s.cpu;
        w->shares = s.shares;
        w->min_mhz = s.min_mhz;
        w->max_mhz = s.max_mhz;
        w->affinity = s.affinity;
        if (s.kind == SCHED_SAMPLE_IDLE) {
            w->kind = VMK_WORLD_IDLE;
        } else if (s.kind == SCHED_SAMPLE_VCPU) {
            w->kind = VMK_WORLD_VCPU;
            (void)vm_table_visit(vcpu_visit, w);
        }
    }
}

static void gather_worlds(struct gather *g)
{
    world_for_all(world_visit, g);
    worlds_finish(g);
}

/* ---- processes ---- */

/* User lock held. */
static void process_fill(const struct process *p, struct vmk_process *out)
{
    *out = (struct vmk_process){.pid = p->pid,
                                .parent = p->parent ? p->parent->pid : 0,
                                .uid = p->euid,
                                .gid = p->egid,
                                .threads = p->thread_count,
                                .state = (uint32_t)process_state_letter_locked(p),
                                .started_ns = p->started};
    text_copy(out->name, sizeof(out->name), p->name);
}

static void process_finish(struct vmk_process *out)
{
    struct user_state *user = user_state();
    struct process *p = process_find(out->pid);
    struct user_mm *mm;
    struct aspace_use use;
    bool irqs;

    if (!p)
        return;
    process_times(p, &out->user_ns, &out->system_ns);
    irqs = spin_lock(&user->lock);
    mm = p->mm;
    if (mm)
        mm_ref(mm);
    spin_unlock(&user->lock, irqs);
    if (mm) {
        aspace_use_get(mm->as, &use);
        out->virtual_kb = use.virtual_pages << (PAGE_SHIFT - 10);
        out->resident_kb = use.resident_pages << (PAGE_SHIFT - 10);
        out->swapped_kb = use.swapped_pages << (PAGE_SHIFT - 10);
        mm_put(mm);
    }
    process_put(p);
}

static void gather_processes(struct gather *g)
{
    struct user_state *user = user_state();
    struct vmk_process *out = g->entries;
    bool irqs = spin_lock(&user->lock);

    list_for_each (node, &user->processes) {
        const struct process *p = list_entry(node, struct process, all_link);

        if (g->count < g->room)
            process_fill(p, &out[g->count]);
        g->count++;
    }
    spin_unlock(&user->lock, irqs);
    for (uint32_t i = 0; i < MIN(g->count, g->room); i++)
        process_finish(&out[i]);
}

/* ---- VMs, samples, memory, CPUs ---- */

static bool vm_visit(struct vm *vm, void *argument)
{
    struct gather *g = argument;
    struct vmk_vm *out = g->entries;

    if (g->count < g->room)
        vmk_vm_fill(vm, &out[g->count]);
    g->count++;
    return false;
}

static void gather_vms(struct gather *g)
{
    (void)vm_table_visit(vm_visit, g);
}

static void gather_samples(struct gather *g)
{
    g->count = sched_samples_get(g->entries, g->room);
}

static void gather_owners(struct gather *g)
{
    struct vmk_owner *out = g->entries;

    for (unsigned i = 0; i < MEM_OWNER_COUNT; i++, g->count++) {
        if (g->count >= g->room)
            continue;
        out[g->count] = (struct vmk_owner){.pages = page_owned_count((enum mem_owner)i),
                                           .heap_bytes = heap_owned((enum mem_owner)i)};
        text_copy(out[g->count].name, sizeof(out->name), mem_owner_name((enum mem_owner)i));
    }
}

static void gather_adapters(struct gather *g)
{
    struct vmk_adapter *out = g->entries;
    struct storage_adapter_info info;

    for (; storage_adapter_get(g->count, &info); g->count++) {
        if (g->count >= g->room)
            continue;
        out[g->count] = (struct vmk_adapter){.devices = info.devices};
        text_copy(out[g->count].name, sizeof(out->name), info.name);
        text_copy(out[g->count].driver, sizeof(out->driver), info.driver);
        text_copy(out[g->count].location, sizeof(out->location), info.location);
        text_copy(out[g->count].description, sizeof(out->description), info.description);
    }
}

static void device_fill(const struct storage_device_info *info, struct vmk_device *out)
{
    *out = (struct vmk_device){
        .size_bytes = info->size,
        .block_bytes = info->block_size,
        .flags = (info->read_only ? VMK_DEVICE_READ_ONLY : 0u) |
                 (info->rotational ? VMK_DEVICE_ROTATIONAL : 0u) |
                 (info->removable ? VMK_DEVICE_REMOVABLE : 0u) |
                 (info->gone ? VMK_DEVICE_GONE : 0u),
        .users = info->users,
        .reads = info->stats.reads,
        .writes = info->stats.writes,
        .read_bytes = info->stats.read_bytes,
        .written_bytes = info->stats.write_bytes,
        .errors = info->stats.errors,
    };
    text_copy(out->name, sizeof(out->name), info->name);
    text_copy(out->adapter, sizeof(out->adapter), info->adapter);
    text_copy(out->driver, sizeof(out->driver), info->driver);
    text_copy(out->path, sizeof(out->path), info->path);
    text_copy(out->vendor, sizeof(out->vendor), info->inquiry.vendor);
    text_copy(out->model, sizeof(out->model), info->inquiry.model);
    text_copy(out->revision, sizeof(out->revision), info->inquiry.revision);
    text_copy(out->serial, sizeof(out->serial), info->inquiry.serial);
}

static void gather_devices(struct gather *g)
{
    struct storage_device_info *info = heap_alloc(sizeof(*info), MEM_OWNER_USER);
    struct vmk_device *out = g->entries;

    for (; info && storage_device_get(g->count, info); g->count++) {
        if (g->count < g->room)
            device_fill(info, &out[g->count]);
    }
    heap_free(info);
}

/* Family, model, stepping, names: of the CPU it runs on; all are alike. */
static void cpu_identify(struct vmk_cpu *out)
{
    struct plat_cpuid id = plat_cpuid(0, 0);
    uint32_t words[3] = {id.ebx, id.edx, id.ecx};
    uint32_t signature = plat_cpuid(1, 0).eax;

    memcpy(out->vendor, words, sizeof(words));
    out->family = (signature >> 8) & 15;
    out->model = (signature >> 4) & 15;
    out->stepping = signature & 15;
    if (out->family == 15)
        out->family += (signature >> 20) & 255;
    if (out->family == 6 || out->family >= 15)
        out->model |= ((signature >> 16) & 15) << 4;
    if (plat_cpuid(0x80000000u, 0).eax < 0x80000004u)
        return;
    for (uint32_t i = 0; i < 3; i++) {
        struct plat_cpuid part = plat_cpuid(0x80000002u + i, 0);

        memcpy(out->brand + 16 * i, &part, 16);
    }
}

static void gather_vm_memory(struct gather *g)
{
    g->count = vmk_memory_gather(g->entries, g->room);
}

static void gather_datastores(struct gather *g)
{
    g->count = vmk_datastores_gather(g->entries, g->room);
}

static void gather_coredumps(struct gather *g)
{
    g->count = vmk_coredumps_gather(g->entries, g->room);
}

static void gather_cpus(struct gather *g)
{
    struct sched_host_usage *usage = heap_alloc(sizeof(*usage), MEM_OWNER_USER);
    struct vmk_cpu *out = g->entries;
    struct vmk_cpu common = {.mhz = (uint32_t)(plat_tsc_khz() / 1000)};

    if (!usage)
        return;
    cpu_identify(&common);
    sched_host_usage_get(usage);
    for (uint32_t i = 0; i < usage->cpus && i < PLAT_CPUS_MAX; i++, g->count++) {
        struct plat_cpu_place place;

        if (g->count >= g->room)
            continue;
        out[g->count] = common;
        out[g->count].cpu = i;
        place = plat_cpu_place(i);
        out[g->count].core = place.core;
        out[g->count].cache = place.llc;
        out[g->count].package = place.package;
        out[g->count].node = place.node;
        out[g->count].used_ns = usage->used[i];
    }
    heap_free(usage);
}

/* ---- any list ---- */

struct list_row {
    uint32_t kind;
    size_t size;
    void (*gather)(struct gather *g);
};

static const struct list_row rows[] = {
    {VMK_LIST_WORLDS, sizeof(struct vmk_world), gather_worlds},
    {VMK_LIST_PROCESSES, sizeof(struct vmk_process), gather_processes},
    {VMK_LIST_VMS, sizeof(struct vmk_vm), gather_vms},
    {VMK_LIST_SAMPLES, sizeof(struct sched_sample), gather_samples},
    {VMK_LIST_OWNERS, sizeof(struct vmk_owner), gather_owners},
    {VMK_LIST_ADAPTERS, sizeof(struct vmk_adapter), gather_adapters},
    {VMK_LIST_DEVICES, sizeof(struct vmk_device), gather_devices},
    {VMK_LIST_CPUS, sizeof(struct vmk_cpu), gather_cpus},
    {VMK_LIST_VM_MEMORY, sizeof(struct vmk_vm_memory), gather_vm_memory},
    {VMK_LIST_DATASTORES, sizeof(struct vmk_datastore), gather_datastores},
    {VMK_LIST_COREDUMPS, sizeof(struct vmk_coredump_partition), gather_coredumps},
};

static vmk_status copy_out(struct thread *t, const struct vmk_list *list,
                           const struct gather *g, size_t size)
{
    size_t part = MIN(size, (size_t)list->entry_size);
    uint64_t to = list->buffer;

    for (uint32_t i = 0; i < MIN(g->count, list->room); i++, to += list->entry_size) {
        if (aspace_copy_out(t->as, to, (const char *)g->entries + i * size, part) != VMK_OK)
            return VMK_FAULT;
        if (list->entry_size > part &&
            aspace_zero(t->as, to + part, list->entry_size - part) != VMK_OK)
            return VMK_FAULT;
    }
    return VMK_OK;
}

/* Room for the program's wish, but no more than there is: lists that grow are asked twice. */
static vmk_status gather_all(const struct list_row *row, const struct vmk_list *list,
                             struct gather *g)
{
    uint32_t wanted = MIN(list->room, GATHER_FIRST);

    for (;;) {
        *g = (struct gather){.room = wanted};
        g->entries = heap_alloc(MAX(wanted, 1u) * row->size, MEM_OWNER_USER);
        if (!g->entries)
            return VMK_NO_MEMORY;
        row->gather(g);
        if (g->count <= wanted || wanted >= list->room)
            return VMK_OK;
        wanted = MIN(list->room, g->count + GATHER_FIRST);
        heap_free(g->entries);
    }
}

vmk_status vmk_list(struct thread *t, struct vmk_list *list)
{
    const struct list_row *row = NULL;
    struct gather g;
    vmk_status status;

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (rows[i].kind == list->kind)
            row = &rows[i];
    }
    if (!row || list->room > VMK_LIST_ENTRIES || list->entry_size > ENTRY_SIZE_MAX ||
        (list->room && !list->entry_size))
        return VMK_BAD_PARAM;
    list->time_ns = plat_time_now();
    status = gather_all(row, list, &g);
    if (status != VMK_OK)
        return status;
    status = copy_out(t, list, &g, row->size);
    list->count = g.count;
    heap_free(g.entries);
    return status;
}

/* ---- the host ---- */

struct vm_sums {
    uint32_t vms, vcpus;
};

static bool vm_count(struct vm *vm, void *argument)
{
    struct vm_sums *sums = argument;

    sums->vms++;
    sums->vcpus += vm->vcpu_count;
    return false;
}

static uint32_t nodes_count(uint32_t cpus)
{
    uint32_t nodes = 1;

    for (uint32_t i = 0; i < cpus; i++)
        nodes = MAX(nodes, plat_cpu_place(i).node + 1u);
    return nodes;
}

vmk_status vmk_host_get(struct vmk_host *host)
{
    struct sched_host_usage *usage = heap_alloc(sizeof(*usage), MEM_OWNER_USER);
    struct vm_sums sums = {0, 0};

    if (!usage)
        return VMK_NO_MEMORY;
    sched_host_usage_get(usage);
    (void)vm_table_visit(vm_count, &sums);
    *host = (struct vmk_host){
        .head = {sizeof(*host), VMK_ABI_VERSION},
        .uptime_ns = plat_time_now(),
        .wall_ns = vfs_time_now(),
        .memory_pages = page_total_count(),
        .free_pages = page_free_count(),
        .cpus = usage->cpus,
        .worlds = usage->worlds,
        .pools = usage->pools,
        .vms = sums.vms,
        .vcpus = sums.vcpus,
        .processes = user_state()->process_count,
        .capacity_mhz = usage->capacity_mhz,
        .reserved_mhz = usage->reserved_mhz,
        .tsc_khz = plat_tsc_khz(),
        .numa_nodes = nodes_count(usage->cpus),
    };
    procfs_loads(host->load_avg);
    text_copy(host->version, sizeof(host->version), ORRERY_VERSION);
    text_copy(host->scheduler, sizeof(host->scheduler), usage->policy);
    text_copy(host->virtualization, sizeof(host->virtualization), vt() ? vt()->name : "");
    heap_free(usage);
    return VMK_OK;
}
