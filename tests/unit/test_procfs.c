// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_procfs.c -- /proc: registered nodes, one moment per reading, writes, processes.
 *
 * The processes are made up here; user/ has the real ones.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's host.
 * Locking    worlds of one CPU in turn.
 */
#include "fs/proc/procfs.h"
#include "tests/unit/fs_fixture.h"

static unsigned shown, value = 5;

static vmk_status show_value(struct procfs_text *out, void *argument)
{
    shown++;
    procfs_printf(out, "%s %u\n", (const char *)argument, value);
    return VMK_OK;
}

static vmk_status store_value(const char *text, size_t length, void *argument)
{
    (void)argument;
    ck_assert_uint_eq(strlen(text), length);
    if (text[0] < '0' || text[0] > '9')
        return VMK_BAD_PARAM;
    value = (unsigned)atoi(text);
    return VMK_OK;
}

static vmk_status show_long(struct procfs_text *out, void *argument)
{
    (void)argument;
    for (unsigned i = 0; i < 5000; i++)
        procfs_printf(out, "%05u\n", i + value);
    return VMK_OK;
}

static vmk_status show_fails(struct procfs_text *out, void *argument)
{
    (void)argument;
    procfs_printf(out, "half");
    return VMK_IO_ERROR;
}

static void nodes_entry(void *argument)
{
    struct vfs_where where;
    struct vfs_cred user = {.uid = 9};
    struct file *file;
    size_t done;
    char c;

    (void)argument;
    fs_up();
    where = vfs_where_kernel();
    ck_assert_int_eq(procfs_register("vmware/test/value", show_value, store_value, "value"),
                     VMK_OK);
    ck_assert_int_eq(procfs_register("vmware/test/value", show_value, NULL, ""), VMK_EXISTS);
    ck_assert_int_eq(procfs_register("vmware/test/value/x", show_value, NULL, ""),
                     VMK_BAD_PARAM);
    ck_assert_int_eq(procfs_register("", show_value, NULL, ""), VMK_BAD_PARAM);
    ck_assert_int_eq(procfs_register("a//b", show_value, NULL, ""), VMK_BAD_PARAM);
    ck_assert_int_eq(procfs_register("x", NULL, NULL, ""), VMK_BAD_PARAM);
    ck_assert_str_eq(fs_read_file("/proc/vmware/test/value"), "value 5\n");
    ck_assert_uint_eq(fs_stat("/proc/vmware/test/value").mode, VFS_TYPE_REGULAR | 0644);
    ck_assert_uint_eq(fs_stat("/proc/vmware/test/value").size, 0);
    // echo 7 >value: opened with O_TRUNC.
    fs_write_file("/proc/vmware/test/value", "7\n");
    ck_assert_str_eq(fs_read_file("/proc/vmware/test/value"), "value 7\n");
    file = fs_open("/proc/vmware/test/value", VFS_O_RDWR, 0);
    ck_assert_int_eq(file_write(file, "seven", 5, &done), VMK_BAD_PARAM);
    // One reading is one moment, however small the pieces; from the start it is a new one.
    shown = 0;
    ck_assert_str_eq(fs_get(file, 6), "value ");
    value = 8;
    ck_assert_str_eq(fs_get(file, 10), "7\n");
    ck_assert_str_eq(fs_get(file, 10), "");
    ck_assert_uint_eq(shown, 1);
    ck_assert_int_eq(file_pread(file, &c, 1, 6, &done), VMK_OK);
    ck_assert_int_eq(c, '7');
    uint64_t position;
    ck_assert_int_eq(file_seek(file, 0, VFS_SEEK_SET, &position), VMK_OK);
    ck_assert_str_eq(fs_get(file, 20), "value 8\n");
    // Read-only nodes, and other people.
    ck_assert_int_eq(procfs_register("ro", show_value, NULL, "ro"), VMK_OK);
    ck_assert_uint_eq(fs_stat("/proc/ro").mode, VFS_TYPE_REGULAR | 0444);
    where.cred = &user;
    ck_assert_int_eq(vfs_open(&where, "/proc/ro", VFS_O_RDWR, 0, &file), VMK_NO_PERMISSION);
    ck_assert_int_eq(vfs_open(&where, "/proc/vmware/test/value", VFS_O_WRONLY, 0, &file),
                     VMK_NO_PERMISSION);
    where.cred = &vfs_cred_root;
    ck_assert_int_eq(vfs_mkdir(&where, "/proc/new", 0755), VMK_NOT_OWNER);
    ck_assert_int_eq(vfs_unlink(&where, "/proc/ro"), VMK_NOT_OWNER);
    // A long text, and one that fails.
    ck_assert_int_eq(procfs_register("long", show_long, NULL, NULL), VMK_OK);
    ck_assert_int_eq(procfs_register("fails", show_fails, NULL, NULL), VMK_OK);
    file = fs_open("/proc/long", VFS_O_RDONLY, 0);
    for (unsigned i = 0; i < 5000; i++) {
        char want[16];

        snprintf(want, sizeof(want), "%05u\n", i + 8);
        ck_assert_str_eq(fs_get(file, 6), want);
        value = 8 + i;
    }
    ck_assert_str_eq(fs_get(file, 6), "");
    file_put(file);
    file = fs_open("/proc/fails", VFS_O_RDONLY, 0);
    ck_assert_int_eq(file_read(file, &c, 1, &done), VMK_IO_ERROR);
    file_put(file);
}
FS_TEST(test_procfs__nodes__shown_stored_and_refused, nodes_entry)

