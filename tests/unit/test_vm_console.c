// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vm_console.c -- consoles of VMs: scroll-back, attaching, typing, the VM's end.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's host.
 * Locking    worlds of one CPU in turn.
 */
#include "fs/vm_console.h"

#include "core/heap.h"
#include "tests/unit/fs_fixture.h"

static struct vm_console *console;
static char guest_got[4096];
static size_t guest_count, guest_takes;

/* A guest that takes as many bytes as `guest_takes` lets it. */
static void guest_typed(void *owner)
{
    int byte;

    (void)owner;
    while (guest_takes && (byte = vm_console_take(console)) >= 0) {
        guest_got[guest_count++] = (char)byte;
        guest_takes--;
    }
}

static void say(const char *text)
{
    vm_console_put(console, text, strlen(text));
}

static void make(const char *name)
{
    ck_assert_int_eq(vm_console_create(name, &console), VMK_OK);
}

static void attach_entry(void *argument)
{
    struct file *early, *late;
    uint64_t from, to;
    char text[8];
    size_t done;

    (void)argument;
    fs_up();
    make("demo");
    say("boot\n");
    early = fs_open("/dev/vm/demo/console", VFS_O_RDWR | VFS_O_NONBLOCK, 0);
    ck_assert_str_eq(fs_get(early, 100), "boot\n");
    ck_assert_int_eq(file_read(early, text, 1, &done), VMK_AGAIN);
    ck_assert_uint_eq(file_poll(early, NULL) & (VFS_POLLIN | VFS_POLLOUT), VFS_POLLOUT);
    say("more\n");
    ck_assert_uint_eq(file_poll(early, NULL) & VFS_POLLIN, VFS_POLLIN);
    late = fs_open("/dev/vm/demo/console", VFS_O_RDONLY, 0);
    ck_assert_str_eq(fs_get(late, 100), "boot\nmore\n");  // each from its own place
    ck_assert_str_eq(fs_get(early, 2), "mo");
    ck_assert_str_eq(fs_get(early, 100), "re\n");
    guest_takes = 100;
    fs_put(early, "early");  // nobody is on the line yet
    ck_assert_uint_eq(guest_count, 0);
    vm_console_attach(console, guest_typed, NULL);
    ck_assert_uint_eq(guest_count, 5);
    fs_put(early, " bird");
    ck_assert_mem_eq(guest_got, "early bird", 10);
    vm_console_counts(console, &from, &to);
    ck_assert_uint_eq(from, 10);
    ck_assert_uint_eq(to, 10);
    vm_console_end(console);
    ck_assert_int_eq(fs_open_status("/dev/vm/demo/console", VFS_O_RDWR, 0), VMK_NOT_FOUND);
    ck_assert_int_eq(fs_open_status("/dev/vm", VFS_O_RDONLY, 0), VMK_NOT_FOUND);
    ck_assert_str_eq(fs_get(late, 10), "");  // the end, not a wait
    ck_assert_int_eq(file_write(early, "x", 1, &done), VMK_IO_ERROR);
    ck_assert_uint_eq(file_poll(late, NULL) & VFS_POLLHUP, VFS_POLLHUP);
    file_put(early);
    file_put(late);
}
FS_TEST(test_vm_console__readers_and_typing__each_from_its_place_until_the_end, attach_entry)

static void kept_entry(void *argument)
{
    static char line[80], got[VM_CONSOLE_KEPT + 1];
    struct file *file;
    uint64_t before;
    size_t done;

    (void)argument;
    fs_up();
    before = heap_owned(MEM_OWNER_FS);
    make("big");
    file = fs_open("/dev/vm/big/console", VFS_O_RDONLY, 0);
    for (unsigned i = 0; i < 2000; i++) {
        (void)snprintf(line, sizeof(line), "line %05u, which is forty bytes long ...\n", i);
        say(line);
    }
    /* A reader that slept has lost the oldest, and what it gets is whole and in order. */
    for (size_t n = 0; n < VM_CONSOLE_KEPT; n += done) {
        ck_assert_int_eq(file_read(file, got + n, VM_CONSOLE_KEPT - n, &done), VMK_OK);
        ck_assert_uint_ne(done, 0);
    }
    ck_assert_ptr_nonnull(strstr(got, "line 01999, which is forty bytes long ...\n"));
    ck_assert_ptr_nonnull(strstr(got, "line 01000, "));
    ck_assert_ptr_null(strstr(got, "line 00100, "));
    file_put(file);
    vm_console_end(console);
    ck_assert_uint_eq(heap_owned(MEM_OWNER_FS), before);
}
FS_TEST(test_vm_console__more_than_is_kept__oldest_lost_and_all_freed, kept_entry)

