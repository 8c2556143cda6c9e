// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/proc/proc_system.c -- the files of /proc that tell about the host as a whole.
 *
 * The upper half has the names and shapes of Linux, because busybox's free, uptime, top, mount
 * and df read them; the lower half, /proc/vmware, is ours. Subsystems with more to say register
 * their own.
 *
 * Load averages are brought up to date when somebody reads them and not by a timer, which would
 * keep an idle host from being idle: what all CPUs worked since the last reading is known
 * exactly, so the mean load of that time is too, and the decay for it is applied in steps of
 * five seconds.
 *
 * Invariants
 *   - A show function takes no lock that is held while anybody prints.
 * Locking    procfs.loads (mutex) for the averages.
 */
#include "core/core.h"
#include "core/log.h"
#include "fs/proc/proc_internal.h"
#include "fs/visorfs/visorfs.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mem/page.h"
#include "plat/plat.h"
#include "plat/plat_virt.h"
#include "world/world.h"

#define NS_PER_S   1000000000ull
#define LOAD_ONE   2048u
#define LOAD_STEP  (5 * NS_PER_S)
#define LOAD_STEPS 1000u  // after these nothing is left of the old value

/* ---- memory ---- */

static uint64_t pages_kb(uint64_t pages)
{
    return pages * (PAGE_SIZE / 1024);
}

static vmk_status show_meminfo(struct procfs_text *out, void *argument)
{
    uint64_t files = pages_kb(page_owned_count(MEM_OWNER_FS));

    (void)argument;
    procfs_printf(out, "MemTotal:       %8llu kB\n",
                  (unsigned long long)pages_kb(page_total_count()));
    procfs_printf(out, "MemFree:        %8llu kB\n",
                  (unsigned long long)pages_kb(page_free_count()));
    procfs_printf(out, "MemAvailable:   %8llu kB\n",
                  (unsigned long long)pages_kb(page_free_count()));
    procfs_printf(out, "Buffers:        %8u kB\n", 0u);
    procfs_printf(out, "Cached:         %8llu kB\n", (unsigned long long)files);
    procfs_printf(out,
                  "SwapCached:     %8u kB\nActive:         %8u kB\nInactive:       %8u kB\n",
                  0u, 0u, 0u);
    procfs_printf(out,
                  "SwapTotal:      %8u kB\nSwapFree:       %8u kB\nDirty:          %8u kB\n",
                  0u, 0u, 0u);
    procfs_printf(out, "AnonPages:      %8llu kB\n",
                  (unsigned long long)pages_kb(page_owned_count(MEM_OWNER_USER)));
    procfs_printf(out, "Shmem:          %8llu kB\n", (unsigned long long)files);
    procfs_printf(out, "Slab:           %8llu kB\n",
                  (unsigned long long)pages_kb(page_owned_count(MEM_OWNER_HEAP)));
    return VMK_OK;
}

static vmk_status show_stats(struct procfs_text *out, void *argument)
{
    (void)argument;
    procfs_printf(out, "%-8s %10s %12s\n", "owner", "pages", "heap bytes");
    for (unsigned i = 0; i < MEM_OWNER_COUNT; i++)
        procfs_printf(out, "%-8s %10llu %12llu\n", mem_owner_name(i),
                      (unsigned long long)page_owned_count(i),
                      (unsigned long long)heap_owned(i));
    procfs_printf(out, "%-8s %10llu\n%-8s %10llu\n", "free",
                  (unsigned long long)page_free_count(), "total",
                  (unsigned long long)page_total_count());
    return VMK_OK;
}

/* ---- time and load ---- */

/*
 * What the CPUs' idle worlds ran, and how many CPUs are up. Idle worlds have the ids cpu + 1.
 */
static plat_ns idle_time(unsigned *cpus)
{
    plat_ns sum = 0;

    *cpus = 0;
    for (uint32_t id = 1; id <= plat_cpu_count(); id++) {
        struct world_times times;

        if (world_times_get((world_id){id}, &times) == VMK_OK) {
            sum += times.run;
            ++*cpus;
        }
    }
    return sum;
}

struct world_counts {
    uint32_t ready;  // not known without the run queues' locks: the reader only
    uint32_t all, last;
};

static void count_world(struct world *w, void *argument)
{
    struct world_counts *counts = argument;

    if (w->id.raw <= PLAT_CPUS_MAX)
        return;
    counts->all++;
    counts->last = MAX(counts->last, w->id.raw);
}

