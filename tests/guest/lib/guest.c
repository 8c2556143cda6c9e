// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/lib/guest.c -- console, traps, APIC and processors for test guests.
 *
 * Small on purpose: what a guest expects must be readable next to the manual. All state is the
 * guest's own, so file-scope variables are fine here.
 *
 * Invariants
 *   - A trap that no handler and no CATCH() waits for ends the guest with status 2.
 * Locking    none: only the first processor prints.
 * Sources    SDM-3A "Interrupt and Exception Handling", "Advanced Programmable Interrupt
 *            Controller"; Multiboot 0.6.96
 */
#include "guest.h"

#define COM1 0x3f8

struct gate {
    uint16_t offset_low, selector;
    uint8_t ist, type;
    uint16_t offset_middle;
    uint32_t offset_high, zero;
};

struct __attribute__((packed)) tss {
    uint32_t reserved;
    uint64_t rsp[3], reserved2, ist[7], reserved3;
    uint16_t reserved4, io_map;
};

struct __attribute__((packed)) table_pointer {
    uint16_t limit;
    uint64_t base;
};

extern char guest_stubs[], trampoline[], trampoline_end[];
extern uint64_t gdt[], pml4[];
extern uint64_t guest_multiboot;
extern volatile uint32_t started;

void *memset(void *to, int byte, size_t size);
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void guest_library_main(void);
void guest_other_main(unsigned number);
void guest_trap(struct guest_frame *frame);

unsigned guest_failures;
volatile struct guest_caught guest_caught;
volatile uint64_t guest_recover, guest_insn;
volatile uint32_t guest_apic_ids[GUEST_CPUS_MAX];

static struct gate idt[256] __attribute__((aligned(16)));
static struct tss tss;
static char fault_stack[2][4096] __attribute__((aligned(16)));
static char user_stack[4096] __attribute__((aligned(16)));
static char user_trap_stack[4096] __attribute__((aligned(16)));
static guest_handler *handlers[256];
static bool x2apic;
static void (*other_entry)(unsigned);

void *memset(void *to, int byte, size_t size)
{
    void *result = to;

    __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(byte) : "memory");
    return result;
}

int memcmp(const void *a, const void *b, size_t size);

