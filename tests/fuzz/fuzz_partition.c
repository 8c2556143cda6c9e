// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/fuzz/fuzz_partition.c -- any bytes as a partition table: a table within the disk or an error.
 *
 * The first byte chooses: the rest as the first sectors (an MBR, chains and all), or as changes
 * to a good GPT (3 bytes each: where, what), after which the checksums are made right, so that
 * the fuzzer gets behind them.
 */
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "io/partition.h"
#include "lib/crc32.h"
#include "lib/endian.h"
#include "sim/model/disk.h"
#include "sim/platform/sim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECTOR    512u
#define DISK_SIZE (1ull << 20)
#define LAST      (DISK_SIZE / SECTOR - 1)

static void check(bool condition)
{
    if (!condition)
        abort();
}

static struct disk_model *pattern(void)
{
    static struct disk_model *disk;
    struct partition_guid id = partition_guid_make(1, 2);
    struct partition_table *table;
    struct partition p = {.kind = PARTITION_VMFS, .offset = 100 * SECTOR, .size = 64 * SECTOR};

    if (disk)
        return disk;
    sim_test_begin();
    log_sinks_set(0);
    disk = disk_model_create("fuzz", DISK_SIZE);
    check(partition_table_new(disk_model_device(disk), &id, &table) == VMK_OK);
    check(partition_add(table, &p) == VMK_OK);
    p = (struct partition){.kind = PARTITION_LINUX, .offset = 200 * SECTOR, .size = SECTOR};
    check(partition_add(table, &p) == VMK_OK);
    check(partition_table_write(disk_model_device(disk), table) == VMK_OK);
    partition_table_free(table);
    return disk;
}

static void change_gpt(struct block_device *disk, const uint8_t *data, size_t size)
{
    uint8_t header[SECTOR];
    uint8_t array[32 * SECTOR];

    for (unsigned copy = 0; copy < 2; copy++) {
        uint64_t at = copy ? LAST : 1;
        uint64_t array_at = copy ? LAST - 32 : 2;
        size_t left = size;

        check(block_read(disk, at * SECTOR, header, SECTOR) == VMK_OK);
        check(block_read(disk, array_at * SECTOR, array, sizeof(array)) == VMK_OK);
        for (const uint8_t *d = data; left >= 3; d += 3, left -= 3) {
            if (d[0] & 0x80 && (d[0] >> 6 & 1) == copy)
                header[d[1] % 92] = d[2];
            else
                array[(size_t)(d[0] & 1) << 8 | d[1]] = d[2];
        }
        put_le32(header + 88, crc32_add(0, array, sizeof(array)));
        put_le32(header + 16, 0);
        put_le32(header + 16, crc32_add(0, header, 92));
        check(block_write(disk, at * SECTOR, header, SECTOR) == VMK_OK);
        check(block_write(disk, array_at * SECTOR, array, sizeof(array)) == VMK_OK);
    }
}

static void say_nothing(void *argument, const char *text)
{
    (void)argument;
    check(*text != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct partition_report report = {.line = say_nothing};
    struct disk_model *disk = disk_model_clone(pattern());
    struct block_device *device = disk_model_device(disk);
    struct partition_table *table;
    uint8_t sector[SECTOR];

    if (size && data[0] & 1) {
        change_gpt(device, data + 1, size - 1);
    } else if (size) {
        for (size_t at = 1; at < size && at < 64 * SECTOR; at += SECTOR - 2) {
            size_t part = MIN(size - at, SECTOR - 2);

            memset(sector, 0, sizeof(sector));
            memcpy(sector, data + at, part);
            put_le16(sector + 510, 0xaa55);
            check(block_write(device, at / (SECTOR - 2) * SECTOR, sector, SECTOR) == VMK_OK);
        }
    }
    if (partition_table_read(device, &report, &table) == VMK_OK) {
        check(table->count <= PARTITIONS_MAX);
        for (unsigned i = 0; i < table->count; i++) {
            const struct partition *p = &table->partitions[i];
            struct block_device *part;

            if (p->bad)
                continue;
            check(p->size && p->offset < DISK_SIZE && p->size <= DISK_SIZE - p->offset);
            check(partition_open(device, p->number, &part) == VMK_OK);
            partition_close(part);
        }
        (void)!partition_table_write(device, table);
        partition_table_free(table);
    }
    if (partition_table_repair(device, &report) == VMK_OK) {
        check(partition_table_read(device, &report, &table) == VMK_OK);
        check(!(table->problems & PARTITION_REPAIRABLE));
        partition_table_free(table);
    }
    disk_model_destroy(disk);
    return 0;
}
