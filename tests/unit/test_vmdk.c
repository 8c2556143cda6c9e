// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vmdk.c -- virtual disks against a model, through power cuts, chains and errors.
 *
 * A store in memory remembers every write until the next sync and can lose or keep each by
 * itself.
 * Random writes, discards and flushes are compared with a plain array; every history is cut at
 * every write, and after the cut each sector must be what it was at the last flush or something
 * written since; a sector that nobody wrote must be what it was. tests/tools/vmdk.sh has
 * qemu-img judge the same code.
 *
 * Locking    none.
 */
#include <stdio.h>
#include <string.h>

#include "fs/vmdk/vmdk.h"
#include "fs/vmdk/vmdk_device.h"
#include "io/ioshares.h"
#include "lib/rng.h"
#include "tests/unit/fs_fixture.h"

/* ---- files in memory that can lose writes ---- */

#define FILES     8u
#define FILE_ROOM (8u << 20)
#define SECTOR    512u

struct undo {
    unsigned file;
    uint64_t sector;
    unsigned char before[SECTOR];
};

static struct {
    struct {
        char name[64];
        bool there;
        uint64_t size, durable_size;
        unsigned char *data;
    } files[FILES];
    struct undo *undo;
    size_t undo_count, undo_room;
    uint64_t writes, cut_after;  // sectors
    uint64_t random;
} ram;

static int find(const char *name)
{
    for (unsigned i = 0; i < FILES; i++) {
        if (ram.files[i].there && strcmp(ram.files[i].name, name) == 0)
            return (int)i;
    }
    return -1;
}

static vmk_status ram_open(struct vmdk_store *store, const char *name, enum vmdk_open_how how,
                           void **file)
{
    int i = find(name);

    (void)store;
    if (i < 0 && how != VMDK_OPEN_CREATE)
        return VMK_NOT_FOUND;
    if (i >= 0 && how == VMDK_OPEN_CREATE)
        return VMK_EXISTS;
    for (unsigned j = 0; i < 0 && j < FILES; j++) {
        if (ram.files[j].there)
            continue;
        i = (int)j;
        ram.files[j].there = true;
        ram.files[j].size = ram.files[j].durable_size = 0;
        snprintf(ram.files[j].name, sizeof(ram.files[j].name), "%s", name);
        if (!ram.files[j].data)
            ram.files[j].data = malloc(FILE_ROOM);
        memset(ram.files[j].data, 0, FILE_ROOM);
    }
    ck_assert_int_ge(i, 0);
    *file = &ram.files[i];
    return VMK_OK;
}

static void ram_close(struct vmdk_store *store, void *file)
{
    (void)store;
    (void)file;
}

static unsigned index_of(void *file)
{
    return (unsigned)((char *)file - (char *)ram.files) / sizeof(ram.files[0]);
}

static vmk_status ram_read(struct vmdk_store *store, void *file, uint64_t offset, void *to,
                           size_t size)
{
    unsigned i = index_of(file);
    size_t there = offset < ram.files[i].size ? MIN(size, ram.files[i].size - offset) : 0;

    (void)store;
    memset(to, 0, size);
    memcpy(to, ram.files[i].data + MIN(offset, FILE_ROOM), there);
    return VMK_OK;
}

static vmk_status ram_write(struct vmdk_store *store, void *file, uint64_t offset,
                            const void *from, size_t size)
{
    unsigned i = index_of(file);

    (void)store;
    if (offset + size > FILE_ROOM)
        return VMK_NO_SPACE;
    while (size) {
        uint64_t sector = offset / SECTOR;
        size_t part = MIN(size, SECTOR - offset % SECTOR);

        if (ram.writes >= ram.cut_after)
            return VMK_NO_DEVICE;
        ram.writes++;
        if (ram.undo_count == ram.undo_room) {
            ram.undo_room = ram.undo_room ? 2 * ram.undo_room : 1024;
            ram.undo = realloc(ram.undo, ram.undo_room * sizeof(*ram.undo));
        }
        ram.undo[ram.undo_count].file = i;
        ram.undo[ram.undo_count].sector = sector;
        memcpy(ram.undo[ram.undo_count++].before, ram.files[i].data + sector * SECTOR, SECTOR);
        memcpy(ram.files[i].data + offset, from, part);
        offset += part;
        ram.files[i].size = MAX(ram.files[i].size, offset);
        from = (const char *)from + part;
        size -= part;
    }
    return VMK_OK;
}