/* ---- unregistering while somebody reads ---- */

static bool in_show, gone;

static vmk_status show_slowly(struct procfs_text *out, void *argument)
{
    (void)argument;
    in_show = true;
    fs_sleep_ms(20);
    ck_assert(!gone);
    in_show = false;
    procfs_printf(out, "done");
    return VMK_OK;
}

static void slow_reader(void *argument)
{
    (void)argument;
    ck_assert_str_eq(fs_read_file("/proc/deep/er/slow"), "done");
}

static void unregister_entry(void *argument)
{
    struct file *file;
    world_id reader;
    size_t done;
    char c;

    (void)argument;
    fs_up();
    ck_assert_int_eq(procfs_register("deep/er/slow", show_slowly, NULL, NULL), VMK_OK);
    file = fs_open("/proc/deep/er/slow", VFS_O_RDONLY, 0);
    reader = fs_world(slow_reader, NULL);
    fs_sleep_ms(1);
    ck_assert(in_show);
    procfs_unregister("deep/er/slow");
    ck_assert(!in_show);  // it waited for the call
    gone = true;
    ck_assert_int_eq(fs_stat_status("/proc/deep"), VMK_NOT_FOUND);  // empty directories go too
    ck_assert_int_eq(file_read(file, &c, 1, &done), VMK_NO_DEVICE);
    file_put(file);
    fs_world_end(reader);
    procfs_unregister("deep/er/slow");  // nothing is there: harmless
    ck_assert_int_eq(procfs_register("deep/er/slow", show_value, NULL, "new"), VMK_OK);
    ck_assert_int_eq(fs_stat_status("/proc/deep/er/slow"), VMK_OK);
}
FS_TEST(test_procfs__unregistered_while_read__waits_and_then_gone, unregister_entry)

/* ---- processes ---- */

static bool alive[10] = {[1] = true, [4] = true, [7] = true};
static struct file *open_file;

static bool next(uint32_t after, uint32_t *pid)
{
    for (uint32_t i = after + 1; i < 10; i++) {
        if (alive[i]) {
            *pid = i;
            return true;
        }
    }
    return false;
}
static bool exists(uint32_t pid)
{
    return pid < 10 && alive[pid];
}
static uint32_t self(void)
{
    return 4;
}
static vmk_status owner(uint32_t pid, uint32_t *uid, uint32_t *gid)
{
    *uid = pid * 100;
    *gid = 0;
    return exists(pid) ? VMK_OK : VMK_NOT_FOUND;
}
static vmk_status show_stat(struct procfs_text *out, uint32_t pid)
{
    if (!exists(pid))
        return VMK_NOT_FOUND;
    procfs_printf(out, "%u (init) S\n", pid);
    return VMK_OK;
}
static vmk_status exe_path(uint32_t pid, char *out, size_t size)
{
    (void)pid;
    snprintf(out, size, "/tmp/exe");
    return VMK_OK;
}
static bool fd_next(uint32_t pid, uint32_t from, uint32_t *fd)
{
    *fd = 3;
    return exists(pid) && open_file && from <= 3;
}
static vmk_status fd_file(uint32_t pid, uint32_t fd, struct file **out)
{
    if (!exists(pid) || fd != 3 || !open_file)
        return VMK_NOT_FOUND;
    file_ref(open_file);
    *out = open_file;
    return VMK_OK;
}

