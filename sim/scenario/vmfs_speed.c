// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/scenario/vmfs_speed.c -- vmfs-speed: rows for make bench, VMFS against the disk below it.
 *
 * Equal modelled disks (100 us a request and 2 us a KiB, 8 at a time); one carries a datastore.
 * The same world does the same requests to the raw one and, by file_pread() and file_pwrite(),
 * to an eager-zeroed file on the other; virtual time is compared, so that every extra request
 * of the file system shows and the computer's own speed does not. The last rows are metadata
 * operations in the same time, and look-ups in a directory of 10,000 names: on a volume that
 * other hosts may share, and on one that is this host's alone, as an ext4 is, because its disk
 * cannot compare and write. ORRERY_WRITES names a record of what an ext4 wrote for the same
 * (scripts/bench/ext4.sh): it is replayed on a disk of the kind, every write as early as the
 * flushes allow, and without the reads, which the record has not.
 *
 * Invariants
 *   - One request at a time on both sides.
 * Locking    none: one world, and the volume's own two.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/vfs.h"
#include "fs/vmfs/datastore.h"
#include "fs/vmfs/vmfs_vfs.h"
#include "io/partition.h"
#include "io/storage.h"
#include "lib/endian.h"
#include "lib/rng.h"
#include "sim/model/disk.h"
#include "sim/scenario/scenario.h"
#include "user/user.h"
#include "world/world.h"

#define DISK_SIZE (48ull << 30)  // enough descriptors for 10,000 files
#define FILE_SIZE (256ull << 20)
#define LARGE     65536u
#define SMALL     4096u
#define RANDOM    4000u
#define FILES     10000u
#define SAFE      500u

enum {
    RAW,
    SHARED,
    OWN,
    DISKS
};
static struct disk_model *disks[DISKS];
static struct block_device *raw;
static unsigned char data[LARGE];

static void must(vmk_status status, const char *what)
{
    sim_check(status == VMK_OK, "%s: %s", what, vmk_status_text(status));
}

static void disks_up(void)
{
    const struct partition_guid id = partition_guid_make(1, 2);
    struct storage_adapter *adapter;
    struct partition_table *table;

    must(storage_adapter_add("model", "nowhere", "the modelled disk", &adapter), "adapter");
    for (unsigned i = 0; i < DISKS; i++) {
        struct storage_inquiry inquiry = {.vendor = "Orrery", .model = "Speed"};
        struct partition wanted = {.kind = PARTITION_VMFS,
                                   .type = partition_kind_guid(PARTITION_VMFS),
                                   .id = partition_guid_make(3, 4)};

        disks[i] = disk_model_create("speed", DISK_SIZE);
        disk_model_durable(disks[i]);
        if (i == OWN)
            disk_model_device(disks[i])->can_compare_write = false;
        must(storage_device_add(adapter, 0, i, 0, disk_model_device(disks[i]), &inquiry),
             "device");
        must(partition_table_new(disk_model_device(disks[i]), &id, &table), "table");
        must(partition_add(table, &wanted), "partition");
        must(partition_table_write(disk_model_device(disks[i]), table), "write");
        partition_table_free(table);
    }
}

struct target {
    struct file *file;  // null: the raw disk
};

static void transfer(const struct target *t, bool write, uint64_t at, size_t size)
{
    vmk_status status;
    size_t done = size;

    if (!t->file)
        status = write ? block_write(raw, at, data, size) : block_read(raw, at, data, size);
    else
        status = write ? file_pwrite(t->file, data, size, at, &done)
                       : file_pread(t->file, data, size, at, &done);
    sim_check(status == VMK_OK && done == size, "transfer at %llu: %s", (unsigned long long)at,
              vmk_status_text(status));
}