static vmk_status ram_size(struct vmdk_store *store, void *file, uint64_t *size)
{
    (void)store;
    *size = ram.files[index_of(file)].size;
    return VMK_OK;
}

static vmk_status ram_truncate(struct vmdk_store *store, void *file, uint64_t size)
{
    (void)store;
    if (size > FILE_ROOM)
        return VMK_NO_SPACE;
    ram.files[index_of(file)].size = size;
    return VMK_OK;
}

static vmk_status ram_sync(struct vmdk_store *store, void *file)
{
    unsigned i = index_of(file);
    size_t kept = 0;

    (void)store;
    if (ram.writes >= ram.cut_after)
        return VMK_NO_DEVICE;
    for (size_t j = 0; j < ram.undo_count; j++) {
        if (ram.undo[j].file != i)
            ram.undo[kept++] = ram.undo[j];
    }
    ram.undo_count = kept;
    ram.files[i].durable_size = ram.files[i].size;
    return VMK_OK;
}

static vmk_status ram_rename(struct vmdk_store *store, const char *from, const char *to)
{
    int i = find(from);
    int j = find(to);

    (void)store;
    if (i < 0)
        return VMK_NOT_FOUND;
    if (j >= 0)
        ram.files[j].there = false;
    snprintf(ram.files[i].name, sizeof(ram.files[i].name), "%s", to);
    return VMK_OK;
}

static vmk_status ram_remove(struct vmdk_store *store, const char *name)
{
    int i = find(name);

    (void)store;
    if (i < 0)
        return VMK_NOT_FOUND;
    ram.files[i].there = false;
    return VMK_OK;
}

static uint64_t ram_random(struct vmdk_store *store)
{
    (void)store;
    return ram.random += 0x9e3779b97f4a7c15ull;
}

static const struct vmdk_store_ops ram_ops = {
    .open = ram_open,
    .close = ram_close,
    .read = ram_read,
    .write = ram_write,
    .size = ram_size,
    .truncate = ram_truncate,
    .sync = ram_sync,
    .rename = ram_rename,
    .remove = ram_remove,
    .random = ram_random,
};
static struct vmdk_store store = {.ops = &ram_ops};

static void ram_begin(void)
{
    for (unsigned i = 0; i < FILES; i++)
        ram.files[i].there = false;
    ram.undo_count = 0;
    ram.writes = 0;
    ram.cut_after = UINT64_MAX;
    ram.random = 1;
}

/* Power comes back: each unsynced sector survives or not. Sizes: of the last sync at least. */
static void ram_power_on(uint64_t seed)
{
    struct rng rng;

    rng_init(&rng, seed, "power", 0);
    /* Latest first, so that what is undone shows what was before it. */
    for (size_t i = ram.undo_count; i > 0; i--) {
        const struct undo *u = &ram.undo[i - 1];

        if (!seed || rng_below(&rng, 2))
            continue;
        memcpy(ram.files[u->file].data + u->sector * SECTOR, u->before, SECTOR);
    }
    for (unsigned i = 0; seed && i < FILES; i++) {
        if (ram.files[i].there && rng_below(&rng, 2))
            ram.files[i].size = ram.files[i].durable_size;
    }
    ram.undo_count = 0;
    ram.cut_after = UINT64_MAX;
}

static unsigned lines;
static char last_line[256];

static void note(void *argument, const char *text)
{
    (void)argument;
    lines += strstr(text, "redundant table") == NULL;
    snprintf(last_line, sizeof(last_line), "%s", text);
}
static const struct vmdk_report report = {.line = note};

static struct vmdk *open_disk(const char *name, bool read_only)
{
    struct vmdk *disk = NULL;
    vmk_status status = vmdk_open(&store, name, read_only, &report, &disk);

    ck_assert_msg(status == VMK_OK, "%s: %s (%s)", name, vmk_status_text(status), last_line);
    return disk;
}

