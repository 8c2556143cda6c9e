// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/disk_fixture.h -- a VM with a PCI bus and one disk, and the guest's side of it.
 *
 * Adapters, rings, SCSI and the VM's memory are the real ones; the disk under them is the
 * modelled one of sim/model, which can lose power and fail, behind a gate that keeps requests
 * until the test lets them go. Messages go to a real local APIC whose IRR the test reads. There
 * is no I/O world: the test runs the jobs, with jobs_run(). Include it in one file of a test
 * program.
 */
#pragma once

#include "lib/endian.h"
#include "sim/model/disk.h"
#include "vmm/dev/vpci.h"
#include "vmm/vm_disks.h"
#include "vmm/vm_work.h"
#include "tests/unit/vmm_fixture.h"

#define DISK_SIZE (4ull << 20)
#define BAR       0xd0000000ull

static struct disk_model *model;
static unsigned devfn;

/* ---- a device in front of the model that can hold requests back ---- */

static struct {
    struct block_device device;
    struct block_request *held[64];
    unsigned held_count;
    bool hold;
} gate;

static void gate_submit(struct block_device *device, struct block_request *r)
{
    (void)device;
    if (gate.hold && gate.held_count < ARRAY_COUNT(gate.held)) {
        gate.held[gate.held_count++] = r;
        return;
    }
    disk_model_device(model)->ops->submit(disk_model_device(model), r);
}

/* Lets the newest go first, as a disk with a queue may. */
__attribute__((unused)) static void gate_release(void)
{
    gate.hold = false;
    while (gate.held_count) {
        struct block_request *r = gate.held[--gate.held_count];

        disk_model_device(model)->ops->submit(disk_model_device(model), r);
    }
}

static const struct block_ops gate_ops = {.submit = gate_submit};

/* ---- the guest's side ---- */

static bool jobs_ran;

static void last_job(struct vm_job *job)
{
    (void)job;
    jobs_ran = true;
}

static bool all_ran(void *argument)
{
    (void)argument;
    return jobs_ran;
}

/*
 * Runs what a kick queued. Jobs go in order, so one behind the others tells that they are
 * through.
 */
static void jobs_run(void)
{
    static struct vm_job last;

    vm_job_init(&last, last_job);
    jobs_ran = false;
    vm_job_queue(vm->work, &last);
    vm_work_wait(vm->work, all_ran, NULL);
}

static uint64_t bus_read(uint64_t gpa, unsigned size)
{
    uint64_t value = 0;

    ck_assert(vm_mmio_access(vm, cpu, gpa_make(gpa), size, true, &value));
    return value;
}

static void bus_write(uint64_t gpa, unsigned size, uint64_t value)
{
    ck_assert(vm_mmio_access(vm, cpu, gpa_make(gpa), size, false, &value));
}

__attribute__((unused)) static uint32_t config_read(unsigned at, unsigned size)
{
    return (uint32_t)bus_read(VPCI_ECAM_BASE + (devfn << 12) + at, size);
}

static void config_write(unsigned at, unsigned size, uint32_t value)
{
    bus_write(VPCI_ECAM_BASE + (devfn << 12) + at, size, value);
}

__attribute__((unused)) static void guest_get(uint64_t gpa, void *out, size_t size)
{
    ck_assert_int_eq(vm_memory_read(vm, gpa_make(gpa), out, size), VMK_OK);
}

__attribute__((unused)) static void guest_put(uint64_t gpa, const void *in, size_t size)
{
    ck_assert_int_eq(vm_memory_write(vm, gpa_make(gpa), in, size), VMK_OK);
}

__attribute__((unused)) static uint32_t guest_u32(uint64_t gpa)
{
    uint8_t bytes[4];

    guest_get(gpa, bytes, 4);
    return le32(bytes);
}

__attribute__((unused)) static void guest_u32_set(uint64_t gpa, uint32_t value)
{
    uint8_t bytes[4];

    put_le32(bytes, value);
    guest_put(gpa, bytes, 4);
}

/* Bytes that tell their place. */
__attribute__((unused)) static void pattern(uint8_t *out, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)(i * 7 + i / 256 + seed);
}

/* ---- making ---- */

static void disk_fixture_start(enum vm_disk_bus bus)
{
    struct vm_disk_config *c;

    fixture_start();
    model = disk_model_create("model", DISK_SIZE);
    memset(&gate, 0, sizeof(gate));
    gate.device = *disk_model_device(model);
    gate.device.ops = &gate_ops;
    gate.device.can_discard = true;
    memcpy(vm->config.name, "test", 5);
    vm->config.buses[bus][0] = true;
    vm->config.disk_count = 1;
    c = &vm->config.disks[0];
    *c = (struct vm_disk_config){.bus = bus, .unit = 1};
    memcpy(c->file, "gate", 5);
    vm->disks = calloc(1, sizeof(*vm->disks));
    vm->disks->open[0] = (struct vm_disk_open){.block = &gate.device, .id = 0x1234abcd5678ull};
    ck_assert_int_eq(vm_work_create(vm), VMK_OK);
    ck_assert_int_eq(vpci_create(vm), VMK_OK);
    ck_assert_int_eq(vm_disks_attach(vm), VMK_OK);
    devfn = vm_disk_slot(&vm->config, 0) << 3;
    config_write(0x10, 4, BAR);
    config_write(4, 2, 6);
}

static void disk_fixture_stop(void)
{
    gate.hold = false;
    vm_disks_detach(vm);
    vpci_destroy(vm);
    vm_work_destroy(vm);
    disk_model_destroy(model);
    free(vm->disks);
    vm->disks = NULL;
    fixture_stop();
}

static inline int disk_fixture_run(const char *name, void (*start)(void),
                                   const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(all, start, disk_fixture_stop);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(all, tests[i]);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
