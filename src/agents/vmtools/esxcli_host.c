// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/esxcli_host.c -- esxcli hardware and esxcli storage: what the host is made of.
 *
 * Invariants: none.
 * Locking    none: one thread.
 * Sources    [ESXCLI] "hardware", "storage core", "storage filesystem"
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "agents/vmtools/esxcli.h"

#define PAGE_BYTES 4096u

/* ---- hardware ---- */

static void cpu_list_add(struct records *r, const struct call *call, const void *entry)
{
    const struct vmk_cpu *c = entry;
    char *title = text_of("CPU:%u", c->cpu);

    (void)call;
    records_add(r, title);
    free(title);
    records_number(r, "Id", c->cpu);
    records_number(r, "Package Id", c->package);
    records_number(r, "Family", c->family);
    records_number(r, "Model", c->model);
    records_number(r, "Type", 0);
    records_number(r, "Stepping", c->stepping);
    records_text(r, "Brand", "%s", c->vendor);
    records_number(r, "Core Speed", (uint64_t)c->mhz * 1000000u);
    records_number(r, "APIC ID", c->apic_id);
    records_number(r, "Node", c->node);
}

static int cpu_list(const struct call *call)
{
    return list_records(call, RECORDS_SIMPLE, "CPU", VMK_LIST_CPUS, sizeof(struct vmk_cpu),
                        cpu_list_add);
}

static int cpu_global_get(const struct call *call)
{
    struct records *r = records_begin(RECORDS_SIMPLE, "CPUInfo", false);
    uint32_t count, packages = 0, cores = 0;
    struct vmk_cpu *cpus = vmk_list_get(VMK_LIST_CPUS, sizeof(*cpus), &count);
    struct vmk_host host;

    vmk_host_get(&host);
    for (uint32_t i = 0; i < count; i++) {
        bool first_package = true, first_core = true;

        for (uint32_t k = 0; k < i; k++) {
            first_package &= cpus[k].package != cpus[i].package;
            first_core &= cpus[k].core != cpus[i].core;
        }
        packages += first_package;
        cores += first_core;
    }
    records_add(r, NULL);
    records_number(r, "CPU Packages", packages);
    records_number(r, "CPU Cores", cores);
    records_number(r, "CPU Threads", count);
    records_flag(r, "Hyperthreading Active", cores < count);
    records_flag(r, "Hyperthreading Supported", cores < count);
    records_number(r, "HV Support", host.virtualization[0] ? 3 : 0);
    free(cpus);
    records_end(r, call->form);
    return EXIT_DONE;
}

static int memory_get(const struct call *call)
{
    struct records *r = records_begin(RECORDS_SIMPLE, "MemoryGet", false);
    struct vmk_host host;

    vmk_host_get(&host);
    records_add(r, NULL);
    records_text(r, "Physical Memory", "%llu Bytes",
                 (unsigned long long)host.memory_pages * PAGE_BYTES);
    records_text(r, "Reliable Memory", "0 Bytes");
    records_number(r, "NUMA Node Count", host.numa_nodes);
    records_end(r, call->form);
    return EXIT_DONE;
}

static void memory_owners_add(struct records *r, const struct call *call, const void *entry)
{
    const struct vmk_owner *o = entry;

    (void)call;
    records_add(r, NULL);
    records_text(r, "Owner", "%s", o->name);
    records_number(r, "Pages", o->pages);
    records_number(r, "Heap Bytes", o->heap_bytes);
}

static int memory_owners(const struct call *call)
{
    return list_records(call, RECORDS_TABLE, "MemoryOwner", VMK_LIST_OWNERS,
                        sizeof(struct vmk_owner), memory_owners_add);
}

/* ---- storage ---- */

static void adapter_list_add(struct records *r, const struct call *call, const void *entry)
{
    const struct vmk_adapter *a = entry;

    (void)call;
    records_add(r, NULL);
    records_text(r, "HBA Name", "%s", a->name);
    records_text(r, "Driver", "%s", a->driver);
    records_text(r, "Link State", "link-n/a");
    records_text(r, "UID", "%s.%s", a->driver, a->name);
    records_text(r, "Capabilities", "%s", "");
    records_text(r, "Description", "(%s) %s", a->location, a->description);
}

static int adapter_list(const struct call *call)
{
    return list_records(call, RECORDS_TABLE, "ScsiAdapter", VMK_LIST_ADAPTERS,
                        sizeof(struct vmk_adapter), adapter_list_add);
}