static void create(const char *name, uint64_t size, enum vmdk_provision how)
{
    const struct vmdk_create what = {.size = size, .how = how};

    ck_assert_int_eq(vmdk_create(&store, name, &what, NULL), VMK_OK);
}

/* ---- against a model ---- */

#define DISK_SIZE (3u << 20 | 5u * SECTOR)

struct model {
    unsigned char now[DISK_SIZE];      // what reads must say
    unsigned char flushed[DISK_SIZE];  // at the last flush
    bool touched[DISK_SIZE / SECTOR];  // written or discarded since
};
static struct model model;

#define WINDOWS 24u

/* The writes that each flush made. */
static struct window {
    uint64_t begin, end;
} flushes[WINDOWS];
static unsigned flush_count;

/* One step of a history; false when the power is gone. */
static bool step(struct vmdk *disk, struct rng *rng)
{
    static unsigned char data[150000];
    uint64_t at = rng_below(rng, DISK_SIZE);
    size_t size = 1 + rng_below(rng, rng_below(rng, 4) ? 3000 : sizeof(data) - 1);

    if (rng_below(rng, 3) == 0)  // neighbours meet
        at = rng_below(rng, 20) * 32768;
    size = MIN(size, DISK_SIZE - at);
    switch (rng_below(rng, 12)) {
    case 0:
    case 11:
        flushes[flush_count % WINDOWS].begin = ram.writes;
        if (vmdk_flush(disk) != VMK_OK)
            return false;
        flushes[flush_count++ % WINDOWS].end = ram.writes;
        memcpy(model.flushed, model.now, DISK_SIZE);
        memset(model.touched, 0, sizeof(model.touched));
        return true;
    case 1: {
        bool fine;

        at = at / SECTOR * SECTOR;
        size = (size_t)rng_below(rng, (DISK_SIZE - at) / SECTOR + 1) * SECTOR;
        size = MIN(size, 300000u / SECTOR * SECTOR);
        for (uint64_t i = at / SECTOR; i < (at + size) / SECTOR; i++)
            model.touched[i] = true;
        fine = vmdk_discard(disk, at, size) == VMK_OK;
        if (fine)
            (void)!vmdk_read(disk, at, model.now + at, size);  // zeros or as it was
        return fine;
    }
    default:
        for (size_t i = 0; i < size; i++)
            data[i] = (unsigned char)rng_next(rng);
        for (uint64_t i = at / SECTOR; i <= (at + size - 1) / SECTOR; i++)
            model.touched[i] = true;
        if (vmdk_write(disk, at, data, size) != VMK_OK)
            return false;
        memcpy(model.now + at, data, size);
        return true;
    }
}

static void compare_all(struct vmdk *disk)
{
    static unsigned char data[DISK_SIZE];

    ck_assert_int_eq(vmdk_read(disk, 0, data, DISK_SIZE), VMK_OK);
    ck_assert_int_eq(memcmp(data, model.now, DISK_SIZE), 0);
}

static const char *disk_name;

/* A disk of each kind, some with a parent that has contents. */
static void prepare(unsigned kind, uint64_t seed)
{
    struct rng rng;
    struct vmdk *disk;

    ram_begin();
    memset(&model, 0, sizeof(model));
    rng_init(&rng, seed, "base", kind);
    disk_name = "a.vmdk";
    create("a.vmdk", DISK_SIZE, kind & 1 ? VMDK_MONO_SPARSE : VMDK_THIN);
    if (kind < 2)
        return;
    disk = open_disk("a.vmdk", false);
    for (unsigned i = 0; i < 8; i++)
        ck_assert(step(disk, &rng));
    ck_assert_int_eq(vmdk_close(disk), VMK_OK);
    ck_assert_int_eq(vmdk_snapshot(&store, "a.vmdk", "b.vmdk", &report), VMK_OK);
    disk_name = "b.vmdk";
    memcpy(model.flushed, model.now, DISK_SIZE);
    memset(model.touched, 0, sizeof(model.touched));
}

