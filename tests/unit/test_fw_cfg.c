// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_fw_cfg.c -- what a BIOS reads at ports 510 and 511.
 */
#include "tests/unit/device_fixture.h"
#include "lib/endian.h"
#include "vmm/dev/fw_cfg.h"

static void item_read(unsigned key, uint8_t *out, size_t size)
{
    out_size(0x510, 2, key);
    for (size_t i = 0; i < size; i++)
        out[i] = in8(0x511);
}

START_TEST(test_fw_cfg__items_and_files__by_key_and_by_name)
{
    struct fw_cfg *fw;
    uint8_t bytes[256];

    fix.vm.vcpu_count = 3;
    ck_assert_int_eq(fw_cfg_create(&fix.vm, &fw), VMK_OK);
    ck_assert_int_eq(fw_cfg_file_add(fw, "etc/e820", "abcdefgh", 8), VMK_OK);
    ck_assert_int_eq(fw_cfg_file_add(fw, "bootorder", "xyz", 3), VMK_OK);
    item_read(0, bytes, 6);
    ck_assert_mem_eq(bytes, "QEMU\0\0", 6);
    item_read(1, bytes, 4);
    ck_assert_uint_eq(le32(bytes), 1);  // no DMA
    item_read(5, bytes, 2);
    ck_assert_uint_eq(le16(bytes), 3);
    item_read(0x19, bytes, 4 + 2 * 64 + 8);
    ck_assert_uint_eq(be32(bytes), 2);
    ck_assert_uint_eq(be32(bytes + 4 + 64), 3);
    ck_assert_str_eq((char *)bytes + 4 + 64 + 8, "bootorder");
    ck_assert_uint_eq(bytes[4 + 2 * 64], 0);  // past the end
    item_read(be16(bytes + 4 + 64 + 4), bytes, 5);
    ck_assert_mem_eq(bytes, "xyz\0\0", 5);
    item_read(0x22, bytes, 2);  // no such file
    ck_assert_uint_eq(le16(bytes), 0);
    item_read(0xffff, bytes, 2);
    ck_assert_uint_eq(le16(bytes), 0);
    ck_assert_uint_eq(in_size(0x510, 2), 0xffff);
    fw_cfg_destroy(fw);
    ck_assert_uint_eq(fix.heap_blocks, 0);
}
END_TEST

START_TEST(test_fw_cfg__limits__told)
{
    struct fw_cfg *fw;
    char name[FW_CFG_NAME_SIZE + 1];

    ck_assert_int_eq(fw_cfg_create(&fix.vm, &fw), VMK_OK);
    memset(name, 'n', sizeof(name));
    name[FW_CFG_NAME_SIZE] = '\0';
    ck_assert_int_eq(fw_cfg_file_add(fw, name, "", 0), VMK_LIMIT);
    for (unsigned i = 0; i < FW_CFG_FILES; i++)
        ck_assert_int_eq(fw_cfg_file_add(fw, "f", "", 0), VMK_OK);
    ck_assert_int_eq(fw_cfg_file_add(fw, "f", "", 0), VMK_LIMIT);
    fw_cfg_destroy(fw);
}
END_TEST

TEST_MAIN("fw_cfg", test_fw_cfg__items_and_files__by_key_and_by_name, test_fw_cfg__limits__told)
