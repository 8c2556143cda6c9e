// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vserial.c -- the UART as a driver's probe and interrupt handler see it.
 */
#include "tests/unit/device_fixture.h"
#include "fs/tty.h"
#include "fs/vm_console.h"
#include "vmm/dev/vserial.h"

#define COM1 0x3f8

/* The far end of the line, in place of fs/vm_console.c, which test_vm_console.c has. */
static struct {
    char from_guest[64];
    unsigned from_count;
    const char *typed;
    void (*tell)(void *owner);
    void *owner;
    int host_port;  // the host's own console has this
} far = {.host_port = -1};

bool tty_console_has_port(unsigned port)
{
    return far.host_port == (int)port;
}

void vm_console_put(struct vm_console *c, const char *text, size_t length)
{
    (void)c;
    for (size_t i = 0; i < length && far.from_count < sizeof(far.from_guest) - 1; i++)
        far.from_guest[far.from_count++] = text[i];
}

int vm_console_take(struct vm_console *c)
{
    (void)c;
    return far.typed && *far.typed ? (unsigned char)*far.typed++ : -1;
}

void vm_console_attach(struct vm_console *c, void (*typed)(void *owner), void *owner)
{
    (void)c;
    far.tell = typed;
    far.owner = owner;
}

static void create(int port)
{
    fix.vm.config.serial_port = port;
    ck_assert_int_eq(vserial_create(&fix.vm), VMK_OK);
}

START_TEST(test_vserial_probe__registers_of_a_16550a)
{
    create(-1);
    out8(COM1 + 1, 0);
    ck_assert_uint_eq(in8(COM1 + 1), 0);
    out8(COM1 + 1, 0xff);
    ck_assert_uint_eq(in8(COM1 + 1), 0x0f);
    out8(COM1 + 7, 0x5a);
    ck_assert_uint_eq(in8(COM1 + 7), 0x5a);
    out8(COM1 + 4, 0x1a);  // loopback, OUT2, RTS
    ck_assert_uint_eq(in8(COM1 + 6) & 0xf0, 0x90);
    out8(COM1 + 4, 0);
    out8(COM1 + 1, 0);
    out8(COM1 + 2, 1);
    ck_assert_uint_eq(in8(COM1 + 2), 0xc1);
    out8(COM1 + 2, 0);
    ck_assert_uint_eq(in8(COM1 + 2), 0x01);
    out8(COM1 + 3, 0x83);
    out8(COM1 + 0, 0x0c);
    out8(COM1 + 1, 0x34);
    ck_assert_uint_eq(in_size(COM1, 2), 0x340c);
    out8(COM1 + 3, 0x03);
    ck_assert_uint_eq(in8(COM1 + 5), 0x60);
    vserial_destroy(&fix.vm);
    ck_assert_uint_eq(fix.heap_blocks, 0);
}
END_TEST

START_TEST(test_vserial_transmit__bytes_leave_and_thre_interrupts)
{
    create(0);
    out8(COM1 + 4, 0x0b);
    out8(COM1 + 1, 0x02);  // THR is empty: at once
    ck_assert(fix.line[4]);
    ck_assert_uint_eq(in8(COM1 + 2), 0x02);
    ck_assert(!fix.line[4]);
    ck_assert_uint_eq(in8(COM1 + 2), 0x01);
    out8(COM1, 'o');
    out8(COM1, 'k');
    ck_assert_str_eq(fix.out, "ok");
    ck_assert_uint_eq(fix.rises[4], 3);  // one edge for each
    out8(COM1 + 4, 0x03);                // OUT2 off: no line
    ck_assert(!fix.line[4]);
    vserial_destroy(&fix.vm);
}
END_TEST