static const struct procfs_process_file files[] = {{"stat", 0444, show_stat, NULL}};
static const struct procfs_process_link links[] = {{"exe", exe_path, NULL}};
static plat_ns user_time(unsigned cpu)
{
    return cpu ? 0 : 10000000;  // a hundredth of a second
}

static const struct procfs_processes processes = {.next = next,
                                                  .exists = exists,
                                                  .self = self,
                                                  .user_time = user_time,
                                                  .owner = owner,
                                                  .files = files,
                                                  .file_count = 1,
                                                  .links = links,
                                                  .link_count = 1,
                                                  .fd_next = fd_next,
                                                  .fd_file = fd_file};

struct names {
    struct vfs_dir_sink sink;
    char text[1024];
};

static bool add_name(struct vfs_dir_sink *sink, const char *name, size_t length, uint64_t inode,
                     uint32_t type, uint64_t next_position)
{
    struct names *n = container_of(sink, struct names, sink);

    (void)inode;
    (void)type;
    (void)next_position;
    strncat(n->text, name, length);
    strcat(n->text, " ");
    return true;
}

static const char *list(const char *path)
{
    static struct names n;
    struct file *dir = fs_open(path, VFS_O_RDONLY | VFS_O_DIRECTORY, 0);

    n.sink.emit = add_name;
    n.text[0] = 0;
    ck_assert_int_eq(file_readdir(dir, &n.sink), VMK_OK);
    file_put(dir);
    return n.text;
}

static void processes_entry(void *argument)
{
    struct vfs_where where;
    struct file *rd, *wr, *file;
    struct vnode *link;
    char text[64];
    size_t length;
    uint64_t heap;

    (void)argument;
    fs_up();
    where = vfs_where_kernel();
    ck_assert_int_eq(fs_stat_status("/proc/4"), VMK_NOT_FOUND);
    ck_assert_int_eq(fs_stat_status("/proc/self"), VMK_NOT_FOUND);
    procfs_processes_set(&processes);
    heap = heap_owned(MEM_OWNER_FS);
    ck_assert_ptr_nonnull(strstr(list("/proc"), " self 1 4 7 "));
    ck_assert_str_eq(list("/proc/4"), ". .. stat exe fd ");
    ck_assert_str_eq(fs_read_file("/proc/4/stat"), "4 (init) S\n");
    ck_assert_str_eq(fs_read_file("/proc/self/stat"), "4 (init) S\n");
    ck_assert_uint_eq(fs_stat("/proc/7").uid, 700);
    ck_assert_int_eq(fs_stat_status("/proc/04"), VMK_NOT_FOUND);
    ck_assert_int_eq(fs_stat_status("/proc/5"), VMK_NOT_FOUND);
    ck_assert_int_eq(fs_stat_status("/proc/4/fd/3"), VMK_NOT_FOUND);
    ck_assert_uint_eq(fs_stat("/proc/4/..").inode, fs_stat("/proc").inode);

    // Links that lead to objects: the file itself, whatever its name is by now.
    fs_write_file("/tmp/f", "content");
    open_file = fs_open("/tmp/f", VFS_O_RDONLY, 0);
    ck_assert_str_eq(list("/proc/4/fd"), ". .. 3 ");
    ck_assert_int_eq(vfs_walk(&where, "/proc/4/fd/3", VFS_WALK_NOFOLLOW, &link), VMK_OK);
    ck_assert_int_eq(vnode_readlink(link, text, sizeof(text), &length), VMK_OK);
    ck_assert_uint_eq(length, 6);
    ck_assert_mem_eq(text, "/tmp/f", 6);
    vnode_put(link);
    ck_assert_int_eq(vfs_rename(&where, "/tmp/f", &where, "/tmp/g", 0), VMK_OK);
    ck_assert_str_eq(fs_read_file("/proc/4/fd/3"), "content");
    file_put(open_file);
    ck_assert_int_eq(pipe_create(0, &rd, &wr), VMK_OK);
    open_file = rd;
    fs_put(wr, "piped");
    ck_assert_str_eq(fs_read_file("/proc/self/fd/3"), "piped");
    ck_assert_int_eq(vfs_walk(&where, "/proc/4/fd/3", VFS_WALK_NOFOLLOW, &link), VMK_OK);
    ck_assert_int_eq(vnode_readlink(link, text, sizeof(text), &length), VMK_OK);
    ck_assert_mem_eq(text, "pipe:[", 6);
    vnode_put(link);
    file_put(wr);
    file_put(rd);
    open_file = NULL;

    // It dies while somebody looks at it.
    file = fs_open("/proc/7/stat", VFS_O_RDONLY, 0);
    alive[7] = false;
    ck_assert_int_eq(file_read(file, text, 1, &length), VMK_NOT_FOUND);
    file_put(file);
    ck_assert_int_eq(fs_stat_status("/proc/7/stat"), VMK_NOT_FOUND);
    ck_assert_int_eq(vfs_unlink(&where, "/tmp/g"), VMK_OK);
    ck_assert_uint_eq(heap_owned(MEM_OWNER_FS), heap);  // nothing is kept per process
}
FS_TEST(test_procfs__processes__made_when_looked_at, processes_entry)

