// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_socket.c -- unix-domain sockets: pairs, paths, datagrams, passed files, ends.
 *
 * Invariants
 *   - Each test ends with the heap bytes it began with.
 * Locking    worlds of one CPU in turn.
 */
#include "fs/socket.h"
#include "tests/unit/fs_fixture.h"

static struct vfs_where where;
static uint64_t heap;
static const struct unix_peer me = {.pid = 7, .uid = 1, .gid = 2};

static void up(void)
{
    fs_up();
    where = vfs_where_kernel();
    heap = heap_owned(MEM_OWNER_FS);
}

static void down(void)
{
    ck_assert_uint_eq(heap_owned(MEM_OWNER_FS), heap);
}

static struct unix_name name_of(const char *text)
{
    struct unix_name name = {.length = strlen(text)};

    memcpy(name.bytes, text, name.length);
    if (text[0] == '@')
        name.bytes[0] = 0;
    return name;
}

static struct file *make(enum unix_type type)
{
    struct file *s;

    ck_assert_int_eq(unix_socket_create(type, VFS_O_NONBLOCK, &s), VMK_OK);
    return s;
}

static struct file *listener(const char *path, enum unix_type type, unsigned backlog)
{
    struct unix_name name = name_of(path);
    struct file *s = make(type);

    ck_assert_int_eq(unix_bind(s, &where, &name), VMK_OK);
    ck_assert_int_eq(unix_listen(s, backlog, &me), VMK_OK);
    return s;
}

static vmk_status dial(struct file *s, const char *path)
{
    struct unix_name name = name_of(path);

    return unix_connect(s, &where, &name, &me);
}

static void stream_entry(void *argument)
{
    struct file *l, *a, *b, *c;
    struct unix_name name;
    struct unix_peer peer;
    size_t done;
    char x;

    (void)argument;
    up();
    a = make(UNIX_STREAM);
    ck_assert_int_eq(dial(a, "/tmp/s"), VMK_NOT_FOUND);
    ck_assert_int_eq(file_write(a, "x", 1, &done), VMK_NOT_CONNECTED);
    l = listener("/tmp/s", UNIX_STREAM, 2);
    ck_assert_int_eq(unix_accept(l, 0, &b), VMK_AGAIN);
    ck_assert_uint_eq(file_poll(l, NULL) & VFS_POLLIN, 0);
    ck_assert_int_eq(dial(a, "/tmp/s"), VMK_OK);
    ck_assert_int_eq(dial(a, "/tmp/s"), VMK_CONNECTED);
    ck_assert_uint_eq(file_poll(l, NULL) & VFS_POLLIN, VFS_POLLIN);
    fs_put(a, "before accept");
    ck_assert_int_eq(unix_accept(l, VFS_O_NONBLOCK, &b), VMK_OK);
    ck_assert_str_eq(fs_get(b, 100), "before accept");
    fs_put(b, "one");
    fs_put(b, "two");
    ck_assert_str_eq(fs_get(a, 4), "onet");  // a stream has no pieces
    ck_assert_str_eq(fs_get(a, 4), "wo");
    ck_assert_int_eq(unix_name_of(a, true, &name), VMK_OK);
    ck_assert_mem_eq(name.bytes, "/tmp/s", 6);
    ck_assert_int_eq(unix_peer_of(a, &peer), VMK_OK);
    ck_assert_uint_eq(peer.pid, 7);
    // The backlog.
    c = make(UNIX_STREAM);
    ck_assert_int_eq(dial(c, "/tmp/s"), VMK_OK);
    file_put(c);
    c = make(UNIX_STREAM);
    ck_assert_int_eq(dial(c, "/tmp/s"), VMK_OK);
    struct file *d = make(UNIX_STREAM);
    ck_assert_int_eq(dial(d, "/tmp/s"), VMK_AGAIN);
    // Half closed, then closed.
    ck_assert_int_eq(unix_shutdown(a, 1), VMK_OK);
    ck_assert_int_eq(file_write(a, "x", 1, &done), VMK_BROKEN_PIPE);
    ck_assert_str_eq(fs_get(b, 10), "");
    fs_put(b, "still");
    ck_assert_str_eq(fs_get(a, 10), "still");
    fs_put(b, "last");
    file_put(b);
    ck_assert_str_eq(fs_get(a, 10), "last");
    ck_assert_str_eq(fs_get(a, 10), "");
    ck_assert_uint_eq(file_poll(a, NULL) & VFS_POLLHUP, VFS_POLLHUP);
    file_put(a);
    // The listener goes with two unaccepted.
    file_put(l);
    ck_assert_int_eq(file_read(c, &x, 1, &done), VMK_OK);
    ck_assert_uint_eq(done, 0);
    ck_assert_int_eq(dial(d, "/tmp/s"), VMK_REFUSED);
    file_put(c);
    file_put(d);
    // The name stays until it is unlinked.
    struct unix_name again = name_of("/tmp/s");
    a = make(UNIX_STREAM);
    ck_assert_int_eq(unix_bind(a, &where, &again), VMK_ADDRESS_IN_USE);
    ck_assert_int_eq(vfs_unlink(&where, "/tmp/s"), VMK_OK);
    ck_assert_int_eq(unix_bind(a, &where, &again), VMK_OK);
    ck_assert_uint_eq(fs_stat("/tmp/s").mode & VFS_TYPE_MASK, VFS_TYPE_SOCKET);
    ck_assert_int_eq(fs_open_status("/tmp/s", VFS_O_RDWR, 0), VMK_NO_DEVICE);
    file_put(a);
    ck_assert_int_eq(vfs_unlink(&where, "/tmp/s"), VMK_OK);
    down();
}
FS_TEST(test_socket__stream__connected_by_path, stream_entry)