static void device_list_add(struct records *r, const struct call *call, const void *entry)
{
    const struct vmk_device *d = entry;

    if (call->values[0] && strcmp(call->values[0], d->name) != 0)
        return;
    records_add(r, d->name);
    records_text(r, "Display Name", "Local %s Disk (%s)", d->vendor, d->name);
    records_flag(r, "Has Settable Display Name", false);
    records_number(r, "Size", d->size_bytes >> 20);
    records_text(r, "Device Type", "Direct-Access ");
    records_text(r, "Multipath Plugin", "NMP");
    records_text(r, "Devfs Path", "/vmfs/devices/disks/%s", d->name);
    records_text(r, "Vendor", "%s", d->vendor);
    records_text(r, "Model", "%s", d->model);
    records_text(r, "Revision", "%s", d->revision);
    records_number(r, "SCSI Level", 5);
    records_flag(r, "Is Pseudo", false);
    records_text(r, "Status", d->flags & VMK_DEVICE_GONE ? "dead" : "on");
    records_flag(r, "Is RDM Capable", false);
    records_flag(r, "Is Local", true);
    records_flag(r, "Is Removable", d->flags & VMK_DEVICE_REMOVABLE);
    records_flag(r, "Is SSD", !(d->flags & VMK_DEVICE_ROTATIONAL));
    records_flag(r, "Is Offline", d->flags & VMK_DEVICE_GONE);
    records_flag(r, "Is Perennially Reserved", false);
    records_number(r, "Queue Full Sample Size", 0);
    records_number(r, "Queue Full Threshold", 0);
    records_text(r, "Thin Provisioning Status", "unknown");
    records_text(r, "Attached Filters", "%s", "");
    records_text(r, "VAAI Status", "unknown");
    records_text(r, "Other UIDs", "%s", "");
    records_flag(r, "Is Shared Clusterwide", false);
    records_number(r, "Block Size", d->block_bytes);
    records_flag(r, "Is Boot Device", false);
}

static int device_list(const struct call *call)
{
    return list_records(call, RECORDS_SIMPLE, "ScsiDevice", VMK_LIST_DEVICES,
                        sizeof(struct vmk_device), device_list_add);
}

static void device_stats_add(struct records *r, const struct call *call, const void *entry)
{
    const struct vmk_device *d = entry;

    if (call->values[0] && strcmp(call->values[0], d->name) != 0)
        return;
    records_add(r, d->name);
    records_text(r, "Device", "%s", d->name);
    records_number(r, "Successful Commands", d->reads + d->writes - d->errors);
    records_number(r, "Blocks Read", d->read_bytes / 512);
    records_number(r, "Blocks Written", d->written_bytes / 512);
    records_number(r, "Read Operations", d->reads);
    records_number(r, "Write Operations", d->writes);
    records_number(r, "Failed Commands", d->errors);
}

static int device_stats(const struct call *call)
{
    return list_records(call, RECORDS_SIMPLE, "DeviceStats", VMK_LIST_DEVICES,
                        sizeof(struct vmk_device), device_stats_add);
}

static void path_list_add(struct records *r, const struct call *call, const void *entry)
{
    const struct vmk_device *d = entry;
    unsigned c = 0, t = 0, l = 0;
    char *uid = text_of("%s.%s-%s", d->driver, d->adapter, d->name);

    (void)call;
    if (strchr(d->path, ':'))
        sscanf(strchr(d->path, ':'), ":C%u:T%u:L%u", &c, &t, &l);
    records_add(r, uid);
    records_text(r, "UID", "%s", uid);
    free(uid);
    records_text(r, "Runtime Name", "%s", d->path);
    records_text(r, "Device", "%s", d->name);
    records_text(r, "Device Display Name", "Local %s Disk (%s)", d->vendor, d->name);
    records_text(r, "Adapter", "%s", d->adapter);
    records_number(r, "Channel", c);
    records_number(r, "Target", t);
    records_number(r, "LUN", l);
    records_text(r, "Plugin", "NMP");
    records_text(r, "State", d->flags & VMK_DEVICE_GONE ? "dead" : "active");
    records_text(r, "Transport", "parallel");
    records_text(r, "Adapter Identifier", "%s.%s", d->driver, d->adapter);
    records_text(r, "Target Identifier", "%s.%u:%u", d->driver, c, t);
    records_text(r, "Adapter Transport Details", "Unavailable or path is unclaimed");
    records_text(r, "Target Transport Details", "Unavailable or path is unclaimed");
}

static int path_list(const struct call *call)
{
    return list_records(call, RECORDS_SIMPLE, "ScsiPath", VMK_LIST_DEVICES,
                        sizeof(struct vmk_device), path_list_add);
}

/*
 * The label of the volume mounted at `path`: the link beside it that names it; allocated. Else
 * the name.
 */
