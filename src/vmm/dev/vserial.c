// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/vserial.c -- the guest's COM1: a 16550A UART with 16-byte FIFOs.
 *
 * The console of every guest. Output has no baud rate: a byte written to THR goes to the VM's
 * console (fs/vm_console.h), and to the machine's port if the VM has one, at once, and THR is
 * empty again: a guest never waits. Input comes from the console when somebody typed or the
 * guest made room, and is polled from the machine's port every few milliseconds; only while the
 * receive FIFO has room, so nothing is ever lost by a slow guest. A port that the host's own
 * console uses is not the VM's. The register file is complete enough that an operating system's
 * probe finds a 16550A: loopback, scratch, the IIR's FIFO bits, and the THRE interrupt that
 * must come when it is enabled while THR is empty.
 *
 * The receive time-out interrupt (IIR 0c) of real parts waits four character times after the
 * last byte; here no character time exists and it is raised as soon as a byte is below the
 * trigger level.
 *
 * Invariants
 *   - rx_count <= capacity(): vserial_receive_locked().
 *   - The line is high exactly when an enabled cause is pending, MCR.OUT2 is set and the UART
 *     is not in loopback: line_update() after every change.
 *   - After `closing` is set under vm->lock the poller is never armed again.
 * Locking    vm->lock. The poller is a timer callback, holds nothing and takes vm->lock.
 * Start at   vserial_write() and vserial_read().
 * Sources    [PC16550D] "Registers"
 */
#include "vmm/dev/vserial.h"

#include "fs/tty.h"
#include "fs/vm_console.h"
#include "vmm/vm.h"

#define COM1_BASE     0x3f8u
#define COM_PORTS     8u
#define RX_FIFO_SIZE  16u
#define POLL_INTERVAL 5000000ull  // ns

enum uart_reg {
    REG_DATA,
    REG_IER,
    REG_IIR_FCR,
    REG_LCR,
    REG_MCR,
    REG_LSR,
    REG_MSR,
    REG_SCRATCH
};

#define IER_RX         0x01u
#define IER_THRE       0x02u
#define IER_LINE       0x04u
#define IER_MODEM      0x08u
#define IER_MASK       0x0fu
#define IIR_NONE       0x01u
#define IIR_MODEM      0x00u
#define IIR_THRE       0x02u
#define IIR_RX         0x04u
#define IIR_LINE       0x06u
#define IIR_RX_TIMEOUT 0x0cu
#define IIR_FIFO       0xc0u
#define FCR_ENABLE     0x01u
#define FCR_RX_CLEAR   0x02u
#define LCR_DLAB       0x80u
#define MCR_DTR        0x01u
#define MCR_RTS        0x02u
#define MCR_OUT1       0x04u
#define MCR_OUT2       0x08u
#define MCR_LOOP       0x10u
#define MCR_MASK       0x1fu
#define LSR_READY      0x01u
#define LSR_OVERRUN    0x02u
#define LSR_THRE       0x20u
#define LSR_IDLE       0x40u
#define MSR_CTS        0x10u
#define MSR_DSR        0x20u
#define MSR_RI         0x40u
#define MSR_DCD        0x80u

struct vserial {
    struct vm *vm;  // (i)
    int port;       // (i) of the machine, -1: none
    struct timer poller;
    bool closing;  // (w) vm->lock, as all below
    uint8_t ier, fcr, lcr, mcr, scratch;
    uint8_t divisor_low, divisor_high;
    uint8_t modem_delta;  // MSR 3:0
    bool overrun;
    bool thre_pending;  // THRE interrupt wanted and not yet seen in IIR
    bool line;          // as last told
    uint8_t rx[RX_FIFO_SIZE];
    unsigned rx_head, rx_count;
};

static bool fifo_on(const struct vserial *s)
{
    return s->fcr & FCR_ENABLE;
}

static unsigned capacity(const struct vserial *s)
{
    return fifo_on(s) ? RX_FIFO_SIZE : 1;
}

static unsigned trigger_level(const struct vserial *s)
{
    static const uint8_t levels[4] = {1, 4, 8, 14};

    return fifo_on(s) ? levels[s->fcr >> 6] : 1;
}

/* The highest pending cause, IIR 3:0, in the part's order of priority. */
static uint8_t cause(const struct vserial *s)
{
    if ((s->ier & IER_LINE) && s->overrun)
        return IIR_LINE;
    if ((s->ier & IER_RX) && s->rx_count >= trigger_level(s))
        return IIR_RX;
    if ((s->ier & IER_RX) && s->rx_count > 0)
        return IIR_RX_TIMEOUT;
    if ((s->ier & IER_THRE) && s->thre_pending)
        return IIR_THRE;
    if ((s->ier & IER_MODEM) && s->modem_delta)
        return IIR_MODEM;
    return IIR_NONE;
}