static void datagram_entry(void *argument)
{
    struct unix_name log = name_of("/dev/log"), abstract = name_of("@name");
    struct unix_message m;
    struct file *server, *client, *other;
    char text[16];
    size_t done;

    (void)argument;
    up();
    server = make(UNIX_DATAGRAM);
    client = make(UNIX_DATAGRAM);
    ck_assert_int_eq(unix_bind(server, &where, &log), VMK_OK);
    ck_assert_int_eq(dial(client, "/dev/log"), VMK_OK);
    fs_put(client, "first");
    fs_put(client, "second");
    ck_assert_str_eq(fs_get(server, 100), "first");
    m = (struct unix_message){.data = text, .size = 3};
    ck_assert_int_eq(unix_receive(server, &m), VMK_OK);
    ck_assert_uint_eq(m.done, 3);
    ck_assert(m.truncated);
    ck_assert_int_eq(file_read(server, text, 1, &done), VMK_AGAIN);  // the rest is gone
    // To a name, from a name.
    other = make(UNIX_DATAGRAM);
    ck_assert_int_eq(unix_bind(other, &where, &abstract), VMK_OK);
    m = (struct unix_message){.data = (void *)(uintptr_t) "hi", .size = 2, .name = log};
    ck_assert_int_eq(unix_send(other, &where, &m), VMK_OK);
    m = (struct unix_message){.data = text, .size = sizeof(text), .peek = true};
    ck_assert_int_eq(unix_receive(server, &m), VMK_OK);
    ck_assert_uint_eq(m.name.length, 5);
    ck_assert_mem_eq(m.name.bytes, "\0name", 5);
    ck_assert_str_eq(fs_get(server, 10), "hi");
    // A stream cannot be dialled as datagrams, and a full queue says so.
    struct file *l = listener("/tmp/s", UNIX_STREAM, 1);
    ck_assert_int_eq(dial(other, "/tmp/s"), VMK_WRONG_TYPE);
    unsigned sent = 0;
    static char big[10000];
    while (file_write(client, big, sizeof(big), &done) == VMK_OK)
        sent++;
    ck_assert_uint_eq(sent, 13);
    file_put(server);
    ck_assert_int_eq(file_write(client, "x", 1, &done), VMK_REFUSED);
    file_put(client);
    file_put(other);
    file_put(l);
    ck_assert_int_eq(vfs_unlink(&where, "/dev/log"), VMK_OK);
    ck_assert_int_eq(vfs_unlink(&where, "/tmp/s"), VMK_OK);
    down();
}
FS_TEST(test_socket__datagrams__whole_named_and_refused, datagram_entry)

