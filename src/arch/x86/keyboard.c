// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/keyboard.c -- the keyboard behind an 8042: a PS/2 one, or a USB one that the firmware poses as one.
 *
 * Polled, like the serial ports: whoever reads the console asks for scan codes. Translation is
 * on, so they are of set 1. The second port (a mouse) is switched off.
 *
 * Invariants
 *   - Every wait is bounded: there may be no controller, and firmware that stands in for one
 *     may answer late or not at all.
 * Locking    none: one world reads the console.
 * Sources    [PS2]
 */
#include "arch/x86/arch_internal.h"
#include "arch/x86/insn.h"
#include "core/log.h"

#define PORT_DATA             0x60
#define PORT_STATUS           0x64  // reads; commands are written there

#define STATUS_FULL           0x01u  // a byte to read
#define STATUS_BUSY           0x02u  // the last byte written was not taken yet
#define STATUS_MOUSE          0x20u  // that byte is of the second port

#define COMMAND_READ_MODE     0x20
#define COMMAND_WRITE_MODE    0x60
#define COMMAND_DISABLE_MOUSE 0xa7
#define COMMAND_SELF_TEST     0xaa
#define COMMAND_DISABLE       0xad
#define COMMAND_ENABLE        0xae
#define SELF_TEST_PASSED      0x55
#define MODE_INTERRUPTS       0x03u
#define MODE_DISABLED         0x10u  // the first port's clock is off
#define MODE_MOUSE_DISABLED   0x20u
#define MODE_TRANSLATE        0x40u
#define KEYBOARD_SCAN         0xf4

#define PATIENCE              100000u  // looks at the status, a microsecond each

static bool present;

static bool wait_for(uint8_t mask, uint8_t value)
{
    for (unsigned i = 0; i < PATIENCE; i++) {
        if ((insn_inb(PORT_STATUS) & mask) == value)
            return true;
        insn_pause();
    }
    return false;
}

static bool write_byte(uint16_t port, uint8_t byte)
{
    if (!wait_for(STATUS_BUSY, 0))
        return false;
    insn_outb(port, byte);
    return true;
}

static int answer(void)
{
    return wait_for(STATUS_FULL, STATUS_FULL) ? insn_inb(PORT_DATA) : -1;
}

static void drop_input(void)
{
    for (unsigned i = 0; i < 32 && insn_inb(PORT_STATUS) & STATUS_FULL; i++)
        (void)insn_inb(PORT_DATA);
}

/* Translation, no interrupts, and the keyboard on. */
static bool set_up(void)
{
    uint8_t mode;
    int byte;

    if (!write_byte(PORT_STATUS, COMMAND_DISABLE) ||
        !write_byte(PORT_STATUS, COMMAND_DISABLE_MOUSE))
        return false;
    drop_input();
    if (!write_byte(PORT_STATUS, COMMAND_SELF_TEST) || answer() != SELF_TEST_PASSED ||
        !write_byte(PORT_STATUS, COMMAND_READ_MODE))
        return false;
    byte = answer();
    if (byte < 0)
        return false;
    mode = (uint8_t)byte & (uint8_t) ~(MODE_INTERRUPTS | MODE_DISABLED);
    mode |= MODE_TRANSLATE | MODE_MOUSE_DISABLED;
    if (!write_byte(PORT_STATUS, COMMAND_WRITE_MODE) || !write_byte(PORT_DATA, mode) ||
        !write_byte(PORT_STATUS, COMMAND_ENABLE) || !write_byte(PORT_DATA, KEYBOARD_SCAN))
        return false;
    (void)answer();  // an acknowledgement, or none from a keyboard that is plugged in later
    return true;
}

void keyboard_init(void)
{
    if (insn_inb(PORT_STATUS) == 0xff)
        return;  // nobody drives the bus
    present = set_up();
    if (present)
        vmk_log(VMK_LOG_INFO, "Keyboard: PS/2, polled");
    else
        vmk_log(VMK_LOG_WARN,
                "Keyboard: the 8042 does not answer; the serial port is the way in");
}

int plat_keyboard_read(void)
{
    uint8_t status;

    if (!present)
        return -1;
    status = insn_inb(PORT_STATUS);
    if (!(status & STATUS_FULL))
        return -1;
    if (status & STATUS_MOUSE) {
        (void)insn_inb(PORT_DATA);
        return -1;
    }
    return insn_inb(PORT_DATA);
}