START_TEST(test_vserial_receive__polled_with_trigger_and_order)
{
    char got[8] = "";

    create(0);
    fix.in = "abcdef";
    out8(COM1 + 4, 0x0b);
    out8(COM1 + 2, 0x41);  // FIFO, trigger 4
    out8(COM1 + 1, 0x03);
    advance(6000000);
    ck_assert(fix.line[4]);
    ck_assert_uint_eq(in8(COM1 + 2), 0xc4);  // data before THRE
    for (int i = 0; in8(COM1 + 5) & 1; i++) {
        got[i] = (char)in8(COM1);
        if (i == 2)
            ck_assert_uint_eq(in8(COM1 + 2), 0xcc);  // below the trigger: time-out
    }
    ck_assert_str_eq(got, "abcdef");
    ck_assert_uint_eq(in8(COM1 + 2), 0xc2);
    ck_assert_uint_eq(in8(COM1 + 2), 0xc1);
    ck_assert(!fix.line[4]);
    vserial_destroy(&fix.vm);
    ck_assert_ptr_null(fix.timers[0]);
}
END_TEST

START_TEST(test_vserial_receive__full_fifo_leaves_bytes_with_the_host)
{
    create(0);
    fix.in = "0123456789abcdefGH";
    out8(COM1 + 2, 0x01);
    advance(20000000);
    ck_assert_str_eq(fix.in, "GH");
    in8(COM1);
    advance(20000000);
    ck_assert_str_eq(fix.in, "H");
    ck_assert_uint_eq(in8(COM1 + 5) & 0x02, 0);  // no overrun
    vserial_destroy(&fix.vm);
}
END_TEST

START_TEST(test_vserial_loopback__overrun_is_a_line_status_interrupt)
{
    create(0);
    out8(COM1 + 4, 0x18);
    out8(COM1 + 1, 0x05);
    out8(COM1, 'x');
    out8(COM1, 'y');
    ck_assert_uint_eq(in8(COM1 + 2), 0x06);
    ck_assert_uint_eq(in8(COM1 + 5), 0x63);
    ck_assert_uint_eq(in8(COM1 + 2), 0x04);
    ck_assert_uint_eq(in8(COM1), 'x');
    ck_assert_uint_eq(fix.out_size, 0);
    ck_assert(!fix.line[4]);
    vserial_destroy(&fix.vm);
}
END_TEST

START_TEST(test_vserial_console__typed_bytes_wait_for_room_and_output_goes_there)
{
    fix.vm.console = (struct vm_console *)(void *)&far;
    create(-1);
    ck_assert_ptr_nonnull(far.tell);
    out8(COM1 + 2, 0x01);
    far.typed = "0123456789abcdefGH";
    far.tell(far.owner);
    ck_assert_str_eq(far.typed, "GH");  // the FIFO is full
    ck_assert_uint_eq(in8(COM1), '0');
    ck_assert_str_eq(far.typed, "H");  // room was made
    out8(COM1 + 2, 0x03);              // cleared
    ck_assert_uint_eq(in8(COM1), 'H');
    out8(COM1, 'o');
    ck_assert_str_eq(far.from_guest, "o");
    ck_assert_uint_eq(fix.out_size, 0);
    vserial_destroy(&fix.vm);
    ck_assert_ptr_null(far.tell);
    ck_assert_uint_eq(fix.heap_blocks, 0);
}
END_TEST

START_TEST(test_vserial_port__the_hosts_console_keeps_its_own)
{
    fix.vm.console = (struct vm_console *)(void *)&far;
    far.host_port = 0;
    create(0);
    fix.in = "x";
    advance(20000000);
    ck_assert_str_eq(fix.in, "x");
    out8(COM1, 'o');
    ck_assert_uint_eq(fix.out_size, 0);
    ck_assert_str_eq(far.from_guest, "o");
    vserial_destroy(&fix.vm);
}
END_TEST

TEST_MAIN("vserial", test_vserial_console__typed_bytes_wait_for_room_and_output_goes_there,
          test_vserial_port__the_hosts_console_keeps_its_own,
          test_vserial_probe__registers_of_a_16550a,
          test_vserial_transmit__bytes_leave_and_thre_interrupts,
          test_vserial_receive__polled_with_trigger_and_order,
          test_vserial_receive__full_fifo_leaves_bytes_with_the_host,
          test_vserial_loopback__overrun_is_a_line_status_interrupt)
