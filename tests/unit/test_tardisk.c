// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_tardisk.c -- tardisks: archives of the host's own tar and gzip, whole and damaged.
 *
 * The peer is GNU tar in its three formats; the damage is done to real archives byte by byte.
 *
 * Invariants
 *   - After a refused archive the root's tree, pages and heap are what they were.
 * Locking    none; one world.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "core/log.h"
#include "fs/visorfs/tar.h"
#include "lib/rng.h"
#include "tests/unit/fs_fixture.h"

static struct vfs_where where;
static char dir[64];

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void run(const char *format, ...)
{
    char command[1024], text[1100];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(command, sizeof(command), format, arguments);
    va_end(arguments);
    snprintf(text, sizeof(text), "cd %s && %s", dir, command);
    ck_assert_msg(system(text) == 0, "%s", command);
}

struct bytes {
    unsigned char *data;
    size_t size;
};

static struct bytes slurp(const char *name)
{
    char path[128];
    struct stat st;
    struct bytes b;
    int fd;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    fd = open(path, O_RDONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &st), 0);
    b.size = (size_t)st.st_size;
    b.data = malloc(b.size + 1);
    ck_assert_int_eq((int)read(fd, b.data, b.size), (int)b.size);
    close(fd);
    return b;
}

/* A gzip file made of plain bytes. */
static struct bytes pack(const void *data, size_t size)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)size};
    struct bytes b = {.data = malloc(size + 4096)};

    ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_out = b.data;
    z.avail_out = (uInt)(size + 4096);
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    b.size = z.total_out;
    deflateEnd(&z);
    return b;
}

static bool log_has(const char *text)
{
    static char ring[65536];
    size_t length = log_ring_copy(ring, sizeof(ring) - 1);

    ring[length] = 0;
    return strstr(ring, text) != NULL;
}