static void files_entry(void *argument)
{
    struct file *pair[2], *rd, *wr;
    struct unix_message m;
    char text[8];

    (void)argument;
    up();
    ck_assert_int_eq(unix_socket_pair(UNIX_STREAM, VFS_O_NONBLOCK, &me, pair), VMK_OK);
    ck_assert_int_eq(pipe_create(0, &rd, &wr), VMK_OK);
    fs_put(wr, "through");
    m = (struct unix_message){.data = (void *)(uintptr_t) "ab",
                              .size = 2,
                              .sender = me,
                              .files = {rd},
                              .file_count = 1};
    fs_put(pair[0], "x");
    ck_assert_int_eq(unix_send(pair[0], &where, &m), VMK_OK);
    file_put(rd);  // the message holds it now
    m = (struct unix_message){.data = text, .size = sizeof(text)};
    ck_assert_int_eq(unix_receive(pair[1], &m), VMK_OK);
    ck_assert_uint_eq(m.done, 1);  // stops in front of the files
    ck_assert_uint_eq(m.file_count, 0);
    ck_assert_int_eq(unix_receive(pair[1], &m), VMK_OK);
    ck_assert_uint_eq(m.done, 2);
    ck_assert_uint_eq(m.file_count, 1);
    ck_assert_uint_eq(m.sender.pid, 7);
    ck_assert_str_eq(fs_get(m.files[0], 10), "through");
    file_put(m.files[0]);
    ck_assert_uint_eq(file_poll(wr, NULL) & VFS_POLLERR, VFS_POLLERR);
    // Files that nobody picks up are closed with the socket.
    m = (struct unix_message){
        .data = (void *)(uintptr_t) "y", .size = 1, .files = {wr, pair[0]}, .file_count = 2};
    ck_assert_int_eq(unix_send(pair[0], &where, &m), VMK_OK);
    file_put(wr);
    file_put(pair[0]);
    file_put(pair[1]);
    down();
}
FS_TEST(test_socket__passed_files__arrive_or_are_closed, files_entry)

#define BYTES 500000u

static void writer(void *argument)
{
    static unsigned char buffer[50000];
    struct file *s = argument;
    size_t sent = 0, done;

    while (sent < BYTES) {
        for (size_t i = 0; i < sizeof(buffer); i++)
            buffer[i] = (unsigned char)((sent + i) * 7 >> 2);
        ck_assert_int_eq(file_write(s, buffer, sizeof(buffer), &done), VMK_OK);
        ck_assert_uint_eq(done, sizeof(buffer));
        sent += done;
    }
    file_put(s);
}

static void flow_entry(void *argument)
{
    static unsigned char buffer[7777];
    struct file *pair[2];
    size_t got = 0, done;
    world_id id;

    (void)argument;
    up();
    ck_assert_int_eq(unix_socket_pair(UNIX_STREAM, 0, &me, pair), VMK_OK);
    id = fs_world(writer, pair[0]);
    do {
        ck_assert_int_eq(file_read(pair[1], buffer, sizeof(buffer), &done), VMK_OK);
        for (size_t i = 0; i < done; i++)
            ck_assert_uint_eq(buffer[i], (unsigned char)((got + i) * 7 >> 2));
        got += done;
    } while (done);
    ck_assert_uint_eq(got, BYTES);
    fs_world_end(id);
    file_put(pair[1]);
    down();
}
FS_TEST(test_socket__long_stream__waits_for_room_in_order, flow_entry)

KERNEL_TEST_MAIN("socket", RUNS(test_socket__stream__connected_by_path),
                 RUNS(test_socket__datagrams__whole_named_and_refused),
                 RUNS(test_socket__passed_files__arrive_or_are_closed),
                 RUNS(test_socket__long_stream__waits_for_room_in_order))