static char *volume_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = text_of("%.*s", slash ? (int)(slash - path) : 0, path);
    char *found = NULL;
    DIR *dir = slash ? opendir(folder[0] ? folder : "/") : NULL;
    struct dirent *entry;

    while (dir && !found && (entry = readdir(dir))) {
        char target[256];
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

        if (n > 0 && (target[n] = 0, strcmp(target, slash + 1) == 0))
            found = text_of("%s", entry->d_name);
    }
    if (dir)
        closedir(dir);
    free(folder);
    return found ? found : text_of("%s", slash ? slash + 1 : "");
}

static int filesystem_list(const struct call *call)
{
    struct records *r = records_begin(RECORDS_TABLE, "FileSystemVolume", true);
    FILE *f = setmntent("/proc/mounts", "re");
    struct mntent *m;

    if (!f)
        fail(EXIT_FAILED, "/proc/mounts: %s", strerror(errno));
    while ((m = getmntent(f))) {
        const char *name = strrchr(m->mnt_dir, '/');
        const bool vmfs = strcmp(m->mnt_type, "vmfs") == 0;
        struct statvfs s;
        char *label;

        if (strcmp(m->mnt_type, "proc") == 0 || statvfs(m->mnt_dir, &s) < 0)
            continue;
        records_add(r, NULL);
        records_text(r, "Mount Point", "%s", m->mnt_dir);
        label = volume_name(m->mnt_dir);
        records_text(r, "Volume Name", "%s", label);
        records_text(r, "UUID", "%s", vmfs && name ? name + 1 : m->mnt_fsname);
        free(label);
        records_flag(r, "Mounted", true);
        records_text(r, "Type", "%s", vmfs ? "VMFS-5" : m->mnt_type);
        records_number(r, "Size", (uint64_t)s.f_blocks * s.f_frsize);
        records_number(r, "Free", (uint64_t)s.f_bfree * s.f_frsize);
    }
    endmntent(f);
    records_end(r, call->form);
    return EXIT_DONE;
}

/* One record per extent, as ESXi has it. */
static void extents_add(struct records *r, const struct call *call, const void *entry)
{
    struct vmk_datastore d = *(const struct vmk_datastore *)entry;
    char *rest = d.extents, *device;

    (void)call;
    for (uint64_t i = 0; (device = strsep(&rest, ",")); i++) {
        char *colon = strrchr(device, ':');

        records_add(r, NULL);
        records_text(r, "Volume Name", "%s", d.label);
        records_text(r, "VMFS UUID", "%s", d.uuid);
        records_number(r, "Extent Number", i);
        records_text(r, "Device Name", "%.*s",
                     colon ? (int)(colon - device) : (int)strlen(device), device);
        records_text(r, "Partition", "%s", colon ? colon + 1 : "0");
    }
}

static int extent_list(const struct call *call)
{
    return list_records(call, RECORDS_TABLE, "VmfsExtent", VMK_LIST_DATASTORES,
                        sizeof(struct vmk_datastore), extents_add);
}

static int filesystem_rescan(const struct call *call)
{
    struct vmk_datastore_set s = {.what = VMK_DATASTORE_RESCAN};

    (void)call;
    if (vmk_call(device(), VMK_DATASTORE_SET, &s, sizeof(s)) < 0)
        fail(EXIT_FAILED, "storage filesystem rescan: %s%s", strerror(errno),
             errno == EPERM ? ": only root may" : "");
    return EXIT_DONE;
}

static const struct option_row device_options[] = {
    {'d', "device", false, false, "only this one"},
};

const struct esxcli_command esxcli_host[] = {
    {"hardware cpu list", "List all of the CPUs on this host.", cpu_list, NULL, 0},
    {"hardware cpu global get", "Display properties that apply to all of the CPUs.",
     cpu_global_get, NULL, 0},
    {"hardware memory get", "Get information about memory.", memory_get, NULL, 0},
    {"hardware memory owners list", "List who in the VMkernel holds memory.", memory_owners,
     NULL, 0},
    {"storage core adapter list", "List all the SCSI host bus adapters on the system.",
     adapter_list, NULL, 0},
    {"storage core device list", "List the devices currently registered.", device_list,
     device_options, COUNT_OF(device_options)},
    {"storage core device stats get", "Display the statistics of devices.", device_stats,
     device_options, COUNT_OF(device_options)},
    {"storage core path list", "List all the SCSI paths on the system.", path_list, NULL, 0},
    {"storage filesystem list", "List the volumes available to the host.", filesystem_list,
     NULL, 0},
    {"storage filesystem rescan", "Look for volumes that are not mounted yet.",
     filesystem_rescan, NULL, 0},
    {"storage vmfs extent list", "List the VMFS extents available on the host.", extent_list,
     NULL, 0},
    {NULL, NULL, NULL, NULL, 0},
};