START_TEST(test_vmdk__random_work__as_model)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct vmdk_check_result result;
        struct rng rng;
        struct vmdk *disk;

        prepare((unsigned)_i, seed);
        rng_init(&rng, seed, "work", (unsigned)_i);
        for (unsigned session = 0; session < 3; session++) {
            disk = open_disk(disk_name, false);
            for (unsigned i = 0; i < 40; i++)
                ck_assert(step(disk, &rng));
            compare_all(disk);
            ck_assert_int_eq(vmdk_close(disk), VMK_OK);
            disk = open_disk(disk_name, true);
            compare_all(disk);
            ck_assert_int_eq(vmdk_close(disk), VMK_OK);
        }
        ck_assert_int_eq(vmdk_check(&store, disk_name, &report, &result), VMK_OK);
        ck_assert_msg(!result.problems, "%s", last_line);
    }
}
END_TEST

/* One history, cut at write `cut`; what survives is chosen by `seed`. False: it was not cut. */
static bool cut_once(unsigned kind, uint64_t cut, uint64_t seed)
{
    static unsigned char data[DISK_SIZE];
    struct vmdk_check_result result;
    bool alive = true;
    struct rng rng;
    struct vmdk *disk;

    prepare(kind, 3);
    rng_init(&rng, 3, "cut", kind);
    disk = open_disk(disk_name, false);
    ram.writes = 0;
    ram.cut_after = cut;
    flush_count = 0;
    for (unsigned i = 0; i < 24 && alive; i++)
        alive = step(disk, &rng);
    if (alive)
        alive = vmdk_close(disk) == VMK_OK;
    else
        (void)!vmdk_close(disk);
    ram_power_on(seed);
    disk = open_disk(disk_name, true);
    ck_assert_int_eq(vmdk_read(disk, 0, data, DISK_SIZE), VMK_OK);
    ck_assert_int_eq(vmdk_close(disk), VMK_OK);
    for (unsigned i = 0; i < DISK_SIZE / SECTOR; i++) {
        if (!model.touched[i])
            ck_assert_msg(memcmp(data + i * SECTOR, model.flushed + i * SECTOR, SECTOR) == 0,
                          "kind %u, cut at write %u: sector %u changed", kind, (unsigned)cut,
                          i);
    }
    lines = 0;
    ck_assert_int_eq(vmdk_check(&store, disk_name, &report, &result), VMK_OK);
    /* The two copies of a table are written in one window, so they may differ. */
    ck_assert_msg(!lines, "cut at write %u: %s", (unsigned)cut, last_line);
    return !alive;
}

/*
 * Nothing that was flushed is lost, nothing untouched has changed: after a cut at each write of
 * each flush, where the order matters, and at many others.
 */
START_TEST(test_vmdk__power_cut__keeps_what_was_flushed)
{
    struct window all[WINDOWS];
    unsigned windows;
    unsigned cuts = 0;

    ck_assert(!cut_once((unsigned)_i, UINT64_MAX, 0));
    windows = flush_count;
    memcpy(all, flushes, sizeof(all));
    for (unsigned i = 0; i < windows; i++) {
        for (uint64_t cut = all[i].begin; cut <= all[i].end; cut++) {
            for (uint64_t seed = 0; seed < 5; seed++, cuts++)
                (void)cut_once((unsigned)_i, cut, seed);
        }
    }
    for (uint64_t cut = 1; cut < all[windows - 1].end; cut += 61, cuts++)
        (void)cut_once((unsigned)_i, cut, cut % 5);
    ck_assert_uint_ge(cuts, 30);
}
END_TEST