static void up(void)
{
    strcpy(dir, "/tmp/orrery-tardisk.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    fs_up();
    where = vfs_where_kernel();
}

static void down(void)
{
    run("rm -rf %s", dir);
}

static void make_tree(void)
{
    run("mkdir -p t/bin t/etc/init.d t/deep/er/and/deeper && printf 'root:x:0:0::/:/bin/sh\\n' "
        ">t/etc/passwd && chmod 640 t/etc/passwd && ln -s busybox t/bin/sh && "
        "ln -s /etc/passwd t/etc/absolute && head -c 100000 /dev/urandom >t/bin/busybox && "
        "chmod 4755 t/bin/busybox && ln t/bin/busybox t/bin/hard && : >t/etc/empty && "
        "mkfifo t/etc/fifo && head -c 4096 /dev/zero >t/deep/er/and/deeper/page && "
        "touch -d @1000000000 t/etc/empty");
    run("mkdir -p t/$(printf 'long%%.0s' $(seq 40))/$(printf 'path%%.0s' $(seq 40)) && "
        "echo found >t/$(printf 'long%%.0s' $(seq 40))/$(printf 'path%%.0s' $(seq 40))/file");
}

static void check_tree(void)
{
    static unsigned char ours[100001];
    struct bytes theirs = slurp("t/bin/busybox");
    struct file *file;
    char path[400] = "/";
    size_t done;

    ck_assert_str_eq(fs_read_file("/etc/passwd"), "root:x:0:0::/:/bin/sh\n");
    ck_assert_uint_eq(fs_stat("/etc/passwd").mode, VFS_TYPE_REGULAR | 0640);
    ck_assert_uint_eq(fs_stat("/bin/busybox").mode, VFS_TYPE_REGULAR | 04755);
    ck_assert_uint_eq(fs_stat("/bin/busybox").link_count, 2);
    ck_assert_uint_eq(fs_stat("/bin/hard").inode, fs_stat("/bin/busybox").inode);
    ck_assert_uint_eq(fs_stat("/bin/sh").mode, VFS_TYPE_LINK | 0777);
    ck_assert_uint_eq(fs_stat("/bin/sh").size, 7);
    ck_assert_uint_eq(fs_stat("/etc/empty").size, 0);
    ck_assert_int_eq(fs_stat("/etc/empty").mtime_ns, 1000000000ll * 1000000000ll);
    ck_assert_uint_eq(fs_stat("/etc/fifo").mode & VFS_TYPE_MASK, VFS_TYPE_FIFO);
    file = fs_open("/bin/sh", VFS_O_RDONLY, 0);
    ck_assert_int_eq(file_read(file, ours, sizeof(ours), &done), VMK_OK);
    ck_assert_uint_eq(done, theirs.size);
    ck_assert_mem_eq(ours, theirs.data, done);
    file_put(file);
    free(theirs.data);
    for (unsigned i = 0; i < 40; i++)
        strcat(path, "long");
    strcat(path, "/");
    for (unsigned i = 0; i < 40; i++)
        strcat(path, "path");
    strcat(path, "/file");
    ck_assert_str_eq(fs_read_file(path), "found\n");
}

static void formats_entry(void *argument)
{
    static const char *const formats[] = {"gnu", "pax", "ustar"};

    (void)argument;
    up();
    make_tree();
    for (unsigned i = 0; i < 3; i++) {
        struct bytes b;

        if (i == 2)  // ustar cannot say such a path
            run("rm -rf t/long* && mkdir -p t/$(printf 'long%%.0s' $(seq 20)) && ln "
                "t/etc/empty "
                "t/$(printf 'long%%.0s' $(seq 20))/x");
        run("tar --format=%s -czf a.tgz -C t .", formats[i]);
        b = slurp("a.tgz");
        ck_assert_msg(visorfs_tardisk_load(formats[i], b.data, b.size) == VMK_OK, "%s",
                      formats[i]);
        check_tree();
        free(b.data);
        run("tar --format=%s -cf a.tar -C t bin etc", formats[i]);
        b = slurp("a.tar");
        ck_assert_int_eq(visorfs_tardisk_load("plain.v01", b.data, b.size), VMK_OK);
        check_tree();
        free(b.data);
    }

    struct visorfs_tardisk t;

    ck_assert(visorfs_tardisk_at(5, &t));
    ck_assert_str_eq(t.name, "plain.v01");
    ck_assert(!visorfs_tardisk_at(6, &t));
    down();
}
FS_TEST(test_tardisk__gnu_pax_and_ustar__all_that_tar_packed, formats_entry)

static struct visorfs_usage usage(void)
{
    struct visorfs_usage u;

    ck_assert_int_eq(visorfs_usage(where.root->mount, &u), VMK_OK);
    return u;
}

static void layers_entry(void *argument)
{
    struct bytes b;
    struct file *file;
    mpn_t page;
    size_t done;
    uint64_t used;

    (void)argument;
    up();
    run("mkdir -p one/etc one/d two/etc two/d three && echo first >one/etc/f && echo keep "
        ">one/etc/k && echo x >one/d/x && echo second >two/etc/f && chmod 700 two/etc && "
        "echo file >three/d && seq 3000 >one/big");
    run("tar -czf 1.tgz -C one . && tar -czf 2.tgz -C two . && tar -czf 3.tgz -C three .");
    b = slurp("1.tgz");
    used = usage().size_used;
    ck_assert_int_eq(visorfs_tardisk_load("1.tgz", b.data, b.size), VMK_OK);
    ck_assert_uint_eq(usage().size_used, used);  // a tardisk's pages cost no quota
    ck_assert_uint_eq(usage().tardisk_size, (1 + 1 + 1 + 4) * 4096);
    free(b.data);
    b = slurp("2.tgz");
    ck_assert_int_eq(visorfs_tardisk_load("2.tgz", b.data, b.size), VMK_OK);
    free(b.data);
    ck_assert_str_eq(fs_read_file("/etc/f"), "second\n");
    ck_assert_str_eq(fs_read_file("/etc/k"), "keep\n");
    ck_assert_str_eq(fs_read_file("/d/x"), "x\n");
    ck_assert_uint_eq(fs_stat("/etc").mode, VFS_TYPE_DIR | 0700);
    ck_assert_uint_eq(fs_stat("/etc").link_count, 2);
    ck_assert_uint_eq(usage().tardisk_size, (1 + 1 + 1 + 4) * 4096);  // the replaced file went
    // A file cannot take the place of a directory with something in it.
    b = slurp("3.tgz");
    ck_assert_int_eq(visorfs_tardisk_load("3.tgz", b.data, b.size), VMK_OK);
    free(b.data);
    ck_assert(log_has("tardisk 3.tgz: \"d\" is left out"));
    ck_assert_str_eq(fs_read_file("/d/x"), "x\n");

    // A write makes that page, and only that, the ram disk's own.
    file = fs_open("/big", VFS_O_RDWR, 0);
    ck_assert_int_eq(file_pwrite(file, "#", 1, 5000, &done), VMK_OK);
    ck_assert_uint_eq(usage().size_used, used + 4096);
    ck_assert_uint_eq(usage().tardisk_size, (1 + 1 + 1 + 3) * 4096);
    ck_assert_int_eq(file_page_get(file, 0, false, &page), VMK_OK);  // reading costs nothing
    ck_assert_uint_eq(usage().size_used, used + 4096);
    ck_assert_mem_eq(mpn_map(page), "1\n2\n3\n", 6);
    file_page_put(file, 0, page);
    ck_assert_int_eq(file_page_get(file, 0, true, &page), VMK_OK);
    ck_assert_uint_eq(usage().size_used, used + 8192);
    file_page_put(file, 0, page);
    ck_assert_int_eq(file_truncate(file, 3000), VMK_OK);
    ck_assert_uint_eq(usage().size_used, used + 4096);
    ck_assert_uint_eq(usage().tardisk_size, (1 + 1 + 1) * 4096);
    file_put(file);
    ck_assert_int_eq(vfs_unlink(&where, "/big"), VMK_OK);
    ck_assert_uint_eq(usage().size_used, used);
    down();
}
FS_TEST(test_tardisk__in_order__later_replaces_and_writes_branch, layers_entry)

/* ---- damage ---- */

static uint64_t heap_before, pages_before;
static struct visorfs_usage usage_before;

static void before(void)
{
    heap_before = heap_owned(MEM_OWNER_FS);
    pages_before = page_owned_count(MEM_OWNER_FS);
    usage_before = usage();
}

static void unchanged(const char *what)
{
    struct visorfs_usage now = usage();

    ck_assert_msg(heap_owned(MEM_OWNER_FS) == heap_before, "%s: heap", what);
    ck_assert_msg(page_owned_count(MEM_OWNER_FS) == pages_before, "%s: pages", what);
    ck_assert_msg(now.inodes_used == usage_before.inodes_used &&
                      now.tardisk_size == usage_before.tardisk_size &&
                      now.size_used == usage_before.size_used,
                  "%s: usage", what);
    ck_assert_int_eq(fs_stat_status("/bin"), VMK_NOT_FOUND);
}

/* Does gzip itself unpack it? */
static bool is_whole(const void *data, size_t size)
{
    char path[100], command[300];
    FILE *file;

    snprintf(path, sizeof(path), "%s/peer.gz", dir);
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, size, file), size);
    fclose(file);
    snprintf(command, sizeof(command), "gzip -t %s 2>/dev/null", path);
    return system(command) == 0;
}

