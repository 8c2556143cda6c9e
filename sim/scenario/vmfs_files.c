// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/scenario/vmfs_files.c -- vmfs-files: two hosts run busybox on a datastore that they share.
 *
 * One modelled disk with latency, a port to it per host. Host 1 makes a partition and a
 * datastore, both mount it as at boot, and each runs a shell script of cp, mv, tar, dd, ln, rm
 * -r and find in a folder of its own; what it prints must be what the same busybox prints on
 * the computer the simulation runs on. Then host 1 holds a file open, which host 2 may read and
 * not write until it is let go. At the end both unmount, and the check judges the disk.
 *
 * Invariants
 *   - Nothing a script prints depends on time, inode numbers or free space.
 * Locking    `stage` is only ever raised; each host waits for it in virtual time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/vfs.h"
#include "fs/vmfs/datastore.h"
#include "fs/vmfs/vmfs_vfs.h"
#include "io/partition.h"
#include "io/storage.h"
#include "sim/model/disk.h"
#include "sim/scenario/root_disk.h"
#include "sim/scenario/scenario.h"
#include "user/user.h"

#define DISK_SIZE (3ull << 30)

static const char script[] =
    "mkdir -p src/a/b; for i in $(seq 1 20); do echo line $i >src/a/f$i; done\n"
    "dd if=/dev/zero bs=4096 count=300 2>/dev/null | tr '\\0' x >src/big; echo tail >>src/big\n"
    "ln -s ../f1 src/a/b/link; cat src/a/b/link; readlink src/a/b/link; ln src/a/f2 src/hard\n"
    "cp -a src copy; diff -r src copy && echo same; mv copy moved; ls -R moved\n"
    "tar cf t.tar moved; mkdir x; cd x; tar xf ../t.tar; cd ..; diff -r moved x/moved && echo "
    "same\n"
    "md5sum src/big moved/big x/moved/big; stat -c '%s %h %a' src/hard; stat -c '%h %a %F' "
    "src/a src/a/b/link\n"
    "chmod 640 src/big; stat -c %a src/big; touch -d '2001-02-03 04:05:06' t.tar; stat -c %Y "
    "t.tar\n"
    "dd if=/dev/zero of=sparse bs=1 count=1 seek=5000000 2>/dev/null; stat -c %s sparse\n"
    "tail -c 3 sparse | od -c; truncate -s 10 sparse; wc -c <sparse\n"
    "mv src/a/f3 src/a/f4; cat src/a/f4; mv moved/a x/a; ls moved; rmdir moved 2>&1; echo $?\n"
    "exec 3<src/a/f5; rm src/a/f5; cat <&3; exec 3<&-; ls src/a/f5 2>&1\n"
    "find src x t.tar | sort; rm -r x; find src | wc -l; rm -rf src moved t.tar sparse; ls | "
    "wc -l; "
    "sync\n";

static const char *const environment[] = {"PATH=/bin", "HOME=/", NULL};
static struct disk_model *disk;
static char *expected;
static unsigned stage;
static bool ended[2];

static bool prepare(void)
{
    if (!root_disk_add(script))
        return false;
    expected = root_disk_native(script);
    return expected != NULL;
}

static void must(vmk_status status, const char *what)
{
    sim_check(status == VMK_OK, "%s: %s", what, vmk_status_text(status));
}

static void wait_for(unsigned wanted)
{
    while (stage < wanted)
        must(world_sleep_until(plat_time_now() + 10000000), "sleep");
}

static int shell(const char *command)
{
    const char *const arguments[] = {"sh", "-c", command, NULL};
    uint32_t pid = 0;
    int result = -1;

    must(user_start("/bin/sh", arguments, environment, "/dev/console", &pid), "user_start");
    must(user_wait(pid, &result), "user_wait");
    return result;
}

static void disk_up(unsigned host)
{
    const struct storage_inquiry inquiry = {.vendor = "Orrery", .model = "Shared"};
    struct storage_adapter *adapter;
    struct host_port *port;

    if (!disk) {
        disk = disk_model_create("shared", DISK_SIZE);
        disk_model_latency(disk, 100000, 2000, 8);
    }
    port = host_port_create(disk, host ? "port2" : "port1");
    must(storage_adapter_add("model", "nowhere", "the modelled disk", &adapter), "adapter");
    must(storage_device_add(adapter, 0, 0, 0, host_port_device(port), &inquiry), "device");
}

static void datastore_new(void)
{
    const struct partition_guid id = partition_guid_make(1, 2);
    struct partition wanted = {.kind = PARTITION_VMFS,
                               .type = partition_kind_guid(PARTITION_VMFS),
                               .id = partition_guid_make(3, 4)};
    struct partition_table *table;
    struct storage_device_info info;
    struct block_device *device;
    char name[BLOCK_NAME_SIZE + 8];

    sim_check(storage_device_get(0, &info), "no disk");
    must(storage_open(info.name, &device), "open");
    must(partition_table_new(device, &id, &table), "table");
    must(partition_add(table, &wanted), "partition");
    must(partition_table_write(device, table), "write");
    partition_table_free(table);
    storage_close(device);
    snprintf(name, sizeof(name), "%s:1", info.name);
    must(datastore_create(name, "shared"), "datastore");
}