/* QEMU writes no leading zeroes: one of its disks in sixteen has fewer than eight digits. */
START_TEST(test_vmdk__cid_of_few_digits__is_changed_in_place)
{
    size_t digits = (size_t)_i;
    char text[20 * SECTOR];
    struct vmdk *disk;
    void *file;
    char *cid;

    prepare(1, 1);
    ck_assert_int_eq(ram_open(&store, "a.vmdk", VMDK_OPEN_WRITE, &file), VMK_OK);
    ck_assert_int_eq(ram_read(&store, file, SECTOR, text, sizeof(text)), VMK_OK);
    cid = strstr(text, "CID=");
    ck_assert_ptr_nonnull(cid);
    memmove(cid + 4, cid + 12 - digits, sizeof(text) - (size_t)(cid + 12 - digits - text));
    ck_assert_int_eq(ram_write(&store, file, SECTOR, text, sizeof(text)), VMK_OK);
    ram_close(&store, file);
    disk = open_disk("a.vmdk", false);
    ck_assert_int_eq(vmdk_write(disk, 700, "x", 1), VMK_OK);
    ck_assert_int_eq(vmdk_close(disk), VMK_OK);
    ck_assert_int_eq(ram_open(&store, "a.vmdk", VMDK_OPEN_READ, &file), VMK_OK);
    ck_assert_int_eq(ram_read(&store, file, SECTOR, text, sizeof(text)), VMK_OK);
    ck_assert_uint_eq(strspn(cid + 4, "0123456789abcdef"), digits);
    ram_close(&store, file);
    disk = open_disk("a.vmdk", true);
    ck_assert_int_eq(vmdk_read(disk, 700, text, 1), VMK_OK);
    ck_assert_int_eq(text[0], 'x');
    ck_assert_int_eq(vmdk_close(disk), VMK_OK);
}
END_TEST

/* ---- chains ---- */

START_TEST(test_vmdk_chain__parent_changed__is_refused)
{
    struct vmdk *disk;

    prepare(2, 1);
    disk = open_disk("a.vmdk", false);
    ck_assert_int_eq(vmdk_write(disk, 0, "x", 1), VMK_OK);
    ck_assert_int_eq(vmdk_close(disk), VMK_OK);
    ck_assert_int_eq(vmdk_open(&store, "b.vmdk", true, &report, &disk), VMK_CORRUPT);
    ck_assert_ptr_nonnull(strstr(last_line, "parentCID"));
}
END_TEST

START_TEST(test_vmdk_chain__opened_for_writing_without_a_write__stays)
{
    struct vmdk *disk;

    prepare(2, 1);
    disk = open_disk("a.vmdk", false);
    ck_assert_int_eq(vmdk_close(disk), VMK_OK);
    disk = open_disk("b.vmdk", true);
    ck_assert_int_eq(vmdk_close(disk), VMK_OK);
}
END_TEST

START_TEST(test_vmdk_chain__circle__ends)
{
    static const char text[] = "# Disk DescriptorFile\nversion=1\nCID=00000001\n"
                               "parentCID=00000001\nparentFileNameHint=\"x.vmdk\"\n"
                               "createType=\"vmfs\"\nRW 8 ZERO\n";
    struct vmdk *disk;
    void *file;

    ram_begin();
    ck_assert_int_eq(ram_open(&store, "x.vmdk", VMDK_OPEN_CREATE, &file), VMK_OK);
    ck_assert_int_eq(ram_write(&store, file, 0, text, sizeof(text) - 1), VMK_OK);
    ck_assert_int_eq(vmdk_open(&store, "x.vmdk", true, &report, &disk), VMK_LIMIT);
}
END_TEST

/* ---- descriptors ---- */

static const struct {
    const char *text, *says;
    vmk_status status;
} descriptors[] = {
    {"RW 8 FLAT\n", "line 4: the extent's file name", VMK_BAD_FORMAT},
    {"RW x FLAT \"a\" 0\n", "line 4: the extent's size", VMK_BAD_FORMAT},
    {"RW 8 SOFT \"a\"\n", "line 4: the extent's type", VMK_BAD_FORMAT},
    {"RW 8 SESPARSE \"a\"\n", "line 4: this type", VMK_UNSUPPORTED},
    {"RW 8 FLAT \"../etc/shadow\" 0\n", "no '/'", VMK_BAD_FORMAT},
    {"RW 8 FLAT \"a\" y\n", "offset", VMK_BAD_FORMAT},
    {"NOACCESS 8 ZERO\n", "without access", VMK_UNSUPPORTED},
    {"CID=xyz\nRW 8 ZERO\n", "line 4: CID", VMK_BAD_FORMAT},
    {"parentCID=123456789\nRW 8 ZERO\n", "parentCID", VMK_BAD_FORMAT},
    {"parentCID=12345678\nRW 8 ZERO\n", "parentFileNameHint", VMK_BAD_FORMAT},
    {"nonsense\nRW 8 ZERO\n", "line 4: neither", VMK_BAD_FORMAT},
    {"ddb.geometry.heads=\"many\"\nRW 8 ZERO\n", "no number", VMK_BAD_FORMAT},
    {"version=9\nRW 8 ZERO\n", "version is 9", VMK_UNSUPPORTED},
    {"", "no extent", VMK_BAD_FORMAT},
    {"RW 17592186044416 ZERO\nRW 17592186044416 ZERO\n", "too large", VMK_BAD_FORMAT},
    {"RW 8 ZERO\n", NULL, VMK_OK},
    {"rw 8 flat \"A b.vmdk\" 16\nkey.of.theirs = \"1\"\n", NULL, VMK_OK},
};