int memcmp(const void *a, const void *b, size_t size)
{
    const uint8_t *x = a, *y = b;

    for (; size; size--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    void *result = to;

    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
    return result;
}

/* ---- console ---- */

static void put(char c)
{
    while (!(inb(COM1 + 5) & 0x20))
        ;
    outb(COM1, (uint8_t)c);
}

static void put_number(uint64_t value, unsigned base, unsigned width, char pad)
{
    char digits[24];
    unsigned n = 0;

    do {
        digits[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    for (; width > n; width--)
        put(pad);
    while (n)
        put(digits[--n]);
}

/* %s %c %d %u %x with l and ll, 0 and a width. */
void guest_printf(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    for (; *format; format++) {
        unsigned width = 0, longs = 0;
        char pad = ' ';
        uint64_t value;

        if (*format != '%') {
            if (*format == '\n')
                put('\r');
            put(*format);
            continue;
        }
        if (*++format == '0')
            pad = '0';
        for (; *format >= '0' && *format <= '9'; format++)
            width = width * 10 + (unsigned)(*format - '0');
        for (; *format == 'l'; format++)
            longs++;
        if (*format == 's') {
            for (const char *s = va_arg(list, const char *); *s; s++)
                put(*s);
        } else if (*format == 'c') {
            put((char)va_arg(list, int));
        } else if (*format == 'd' || *format == 'u' || *format == 'x') {
            value = longs ? va_arg(list, uint64_t) : va_arg(list, unsigned);
            if (*format == 'd' && !longs && (int)value < 0) {
                put('-');
                value = (uint32_t) - (int)value;
            }
            put_number(value, *format == 'x' ? 16 : 10, width, pad);
        } else {
            put(*format);
        }
    }
    va_end(list);
}

void guest_exit(uint32_t status)
{
    // An emulated UART may lose what it has not sent yet.
    while ((inb(COM1 + 5) & 0x60) != 0x60)
        ;
    for (;;) {
        outl(0xf4, status);
        __asm__ volatile("cli; hlt");
    }
}

/* In ring 3 the console is out of reach: what failed there first is told when it is over. */
static const char *user_failure;
static uint64_t user_got, user_wanted;

static bool told_later(const char *text, uint64_t got, uint64_t wanted)
{
    uint16_t cs;

    __asm__ volatile("movw %%cs, %0" : "=r"(cs));
    if (!(cs & 3))
        return false;
    if (!user_failure) {
        user_failure = text;
        user_got = got;
        user_wanted = wanted;
    }
    return true;
}

void expect(bool good, const char *text)
{
    if (good)
        return;
    guest_failures++;
    if (!told_later(text, 0, 1))
        guest_printf("FAIL %s: %s\n", guest_name, text);
}

void expect_equal(uint64_t got, uint64_t wanted, const char *text)
{
    if (got == wanted)
        return;
    guest_failures++;
    if (told_later(text, got, wanted))
        return;
    guest_printf("FAIL %s: %s: got %llx, wanted %llx\n", guest_name, text,
                 (unsigned long long)got, (unsigned long long)wanted);
}

/* ---- traps ---- */

void guest_on(unsigned vector, guest_handler *handler)
{
    handlers[vector] = handler;
}

void guest_gate_present(unsigned vector, bool present)
{
    idt[vector].type = present ? 0x8e : 0x0e;
}

void guest_gate_stack(unsigned vector, uint8_t ist)
{
    idt[vector].ist = ist;
}

void guest_trap(struct guest_frame *frame)
{
    uint64_t cr2;

    if (handlers[frame->vector]) {
        handlers[frame->vector](frame);
        return;
    }
    __asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
    if (frame->vector < 32 && guest_recover) {
        guest_caught.count++;
        guest_caught.vector = frame->vector;
        guest_caught.error = frame->error;
        guest_caught.rip = frame->rip;
        guest_caught.cr2 = cr2;
        guest_caught.rflags = frame->rflags;
        guest_caught.rcx = frame->rcx;
        guest_caught.rdi = frame->rdi;
        guest_caught.rsi = frame->rsi;
        frame->rip = guest_recover;
        frame->rflags &= ~0x100ull;
        return;
    }
    guest_printf("FAIL %s: unexpected trap %u error %llx rip %llx cr2 %llx\n", guest_name,
                 (unsigned)frame->vector, (unsigned long long)frame->error,
                 (unsigned long long)frame->rip, (unsigned long long)cr2);
    guest_exit(2);
}

void expect_caught(unsigned vector, uint64_t error, const char *text)
{
    expect_equal(guest_caught.count, 1, text);
    if (!guest_caught.count)
        return;
    expect_equal(guest_caught.vector, vector, text);
    expect_equal(guest_caught.error, error, text);
}

void expect_no_fault(const char *text)
{
    if (guest_caught.count)
        expect_equal(guest_caught.vector, 0x100, text);
}

static void idt_load(void)
{
    struct table_pointer pointer = {sizeof(idt) - 1, (uint64_t)(uintptr_t)idt};

    __asm__ volatile("lidt %0" : : "m"(pointer));
}

static void traps_init(void)
{
    uint64_t base = (uint64_t)(uintptr_t)&tss;

    for (unsigned i = 0; i < 256; i++) {
        uint64_t address = (uint64_t)(uintptr_t)guest_stubs + 16ull * i;

        idt[i].offset_low = (uint16_t)address;
        idt[i].offset_middle = (uint16_t)(address >> 16);
        idt[i].selector = 8;
        idt[i].type = 0x8e;
    }
    idt[2].ist = 1;
    idt[8].ist = 2;
    tss.ist[0] = (uint64_t)(uintptr_t)(fault_stack[0] + sizeof(fault_stack[0]));
    tss.ist[1] = (uint64_t)(uintptr_t)(fault_stack[1] + sizeof(fault_stack[1]));
    tss.io_map = sizeof(tss);
    gdt[4] =
        (sizeof(tss) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    gdt[5] = base >> 32;
    gdt[6] = 0x00cff3000000ffff;  // data and 64-bit code of ring 3
    gdt[7] = 0x0020fb0000000000;
    tss.rsp[0] = (uint64_t)(uintptr_t)(user_trap_stack + sizeof(user_trap_stack));
    __asm__ volatile("ltr %w0" : : "r"(32));
    idt_load();
}

/* ---- ring 3 ---- */

#define USER_DATA (6 * 8 | 3)
#define USER_CODE (7 * 8 | 3)
#define USER_EXIT 0x81u
#define PTE_USER  4ull

static uint64_t kernel_rsp, kernel_rip;

static void on_user_exit(struct guest_frame *frame)
{
    frame->cs = 8;
    frame->ss = 16;
    frame->rip = kernel_rip;
    frame->rsp = kernel_rsp;
}

void guest_user_run(void (*body)(void))
{
    uint64_t *pdpt = (uint64_t *)(uintptr_t)(pml4[0] & ~0xfffull), rsp;

    pml4[0] |= PTE_USER;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t *pd = (uint64_t *)(uintptr_t)(pdpt[i] & ~0xfffull);

        pdpt[i] |= PTE_USER;
        for (unsigned j = 0; j < 512; j++)
            pd[j] |= PTE_USER;
    }
    __asm__ volatile("movq %%cr3, %0; movq %0, %%cr3" : "=r"(rsp) : : "memory");
    idt[USER_EXIT].type = 0xee;
    guest_on(USER_EXIT, on_user_exit);
    // Down with IRETQ; the body returns to an INT, whose handler comes back to the label.
    __asm__ volatile("movq %%rsp, %[rsp]\n\t"
                     "movq $1f, %[rip]\n\t"
                     "pushq %[ss]\n\t"
                     "pushq %[stack]\n\t"
                     "pushq $2\n\t"
                     "pushq %[cs]\n\t"
                     "pushq $2f\n\t"
                     "iretq\n"
                     "2:\tcall *%[body]\n\t"
                     "int $0x81\n"
                     "1:"
                     : [rsp] "=m"(kernel_rsp), [rip] "=m"(kernel_rip)
                     : [ss] "i"(USER_DATA), [cs] "i"(USER_CODE), [body] "b"(body),
                       [stack] "i"(user_stack + sizeof(user_stack))
                     : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
                       "r13", "r14", "r15", "memory", "cc");
    guest_on(USER_EXIT, NULL);
    if (user_failure)
        guest_printf("FAIL %s: in ring 3: %s: got %llx, wanted %llx\n", guest_name,
                     user_failure, (unsigned long long)user_got,
                     (unsigned long long)user_wanted);
}

/* ---- what machine is this ---- */

const char *guest_hypervisor(void)
{
    static char name[13];
    struct guest_cpuid r;

    if (!(cpuid(1).ecx >> 31))
        return "";
    r = cpuid(0x40000000);
    memcpy(name, &r.ebx, 4);
    memcpy(name + 4, &r.ecx, 4);
    memcpy(name + 8, &r.edx, 4);
    return name;
}

bool guest_on_plain_tcg(void)
{
    return guest_hypervisor()[0] == 'T';
}

bool guest_cpu_is_qemus(void)
{
    struct guest_cpuid r = cpuid(0x80000002);

    return memcmp(&r, "QEMU", 4) == 0 || guest_on_plain_tcg();
}

uint64_t guest_memory_end(void)
{
    const uint32_t *info = (const uint32_t *)(uintptr_t)(guest_multiboot & 0xffffffff);

    return (info[0] & 1) ? 0x100000 + (uint64_t)info[2] * 1024 : 0x1000000;
}

const char *guest_command_line(void)
{
    const uint32_t *info = (const uint32_t *)(uintptr_t)(guest_multiboot & 0xffffffff);

    return (info[0] & 4) ? (const char *)(uintptr_t)info[4] : "";
}

bool guest_has_word(const char *word)
{
    for (const char *line = guest_command_line(); *line; line++) {
        const char *a = line, *b = word;

        while (*b && *a == *b) {
            a++;
            b++;
        }
        if (!*b)
            return true;
    }
    return false;
}

void guest_map(uint64_t va, uint64_t entry)
{
    static uint64_t tables[16][512] __attribute__((aligned(4096)));
    static unsigned used;
    uint64_t *table = pml4;

    for (unsigned shift = 39; shift > 12; shift -= 9) {
        uint64_t *slot = &table[(va >> shift) & 511];

        if (!*slot) {
            if (used == 16)
                guest_exit(3);
            *slot = (uint64_t)(uintptr_t)tables[used++] | 7;
        }
        table = (uint64_t *)(uintptr_t)(*slot & 0x000ffffffffff000ull);
    }
    table[(va >> 12) & 511] = entry;
    __asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

/* ---- local APIC ---- */

uint32_t apic_read(unsigned offset)
{
    if (x2apic)
        return (uint32_t)rdmsr(0x800 + (offset >> 4));
    return *(volatile uint32_t *)(uintptr_t)(0xfee00000ull + offset);
}

void apic_write(unsigned offset, uint32_t value)
{
    if (x2apic)
        wrmsr(0x800 + (offset >> 4), value);
    else
        *(volatile uint32_t *)(uintptr_t)(0xfee00000ull + offset) = value;
}

void apic_enable(void)
{
    if (!x2apic)
        apic_write(APIC_DFR, 0xffffffff);
    apic_write(APIC_SVR, 0x1ff);
    apic_write(APIC_TPR, 0);
}

void apic_x2apic_enable(void)
{
    wrmsr(0x1b, rdmsr(0x1b) | 0xc00);
    x2apic = true;
}

uint32_t apic_id(void)
{
    return x2apic ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
}

void apic_send(uint32_t destination, uint32_t low)
{
    if (x2apic) {
        wrmsr(0x830, (uint64_t)destination << 32 | low);
        return;
    }
    apic_write(APIC_ICR_HIGH, destination << 24);
    apic_write(APIC_ICR, low);
    while (apic_read(APIC_ICR) & 0x1000)
        ;
}

void apic_eoi(void)
{
    apic_write(APIC_EOI, 0);
}

/* ---- processors ---- */

void guest_other_main(unsigned number)
{
    idt_load();
    apic_enable();
    if (number < GUEST_CPUS_MAX)
        guest_apic_ids[number] = apic_id();
    if (number < GUEST_CPUS_MAX && other_entry)
        other_entry(number);
    for (;;)
        wait_irq();
}

/* Counts APIC timer ticks rather than TSC ones: their rate differs less between machines. */
static void pause_ticks(uint32_t ticks)
{
    apic_write(APIC_LVT_TIMER, 0x10000);
    apic_write(APIC_TIMER_DIVIDE, 0xb);
    apic_write(APIC_TIMER_INITIAL, ticks);
    while (apic_read(APIC_TIMER_CURRENT))
        __asm__ volatile("pause");
}

/* A byte sum of zero is how ACPI tables prove themselves. */
static bool sums_to_zero(const uint8_t *at, uint32_t size)
{
    uint8_t sum = 0;

    while (size--)
        sum = (uint8_t)(sum + *at++);
    return sum == 0;
}

static uint32_t u32_at(const uint8_t *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

/* The enabled processors of a MADT: its entries of type 0. */
static unsigned count_in_madt(const uint8_t *madt)
{
    unsigned count = 0;

    for (uint32_t at = 44; at + 2 <= u32_at(madt + 4) && madt[at + 1] >= 2; at += madt[at + 1])
        if (madt[at] == 0 && (u32_at(madt + at + 4) & 1))
            count++;
    return count;
}

unsigned guest_cpu_count(void)
{
    for (const uint8_t *p = (const uint8_t *)0xe0000; p < (const uint8_t *)0x100000; p += 16) {
        const uint8_t *rsdt;

        if (memcmp(p, "RSD PTR ", 8) != 0 || !sums_to_zero(p, 20))
            continue;
        rsdt = (const uint8_t *)(uintptr_t)u32_at(p + 16);
        for (uint32_t at = 36; rsdt && at + 4 <= u32_at(rsdt + 4); at += 4) {
            const uint8_t *table = (const uint8_t *)(uintptr_t)u32_at(rsdt + at);

            if (memcmp(table, "APIC", 4) == 0 && sums_to_zero(table, u32_at(table + 4)))
                return count_in_madt(table);
        }
    }
    return 0;
}

static void others_prepare(void (*entry)(unsigned number))
{
    other_entry = entry;
    memcpy((void *)(uintptr_t)0x8000, trampoline, (size_t)(trampoline_end - trampoline));
    guest_apic_ids[0] = apic_id();
}

void guest_start_others_at_once(void (*entry)(unsigned number))
{
    others_prepare(entry);
    apic_send(0, ICR_ALL_OTHERS | ICR_INIT);
    apic_send(0, ICR_ALL_OTHERS | ICR_STARTUP | 8);
    for (unsigned count = guest_cpu_count();
         __atomic_load_n(&started, __ATOMIC_SEQ_CST) + 1 < count;)
        __asm__ volatile("pause");
}

unsigned guest_start_others(void (*entry)(unsigned number))
{
    const unsigned count = guest_cpu_count();

    others_prepare(entry);
    apic_send(0, ICR_ALL_OTHERS | ICR_INIT);
    pause_ticks(1000000);
    for (unsigned i = 0; i < 2; i++) {
        apic_send(0, ICR_ALL_OTHERS | ICR_STARTUP | 8);
        pause_ticks(1000000);
    }
    // However long they take; only a machine that does not tell how many there are gets a time.
    if (count)
        while (__atomic_load_n(&started, __ATOMIC_SEQ_CST) + 1 < count)
            __asm__ volatile("pause");
    for (unsigned i = 0; !count && i < 10; i++)
        pause_ticks(1000000);
    return started + 1;
}

void guest_library_main(void)
{
    outb(COM1 + 1, 0);
    outb(COM1 + 3, 3);
    outb(COM1 + 2, 7);
    outb(0x21, 0xff);  // both PICs masked
    outb(0xa1, 0xff);
    traps_init();
    guest_main();
    if (!guest_failures)
        guest_printf("PASS %s\n", guest_name);
    guest_exit(guest_failures ? 1 : 0);
}
