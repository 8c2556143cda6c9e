// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vm_disks.c -- which disk a fileName is, and that all of it comes back.
 */
#include "tests/unit/vmm_fixture.h"
#include "sim/model/disk.h"
#include "vmm/vm_disks.h"
#include "vmm/vm_work.h"

static struct disk_model *model;
static unsigned opened, closed;
static bool opened_read_only;
static uint32_t opened_shares;

static vmk_status source_open(struct vm *of, const char *name, bool read_only, uint32_t shares,
                              struct block_device **out, char *why, size_t why_size)
{
    ck_assert_ptr_eq(of, vm);
    opened_read_only = read_only;
    opened_shares = shares;
    if (strcmp(name, "there.vmdk") != 0) {
        strncpy(why, "the test has no such file", why_size);
        return VMK_NOT_FOUND;
    }
    opened++;
    *out = disk_model_device(model);
    return VMK_OK;
}

static void source_close(struct block_device *device)
{
    ck_assert_ptr_eq(device, disk_model_device(model));
    closed++;
}

static const struct vm_disk_source source = {.open = source_open, .close = source_close};

static vmk_status open_one(const char *file, enum vm_disk_mode mode)
{
    vm->config.buses[VM_DISK_SCSI][0] = true;
    vm->config.disk_count = 1;
    vm->config.disks[0] = (struct vm_disk_config){.bus = VM_DISK_SCSI, .mode = mode};
    strcpy(vm->config.disks[0].file, file);
    return vm_disks_open(vm);
}

static void close_all(void)
{
    vm_work_destroy(vm);
    vm_disks_close(vm);
    ck_assert_ptr_null(vm->disks);
}

START_TEST(test_vm_disks__sizes__make_empty_disks)
{
    static const struct {
        const char *file;
        uint64_t size;
    } good[] = {{"ramdisk:64K", 65536}, {"ramdisk:3M", 3u << 20}, {"ramdisk:2G", 2ull << 30}};
    static const char *const bad[] = {"ramdisk:",
                                      "ramdisk:64",
                                      "ramdisk:M",
                                      "ramdisk:0K",
                                      "ramdisk:1MB",
                                      "ramdisk:99999999999999999G",
                                      "ramdisk:no-such-module",
                                      "host:vmhba9:C0:T0:L0",
                                      "none.vmdk"};

    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        ck_assert_int_eq(open_one(good[i].file, VM_DISK_PERSISTENT), VMK_OK);
        ck_assert_uint_eq(vm->disks->open[0].block->size, good[i].size);
        close_all();
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        ck_assert_int_ne(open_one(bad[i], VM_DISK_PERSISTENT), VMK_OK);
        close_all();
    }
}
END_TEST

START_TEST(test_vm_disks__source__asked_and_given_back)
{
    uint8_t block[512] = {1}, back[512];
    uint64_t id;

    model = disk_model_create("there", 1 << 20);
    vm_disk_source_set(&source);
    ck_assert_int_eq(open_one("there.vmdk", VM_DISK_PERSISTENT), VMK_OK);
    ck_assert(!opened_read_only);
    ck_assert_uint_eq(opened_shares, 1000);
    ck_assert_ptr_eq(vm->disks->open[0].block, disk_model_device(model));
    id = vm->disks->open[0].id;
    close_all();
    // Nonpersistent: what is written is there, and gone afterwards.
    ck_assert_int_eq(open_one("there.vmdk", VM_DISK_NONPERSISTENT), VMK_OK);
    ck_assert(opened_read_only);
    ck_assert_uint_eq(vm->disks->open[0].id, id);
    ck_assert_int_eq(block_write(vm->disks->open[0].block, 0, block, 512), VMK_OK);
    ck_assert_int_eq(block_read(vm->disks->open[0].block, 0, back, 512), VMK_OK);
    ck_assert_mem_eq(back, block, 512);
    close_all();
    ck_assert_int_eq(block_read(disk_model_device(model), 0, back, 512), VMK_OK);
    ck_assert_uint_eq(back[0], 0);
    ck_assert_int_eq(open_one("none.vmdk", VM_DISK_PERSISTENT), VMK_NOT_FOUND);
    close_all();
    ck_assert_uint_eq(opened, 2);
    ck_assert_uint_eq(closed, 2);
    disk_model_destroy(model);
}
END_TEST

START_TEST(test_vm_disks__none__nothing_is_made)
{
    vm->config.disk_count = 0;
    ck_assert_int_eq(vm_disks_open(vm), VMK_OK);
    ck_assert_ptr_null(vm->disks);
    ck_assert_ptr_null(vm->work);
    ck_assert_int_eq(vm_disks_attach(vm), VMK_OK);
    vm_disks_detach(vm);
    vm_disks_close(vm);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_vm_disks__sizes__make_empty_disks,
        test_vm_disks__source__asked_and_given_back,
        test_vm_disks__none__nothing_is_made,
    };

    return fixture_run("vm_disks", tests, ARRAY_COUNT(tests));
}
