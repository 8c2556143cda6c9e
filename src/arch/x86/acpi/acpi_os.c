// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/acpi/acpi_os.c -- the operating system that ACPICA runs on: memory, locks, time, ports,
 * PCI configuration space, messages.
 *
 * ACPICA is written for kernels with threads. Here one lock admits one CPU at a time to all of
 * it, with interrupts off, so its mutexes and semaphores are plain counters: one that is not
 * free will never become free by waiting, and says so at once. What it wants done later
 * (notifications) goes into a short queue, worked off when the user leaves. Only the system
 * control interrupt comes from outside; it takes ACPICA's spin locks, which are real ones, and
 * runs no method.
 *
 * Before the heap is up only the table manager works: it needs mapping and messages and no
 * more.
 * Tables are then read through the boot mapping of the first 4 GB, and none stays mapped.
 *
 * Invariants
 *   - A mapping outside RAM is uncached; one that is there stays as it is (paging_map()).
 *   - A bad method cannot flood the log: after LINES_MAX lines it is quiet.
 * Locking    acpi_use (rank ACPI) around every call into ACPICA; ACPICA's spin locks have rank
 *            ACPILEAF and never nest.
 * Sources    ACPI 6.4; the interface is ACPICA's acpi/acpiosxf.h
 */
#include "arch/x86/acpi/acpi_internal.h"
#include "arch/x86/arch_internal.h"
#include "arch/x86/insn.h"
#include "core/heap.h"
#include "core/log.h"
#include "core/spinlock.h"
#include "plat/plat_dev.h"

#define MAP_MAX     0x1000000u  // no table and no operation region is larger
#define LINE_SIZE   200u
#define LINES_MAX   60u
#define EARLY_SIZE  2048u
#define PUT_OFF_MAX 16u
#define SLEEP_MAX   2000u  // ms: interrupts are off

struct acpi_os_semaphore {
    u32 units;
};

bool acpi_heap_ready;

static struct {
    struct spinlock use;
    struct {
        acpi_osd_exec_callback function;
        void *context;
    } put_off[PUT_OFF_MAX];
    unsigned put_off_count;  // (c) interrupts off, and ACPICA's caller or its interrupt
    char line[LINE_SIZE];
    size_t line_length;
    unsigned lines;
    char last[LINE_SIZE];  // said last: the same once more is not said
    bool talks;
    char early[EARLY_SIZE];  // whole lines, before there is a log
    size_t early_length;
    bool settled;  // there may be user worlds
    acpi_osd_handler sci;
    void *sci_context;
} os;

/* ---- who is in ---- */
bool acpi_use_begin(void)
{
    return spin_lock(&os.use);
}

void acpi_use_end(bool irqs_were_on)
{
    for (unsigned i = 0; i < os.put_off_count; i++)
        os.put_off[i].function(os.put_off[i].context);
    os.put_off_count = 0;
    spin_unlock(&os.use, irqs_were_on);
}

void acpi_use_force(void)
{
    const plat_ns until = plat_time_now() + 100000000;

    while (!spin_try_lock_irqs_off(&os.use) && plat_time_now() < until)
        insn_pause();
}

/* ---- messages ---- */
static void early_line(const char *text)
{
    const size_t size = strlen(text) + 1;

    if (os.early_length + size > EARLY_SIZE)
        return;
    memcpy(os.early + os.early_length, text, size);
    os.early_length += size;
}

static void say(const char *line)
{
    const enum vmk_log_level level = *line == ACPI_MSG_LEVEL_ERROR  ? VMK_LOG_WARN
                                     : *line == ACPI_MSG_LEVEL_INFO ? VMK_LOG_DEBUG
                                                                    : VMK_LOG_INFO;

    if (*line <= ACPI_MSG_LEVEL_INFO)
        line++;
    if (strcmp(line, os.last) == 0)
        return;
    memcpy(os.last, line, strlen(line) + 1);
    if (level != VMK_LOG_DEBUG && ++os.lines > LINES_MAX)
        return;
    vmk_log(level, "ACPI: %s%s", line, os.lines == LINES_MAX ? " (and no more of these)" : "");
}

static void end_line(void)
{
    os.line[os.line_length] = 0;
    os.line_length = 0;
    if (os.line[0] == 0)
        return;
    if (os.talks)
        say(os.line);
    else if (os.line[0] != ACPI_MSG_LEVEL_INFO)
        early_line(os.line);
}

void acpi_os_vprintf(const char *format, va_list arguments)
{
    char text[LINE_SIZE];

    vmk_vsnprintf(text, sizeof(text), format, arguments);
    for (const char *p = text; *p; p++) {
        if (*p == '\n')
            end_line();
        else if (os.line_length < LINE_SIZE - 1)
            os.line[os.line_length++] = *p;
    }
}

void acpi_os_printf(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    acpi_os_vprintf(format, arguments);
    va_end(arguments);
}

void acpi_os_settle(void)
{
    os.settled = true;
}

