// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/device_fixture.h -- one device, the ports it registered, and a world that writes down
 * what the device did: lines, serial output, stops, resets, guest memory.
 *
 * The device is the real one, what it calls is here. Time stands still until the test moves it
 * with advance(), which runs the timers that become due. Include it in one file of a test
 * program.
 */
#pragma once

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "core/log.h"
#include "plat/plat.h"
#include "vmm/vm.h"
#include "tests/unit/suite_run.h"

#define FIX_RAM (4u << 20)

static struct fixture {
    plat_ns now;
    uint64_t wall;
    struct timer *timers[8];
    struct vm vm;
    struct vcpu vcpu;
    bool locked;
    bool line[24];
    unsigned rises[24];
    char out[256];
    size_t out_size;
    const char *in;
    int stop_status;
    const char *stop_reason, *reset_reason;
    unsigned heap_blocks, heap_left;  // heap_left 0: no limit
    char log[512];
    uint8_t *ram;  // guest memory from 0, FIX_RAM bytes
    struct plat_module modules[4];
    size_t module_count;
} fix;

static inline void fixture_reset(void)
{
    free(fix.ram);
    memset(&fix, 0, sizeof(fix));
    fix.now = 5000000000ull;
    fix.wall = 1767323045ull;  // 2026-01-02 03:04:05 UTC
    fix.vm.vcpus[0] = &fix.vcpu;
    fix.vm.vcpu_count = 1;
    fix.vm.config.vcpus = 1;
    fix.vm.config.memory_mb = FIX_RAM >> 20;
    fix.vm.low_page_count = fix.vm.page_count = FIX_RAM / PAGE_SIZE;
    fix.vcpu.vm = &fix.vm;
    fix.ram = calloc(1, FIX_RAM);
}

/* ---- what devices call ---- */

void *heap_alloc(size_t size, enum mem_owner owner)
{
    (void)owner;
    if (fix.heap_left && fix.heap_blocks + 1 >= fix.heap_left)
        return NULL;
    fix.heap_blocks++;
    return calloc(1, size);
}

void heap_free(void *pointer)
{
    fix.heap_blocks -= pointer != NULL;
    free(pointer);
}

plat_ns plat_time_now(void)
{
    return fix.now;
}

uint64_t plat_tsc_khz(void)
{
    return 5000000;  // above 32 bits of hertz
}

uint64_t plat_wall_time_at_boot(void)
{
    return fix.wall;
}

plat_ns vm_time(const struct vm *vm)
{
    return fix.now - vm->power_on_time;
}

void plat_serial_write(unsigned port, const char *text, size_t length)
{
    (void)port;
    for (size_t i = 0; i < length && fix.out_size < sizeof(fix.out) - 1; i++)
        fix.out[fix.out_size++] = text[i];
}

int plat_serial_read(unsigned port)
{
    (void)port;
    return fix.in && *fix.in ? (unsigned char)*fix.in++ : -1;
}

size_t plat_modules(const struct plat_module **out)
{
    *out = fix.modules;
    return fix.module_count;
}

bool spin_lock(struct spinlock *lock)
{
    spin_lock_irqs_off(lock);
    return true;
}

void spin_unlock(struct spinlock *lock, bool irqs_were_on)
{
    (void)irqs_were_on;
    spin_unlock_irqs_off(lock);
}

void spin_lock_irqs_off(struct spinlock *lock)
{
    (void)lock;
    ck_assert_msg(!fix.locked, "lock taken twice");
    fix.locked = true;
}

void spin_unlock_irqs_off(struct spinlock *lock)
{
    (void)lock;
    ck_assert(fix.locked);
    fix.locked = false;
}

void timer_init(struct timer *timer, void (*callback)(struct timer *), void *owner)
{
    timer->callback = callback;
    timer->owner = owner;
}

void timer_arm(struct timer *timer, plat_ns deadline)
{
    timer->deadline = deadline;
    timer->armed = true;
    for (size_t i = 0; i < ARRAY_COUNT(fix.timers); i++) {
        if (!fix.timers[i] || fix.timers[i] == timer) {
            fix.timers[i] = timer;
            return;
        }
    }
    ck_abort_msg("more timers than the fixture has");
}

void timer_cancel(struct timer *timer)
{
    ck_assert_msg(!fix.locked, "timer cancelled under the lock its callback takes");
    timer->armed = false;
    for (size_t i = 0; i < ARRAY_COUNT(fix.timers); i++) {
        if (fix.timers[i] == timer)
            fix.timers[i] = NULL;
    }
}

