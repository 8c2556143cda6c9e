// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_pipe.c -- pipes and FIFOs: order, ends, blocking, atomic writes, poll, signals.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's host.
 * Locking    worlds of one CPU in turn, or the pipe's own.
 */
#include "lib/rng.h"
#include "tests/unit/fs_fixture.h"

static struct file *rd, *wr;

static void make_pipe(uint32_t flags)
{
    ck_assert_int_eq(pipe_create(flags, &rd, &wr), VMK_OK);
}

static void ends_entry(void *argument)
{
    char text[16];
    size_t done;

    (void)argument;
    fs_up();
    make_pipe(0);
    fs_put(wr, "hello");
    ck_assert_str_eq(fs_get(rd, 3), "hel");
    ck_assert_str_eq(fs_get(rd, 10), "lo");
    ck_assert_int_eq(file_read(wr, text, 1, &done), VMK_BAD_HANDLE);
    ck_assert_int_eq(file_write(rd, text, 1, &done), VMK_BAD_HANDLE);
    ck_assert_int_eq(file_pread(rd, text, 1, 0, &done), VMK_BAD_SEEK);
    fs_put(wr, "end");
    file_put(wr);
    ck_assert_str_eq(fs_get(rd, 10), "end");  // what was written before stays
    ck_assert_str_eq(fs_get(rd, 10), "");     // then the end of file
    file_put(rd);

    make_pipe(0);
    file_put(rd);
    ck_assert_int_eq(file_write(wr, "x", 1, &done), VMK_BROKEN_PIPE);
    ck_assert_uint_eq(file_poll(wr, NULL) & VFS_POLLERR, VFS_POLLERR);
    file_put(wr);
}
FS_TEST(test_pipe__both_ends__data_end_of_file_and_broken_pipe, ends_entry)

static void nonblock_entry(void *argument)
{
    static char big[70000];
    size_t done;

    (void)argument;
    fs_up();
    make_pipe(VFS_O_NONBLOCK);
    ck_assert_int_eq(file_read(rd, big, 1, &done), VMK_AGAIN);
    ck_assert_int_eq(file_write(wr, big, sizeof(big), &done), VMK_OK);
    ck_assert_uint_eq(done, 65536);
    ck_assert_int_eq(file_write(wr, big, 1, &done), VMK_AGAIN);
    ck_assert_uint_eq(file_poll(wr, NULL) & VFS_POLLOUT, 0);
    // 4095 bytes of room: a write of 4096 must go in whole or not at all.
    ck_assert_int_eq(file_read(rd, big, 4095, &done), VMK_OK);
    ck_assert_int_eq(file_write(wr, big, 4096, &done), VMK_AGAIN);
    ck_assert_int_eq(file_write(wr, big, 4095, &done), VMK_OK);
    ck_assert_uint_eq(done, 4095);
    file_put(rd);
    file_put(wr);
    ck_assert_uint_eq(page_owned_count(MEM_OWNER_TEST), 0);
}
FS_TEST(test_pipe__nonblocking__again_and_whole_writes, nonblock_entry)

/* ---- blocking: a byte stream through a small window, in chunks of any size ---- */

#define STREAM_BYTES 600000u

static void stream_writer(void *argument)
{
    static unsigned char buffer[20000];
    struct rng rng;
    size_t sent = 0;

    (void)argument;
    rng_init(&rng, 1, "writer", 0);
    while (sent < STREAM_BYTES) {
        size_t size = 1 + rng_below(&rng, sizeof(buffer)), done;

        if (size > STREAM_BYTES - sent)
            size = STREAM_BYTES - sent;
        for (size_t i = 0; i < size; i++)
            buffer[i] = (unsigned char)((sent + i) * 31 >> 3);
        ck_assert_int_eq(file_write(wr, buffer, size, &done), VMK_OK);
        ck_assert_uint_eq(done, size);  // blocking writes are whole
        sent += size;
    }
    file_put(wr);
}