/* MiB per second of virtual time; everything is durable at the end. */
static double speed(const struct target *t, bool write, bool random)
{
    size_t size = random ? SMALL : LARGE;
    uint64_t count = random ? RANDOM : FILE_SIZE / LARGE;
    plat_ns began = plat_time_now();
    struct rng rng;

    rng_init(&rng, 7, "places", 0);
    memset(data, 0x5a, sizeof(data));
    for (uint64_t i = 0; i < count; i++)
        transfer(t, write, random ? rng_below(&rng, FILE_SIZE / SMALL) * SMALL : i * LARGE,
                 size);
    if (write)
        must(t->file ? file_fsync(t->file, false) : block_flush(raw), "flush");
    return (double)(count * size) / 1048576.0 / ((double)(plat_time_now() - began) * 1e-9);
}

static void throughput(void)
{
    static const char *const names[2][2] = {{"sequential read", "random 4 KiB read"},
                                            {"sequential write", "random 4 KiB write"}};
    const struct vfs_where where = vfs_where_kernel();
    struct target on_disk = {NULL};
    struct target on_file;
    struct vmfs_volume *v;
    vmfs_id id;

    must(vfs_open(&where, "/vmfs/volumes/speed/disk", VFS_O_RDWR | VFS_O_CREAT, 0600,
                  &on_file.file),
         "open");
    sim_check(vmfs_of_vnode(on_file.file->vnode, &v, &id), "not on VMFS");
    must(vmfs_allocate(v, id, FILE_SIZE, VMFS_EAGER_ZEROED), "allocate");
    must(vmfs_sync(v), "sync");
    for (unsigned write = 2; write-- > 0;) {
        for (unsigned random = 0; random < 2; random++) {
            double below = speed(&on_disk, write, random);
            double above = speed(&on_file, write, random);
            double wanted = random ? 90 : 95;

            printf("VMFS %s,simulation,%.1f,%% of the raw disk (%.1f of %.1f MiB/s),,,\n",
                   names[write][random], 100 * above / below, above, below);
            sim_check(100 * above / below >= wanted,
                      "%s: %.1f %% of the raw disk, %.0f are wanted", names[write][random],
                      100 * above / below, wanted);
        }
    }
    file_put(on_file.file);
}

static const char *const kinds[DISKS] = {NULL, "VMFS", "VMFS of one host:"};

static double per_second(unsigned count, plat_ns began)
{
    return count / ((double)(plat_time_now() - began) * 1e-9);
}

/* ---- ext4 ---- */

#define LOG_MAGIC    0x6a736677736872ull
#define LOG_SECTOR   512u
#define LOG_MARK     (2047ull << 20)  // a write from here on ends a part
#define LOG_REQUESTS 4096u

enum {
    LOG_FLUSH = 1,
    LOG_FUA = 2,
    LOG_DISCARD = 4
};

struct replay {
    struct block_device *disk;
    struct block_request requests[LOG_REQUESTS];
    struct block_segment segments[LOG_REQUESTS];
    unsigned sent, done;
    char *buffer;
    size_t room;
};

static void one_done(struct block_request *request)
{
    struct replay *r = request->context;

    __atomic_add_fetch(&r->done, 1, __ATOMIC_RELEASE);
}

/* Until all that was sent is done; then it is made durable. */
static void barrier(struct replay *r)
{
    while (__atomic_load_n(&r->done, __ATOMIC_ACQUIRE) < r->sent)
        must(world_sleep_until(plat_time_now() + 1000), "sleep");
    for (unsigned i = 0; i < r->sent; i++)
        must(r->requests[i].status, "replayed write");
    r->sent = r->done = 0;
    must(block_flush(r->disk), "flush");
}

static void send(struct replay *r, uint64_t sector, uint64_t sectors, bool fua)
{
    struct block_request *request;

    if (r->sent == LOG_REQUESTS)
        barrier(r);
    request = &r->requests[r->sent];
    r->segments[r->sent] = (struct block_segment){r->buffer, (uint32_t)(sectors * LOG_SECTOR)};
    *request = (struct block_request){.op = BLOCK_WRITE,
                                      .fua = fua,
                                      .offset = sector * LOG_SECTOR,
                                      .size = sectors * LOG_SECTOR,
                                      .segments = &r->segments[r->sent],
                                      .segment_count = 1,
                                      .done = one_done,
                                      .context = r};
    r->sent++;
    block_submit(r->disk, request);
}