static void damage_entry(void *argument)
{
    struct bytes b, copy;
    struct rng rng;
    unsigned refused = 0;

    (void)argument;
    up();
    rng_init(&rng, 1, "damage", 0);
    run("mkdir -p t/bin t/etc && seq 2000 >t/bin/numbers && echo x >t/etc/x && ln -s x "
        "t/etc/y");
    run("tar --format=ustar -czf a.tgz -C t .");
    b = slurp("a.tgz");
    copy.data = malloc(b.size);
    before();
    // Cut anywhere.
    for (size_t size = 0; size < b.size; size += 1 + rng_below(&rng, 40)) {
        memcpy(copy.data, b.data, size);
        ck_assert_msg(visorfs_tardisk_load("cut.tgz", copy.data, size) == VMK_BAD_FORMAT,
                      "cut at %zu", size);
        unchanged("cut");
    }
    ck_assert(log_has("tardisk cut.tgz refused: the compressed data end early"));
    // One bit wrong anywhere: the checksum finds it. Not in the 10 bytes of gzip's header,
    // where time and system are nobody's; and a run of one byte may come out the same from
    // another distance, which gzip tells.
    for (unsigned i = 0; i < 400; i++) {
        size_t at = 10 + rng_below(&rng, b.size - 10);

        memcpy(copy.data, b.data, b.size);
        copy.data[at] ^= (unsigned char)(1u << rng_below(&rng, 8));
        if (is_whole(copy.data, b.size))
            continue;
        ck_assert_msg(visorfs_tardisk_load("bit.tgz", copy.data, b.size) == VMK_BAD_FORMAT,
                      "bit at %zu", at);
        unchanged("bit");
        refused++;
    }
    ck_assert_uint_gt(refused, 390);
    // The archive in it damaged, and packed again without a fault.
    run("tar --format=ustar -cf a.tar -C t .");
    free(b.data);
    b = slurp("a.tar");
    for (unsigned i = 0; i < 512; i++) {
        struct bytes packed;

        if (i == 155)  // behind the checksum, where nothing is said
            continue;
        b.data[512 + i]++;
        packed = pack(b.data, b.size);
        ck_assert_msg(visorfs_tardisk_load("header.tgz", packed.data, packed.size) ==
                          VMK_BAD_FORMAT,
                      "header byte %u", i);
        b.data[512 + i]--;
        unchanged("header");
        free(packed.data);
        i += i > 160 ? 30 : 0;
    }
    ck_assert(log_has("tardisk header.tgz refused: the checksum of a header is wrong"));
    // No end, and half an end.
    for (size_t cut = 512; cut <= 1024; cut += 512) {
        size_t end = b.size;

        while (end > 512 && b.data[end - 1] == 0)
            end--;
        end = (end + 511) / 512 * 512;
        ck_assert_int_eq(visorfs_tardisk_load("end.v00", b.data, end + 1024 - cut),
                         VMK_BAD_FORMAT);
        unchanged("end");
    }
    free(b.data);
    free(copy.data);
    // And the boot goes on: a whole one is taken.
    b = slurp("a.tgz");
    ck_assert_int_eq(visorfs_tardisk_load("a.tgz", b.data, b.size), VMK_OK);
    ck_assert_str_eq(fs_read_file("/etc/y"), "x\n");
    free(b.data);
    down();
}
FS_TEST(test_tardisk__damaged_anywhere__refused_and_nothing_left, damage_entry)