void acpi_os_late(void)
{
    spin_init(&os.use, "acpi", LOCK_RANK_ACPI);
    acpi_heap_ready = true;
    os.talks = true;
    for (size_t at = 0; at < os.early_length; at += strlen(os.early + at) + 1)
        say(os.early + at);
}

/* ---- start, tables ---- */
acpi_status acpi_os_initialize(void)
{
    return AE_OK;
}

acpi_status acpi_os_terminate(void)
{
    return AE_OK;
}

acpi_status acpi_os_predefined_override(const struct acpi_predefined_names *name,
                                        acpi_string *value)
{
    (void)name;
    *value = NULL;
    return AE_OK;
}

acpi_status acpi_os_table_override(struct acpi_table_header *table,
                                   struct acpi_table_header **other)
{
    (void)table;
    *other = NULL;
    return AE_OK;
}

acpi_status acpi_os_physical_table_override(struct acpi_table_header *table,
                                            acpi_physical_address *address, u32 *length)
{
    (void)table;
    *address = 0;
    *length = 0;
    return AE_OK;
}

/* ---- memory ---- */
void *acpi_os_allocate(acpi_size size)
{
    return heap_alloc(size, MEM_OWNER_ACPI);
}

void acpi_os_free(void *memory)
{
    heap_free(memory);
}

void *acpi_os_map_memory(acpi_physical_address where, acpi_size length)
{
    if (length == 0 || length > MAP_MAX || where > BIT(46) - MAP_MAX)
        return NULL;
    if (!acpi_heap_ready)
        return where + length <= BIT(32) ? plat_map(paddr_make(where)) : NULL;
    if (os.settled && !(paging_upper_half()[where >> 39 & 255] & PTE_P))
        return NULL;  // user worlds would not see it
    return paging_map(where, length, true);
}

void acpi_os_unmap_memory(void *address, acpi_size size)
{
    (void)address;  // the direct map stays
    (void)size;
}

acpi_status acpi_os_read_memory(acpi_physical_address address, u64 *value, u32 width)
{
    const volatile void *at = acpi_os_map_memory(address, width / 8);

    if (!at)
        return AE_NO_MEMORY;
    switch (width) {
    case 8: *value = *(const volatile uint8_t *)at; break;
    case 16: *value = *(const volatile uint16_t *)at; break;
    case 32: *value = *(const volatile uint32_t *)at; break;
    case 64: *value = *(const volatile uint64_t *)at; break;
    default: return AE_BAD_PARAMETER;
    }
    return AE_OK;
}

acpi_status acpi_os_write_memory(acpi_physical_address address, u64 value, u32 width)
{
    volatile void *at = acpi_os_map_memory(address, width / 8);

    if (!at)
        return AE_NO_MEMORY;
    switch (width) {
    case 8: *(volatile uint8_t *)at = (uint8_t)value; break;
    case 16: *(volatile uint16_t *)at = (uint16_t)value; break;
    case 32: *(volatile uint32_t *)at = (uint32_t)value; break;
    case 64: *(volatile uint64_t *)at = value; break;
    default: return AE_BAD_PARAMETER;
    }
    return AE_OK;
}

/* ---- locks ---- */
acpi_status acpi_os_create_lock(acpi_spinlock *out)
{
    *out = heap_alloc(sizeof(**out), MEM_OWNER_ACPI);
    if (!*out)
        return AE_NO_MEMORY;
    spin_init(*out, "acpica", LOCK_RANK_ACPILEAF);
    return AE_OK;
}

void acpi_os_delete_lock(acpi_spinlock lock)
{
    heap_free(lock);
}

acpi_cpu_flags acpi_os_acquire_lock(acpi_spinlock lock)
{
    return spin_lock(lock);
}

void acpi_os_release_lock(acpi_spinlock lock, acpi_cpu_flags flags)
{
    spin_unlock(lock, flags);
}

acpi_status acpi_os_create_semaphore(u32 max_units, u32 initial_units, acpi_semaphore *out)
{
    (void)max_units;
    *out = heap_alloc(sizeof(**out), MEM_OWNER_ACPI);
    if (!*out)
        return AE_NO_MEMORY;
    (*out)->units = initial_units;
    return AE_OK;
}

acpi_status acpi_os_delete_semaphore(acpi_semaphore semaphore)
{
    heap_free(semaphore);
    return AE_OK;
}

/* Null: the table manager before the rest is there. */
acpi_status acpi_os_wait_semaphore(acpi_semaphore semaphore, u32 units, u16 timeout)
{
    (void)timeout;
    if (!semaphore)
        return AE_OK;
    if (semaphore->units < units)
        return AE_TIME;
    semaphore->units -= units;
    return AE_OK;
}

acpi_status acpi_os_signal_semaphore(acpi_semaphore semaphore, u32 units)
{
    if (semaphore)
        semaphore->units += units;
    return AE_OK;
}

acpi_thread_id acpi_os_get_thread_id(void)
{
    return 1;
}