START_TEST(test_vmdk_descriptor__each_error__is_told_by_line)
{
    struct vmdk_descriptor *d = NULL;
    char text[512];

    snprintf(text, sizeof(text), "version=1\nCID=0000abcd\ncreateType=\"custom\"\n%s",
             descriptors[_i].text);
    lines = 0;
    ck_assert_int_eq(vmdk_descriptor_parse(text, strlen(text), "t", &report, &d),
                     descriptors[_i].status);
    if (descriptors[_i].says)
        ck_assert_msg(strstr(last_line, descriptors[_i].says) != NULL, "%s", last_line);
    else
        ck_assert_uint_eq(lines, 0);
    if (d) {
        struct vmdk_descriptor *again = NULL;
        char written[1024];

        ck_assert_uint_lt(vmdk_descriptor_write(d, written, sizeof(written)), sizeof(written));
        ck_assert_int_eq(vmdk_descriptor_parse(written, strlen(written), "t", &report, &again),
                         VMK_OK);
        ck_assert_uint_eq(again->capacity, d->capacity);
        ck_assert_str_eq(again->other, d->other);
        vmdk_descriptor_free(again);
    }
    vmdk_descriptor_free(d);
}
END_TEST

/* ---- management ---- */

START_TEST(test_vmdk_manage__clone_extend_rename_remove)
{
    static const enum vmdk_provision kinds[] = {VMDK_THIN, VMDK_EAGER_ZEROED, VMDK_MONO_SPARSE,
                                                VMDK_STREAM};
    struct vmdk *disk;

    for (unsigned i = 0; i < ARRAY_COUNT(kinds); i++) {
        prepare(3, 5);
        ck_assert_int_eq(
            vmdk_clone(&store, "b.vmdk", &store, "c.vmdk", kinds[i], &report, NULL), VMK_OK);
        disk = open_disk("c.vmdk", true);
        compare_all(disk);
        ck_assert_int_eq(vmdk_close(disk), VMK_OK);
        ck_assert_int_eq(
            vmdk_clone(&store, "b.vmdk", &store, "c.vmdk", kinds[i], &report, NULL),
            VMK_EXISTS);
        ck_assert_int_eq(vmdk_rename(&store, "c.vmdk", "d.vmdk", &report), VMK_OK);
        ck_assert_int_lt(find("c.vmdk"), 0);
        disk = open_disk("d.vmdk", true);
        compare_all(disk);
        ck_assert_int_eq(vmdk_close(disk), VMK_OK);
        if (kinds[i] == VMDK_THIN) {
            ck_assert_int_ge(find("d-flat.vmdk"), 0);
            ck_assert_int_eq(
                vmdk_extend(&store, "d.vmdk", DISK_SIZE + (1 << 20), VMDK_THIN, &report, NULL),
                VMK_OK);
            ck_assert_int_eq(vmdk_extend(&store, "d.vmdk", SECTOR, VMDK_THIN, &report, NULL),
                             VMK_BAD_PARAM);
            ck_assert_int_eq(vmdk_inflate(&store, "d.vmdk", &report, NULL), VMK_OK);
            disk = open_disk("d.vmdk", false);
            ck_assert_uint_eq(vmdk_capacity(disk), DISK_SIZE + (1 << 20));
            ck_assert(!vmdk_descriptor_of(disk, 0)->thin);
            compare_all(disk);
            ck_assert_int_eq(vmdk_close(disk), VMK_OK);
        } else if (kinds[i] == VMDK_STREAM) {
            ck_assert_int_eq(vmdk_open(&store, "d.vmdk", false, &report, &disk), VMK_READ_ONLY);
        }
        ck_assert_int_eq(vmdk_remove(&store, "d.vmdk", &report), VMK_OK);
        ck_assert_int_lt(find("d.vmdk"), 0);
        ck_assert_int_lt(find("d-flat.vmdk"), 0);
    }
}
END_TEST