static void line_update(struct vserial *s)
{
    bool high = cause(s) != IIR_NONE && (s->mcr & MCR_OUT2) && !(s->mcr & MCR_LOOP);

    if (high == s->line)
        return;
    s->line = high;
    vm_irq_line_set(s->vm, VM_COM1_IRQ, high);
}

/* MSR 7:4: a peer that is always ready, or in loopback the UART's own outputs. */
static uint8_t modem_lines(uint8_t mcr)
{
    if (!(mcr & MCR_LOOP))
        return MSR_CTS | MSR_DSR | MSR_DCD;
    return (uint8_t)((mcr & MCR_RTS ? MSR_CTS : 0) | (mcr & MCR_DTR ? MSR_DSR : 0) |
                     (mcr & MCR_OUT1 ? MSR_RI : 0) | (mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static void mcr_write(struct vserial *s, uint8_t value)
{
    uint8_t before = modem_lines(s->mcr);
    uint8_t after = modem_lines(value);
    uint8_t delta = (uint8_t)((before ^ after) >> 4);

    // The ring indicator's delta bit tells of its falling edge only.
    if (after & MSR_RI)
        delta &= (uint8_t) ~(MSR_RI >> 4);
    s->modem_delta |= delta;
    s->mcr = value;
}

/*
 * A byte arrives on the line; false: the FIFO is full and it stays with the caller. vm->lock
 * held.
 */
static bool vserial_receive_locked(struct vserial *s, uint8_t byte)
{
    if (s->rx_count >= capacity(s))
        return false;
    s->rx[(s->rx_head + s->rx_count) % RX_FIFO_SIZE] = byte;
    s->rx_count++;
    line_update(s);
    return true;
}

/* Takes from the console what there is room for. */
static void refill(struct vserial *s)
{
    while (s->vm->console && !(s->mcr & MCR_LOOP) && s->rx_count < capacity(s)) {
        int byte = vm_console_take(s->vm->console);

        if (byte < 0 || !vserial_receive_locked(s, (uint8_t)byte))
            return;
    }
}

static uint8_t rx_take(struct vserial *s)
{
    uint8_t byte;

    if (s->rx_count == 0)
        return 0;
    byte = s->rx[s->rx_head];
    s->rx_head = (s->rx_head + 1) % RX_FIFO_SIZE;
    s->rx_count--;
    refill(s);
    line_update(s);
    return byte;
}

static void transmit(struct vserial *s, uint8_t byte)
{
    if (s->mcr & MCR_LOOP) {
        if (!vserial_receive_locked(s, byte))
            s->overrun = true;
    } else {
        char c = (char)byte;

        if (s->vm->console)
            vm_console_put(s->vm->console, &c, 1);
        if (s->port >= 0)
            plat_serial_write((unsigned)s->port, &c, 1);
    }
    // Full for no time at all: the line drops and rises, so that an edge-triggered input sees
    // it.
    s->thre_pending = false;
    line_update(s);
    s->thre_pending = true;
}

static void fcr_write(struct vserial *s, uint8_t value)
{
    if (((s->fcr ^ value) & FCR_ENABLE) || (value & FCR_RX_CLEAR)) {
        s->rx_head = 0;
        s->rx_count = 0;
    }
    s->fcr = value & FCR_ENABLE ? (uint8_t)(value & (0xc0u | FCR_ENABLE)) : 0;
}

static void reg_write(struct vserial *s, unsigned reg, uint8_t value)
{
    bool dlab = s->lcr & LCR_DLAB;

    switch (reg) {
    case REG_DATA:
        if (dlab)
            s->divisor_low = value;
        else
            transmit(s, value);
        break;
    case REG_IER:
        if (dlab) {
            s->divisor_high = value;
            break;
        }
        // Enabling it with THR empty raises it: drivers start sending on this interrupt.
        if ((value & IER_THRE) && !(s->ier & IER_THRE))
            s->thre_pending = true;
        s->ier = value & IER_MASK;
        break;
    case REG_IIR_FCR: fcr_write(s, value); break;
    case REG_LCR: s->lcr = value; break;
    case REG_MCR: mcr_write(s, value & MCR_MASK); break;
    case REG_SCRATCH: s->scratch = value; break;
    default: break;  // LSR and MSR are read-only
    }
    refill(s);
    line_update(s);
}

static uint8_t iir_read(struct vserial *s)
{
    uint8_t id = cause(s);

    if (id == IIR_THRE) {
        s->thre_pending = false;
        line_update(s);
    }
    return (uint8_t)(id | (fifo_on(s) ? IIR_FIFO : 0));
}

static uint8_t lsr_read(struct vserial *s)
{
    uint8_t value = LSR_THRE | LSR_IDLE;

    if (s->rx_count)
        value |= LSR_READY;
    if (s->overrun) {
        value |= LSR_OVERRUN;
        s->overrun = false;
        line_update(s);
    }
    return value;
}

static uint8_t msr_read(struct vserial *s)
{
    uint8_t value = modem_lines(s->mcr) | s->modem_delta;

    if (s->modem_delta) {
        s->modem_delta = 0;
        line_update(s);
    }
    return value;
}

static uint8_t reg_read(struct vserial *s, unsigned reg)
{
    bool dlab = s->lcr & LCR_DLAB;
    uint8_t value = 0xff;

    switch (reg) {
    case REG_DATA: value = dlab ? s->divisor_low : rx_take(s); break;
    case REG_IER: value = dlab ? s->divisor_high : s->ier; break;
    case REG_IIR_FCR: value = iir_read(s); break;
    case REG_LCR: value = s->lcr; break;
    case REG_MCR: value = s->mcr; break;
    case REG_LSR: value = lsr_read(s); break;
    case REG_MSR: value = msr_read(s); break;
    case REG_SCRATCH: value = s->scratch; break;
    default: break;
    }
    return value;
}

/* Wider accesses are split into bytes, as the bus does for an 8-bit device. */
static uint64_t vserial_read(void *device, struct vcpu *v, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    (void)v;
    if (__builtin_expect(size == 1, 1))
        return offset == REG_LSR ? lsr_read(device) : reg_read(device, (unsigned)offset);
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte = offset + i < COM_PORTS ? reg_read(device, (unsigned)offset + i) : 0xff;
        value |= (uint64_t)byte << (8 * i);
    }
    return value;
}

static void vserial_write(void *device, struct vcpu *v, uint64_t offset, unsigned size,
                          uint64_t value)
{
    (void)v;
    for (unsigned i = 0; i < size && offset + i < COM_PORTS; i++)
        reg_write(device, (unsigned)offset + i, (uint8_t)(value >> (8 * i)));
}

static const struct vm_io_ops vserial_ops = {.read = vserial_read, .write = vserial_write};

static void poll(struct timer *timer)
{
    struct vserial *s = timer->owner;
    unsigned port = (unsigned)s->port;

    spin_lock_irqs_off(&s->vm->lock);
    while (!s->closing && !(s->mcr & MCR_LOOP) && s->rx_count < capacity(s)) {
        int byte = plat_serial_read(port);
        if (byte < 0 || !vserial_receive_locked(s, (uint8_t)byte))
            break;
    }
    if (!s->closing)
        timer_arm(timer, plat_time_now() + POLL_INTERVAL);
    spin_unlock_irqs_off(&s->vm->lock);
}

/* Somebody typed at the console; a world. */
static void typed(void *owner)
{
    struct vserial *s = owner;
    bool irqs = spin_lock(&s->vm->lock);

    refill(s);
    spin_unlock(&s->vm->lock, irqs);
}

vmk_status vserial_create(struct vm *vm)
{
    struct vserial *s = heap_alloc(sizeof(*s), MEM_OWNER_VMM);
    vmk_status status;

    if (!s)
        return VMK_NO_MEMORY;
    s->vm = vm;
    s->port = vm->config.serial_port;
    if (s->port >= 0 && tty_console_has_port((unsigned)s->port))
        s->port = -1;
    s->divisor_low = 1;  // 115200 baud, as firmware leaves it
    s->lcr = 3;          // 8 bits, no parity, 1 stop bit
    timer_init(&s->poller, poll, s);
    status = vm_port_register(vm, COM1_BASE, COM_PORTS, &vserial_ops, s);
    if (status != VMK_OK) {
        heap_free(s);
        return status;
    }
    vm->serial = s;
    if (vm->console)
        vm_console_attach(vm->console, typed, s);
    if (s->port >= 0)
        timer_arm(&s->poller, plat_time_now() + POLL_INTERVAL);
    return VMK_OK;
}

void vserial_destroy(struct vm *vm)
{
    struct vserial *s = vm->serial;
    bool irqs;

    if (!s)
        return;
    if (vm->console)
        vm_console_attach(vm->console, NULL, NULL);
    irqs = spin_lock(&vm->lock);
    s->closing = true;
    spin_unlock(&vm->lock, irqs);
    timer_cancel(&s->poller);
    vm->serial = NULL;
    heap_free(s);
}