static struct world_counts count_worlds(void)
{
    struct world_counts counts = {.ready = 1};  // whoever asks

    world_for_all(count_world, &counts);
    return counts;
}

/* e^-(5 s / 1, 5, 15 min) in 1/2048. */
static const uint32_t load_decay[3] = {1884, 2014, 2037};

static void load_update(struct procfs *proc)
{
    plat_ns now = plat_time_now();
    unsigned cpus;
    plat_ns idle = idle_time(&cpus);
    plat_ns busy = now * cpus > idle ? now * cpus - idle : 0;
    uint64_t steps = (now - proc->load_at) / LOAD_STEP;
    uint64_t load;

    if (steps == 0)
        return;
    load = busy > proc->load_integral
               ? (busy - proc->load_integral) * LOAD_ONE / (now - proc->load_at)
               : 0;
    for (unsigned i = 0; i < 3; i++) {
        for (uint64_t s = 0; s < MIN(steps, LOAD_STEPS); s++)
            proc->load[i] = (uint32_t)(((uint64_t)proc->load[i] * load_decay[i] +
                                        load * (LOAD_ONE - load_decay[i])) /
                                       LOAD_ONE);
        if (steps > LOAD_STEPS)
            proc->load[i] = (uint32_t)load;
    }
    proc->load_at = now;
    proc->load_integral = busy;
}

void procfs_loads(uint32_t loads[3])
{
    struct procfs *proc = fs_state()->procfs;

    mutex_lock(&proc->loads);
    load_update(proc);
    memcpy(loads, proc->load, sizeof(proc->load));
    mutex_unlock(&proc->loads);
}

static vmk_status show_loadavg(struct procfs_text *out, void *argument)
{
    struct world_counts counts = count_worlds();
    uint32_t loads[3];

    (void)argument;
    procfs_loads(loads);
    for (unsigned i = 0; i < 3; i++)
        procfs_printf(out, "%u.%02u ", loads[i] / LOAD_ONE,
                      loads[i] % LOAD_ONE * 100 / LOAD_ONE);
    procfs_printf(out, "%u/%u %u\n", counts.ready, counts.all, counts.last);
    return VMK_OK;
}

static vmk_status show_uptime(struct procfs_text *out, void *argument)
{
    plat_ns now = plat_time_now();
    unsigned cpus;
    plat_ns idle = idle_time(&cpus);

    (void)argument;
    procfs_printf(out, "%llu.%02llu %llu.%02llu\n", (unsigned long long)(now / NS_PER_S),
                  (unsigned long long)(now % NS_PER_S / 10000000u),
                  (unsigned long long)(idle / NS_PER_S),
                  (unsigned long long)(idle % NS_PER_S / 10000000u));
    return VMK_OK;
}

/*
 * In hundredths of a second: user, nice, system, idle, ... User is ring 3, idle what the idle
 * world ran; system is the rest, also what vCPUs ran.
 */
static void put_cpu(struct procfs_text *out, plat_ns user, plat_ns busy, plat_ns idle)
{
    user = MIN(user, busy);
    procfs_printf(out, " %llu 0 %llu %llu 0 0 0 0 0 0\n", (unsigned long long)user / 10000000u,
                  (unsigned long long)(busy - user) / 10000000u,
                  (unsigned long long)idle / 10000000u);
}

static vmk_status show_stat(struct procfs_text *out, void *argument)
{
    const struct procfs_processes *processes = fs_state()->processes;
    plat_ns now = plat_time_now(), user[PLAT_CPUS_MAX] = {0}, sum = 0;
    unsigned cpus;
    plat_ns idle = idle_time(&cpus);
    plat_ns busy = now * cpus > idle ? now * cpus - idle : 0;
    struct world_counts counts = count_worlds();

    (void)argument;
    for (unsigned c = 0; c < plat_cpu_count() && processes && processes->user_time; c++)
        sum += user[c] = processes->user_time(c);
    procfs_printf(out, "cpu ");
    put_cpu(out, sum, busy, idle);
    for (uint32_t id = 1; id <= plat_cpu_count(); id++) {
        struct world_times times;

        if (world_times_get((world_id){id}, &times) != VMK_OK)
            continue;
        procfs_printf(out, "cpu%u", id - 1);
        put_cpu(out, user[id - 1], now > times.run ? now - times.run : 0, times.run);
    }
    procfs_printf(out, "intr 0\nctxt 0\nbtime %llu\nprocesses %u\nprocs_running %u\n",
                  (unsigned long long)plat_wall_time_at_boot(), counts.last, counts.ready);
    procfs_printf(out, "procs_blocked 0\n");
    return VMK_OK;
}