/* The bytes of a file on the datastore. */
static char *text_of(const char *path)
{
    static char text[2][1 << 16];
    static unsigned turn;
    const struct vfs_where where = vfs_where_kernel();
    struct file *file;
    size_t done = 0;

    turn ^= 1;
    must(vfs_open(&where, path, VFS_O_RDONLY, 0, &file), path);
    must(file_read(file, text[turn], sizeof(text[0]) - 1, &done), path);
    text[turn][done] = 0;
    file_put(file);
    return text[turn];
}

static void same_as_native(unsigned host)
{
    char path[64];
    const char *text;
    size_t same = 0;

    snprintf(path, sizeof(path), "/tmp/out%u", host);
    text = text_of(path);
    while (text[same] && text[same] == expected[same])
        same++;
    sim_check(text[same] == expected[same],
              "host %u: byte %zu differs from the computer's own: '%.60s', not '%.60s'", host,
              same, text + same, expected + same);
}

static vmk_status try_open(uint32_t flags, struct file **file)
{
    const struct vfs_where where = vfs_where_kernel();

    return vfs_open(&where, "/vmfs/volumes/shared/locked", flags, 0644, file);
}

static void hold(unsigned host)
{
    struct file *file;
    size_t done;

    if (host == 0) {
        must(try_open(VFS_O_RDWR | VFS_O_CREAT, &file), "create");
        must(file_write(file, "held by one", 11, &done), "write");
        must(file_fsync(file, false), "fsync");
        stage = 2;
        wait_for(3);
        file_put(file);
        stage = 4;
        return;
    }
    wait_for(2);
    vmk_status status = try_open(VFS_O_RDWR, &file);

    sim_check(status == VMK_BUSY, "the other host's file: %s", vmk_status_text(status));
    sim_check(!strcmp(text_of("/vmfs/volumes/shared/locked"), "held by one"), "reading it");
    sim_check(shell("echo x 2>/dev/null >/vmfs/volumes/shared/locked") != 0,
              "a shell wrote to it");
    stage = 3;
    wait_for(4);
    must(try_open(VFS_O_RDWR, &file), "open when it was let go");
    must(file_pwrite(file, "now by two.", 11, 0, &done), "write");
    file_put(file);
}

/* Both have unmounted: one more mount, for the check. */
static void judge(void)
{
    struct vmfs_mount how = {.host = vmfs_host_uuid(), .read_only = true};
    struct storage_device_info info;
    struct vmfs_volume *v;
    struct block_device *device;
    char name[BLOCK_NAME_SIZE + 8];
    vmk_status status;
    unsigned count;

    sim_check(storage_device_get(0, &info), "no disk");
    snprintf(name, sizeof(name), "%s:1", info.name);
    must(storage_open(name, &device), "open");
    must(vmfs_mount(&device, 1, &how, &v), "mount");
    count = vmfs_check(v, NULL, NULL, &status);
    must(status, "check");
    sim_check(!count, "%u problems", count);
    must(vmfs_unmount(v), "unmount");
    storage_close(device);
}

static void run(unsigned host)
{
    char command[160];

    must(fs_init(), "fs_init");
    user_init();
    must(vmfs_type_register(), "vmfs");
    disk_up(host);
    if (host) {
        wait_for(1);
        sim_check(datastore_scan() == 1, "the other host's datastore is not found");
    } else {
        datastore_new();
        stage = 1;
    }
    snprintf(command, sizeof(command),
             "cd /vmfs/volumes/shared && mkdir host%u && cd host%u && . /etc/script "
             ">/tmp/out%u 2>&1",
             host, host, host);
    sim_check(shell(command) == 0, "host %u: the script ended badly", host);
    same_as_native(host);
    sim_check(shell("df /vmfs/volumes/shared/ >/tmp/df && grep -q vmfs/volumes /tmp/df") == 0,
              "df");
    hold(host);
    sim_check(datastore_unmount_all() == 0, "host %u: not unmounted", host);
    ended[host] = true;
    while (host == 0 && !ended[1])
        must(world_sleep_until(plat_time_now() + 10000000), "sleep");
    if (host == 0) {
        judge();
        printf("vmfs-files: %zu bytes of output on each host as on the computer's own files\n",
               strlen(expected));
    }
}

const struct scenario scenario_vmfs_files = {
    .name = "vmfs-files",
    .what = "two hosts run busybox on a datastore they share",
    .cpus = 2,
    .hosts = 2,
    .prepare = prepare,
    .run = run,
};