static void stream_entry(void *argument)
{
    static unsigned char buffer[30000];
    struct rng rng;
    size_t got = 0, done;
    world_id writer;

    (void)argument;
    fs_up();
    make_pipe(0);
    rng_init(&rng, 1, "reader", 0);
    writer = fs_world(stream_writer, NULL);
    do {
        ck_assert_int_eq(file_read(rd, buffer, 1 + rng_below(&rng, sizeof(buffer)), &done),
                         VMK_OK);
        for (size_t i = 0; i < done; i++)
            ck_assert_uint_eq(buffer[i], (unsigned char)((got + i) * 31 >> 3));
        got += done;
    } while (done);
    ck_assert_uint_eq(got, STREAM_BYTES);
    fs_world_end(writer);
    file_put(rd);
}
FS_TEST(test_pipe__long_stream__every_byte_in_order, stream_entry)

/* ---- atomic writes of several writers ---- */

static void atomic_writer(void *argument)
{
    unsigned char line[VFS_PIPE_ATOMIC];
    size_t done;

    memset(line, (int)(uintptr_t)argument, sizeof(line));
    for (unsigned i = 0; i < 40; i++) {
        ck_assert_int_eq(file_write(wr, line, sizeof(line), &done), VMK_OK);
        ck_assert_uint_eq(done, sizeof(line));
    }
}

static void atomic_entry(void *argument)
{
    unsigned char line[VFS_PIPE_ATOMIC];
    unsigned counts[4] = {0};
    world_id writers[4];

    (void)argument;
    fs_sleep_ms(1);
    fs_up();
    for (uint64_t seed = 1; seed <= 10; seed++) {
        sim_options_set(&(struct sim_options){.seed = seed, .shake = true});
        memset(counts, 0, sizeof(counts));
        make_pipe(0);
        for (uintptr_t i = 0; i < 4; i++)
            writers[i] = fs_world(atomic_writer, (void *)i);
        for (unsigned i = 0; i < 160; i++) {
            size_t got = 0, done;

            while (got < sizeof(line)) {
                ck_assert_int_eq(file_read(rd, line + got, sizeof(line) - got, &done), VMK_OK);
                got += done;
            }
            for (size_t k = 1; k < sizeof(line); k++)
                ck_assert_uint_eq(line[k], line[0]);
            counts[line[0]]++;
        }
        for (unsigned i = 0; i < 4; i++) {
            fs_world_end(writers[i]);
            ck_assert_uint_eq(counts[i], 40);
        }
        file_put(rd);
        file_put(wr);
    }
}

START_TEST(test_pipe__four_writers_on_two_cpus__writes_do_not_mix)
{
    sim_test_begin_cpus(2);
    sim_test_run(atomic_entry, NULL);
}
END_TEST

/* ---- signals end a wait ---- */

static vmk_status blocked_status;
static struct world *blocked;

static void blocked_reader(void *argument)
{
    char c;
    size_t done;

    (void)argument;
    blocked = world_current();
    blocked_status = file_read(rd, &c, 1, &done);
    (void)world_interrupt_clear();
    if (blocked_status == VMK_INTERRUPTED) {  // and the next wait is a new one
        ck_assert_int_eq(file_read(rd, &c, 1, &done), VMK_OK);
        ck_assert_int_eq(c, 'x');
    }
}

static void interrupt_entry(void *argument)
{
    world_id reader;

    (void)argument;
    fs_up();
    make_pipe(0);
    reader = fs_world(blocked_reader, NULL);
    fs_sleep_ms(1);
    world_interrupt(blocked);
    fs_sleep_ms(1);
    ck_assert_int_eq(blocked_status, VMK_INTERRUPTED);
    fs_put(wr, "x");
    fs_world_end(reader);

    reader = fs_world(blocked_reader, NULL);
    fs_sleep_ms(1);
    ck_assert_int_eq(world_kill(reader), VMK_OK);
    fs_world_end(reader);
    ck_assert_int_eq(blocked_status, VMK_KILLED);
    file_put(rd);
    file_put(wr);
}
FS_TEST(test_pipe__signal_or_kill_while_it_waits__says_so, interrupt_entry)

/* ---- poll ---- */

struct poller {
    struct poll_table table;
    struct poll_entry entry;
    unsigned calls, events;
};

static void note_event(struct poll_entry *entry, unsigned events)
{
    struct poller *p = container_of(entry, struct poller, entry);

    p->calls++;
    p->events |= events;
}