/* ---- mounts ---- */

/* Blanks and backslashes as \ooo, or a line could not be taken apart. */
static void put_escaped(struct procfs_text *out, const char *text)
{
    for (; *text; text++) {
        if (*text == ' ' || *text == '\t' || *text == '\n' || *text == '\\')
            procfs_printf(out, "\\%u%u%u", (unsigned)*text >> 6, (unsigned)*text >> 3 & 7u,
                          (unsigned)*text & 7u);
        else
            procfs_write(out, text, 1);
    }
    procfs_write(out, " ", 1);
}

vmk_status procfs_mounts_show(struct procfs_text *out, void *argument)
{
    struct mount *m;

    (void)argument;
    for (size_t i = 0; vfs_mount_at(i, &m); i++) {
        put_escaped(out, m->source);
        put_escaped(out, m->target);
        procfs_printf(out, "%s %s%s%s%s%s%s%s 0 0\n", m->type->name,
                      (m->flags & VFS_MOUNT_RDONLY) ? "ro" : "rw",
                      (m->flags & VFS_MOUNT_NOSUID) ? ",nosuid" : "",
                      (m->flags & VFS_MOUNT_NODEV) ? ",nodev" : "",
                      (m->flags & VFS_MOUNT_NOEXEC) ? ",noexec" : "",
                      (m->flags & VFS_MOUNT_NOATIME) ? ",noatime" : "",
                      m->options[0] ? "," : "", m->options);
        mount_put(m);
    }
    return VMK_OK;
}

static vmk_status show_filesystems(struct procfs_text *out, void *argument)
{
    struct fs_state *fs = fs_state();
    const char *names[32];
    size_t count = 0;
    bool irqs = spin_lock(&fs->lock);

    (void)argument;
    list_for_each (node, &fs->types) {
        if (count < ARRAY_COUNT(names))
            names[count++] = list_entry(node, struct vfs_type, link)->name;
    }
    spin_unlock(&fs->lock, irqs);
    for (size_t i = 0; i < count; i++)
        procfs_printf(out, "nodev\t%s\n", names[i]);
    return VMK_OK;
}

/* ---- the machine ---- */

static void put_register(char *out, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        out[i] = (char)(value >> (8 * i));
}

static vmk_status show_cpuinfo(struct procfs_text *out, void *argument)
{
    struct plat_cpuid leaf0 = plat_cpuid(0, 0), leaf1 = plat_cpuid(1, 0);
    uint64_t khz = plat_tsc_khz();
    char vendor[13] = "", model[49] = "";
    uint32_t family = (leaf1.eax >> 8) & 15u, number = (leaf1.eax >> 4) & 15u;

    (void)argument;
    put_register(vendor, leaf0.ebx);
    put_register(vendor + 4, leaf0.edx);
    put_register(vendor + 8, leaf0.ecx);
    if (plat_cpuid(0x80000000u, 0).eax >= 0x80000004u) {
        for (uint32_t i = 0; i < 3; i++) {
            struct plat_cpuid part = plat_cpuid(0x80000002u + i, 0);

            put_register(model + 16 * i, part.eax);
            put_register(model + 16 * i + 4, part.ebx);
            put_register(model + 16 * i + 8, part.ecx);
            put_register(model + 16 * i + 12, part.edx);
        }
    }
    if (family == 15 || family == 6)
        number |= (leaf1.eax >> 12) & 0xf0u;
    if (family == 15)
        family += (leaf1.eax >> 20) & 0xffu;
    for (unsigned i = 0; i < plat_cpu_count(); i++)
        procfs_printf(out,
                      "processor\t: %u\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\n"
                      "model name\t: %s\nstepping\t: %u\ncpu MHz\t\t: %llu.%03llu\n\n",
                      i, vendor, family, number, model, leaf1.eax & 15u,
                      (unsigned long long)khz / 1000u, (unsigned long long)khz % 1000u);
    return VMK_OK;
}