static void names_entry(void *argument)
{
    struct vm_console *other, *odd;

    (void)argument;
    fs_up();
    make("web server/1");
    ck_assert_int_eq(vm_console_create("web server/1", &other), VMK_OK);
    ck_assert_int_eq(vm_console_create("..", &odd), VMK_OK);
    ck_assert_int_eq(fs_open_status("/dev/vm/web_server_1/console", VFS_O_RDWR, 0), VMK_OK);
    ck_assert_int_eq(fs_open_status("/dev/vm/web_server_1.2/console", VFS_O_RDWR, 0), VMK_OK);
    ck_assert_int_eq(fs_open_status("/dev/vm/_./console", VFS_O_RDWR, 0), VMK_OK);
    vm_console_end(console);
    ck_assert_int_eq(fs_open_status("/dev/vm/web_server_1.2/console", VFS_O_RDWR, 0), VMK_OK);
    vm_console_end(other);
    vm_console_end(odd);
    ck_assert_int_eq(fs_open_status("/dev/vm", VFS_O_RDONLY, 0), VMK_NOT_FOUND);
}
FS_TEST(test_vm_console__odd_and_equal_names__a_node_each, names_entry)

/* ---- worlds that wait ---- */

static char typist_text[3000];

static void typist(void *argument)
{
    size_t done;

    ck_assert_int_eq(file_write(argument, typist_text, sizeof(typist_text), &done), VMK_OK);
    ck_assert_uint_eq(done, sizeof(typist_text));
}

static void reader(void *argument)
{
    ck_assert_str_eq(fs_get(argument, 100), "hello");
    ck_assert_str_eq(fs_get(argument, 100), "");
}

static void wait_entry(void *argument)
{
    struct file *file, *other;
    world_id typing, reading;

    (void)argument;
    fs_up();
    make("slow");
    file = fs_open("/dev/vm/slow/console", VFS_O_RDWR, 0);
    other = fs_open("/dev/vm/slow/console", VFS_O_RDWR, 0);
    for (size_t i = 0; i < sizeof(typist_text); i++)
        typist_text[i] = (char)('a' + i % 23);
    typing = fs_world(typist, file);
    reading = fs_world(reader, other);
    fs_sleep_ms(10);
    while (guest_count < sizeof(typist_text)) {  // the guest reads slowly
        size_t before = guest_count;

        guest_takes = 100;
        guest_typed(NULL);
        ck_assert_uint_gt(guest_count, before);
        fs_sleep_ms(1);
    }
    ck_assert_mem_eq(guest_got, typist_text, sizeof(typist_text));
    fs_world_end(typing);
    say("hello");
    fs_sleep_ms(5);
    vm_console_end(console);
    fs_world_end(reading);
    file_put(file);
    file_put(other);
}
FS_TEST(test_vm_console__slow_guest_and_waiting_reader__both_go_on, wait_entry)

static void memory_entry(void *argument)
{
    static mpn_t taken[16384];
    unsigned count = 0, refused = 0;
    uint64_t before;

    (void)argument;
    fs_up();
    before = heap_owned(MEM_OWNER_FS);
    while (page_alloc(0, MEM_OWNER_TEST, &taken[count]) == VMK_OK)
        count++;
    for (unsigned leave = 0; leave < 30; leave++) {
        vmk_status status = vm_console_create("m", &console);

        if (status == VMK_OK) {
            vm_console_end(console);
        } else {
            refused++;
            ck_assert_int_eq(status, VMK_NO_MEMORY);
        }
        page_free(taken[--count], 0, MEM_OWNER_TEST);
    }
    while (count)
        page_free(taken[--count], 0, MEM_OWNER_TEST);
    ck_assert_uint_ge(refused, 2);
    make("m");
    vm_console_end(console);
    ck_assert_uint_eq(heap_owned(MEM_OWNER_FS), before);
}
FS_TEST(test_vm_console__no_memory__refused_and_nothing_leaks, memory_entry)

KERNEL_TEST_MAIN("vm_console",
                 RUNS(test_vm_console__readers_and_typing__each_from_its_place_until_the_end),
                 RUNS(test_vm_console__more_than_is_kept__oldest_lost_and_all_freed),
                 RUNS(test_vm_console__odd_and_equal_names__a_node_each),
                 RUNS(test_vm_console__slow_guest_and_waiting_reader__both_go_on),
                 RUNS(test_vm_console__no_memory__refused_and_nothing_leaks))