static void link_entry(struct poll_table *table, struct poll_head *head)
{
    struct poller *p = container_of(table, struct poller, table);

    p->entry.woken = note_event;
    poll_entry_add(head, &p->entry);
}

static void poll_entry_test(void *argument)
{
    struct poller p = {.table.add = link_entry};

    (void)argument;
    fs_up();
    make_pipe(0);
    ck_assert_uint_eq(file_poll(rd, &p.table), 0);
    fs_put(wr, "x");
    ck_assert_uint_eq(p.calls, 1);
    ck_assert_uint_eq(p.events & VFS_POLLIN, VFS_POLLIN);
    ck_assert_uint_eq(file_poll(rd, NULL), VFS_POLLIN | VFS_POLLRDNORM);
    fs_put(wr, "y");
    ck_assert_uint_eq(p.calls, 2);  // an edge each time
    poll_entry_remove(&p.entry);
    poll_entry_remove(&p.entry);  // twice is harmless
    fs_put(wr, "z");
    ck_assert_uint_eq(p.calls, 2);
    ck_assert_str_eq(fs_get(rd, 10), "xyz");
    file_put(wr);
    ck_assert_uint_eq(file_poll(rd, NULL), VFS_POLLHUP);
    file_put(rd);
}
FS_TEST(test_pipe__poll__levels_and_edges, poll_entry_test)

/* ---- FIFOs ---- */

static struct file *other_end;

static void open_writer(void *argument)
{
    (void)argument;
    other_end = fs_open("/tmp/f", VFS_O_WRONLY, 0);
}

static void fifo_entry(void *argument)
{
    struct vfs_where where;
    struct file *reader, *again;
    world_id writer;

    (void)argument;
    fs_up();
    where = vfs_where_kernel();
    ck_assert_int_eq(vfs_mknod(&where, "/tmp/f", VFS_TYPE_FIFO | 0666, 0), VMK_OK);
    ck_assert_int_eq(fs_open_status("/tmp/f", VFS_O_WRONLY | VFS_O_NONBLOCK, 0), VMK_NO_DEVICE);
    // A reader that does not wait sees the end of file until somebody writes.
    reader = fs_open("/tmp/f", VFS_O_RDONLY | VFS_O_NONBLOCK, 0);
    ck_assert_str_eq(fs_get(reader, 4), "");
    ck_assert_uint_eq(file_poll(reader, NULL), 0);
    again = fs_open("/tmp/f", VFS_O_WRONLY | VFS_O_NONBLOCK, 0);
    fs_put(again, "one");
    file_put(again);
    ck_assert_str_eq(fs_get(reader, 10), "one");
    file_put(reader);

    // Both ends wait for each other.
    other_end = NULL;
    writer = fs_world(open_writer, NULL);
    fs_sleep_ms(1);
    ck_assert_ptr_null(other_end);
    reader = fs_open("/tmp/f", VFS_O_RDONLY, 0);
    fs_world_end(writer);
    ck_assert_ptr_nonnull(other_end);
    fs_put(other_end, "two");
    ck_assert_str_eq(fs_get(reader, 10), "two");
    file_put(other_end);
    file_put(reader);

    // Unread bytes go with the last opener.
    reader = fs_open("/tmp/f", VFS_O_RDWR, 0);
    fs_put(reader, "lost");
    file_put(reader);
    reader = fs_open("/tmp/f", VFS_O_RDONLY | VFS_O_NONBLOCK, 0);
    ck_assert_str_eq(fs_get(reader, 10), "");
    file_put(reader);
    ck_assert_int_eq(vfs_unlink(&where, "/tmp/f"), VMK_OK);
}
FS_TEST(test_pipe__fifo__ends_wait_for_each_other, fifo_entry)

KERNEL_TEST_MAIN("pipe", RUNS(test_pipe__both_ends__data_end_of_file_and_broken_pipe),
                 RUNS(test_pipe__nonblocking__again_and_whole_writes),
                 RUNS(test_pipe__long_stream__every_byte_in_order),
                 RUNS(test_pipe__four_writers_on_two_cpus__writes_do_not_mix),
                 RUNS(test_pipe__signal_or_kill_while_it_waits__says_so),
                 RUNS(test_pipe__poll__levels_and_edges),
                 RUNS(test_pipe__fifo__ends_wait_for_each_other))