/* ---- in the kernel: files through the VFS, a device with a worker ---- */

static void device_body(void *argument)
{
    const struct vmdk_create what = {.size = 1 << 20, .how = VMDK_MONO_SPARSE};
    static unsigned char data[4096];
    static unsigned char back[4096];
    struct block_device *device;

    (void)argument;
    fs_up();
    ck_assert_int_eq(vmdk_create(vmdk_vfs_store(), "/tmp/d.vmdk", &what, NULL), VMK_OK);
    ck_assert_int_eq(vmdk_device_open("/tmp/d.vmdk", false, IOSHARES_NORMAL, &device), VMK_OK);
    ck_assert_uint_eq(device->size, 1 << 20);
    memset(data, 0xa5, sizeof(data));
    ck_assert_int_eq(block_write(device, 65536 - 512, data, sizeof(data)), VMK_OK);
    ck_assert_int_eq(block_read(device, 65536 - 512, back, sizeof(back)), VMK_OK);
    ck_assert_int_eq(memcmp(data, back, sizeof(data)), 0);
    ck_assert_int_eq(block_compare_write(device, 65536, data, back + 1), VMK_OK);
    ck_assert_int_eq(block_compare_write(device, 0, data, back), VMK_AGAIN);
    ck_assert_int_eq(block_flush(device), VMK_OK);
    ck_assert_int_eq(block_discard(device, 65536, 65536), VMK_OK);
    ck_assert_int_eq(block_read(device, 1 << 20, back, 512), VMK_BAD_PARAM);
    device->ops->destroy(device);
    ck_assert_int_eq(vmdk_device_open("/tmp/d.vmdk", true, IOSHARES_NORMAL, &device), VMK_OK);
    ck_assert_int_eq(block_read(device, 65536 - 512, back, 512), VMK_OK);
    ck_assert_int_eq(memcmp(data, back, 512), 0);
    ck_assert_int_eq(block_write(device, 0, back, 512), VMK_READ_ONLY);
    device->ops->destroy(device);
    ck_assert_int_eq(vmdk_device_open("/tmp/none.vmdk", true, IOSHARES_NORMAL, &device),
                     VMK_NOT_FOUND);
}

FS_TEST(test_vmdk_device__in_the_kernel__reads_what_it_wrote, device_body)

int main(void)
{
    Suite *suite = suite_create("vmdk");
    TCase *tcase = tcase_create("files in memory");
    TCase *kernel = tcase_create("in the kernel");

    tcase_add_checked_fixture(tcase, sim_test_begin, NULL);
    tcase_add_loop_test(tcase, test_vmdk__random_work__as_model, 0, 4);
    tcase_add_loop_test(tcase, test_vmdk__power_cut__keeps_what_was_flushed, 0, 4);
    tcase_add_loop_test(tcase, test_vmdk__cid_of_few_digits__is_changed_in_place, 1, 9);
    tcase_add_test(tcase, test_vmdk_chain__parent_changed__is_refused);
    tcase_add_test(tcase, test_vmdk_chain__opened_for_writing_without_a_write__stays);
    tcase_add_test(tcase, test_vmdk_chain__circle__ends);
    tcase_add_loop_test(tcase, test_vmdk_descriptor__each_error__is_told_by_line, 0,
                        ARRAY_COUNT(descriptors));
    tcase_add_test(tcase, test_vmdk_manage__clone_extend_rename_remove);
    tcase_add_test(kernel, test_vmdk_device__in_the_kernel__reads_what_it_wrote);
    tcase_set_timeout(tcase, 120);
    suite_add_tcase(suite, tcase);
    suite_add_tcase(suite, kernel);
    return suite_run(suite);
}