static vmk_status show_version(struct procfs_text *out, void *argument)
{
    (void)argument;
    procfs_printf(out, "Orrery version 0.1 (VMkernel, x86-64)\n");
    return VMK_OK;
}

static vmk_status show_command_line(struct procfs_text *out, void *argument)
{
    (void)argument;
    procfs_printf(out, "%s\n", plat_command_line());
    return VMK_OK;
}

/* ---- /proc/vmware ---- */

static vmk_status show_log(struct procfs_text *out, void *argument)
{
    size_t size = 65536;
    char *copy = heap_alloc(size, MEM_OWNER_FS);

    (void)argument;
    if (!copy)
        return VMK_NO_MEMORY;
    size = log_ring_copy(copy, size);
    procfs_write(out, copy, size);
    heap_free(copy);
    return VMK_OK;
}

static vmk_status show_ramdisks(struct procfs_text *out, void *argument)
{
    struct mount *m;

    (void)argument;
    procfs_printf(out, "%-12s %10s %10s %10s %8s %8s %8s  %s\n", "name", "max KB", "used KB",
                  "tardisk KB", "inodes", "used", "refused", "mounted on");
    mutex_lock(&fs_state()->mount_lock);  // or a volume could go while it is looked at
    for (size_t i = 0; vfs_mount_at(i, &m); i++) {
        struct visorfs_usage u;

        if (visorfs_usage(m, &u) == VMK_OK)
            procfs_printf(out, "%-12s %10llu %10llu %10llu %8u %8u %8u  %s\n", u.name,
                          (unsigned long long)u.size_max / 1024,
                          (unsigned long long)u.size_used / 1024,
                          (unsigned long long)u.tardisk_size / 1024, u.inodes_max,
                          u.inodes_used, u.refusals, m->target);
        mount_put(m);
    }
    mutex_unlock(&fs_state()->mount_lock);
    return VMK_OK;
}

static vmk_status show_tardisks(struct procfs_text *out, void *argument)
{
    struct visorfs_tardisk t;

    (void)argument;
    procfs_printf(out, "%-24s %10s %10s %8s\n", "name", "packed", "size", "files");
    for (size_t i = 0; visorfs_tardisk_at(i, &t); i++)
        procfs_printf(out, "%-24s %10llu %10llu %8u\n", t.name,
                      (unsigned long long)t.packed_size, (unsigned long long)t.size, t.files);
    return VMK_OK;
}

/* What never changes: `argument` is the line. */
static vmk_status show_constant(struct procfs_text *out, void *argument)
{
    procfs_printf(out, "%s\n", (const char *)argument);
    return VMK_OK;
}

static const struct {
    const char *path;
    procfs_show show;
    char *line;
} nodes[] = {
    {"meminfo", show_meminfo, NULL},
    {"uptime", show_uptime, NULL},
    {"loadavg", show_loadavg, NULL},
    {"stat", show_stat, NULL},
    {"mounts", procfs_mounts_show, NULL},
    {"filesystems", show_filesystems, NULL},
    {"version", show_version, NULL},
    {"cmdline", show_command_line, NULL},
    {"cpuinfo", show_cpuinfo, NULL},
    {"vmware/log", show_log, NULL},
    {"vmware/stats", show_stats, NULL},
    {"vmware/uptime", show_uptime, NULL},
    {"vmware/version", show_version, NULL},
    {"vmware/visorfs/ramdisks", show_ramdisks, NULL},
    {"vmware/visorfs/tardisks", show_tardisks, NULL},
    /* Of Linux's settings those that programs look at. */
    {"sys/kernel/ostype", show_constant, "VMkernel"},
    {"sys/kernel/osrelease", show_constant, "6.0.0"},
    {"sys/kernel/pid_max", show_constant, "4194304"},
    {"sys/kernel/ngroups_max", show_constant, "32"},
    {"sys/vm/overcommit_memory", show_constant, "0"},
    {"sys/vm/max_map_count", show_constant, "65530"},
    {"sys/fs/pipe-max-size", show_constant, "65536"},
};

vmk_status procfs_system_register(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(nodes); i++) {
        vmk_status status = procfs_register(nodes[i].path, nodes[i].show, NULL, nodes[i].line);

        if (status != VMK_OK)
            return status;
    }
    vmk_status status = procfs_sched_register();

    if (status == VMK_OK)
        status = procfs_storage_register();
    return status == VMK_OK ? procfs_trace_register() : status;
}