void vm_irq_line_set(struct vm *vm, unsigned gsi, bool high)
{
    (void)vm;
    ck_assert_msg(fix.locked, "line changed without vm->lock");
    fix.rises[gsi] += high && !fix.line[gsi];
    fix.line[gsi] = high;
}

void vm_stop(struct vm *vm, int status, const char *reason)
{
    (void)vm;
    fix.stop_status = status;
    fix.stop_reason = reason;
}

void vm_request_reset(struct vm *vm, const char *reason)
{
    (void)vm;
    fix.reset_reason = reason;
}

vmk_status vm_port_register(struct vm *vm, uint16_t base, uint16_t count,
                            const struct vm_io_ops *ops, void *device)
{
    vm->ports[vm->port_range_count++] = (struct vm_io_range){base, count, ops, device};
    return VMK_OK;
}

vmk_status vm_mmio_register(struct vm *vm, gpa_t base, uint64_t size,
                            const struct vm_io_ops *ops, void *device)
{
    vm->mmio[vm->mmio_range_count++] = (struct vm_io_range){base.raw, size, ops, device};
    return VMK_OK;
}

vmk_status vm_memory_write(struct vm *vm, gpa_t gpa, const void *in, size_t size)
{
    (void)vm;
    if (gpa.raw > FIX_RAM || size > FIX_RAM - gpa.raw)
        return VMK_NOT_FOUND;
    memcpy(fix.ram + gpa.raw, in, size);
    return VMK_OK;
}

void vmk_log(enum vmk_log_level level, const char *format, ...)
{
    va_list arguments;

    (void)level;
    va_start(arguments, format);
    vsnprintf(fix.log, sizeof(fix.log), format, arguments);
    va_end(arguments);
}

void vmk_panic_at(const char *file, int line, const char *format, ...)
{
    (void)format;
    ck_abort_msg("panic at %s:%d", file, line);
    abort();
}

/* ---- what tests call ---- */

static inline void advance(plat_ns by)
{
    plat_ns end = fix.now + by;

    for (;;) {
        struct timer *next = NULL;
        for (size_t i = 0; i < ARRAY_COUNT(fix.timers); i++) {
            struct timer *t = fix.timers[i];
            if (t && t->armed && t->deadline <= end && (!next || t->deadline < next->deadline))
                next = t;
        }
        if (!next)
            break;
        fix.now = MAX(fix.now, next->deadline);
        next->armed = false;
        next->callback(next);
    }
    fix.now = end;
}

static inline uint32_t in_size(uint16_t port, unsigned size)
{
    uint64_t mask = size == 4 ? UINT32_MAX : BIT(8 * size) - 1;

    for (unsigned i = 0; i < fix.vm.port_range_count; i++) {
        const struct vm_io_range *r = &fix.vm.ports[i];
        if (port >= r->base && port + size <= r->base + r->size) {
            uint64_t value;
            spin_lock_irqs_off(&fix.vm.lock);
            value = r->ops->read(r->device, &fix.vcpu, port - r->base, size);
            spin_unlock_irqs_off(&fix.vm.lock);
            return (uint32_t)(value & mask);
        }
    }
    return (uint32_t)mask;
}

static inline void out_size(uint16_t port, unsigned size, uint32_t value)
{
    for (unsigned i = 0; i < fix.vm.port_range_count; i++) {
        const struct vm_io_range *r = &fix.vm.ports[i];
        if (port >= r->base && port + size <= r->base + r->size) {
            spin_lock_irqs_off(&fix.vm.lock);
            r->ops->write(r->device, &fix.vcpu, port - r->base, size, value);
            spin_unlock_irqs_off(&fix.vm.lock);
            return;
        }
    }
}

static inline uint8_t in8(uint16_t port)
{
    return (uint8_t)in_size(port, 1);
}

static inline void out8(uint16_t port, uint8_t value)
{
    out_size(port, 1, value);
}

/* Runs one test case of a list; each test runs in a process of its own. */
static inline int run_tests(const char *name, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *all = tcase_create(name);

    tcase_add_checked_fixture(all, fixture_reset, NULL);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(all, tests[i]);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}

#define TEST_MAIN(name, ...)                                                                   \
    int main(void)                                                                             \
    {                                                                                          \
        const TTest *const tests[] = {__VA_ARGS__};                                            \
        return run_tests(name, tests, ARRAY_COUNT(tests));                                     \
    }