/* ---- the files that Linux's tools read ---- */

static void system_entry(void *argument)
{
    unsigned long long total, available;
    unsigned a, b, c, d;

    (void)argument;
    fs_up();
    ck_assert_int_eq(sscanf(fs_read_file("/proc/meminfo"), "MemTotal: %llu kB MemFree: %llu",
                            &total, &available),
                     2);
    ck_assert_uint_eq(total, page_total_count() * 4);
    ck_assert_uint_le(available, total);
    ck_assert_int_eq(sscanf(fs_read_file("/proc/uptime"), "%u.%u %u.%u", &a, &b, &c, &d), 4);
    ck_assert_int_eq(sscanf(fs_read_file("/proc/loadavg"), "%u.%u", &a, &b), 2);
    ck_assert_ptr_nonnull(strstr(fs_read_file("/proc/stat"), "\nbtime "));
    ck_assert_ptr_nonnull(strstr(fs_read_file("/proc/stat"), "\ncpu0 "));
    ck_assert_ptr_nonnull(strstr(fs_read_file("/proc/mounts"), "proc /proc proc rw,nosuid"));
    ck_assert_ptr_nonnull(strstr(fs_read_file("/proc/filesystems"), "nodev\tvisorfs\n"));
    ck_assert_ptr_nonnull(strstr(fs_read_file("/proc/cpuinfo"), "processor\t: 0\n"));
    ck_assert_ptr_nonnull(strstr(fs_read_file("/proc/vmware/visorfs/ramdisks"), "\nroot "));
    ck_assert_ptr_nonnull(strstr(fs_read_file("/proc/vmware/stats"), "\nfs "));
    (void)fs_read_file("/proc/vmware/log");
    // Load: this world alone for five minutes makes one.
    sim_work(300ull * 1000 * FS_MS);
    ck_assert_int_eq(sscanf(fs_read_file("/proc/loadavg"), "%u.%u %u.%u", &a, &b, &c, &d), 4);
    ck_assert(a == 1 || (a == 0 && b > 95));
    ck_assert_uint_eq(c, 0);
    ck_assert_uint_ge(d, 60);  // 1 - 1/e
    ck_assert_uint_le(d, 66);
}
FS_TEST(test_procfs__system_files__as_the_tools_read_them, system_entry)

/* ---- the scheduler ---- */

static void idle_away(void *argument)
{
    (void)argument;
    fs_sleep_ms(1000);
}