/* ---- hostile archives, made block by block ---- */

static unsigned char archive[64 * 512];
static size_t archive_size;

static void member(char type, const char *name, const char *target, const char *data)
{
    unsigned char *h = archive + archive_size;
    unsigned size = data ? (unsigned)strlen(data) : 0;
    unsigned sum = 0;

    memset(h, 0, 512);
    strncpy((char *)h, name, 100);
    snprintf((char *)h + 100, 8, "0000755");
    snprintf((char *)h + 108, 8, "0000000");
    snprintf((char *)h + 116, 8, "0000000");
    snprintf((char *)h + 124, 12, "%011o", size);
    snprintf((char *)h + 136, 12, "00000000000");
    h[156] = (unsigned char)type;
    strncpy((char *)h + 157, target, 100);
    memcpy(h + 257, "ustar\00000", 8);
    memset(h + 148, ' ', 8);
    for (unsigned i = 0; i < 512; i++)
        sum += h[i];
    snprintf((char *)h + 148, 8, "%06o", sum);
    archive_size += 512;
    if (size) {
        memset(archive + archive_size, 0, (size + 511) / 512 * 512);
        memcpy(archive + archive_size, data, size);
        archive_size += (size + 511) / 512 * 512;
    }
}

static void refused(const char *why)
{
    char text[200];

    memset(archive + archive_size, 0, 1024);
    ck_assert_msg(visorfs_tardisk_load("trick.v00", archive, archive_size + 1024) ==
                      VMK_BAD_FORMAT,
                  "%s", why);
    snprintf(text, sizeof(text), "tardisk trick.v00 refused: %s", why);
    ck_assert_msg(log_has(text), "%s", why);
    unchanged(why);
    archive_size = 0;
}

static void tricks_entry(void *argument)
{
    char huge[12];

    (void)argument;
    up();
    before();
    member('0', "../etc/passwd", "", "x");
    refused("a path leads upwards with \"..\"");
    member('0', "bin/../../etc/passwd", "", "x");
    refused("a path leads upwards with \"..\"");
    member('0', "/etc/passwd", "", "x");
    refused("a path begins with a slash");
    member('2', "bin", "/etc", NULL);
    member('0', "bin/passwd", "", "x");
    refused("a path leads through something that is no directory");
    member('1', "bin", "../../etc/passwd", NULL);
    refused("a path leads upwards with \"..\"");
    member('1', "bin", "not-there", NULL);
    refused("a hard link to something that did not come before");
    member('5', "bin", "", NULL);
    member('1', "etc", "bin", NULL);
    refused("a hard link to something that did not come before");
    member('5', "bin", "", NULL);
    member('0', "bin", "", "x");
    refused("one name is both a directory and something else");
    member('0', ".", "", "x");
    refused("a member without a name");
    member('2', "bin", "", NULL);
    refused("a link without a target");
    member('Z', "bin", "", "x");
    refused("a member is of an unknown type");
    member('x', "pax", "", "9999 path=x\n");
    member('0', "bin", "", "x");
    refused("an extended header is malformed");
    member('x', "pax", "", "18 path=../../tri\n");
    member('0', "bin", "", "x");
    refused("a path leads upwards with \"..\"");
    // A header that promises more than there can be.
    member('0', "bin", "", NULL);
    snprintf(huge, sizeof(huge), "%011o", 07777777777);
    memcpy(archive + 124, "77777777777", 11);
    memset(archive + 148, ' ', 8);
    unsigned sum = 0;
    for (unsigned i = 0; i < 512; i++)
        sum += archive[i];
    snprintf((char *)archive + 148, 8, "%06o", sum);
    refused("it unpacks to more than half of the memory");
    // Something else entirely.
    memset(archive, 'A', 2048);
    archive_size = 2048;
    refused("the checksum of a header is wrong");
    down();
}
FS_TEST(test_tardisk__tricks__refused_by_name, tricks_entry)