/* One entry and its data. False: something that is no entry. */
static bool entry(struct replay *r, FILE *log, bool *mark)
{
    uint8_t head[LOG_SECTOR];
    uint64_t sector, sectors, flags;

    if (fread(head, 1, sizeof(head), log) != sizeof(head))
        return false;
    sector = le64(head);
    sectors = le64(head + 8);
    flags = le64(head + 16);
    *mark = sectors && sector * LOG_SECTOR >= LOG_MARK;
    if (flags & LOG_DISCARD)
        return true;
    if (sectors * LOG_SECTOR > r->room || sector > DISK_SIZE / LOG_SECTOR - sectors ||
        fseek(log, (long)(sectors * LOG_SECTOR), SEEK_CUR) != 0)
        return false;
    if (flags & LOG_FLUSH)
        barrier(r);
    if (sectors && !*mark)
        send(r, sector, sectors, flags & LOG_FUA);
    return true;
}

static void replay_ext4(const char *path, const double rates[DISKS][2])
{
    static const char *const names[] = {NULL, "creation of 1000 files",
                                        "creation of 500 files each durable"};
    static const unsigned counts[] = {0, FILES / 10, SAFE};
    struct replay *r = calloc(1, sizeof(*r));
    FILE *log = fopen(path, "rb");
    uint8_t head[LOG_SECTOR];
    plat_ns began = plat_time_now();
    uint64_t writes = 0, flushes = 0;
    uint64_t left;
    unsigned part = 0;

    sim_check(
        r && log && fread(head, 1, sizeof(head), log) == sizeof(head) &&
            le64(head) == LOG_MAGIC && le32(head + 24) == LOG_SECTOR,
        "%s: no record of writes in sectors of 512 bytes; make it by scripts/bench/ext4.sh",
        path);
    r->room = 16u << 20;
    r->buffer = calloc(1, r->room);
    r->disk = raw;
    for (left = le64(head + 16); left && part < ARRAY_COUNT(counts); left--) {
        bool mark = false;

        sim_check(entry(r, log, &mark), "%s: damaged, %llu entries before its end", path,
                  (unsigned long long)left);
        if (!mark)
            continue;
        barrier(r);
        if (counts[part]) {
            double theirs = per_second(counts[part], began);

            for (unsigned i = SHARED; i < DISKS; i++)
                printf("%s %s beside ext4,simulation,%.0f,files/s,ext4: %.1f writes and %.2f "
                       "flushes a file,%.0f,%.3f\n",
                       kinds[i], names[part], rates[i][part - 1],
                       (double)(raw->stats.writes - writes) / counts[part],
                       (double)(raw->stats.flushes - flushes) / counts[part], theirs,
                       rates[i][part - 1] / theirs);
        }
        writes = raw->stats.writes;
        flushes = raw->stats.flushes;
        began = plat_time_now();
        part++;
    }
    sim_check(part == ARRAY_COUNT(counts), "%s: %u parts, %u are wanted", path, part,
              (unsigned)ARRAY_COUNT(counts));
    fclose(log);
    free(r->buffer);
    free(r);
}

/* Each file durable before the next is made, in a directory of their own. */
static void safe_files(const char *volume)
{
    const struct vfs_where where = vfs_where_kernel();
    char path[64];

    snprintf(path, sizeof(path), "/vmfs/volumes/%s/s", volume);
    must(vfs_mkdir(&where, path, 0755), "mkdir");
    for (unsigned i = 0; i < SAFE; i++) {
        struct file *file;

        snprintf(path, sizeof(path), "/vmfs/volumes/%s/s/safe-%u", volume, i);
        must(vfs_open(&where, path, VFS_O_RDWR | VFS_O_CREAT | VFS_O_EXCL, 0600, &file), path);
        must(file_fsync(file, false), "fsync");
        file_put(file);
    }
}