static vmk_status write_status(const char *path, const char *text)
{
    struct file *file = fs_open(path, VFS_O_WRONLY | VFS_O_TRUNC, 0);
    size_t done;
    vmk_status status = file_write(file, text, strlen(text), &done);

    file_put(file);
    return status;
}

static void sched_entry(void *argument)
{
    static const char *const bad[] = {
        "",          "x shares 5",   "1 shares",       "1 shares x",  "1 nice 5",
        "1shares 5", "1 shares 5 6", "1 affinity xyz", "1 affinity ", "99999999999 shares 5"};
    struct sched_usage usage;
    char text[64];
    world_id id;

    (void)argument;
    fs_up();
    id = fs_world(idle_away, NULL);
    snprintf(text, sizeof(text), "%u shares 4321\n", id.raw);
    ck_assert_int_eq(write_status("/proc/vmware/sched/worlds", text), VMK_OK);
    ck_assert_int_eq(sched_usage_get(id.raw, &usage), VMK_OK);
    ck_assert_uint_eq(usage.shares, 4321);
    ck_assert_ptr_nonnull(strstr(fs_read_file("/proc/vmware/sched/worlds"), " 4321 "));
    snprintf(text, sizeof(text), "%u affinity 1", id.raw);
    ck_assert_int_eq(write_status("/proc/vmware/sched/worlds", text), VMK_OK);
    ck_assert_int_eq(sched_usage_get(id.raw, &usage), VMK_OK);
    ck_assert_uint_eq(usage.affinity, 1);
    snprintf(text, sizeof(text), "%u min 4000000000", id.raw);  // more than the host has
    ck_assert_int_eq(write_status("/proc/vmware/sched/worlds", text), VMK_BAD_PARAM);
    for (size_t i = 1; i < ARRAY_COUNT(bad); i++)
        ck_assert_msg(write_status("/proc/vmware/sched/worlds", bad[i]) == VMK_BAD_PARAM, "%s",
                      bad[i]);
    ck_assert_int_eq(write_status("/proc/vmware/sched/worlds", "77777 shares 5"),
                     VMK_NOT_FOUND);

    ck_assert_ptr_nonnull(strstr(fs_read_file("/proc/vmware/sched/esxtop"), " idle 1 "));
    ck_assert_ptr_nonnull(strstr(fs_read_file("/proc/vmware/sched/esxtop"), " host\n"));
    ck_assert_str_eq(fs_read_file("/proc/vmware/sched/policy"), "share\n");
    ck_assert_int_eq(write_status("/proc/vmware/sched/policy", "lottery\n"), VMK_BAD_PARAM);
    ck_assert_int_eq(write_status("/proc/vmware/sched/policy", "rr\n"), VMK_OK);
    ck_assert_str_eq(fs_read_file("/proc/vmware/sched/policy"), "rr\n");
    ck_assert_str_eq(fs_read_file("/proc/vmware/config/sched/quantum"), "10000000\n");
    ck_assert_int_eq(write_status("/proc/vmware/config/sched/quantum", "5000000\n"), VMK_OK);
    ck_assert_str_eq(fs_read_file("/proc/vmware/config/sched/quantum"), "5000000\n");
    ck_assert_int_eq(write_status("/proc/vmware/config/sched/quantum", "5"), VMK_BAD_PARAM);
    ck_assert_int_eq(write_status("/proc/vmware/config/sched/quantum", "5ms"), VMK_BAD_PARAM);
    ck_assert_str_eq(fs_read_file("/proc/vmware/config/sched/quantum"), "5000000\n");
    ck_assert_ptr_nonnull(strstr(fs_read_file("/proc/vmware/sched/cpus"), "policy rr, "));
    fs_world_end(id);
}
FS_TEST(test_procfs__scheduler__shares_policy_and_tunables_written, sched_entry)

KERNEL_TEST_MAIN("procfs", RUNS(test_procfs__nodes__shown_stored_and_refused),
                 RUNS(test_procfs__unregistered_while_read__waits_and_then_gone),
                 RUNS(test_procfs__processes__made_when_looked_at),
                 RUNS(test_procfs__system_files__as_the_tools_read_them),
                 RUNS(test_procfs__scheduler__shares_policy_and_tunables_written))
