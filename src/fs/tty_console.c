// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/tty_console.c -- the host's console as a terminal, and with /dev/tty and /dev/kmsg.
 *
 * Input is pushed in by whoever has it: the poller below reads a serial port and the keyboard;
 * a simulation can call tty_console_input() as well. Output goes to a function that can be
 * replaced while it runs (the console bridge attaches and detaches VMs that way).
 *
 * Invariants
 *   - /dev/console and /dev/tty1 are the same terminal.
 * Locking    tty.lock.
 */
#include "core/assert.h"
#include "core/heap.h"
#include "core/log.h"
#include "fs/tty_internal.h"
#include "lib/keymap.h"
#include "lib/string.h"
#include "plat/plat.h"
#include "world/world.h"

#define POLL_NS 10000000ull  // a port keeps what comes in meanwhile (arch/x86/console.c)

static void default_output(const char *text, size_t length)
{
    plat_console_write(text, length);
    plat_serial_write(0, text, length);
}

static size_t console_room(struct tty *tty)
{
    (void)tty;
    return SIZE_MAX;
}

static void console_put(struct tty *tty, const char *text, size_t length)
{
    (void)tty;
    fs_state()->console_output(text, length);
}

void tty_console_output(void (*write)(const char *text, size_t length))
{
    __atomic_store_n(&fs_state()->console_output, write ? write : default_output,
                     __ATOMIC_RELEASE);
}

void tty_console_input(const char *text, size_t length)
{
    tty_input(fs_state()->console, text, length);
}

/* The pause between two looks at an idle port; short while somebody types. */
static void poll_port(void *argument)
{
    unsigned port = (unsigned)(uintptr_t)argument;
    struct keymap keymap = {0};

    for (;;) {
        char text[64];
        size_t length = 0;
        int c;

        while (length < sizeof(text) && (c = plat_serial_read(port)) >= 0)
            text[length++] = (char)c;
        while (length + KEYMAP_TEXT <= sizeof(text) && (c = plat_keyboard_read()) >= 0)
            length += keymap_code(&keymap, (uint8_t)c, text + length);
        if (length)
            tty_console_input(text, length);
        else if (world_sleep_until(plat_time_now() + POLL_NS) == VMK_KILLED)
            world_exit(0);
    }
}

vmk_status tty_console_poll_start(unsigned port)
{
    const struct world_params params = {
        .name = "console", .entry = poll_port, .argument = (void *)(uintptr_t)port};
    world_id id;
    vmk_status status = world_create(&params, &id);

    if (status == VMK_OK)
        __atomic_store_n(&fs_state()->console_port, (int)port + 1, __ATOMIC_RELEASE);
    return status;
}

bool tty_console_has_port(unsigned port)
{
    const struct fs_state *fs = fs_state();

    return fs && __atomic_load_n(&fs->console_port, __ATOMIC_ACQUIRE) == (int)port + 1;
}

static vmk_status console_open(struct vfs_device_driver *driver, struct file *file)
{
    struct tty *tty = fs_state()->console;

    /* As on Linux, /dev/console never becomes controlling by itself; its other name may. */
    if (driver->device == vfs_device(5, 1))
        file->flags |= VFS_O_NOCTTY;
    tty_file_open(tty, file);
    return VMK_OK;
}

/* /dev/tty: whatever terminal controls the caller. */
static vmk_status current_open(struct vfs_device_driver *driver, struct file *file)
{
    const struct tty_hooks *hooks = fs_state()->tty_hooks;
    struct tty *tty = hooks ? hooks->controlling() : NULL;

    (void)driver;
    if (!tty)
        return VMK_NO_DEVICE;
    tty_file_open(tty, file);
    tty_put(tty);
    return VMK_OK;
}

/* ---- /dev/kmsg: the kernel log; a write becomes a line in it ---- */

static vmk_status kmsg_write(struct file *file, struct vfs_iov *iov)
{
    const char *text = iov->from;
    size_t length = iov->size;
    enum vmk_log_level level = VMK_LOG_INFO;

    (void)file;
    iov->done = iov->size;
    if (length >= 3 && text[0] == '<' && text[1] >= '0' && text[1] <= '7' && text[2] == '>') {
        level = text[1] <= '3' ? VMK_LOG_ERROR : text[1] <= '4' ? VMK_LOG_WARN : VMK_LOG_INFO;
        text += 3;
        length -= 3;
    }
    while (length && (text[length - 1] == '\n' || text[length - 1] == 0))
        length--;
    if (length)
        vmk_log(level, "user: %.*s", (int)MIN(length, (size_t)300), text);
    return VMK_OK;
}

static vmk_status kmsg_read(struct file *file, struct vfs_iov *iov)
{
    size_t size = 65536;
    char *copy = heap_alloc(size, MEM_OWNER_FS);

    (void)file;
    if (!copy)
        return VMK_NO_MEMORY;
    size = log_ring_copy(copy, size);
    if (iov->offset < size) {
        iov->done = MIN(iov->size, size - (size_t)iov->offset);
        memcpy(iov->to, copy + iov->offset, iov->done);
    }
    heap_free(copy);
    return VMK_OK;
}

static const struct file_ops kmsg_ops = {
    .read = kmsg_read, .write = kmsg_write, .seekable = true};

static vmk_status kmsg_open(struct vfs_device_driver *driver, struct file *file)
{
    (void)driver;
    file->ops = &kmsg_ops;
    return VMK_OK;
}

static const struct {
    const char *name;
    uint32_t major, minor, mode;
    vmk_status (*open)(struct vfs_device_driver *driver, struct file *file);
} nodes[] = {
    {"console", 5, 1, 0600, console_open},
    {"tty1", 4, 1, 0600, console_open},
    {"tty", 5, 0, 0666, current_open},
    {"kmsg", 1, 11, 0644, kmsg_open},
};

vmk_status tty_console_init(void)
{
    struct fs_state *fs = fs_state();
    struct tty *tty = heap_alloc(sizeof(*tty), MEM_OWNER_FS);

    if (!tty)
        return VMK_NO_MEMORY;
    tty_setup(tty, "tty1", vfs_device(4, 1));
    tty->room = console_room;
    tty->put = console_put;
    tty->termios.iflag |= TTY_IMAXBEL | TTY_IUTF8;
    tty->winsize = (struct tty_winsize){.rows = 24, .columns = 80};
    fs->console = tty;
    fs->console_output = default_output;
    for (size_t i = 0; i < ARRAY_COUNT(nodes); i++) {
        struct vfs_device_driver *driver = heap_alloc(sizeof(*driver), MEM_OWNER_FS);
        vmk_status status;

        if (!driver)
            return VMK_NO_MEMORY;
        driver->name = nodes[i].name;
        driver->type = VFS_TYPE_CHAR;
        driver->mode = nodes[i].mode;
        driver->device = vfs_device(nodes[i].major, nodes[i].minor);
        driver->open = nodes[i].open;
        status = vfs_device_register(driver);
        if (status != VMK_OK)
            return status;
    }
    return VMK_OK;
}

vmk_status tty_devices_init(void)
{
    vmk_status status = tty_console_init();

    return status == VMK_OK ? pty_init() : status;
}