/* A row of how many of them a second, and what each asked of the disk since `before`. */
static double row(unsigned disk, const char *what, unsigned count, plat_ns began,
                  const struct block_stats *before)
{
    const struct block_stats *now = &disk_model_device(disks[disk])->stats;
    double rate = per_second(count, began);

    printf("%s %s,simulation,%.0f,1/s (each %.2f reads %.2f writes %.2f swaps %.2f "
           "flushes),,,\n",
           kinds[disk], what, rate, (double)(now->reads - before->reads) / count,
           (double)(now->writes - before->writes) / count,
           (double)(now->compares - before->compares) / count,
           (double)(now->flushes - before->flushes) / count);
    return rate;
}

/* Times of the system's clock cannot be compared between runs; requests to the disk can. */
static void metadata(unsigned on, const char *volume, double *rates)
{
    const struct vfs_where where = vfs_where_kernel();
    struct block_device *disk = disk_model_device(disks[on]);
    struct vfs_attr attr;
    char path[64];
    plat_ns began = plat_time_now();
    plat_ns before;
    struct block_stats start = disk->stats;
    struct block_stats stats;

    snprintf(path, sizeof(path), "/vmfs/volumes/%s/d", volume);
    must(vfs_mkdir(&where, path, 0755), "mkdir");
    for (unsigned i = 0; i < FILES; i++) {
        struct file *file;

        snprintf(path, sizeof(path), "/vmfs/volumes/%s/d/file-%u", volume, i);
        must(vfs_open(&where, path, VFS_O_RDWR | VFS_O_CREAT | VFS_O_EXCL, 0600, &file), path);
        file_put(file);
        if (i == 999) {
            vfs_sync();
            rates[0] = row(on, "creation of 1000 files", 1000, began, &start);
            before = plat_time_now();
            stats = disk->stats;
            safe_files(volume);
            rates[1] = row(on, "creation of 500 files each durable", SAFE, before, &stats);
            vfs_sync();
            start = disk->stats;
            began = plat_time_now();
        }
    }
    vfs_sync();
    (void)row(on, "creation of 9000 files more", FILES - 1000, began, &start);
    began = plat_time_now();
    stats = disk->stats;
    for (unsigned i = 0; i < 500; i++) {
        snprintf(path, sizeof(path), "/vmfs/volumes/%s/d/file-%u", volume, i * 7919 % FILES);
        must(vfs_stat(&where, path, 0, &attr), path);
    }
    (void)row(on, "look-up among 10000 names", 500, began, &stats);
    began = plat_time_now();
    stats = disk->stats;
    for (unsigned i = 0; i < 500; i++) {
        snprintf(path, sizeof(path), "/vmfs/volumes/%s/d/file-%u", volume, i);
        must(vfs_unlink(&where, path), path);
    }
    vfs_sync();
    (void)row(on, "removal among 10000 names", 500, began, &stats);
}

static void run(unsigned host)
{
    const char *writes = getenv("ORRERY_WRITES");
    static const char *const volumes[DISKS] = {NULL, "speed", "own"};
    double rates[DISKS][2];
    char name[BLOCK_NAME_SIZE + 8];

    (void)host;
    must(fs_init(), "fs_init");
    must(vmfs_type_register(), "vmfs");
    disks_up();
    for (unsigned i = SHARED; i < DISKS; i++) {
        snprintf(name, sizeof(name), "%s:1", disk_model_device(disks[i])->name);
        must(datastore_create(name, volumes[i]), "datastore");
    }
    snprintf(name, sizeof(name), "%s:1", disk_model_device(disks[RAW])->name);
    must(storage_open(name, &raw), "raw");
    for (unsigned i = 0; i < DISKS; i++)
        disk_model_latency(disks[i], 100000, 2000, 8);
    throughput();
    for (unsigned i = SHARED; i < DISKS; i++)
        metadata(i, volumes[i], rates[i]);
    if (writes)
        replay_ext4(writes, rates);
    storage_close(raw);
    sim_check(datastore_unmount_all() == 0, "not unmounted");
}

const struct scenario scenario_vmfs_speed = {
    .name = "vmfs-speed",
    .what = "rows for make bench",
    .cpus = 1,
    .unlisted = true,
    .run = run,
};