/* The lock word: bit 0 pending, bit 1 owned (ACPI 6.4 "Global Lock"). */
int acpi_os_global_lock_acquire(void *facs_lock)
{
    uint32_t old = __atomic_load_n((uint32_t *)facs_lock, __ATOMIC_RELAXED), now;

    do {
        now = (old & ~1u) | 2u | (old >> 1 & 1u);
    } while (!__atomic_compare_exchange_n((uint32_t *)facs_lock, &old, now, false,
                                          __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
    return !(now & 1);
}

int acpi_os_global_lock_release(void *facs_lock)
{
    return (int)(__atomic_fetch_and((uint32_t *)facs_lock, ~3u, __ATOMIC_RELEASE) & 1u);
}

/* ---- later ---- */
acpi_status acpi_os_execute(acpi_execute_type type, acpi_osd_exec_callback function,
                            void *context)
{
    acpi_status status = AE_LIMIT;
    bool was_on = plat_irq_save();

    (void)type;
    if (os.put_off_count < PUT_OFF_MAX) {
        os.put_off[os.put_off_count].function = function;
        os.put_off[os.put_off_count++].context = context;
        status = AE_OK;
    }
    plat_irq_restore(was_on);
    return status;
}

void acpi_os_wait_events_complete(void)
{
}

/* ---- time ---- */
void acpi_os_sleep(u64 milliseconds)
{
    clock_delay(MIN(milliseconds, SLEEP_MAX) * 1000000);
}

void acpi_os_stall(u32 microseconds)
{
    clock_delay(microseconds * 1000ull);
}

u64 acpi_os_get_timer(void)  // units of 100 ns
{
    return plat_time_now() / 100;
}

/* ---- the machine ---- */
acpi_status acpi_os_read_port(acpi_io_address address, u32 *value, u32 width)
{
    const uint16_t port = (uint16_t)address;

    switch (width) {
    case 8: *value = insn_inb(port); break;
    case 16: *value = insn_inw(port); break;
    case 32: *value = insn_inl(port); break;
    default: return AE_BAD_PARAMETER;
    }
    return AE_OK;
}

acpi_status acpi_os_write_port(acpi_io_address address, u32 value, u32 width)
{
    const uint16_t port = (uint16_t)address;

    switch (width) {
    case 8: insn_outb(port, (uint8_t)value); break;
    case 16: insn_outw(port, (uint16_t)value); break;
    case 32: insn_outl(port, value); break;
    default: return AE_BAD_PARAMETER;
    }
    return AE_OK;
}

/* Segment, register and width are the method's wish: what is not there reads as all ones. */
acpi_status acpi_os_read_pci_configuration(struct acpi_pci_id *id, u32 reg, u64 *value,
                                           u32 width)
{
    const pci_address at = pci_address_make(id->segment, id->bus, id->device, id->function);
    const u32 bytes = width / 8, piece = MIN(bytes, 4u);

    if (bytes == 0 || reg % piece || reg + bytes > 4096)
        return AE_BAD_PARAMETER;
    *value = 0;
    for (u32 done = 0; done < bytes; done += piece)
        *value |= (u64)plat_pci_read(at, reg + done, piece) << 8 * done;
    return AE_OK;
}

acpi_status acpi_os_write_pci_configuration(struct acpi_pci_id *id, u32 reg, u64 value,
                                            u32 width)
{
    const pci_address at = pci_address_make(id->segment, id->bus, id->device, id->function);
    const u32 bytes = width / 8, piece = MIN(bytes, 4u);

    if (bytes == 0 || reg % piece || reg + bytes > 4096)
        return AE_BAD_PARAMETER;
    for (u32 done = 0; done < bytes; done += piece)
        plat_pci_write(at, reg + done, piece, (uint32_t)(value >> 8 * done));
    return AE_OK;
}

acpi_status acpi_os_signal(u32 function, void *info)
{
    (void)info;
    vmk_log(VMK_LOG_WARN, "ACPI: a method signals %s",
            function == ACPI_SIGNAL_FATAL ? "a fatal error; it is ignored" : "a breakpoint");
    return AE_OK;
}

acpi_status acpi_os_enter_sleep(u8 state, u32 a, u32 b)
{
    (void)state;
    (void)a;
    (void)b;
    return AE_OK;
}

/* ---- the system control interrupt ---- */
static void sci(void *argument)
{
    (void)argument;
    if (os.sci)
        (void)os.sci(os.sci_context);
}

/*
 * Only for the system control interrupt, and once. Level and low unless the MADT says
 * otherwise.
 */
acpi_status acpi_os_install_interrupt_handler(u32 interrupt, acpi_osd_handler handler,
                                              void *context)
{
    const struct plat_irq_line line = plat_irq_isa(interrupt, true);

    os.sci = handler;
    os.sci_context = context;
    return plat_irq_attach_line(&line, sci, NULL) ? AE_OK : AE_NOT_EXIST;
}

acpi_status acpi_os_remove_interrupt_handler(u32 interrupt, acpi_osd_handler handler)
{
    (void)interrupt;
    (void)handler;
    os.sci = NULL;
    return AE_OK;
}