/* A small gzip file that unpacks to gigabytes of zeros. */
static void bomb_entry(void *argument)
{
    struct bytes b;

    (void)argument;
    up();
    before();
    run("truncate -s 150M bomb && tar --format=ustar -cf - bomb | gzip -1 >bomb.tgz; rm bomb");
    b = slurp("bomb.tgz");
    ck_assert_int_eq(visorfs_tardisk_load("bomb.tgz", b.data, b.size), VMK_BAD_FORMAT);
    ck_assert(log_has("tardisk bomb.tgz refused: it unpacks to more than half of the memory"));
    unchanged("bomb");
    free(b.data);
    down();
}
FS_TEST(test_tardisk__bomb__refused_early, bomb_entry)

/* Memory ends at every place of a load in turn. */
static void starve_entry(void *argument)
{
    static mpn_t taken[16384];
    unsigned count = 0, failed = 0;
    struct bytes b;
    vmk_status status = VMK_NO_MEMORY;

    (void)argument;
    up();
    run("mkdir -p t/bin/sub && seq 9000 >t/bin/numbers && ln -s x t/bin/sub/l && "
        "ln t/bin/numbers t/bin/sub/h && tar -czf a.tgz -C t .");
    b = slurp("a.tgz");
    while (page_alloc(0, MEM_OWNER_TEST, &taken[count]) == VMK_OK)
        count++;
    while (status != VMK_OK) {
        uint64_t pages = page_owned_count(MEM_OWNER_FS);

        status = visorfs_tardisk_load("a.tgz", b.data, b.size);
        failed += status != VMK_OK;
        if (status != VMK_OK)
            ck_assert_uint_eq(page_owned_count(MEM_OWNER_FS), pages);
        page_free(taken[--count], 0, MEM_OWNER_TEST);
    }
    ck_assert_uint_gt(failed, 10);
    ck_assert_uint_eq(fs_stat("/bin/sub/h").link_count, 2);
    while (count)
        page_free(taken[--count], 0, MEM_OWNER_TEST);
    free(b.data);
    down();
}
FS_TEST(test_tardisk__memory_ends_anywhere__refused_and_nothing_left, starve_entry)

START_TEST(test_tardisk__names_of_boot_modules__told_apart)
{
    ck_assert(visorfs_tardisk_name("s.v00"));
    ck_assert(visorfs_tardisk_name("state.tgz"));
    ck_assert(visorfs_tardisk_name("base.vgz"));
    ck_assert(visorfs_tardisk_name("base.tar.gz"));
    ck_assert(!visorfs_tardisk_name(".v00"));
    ck_assert(!visorfs_tardisk_name("initrd.gz"));
    ck_assert(!visorfs_tardisk_name("demo.vmx"));
    ck_assert(!visorfs_tardisk_name("s.v0x"));
    ck_assert(!visorfs_tardisk_name(""));
}
END_TEST

KERNEL_TEST_MAIN("tardisk", RUNS(test_tardisk__gnu_pax_and_ustar__all_that_tar_packed),
                 RUNS(test_tardisk__in_order__later_replaces_and_writes_branch),
                 RUNS(test_tardisk__damaged_anywhere__refused_and_nothing_left),
                 RUNS(test_tardisk__tricks__refused_by_name),
                 RUNS(test_tardisk__bomb__refused_early),
                 RUNS(test_tardisk__memory_ends_anywhere__refused_and_nothing_left),
                 RUNS(test_tardisk__names_of_boot_modules__told_apart))
