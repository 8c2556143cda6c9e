// SPDX-License-Identifier: BSD-2-Clause
/*
 * Unit tests for src/drivers/nvme.c against a modelled controller: the real driver through
 * pci.c, its registers, rings and interrupts; with commands lost, answers that make no sense,
 * and controllers that lie about themselves.
 */
#include <string.h>

#include "core/timer.h"
#include "drivers/drivers.h"
#include "io/pci.h"
#include "io/storage.h"
#include "lib/endian.h"
#include "lib/rng.h"
#include "mem/page.h"
#include "sim/platform/sim_dev.h"
#include "tests/unit/kernel_test.h"
#include "world/world.h"

#define BAR    0xfe000000u
#define MEDIUM (256u << 10)
#define QUEUES 5u

static struct {
    uint8_t config[256];
    uint32_t registers[16];
    uint8_t table[16 * QUEUES];  // MSI-X, at BAR + 0x2000
    struct {
        uint64_t sq, cq;
        uint32_t size, sq_head, sq_tail, cq_tail, vector;
        bool phase;
    } queues[QUEUES];
    char medium[MEDIUM];
    struct timer timer;
    bool armed;
    // Faults.
    unsigned lose;     // I/O commands that are never answered
    unsigned deaf;     // answers without an interrupt
    uint16_t fail_as;  // status of the next `fail` I/O commands
    unsigned fail;
    uint16_t wrong_id;  // added to the identifier of the next answer
    bool never_ready, gone, aborts, refuse_queues;
    uint64_t random_identity;  // seed; 0: a good one
    // Counts.
    unsigned enables, commands, flushes, discards, aborted, fua, pages_checked;
} hw;

static void *memory(uint64_t address)
{
    ck_assert_uint_lt(address, sim_memory_size());
    return plat_map(paddr_make(address));
}

static void answer(unsigned q, uint16_t id, uint32_t result, uint16_t status)
{
    uint8_t *entry = (uint8_t *)memory(hw.queues[q].cq) + 16 * hw.queues[q].cq_tail;
    const uint8_t *msix = hw.table + 16 * hw.queues[q].vector;

    put_le32(entry, result);
    put_le16(entry + 12, (uint16_t)(id + hw.wrong_id));
    hw.wrong_id = 0;
    put_le16(entry + 14, (uint16_t)(status << 1 | hw.queues[q].phase));
    if (++hw.queues[q].cq_tail == hw.queues[q].size) {
        hw.queues[q].cq_tail = 0;
        hw.queues[q].phase = !hw.queues[q].phase;
    }
    if (q && hw.deaf)
        hw.deaf--;
    else if (q && !le32(msix + 12))
        sim_devices_interrupt(le64(msix), le32(msix + 8));
}

/* ---- admin ---- */

static void identify(uint8_t *to, unsigned what, uint32_t nsid)
{
    struct rng rng;

    memset(to, 0, 4096);
    if (hw.random_identity) {
        rng_init(&rng, hw.random_identity, "identity", what);
        for (unsigned i = 0; i < 4096; i++)
            to[i] = (uint8_t)rng_next(&rng);
        return;
    }
    if (what == 1) {
        memcpy(to + 4, "SERIAL              ", 20);
        memcpy(to + 24, "Model of a controller                   ", 40);
        memcpy(to + 64, "1.0     ", 8);
        to[77] = 2;   // 16 KB at a time
        to[520] = 4;  // dataset management
        to[525] = 1;  // volatile cache
    } else if (what == 2) {
        put_le32(to, 1);
    } else if (nsid == 1) {
        put_le64(to, MEDIUM / 512);
        put_le32(to + 128, 9 << 16);
    }
}

static void admin(const uint8_t *e)
{
    const uint16_t id = le16(e + 2);
    const unsigned queue = le16(e + 40);

    switch (e[0]) {
    case 6:
        identify(memory(le64(e + 24)), le32(e + 40), le32(e + 4));
        answer(0, id, 0, 0);
        break;
    case 9: answer(0, id, (QUEUES - 2) << 16 | (QUEUES - 2), 0); break;
    case 5:
    case 1:
        if (hw.refuse_queues || !queue || queue >= QUEUES) {
            answer(0, id, 0, 0x101);
            break;
        }
        hw.queues[queue].size = le16(e + 42) + 1u;
        if (e[0] == 5) {
            hw.queues[queue].cq = le64(e + 24);
            hw.queues[queue].vector = le16(e + 46);
            hw.queues[queue].cq_tail = 0;
            hw.queues[queue].phase = true;
        } else {
            hw.queues[queue].sq = le64(e + 24);
            hw.queues[queue].sq_head = hw.queues[queue].sq_tail = 0;
        }
        answer(0, id, 0, 0);
        break;
    case 8:
        hw.aborted++;
        answer(0, id, hw.aborts ? 0 : 1, 0);
        if (hw.aborts)
            answer(le16(e + 40), le16(e + 42), 0, 7);
        break;
    default: answer(0, id, 0, 1); break;
    }
}

/* ---- I/O ---- */

/* Moves data by the entry's pages, which it checks. */
static void transfer(const uint8_t *e, uint64_t offset, uint32_t size, bool write)
{
    uint64_t page = le64(e + 24);
    const uint8_t *list = NULL;

    if (size > 2 * 4096 - page % 4096)
        list = memory(le64(e + 32));
    for (uint32_t done = 0; done < size;) {
        uint32_t part = (uint32_t)(4096 - page % 4096);

        if (part > size - done)
            part = size - done;
        if (write)
            memcpy(hw.medium + offset + done, memory(page), part);
        else
            memcpy(memory(page), hw.medium + offset + done, part);
        done += part;
        page = list ? le64(list) : le64(e + 32);
        list = list ? list + 8 : NULL;
        if (done < size)
            ck_assert_uint_eq(page % 4096, 0);
        hw.pages_checked++;
    }
}

static void io(unsigned q, const uint8_t *e)
{
    const uint64_t lba = le64(e + 40);
    const uint32_t blocks = le16(e + 48) + 1u;

    hw.commands++;
    if (hw.lose) {
        hw.lose--;
        return;
    }
    if (hw.fail) {
        hw.fail--;
        answer(q, le16(e + 2), 0, hw.fail_as);
        return;
    }
    ck_assert_uint_eq(le32(e + 4), 1);
    hw.flushes += e[0] == 0;
    hw.discards += e[0] == 9;
    if (e[0] == 1 || e[0] == 2) {
        ck_assert_uint_le(lba * 512 + blocks * 512, MEDIUM);
        ck_assert_uint_le(blocks * 512, 16384);
        hw.fua += le32(e + 48) >> 30 & 1;
        transfer(e, lba * 512, blocks * 512, e[0] == 1);
    } else if (e[0] == 9) {
        const uint8_t *range = memory(le64(e + 24));

        memset(hw.medium + le64(range + 8) * 512, 0, le32(range + 4) * 512ull);
    }
    answer(q, le16(e + 2), 0, 0);
}

/* The controller works off what its doorbells told it of, a microsecond later. */
static void work(struct timer *timer)
{
    (void)timer;
    hw.armed = false;
    if (hw.gone || !(hw.registers[7] & 1))
        return;
    for (unsigned q = 0; q < QUEUES; q++) {
        while (hw.queues[q].sq_head != hw.queues[q].sq_tail) {
            const uint8_t *e = (uint8_t *)memory(hw.queues[q].sq) + 64 * hw.queues[q].sq_head;

            hw.queues[q].sq_head = (hw.queues[q].sq_head + 1) % hw.queues[q].size;
            if (q)
                io(q, e);
            else
                admin(e);
        }
    }
}

/* ---- the bus ---- */

static uint32_t pci_get(pci_address at, unsigned offset, unsigned size)
{
    if (at.raw != 0x18 || hw.gone || offset >= 256)
        return UINT32_MAX;
    return size == 1   ? hw.config[offset]
           : size == 2 ? le16(hw.config + offset)
                       : le32(hw.config + offset);
}

static void pci_put(pci_address at, unsigned offset, unsigned size, uint32_t value)
{
    if (at.raw != 0x18)
        return;
    if (offset == PCI_BAR0)
        value &= ~0x3fffu;
    else if (offset > PCI_BAR0 && offset < PCI_BAR0 + 24)
        value = 0;
    for (unsigned i = 0; i < size; i++)
        hw.config[offset + i] = (uint8_t)(value >> 8 * i);
}

static uint32_t mmio_get(uint64_t address, unsigned size)
{
    const uint64_t at = address - BAR;

    ck_assert_uint_eq(size, 4);
    if (hw.gone)
        return UINT32_MAX;
    if (at >= 0x2000)
        return le32(hw.table + (at - 0x2000) % sizeof(hw.table));
    return at < 64 ? hw.registers[at / 4] : 0;
}

static void enable(bool on)
{
    hw.registers[7] = on && !hw.never_ready;
    hw.enables += on;
    for (unsigned q = 0; q < QUEUES; q++)
        memset(&hw.queues[q], 0, sizeof(hw.queues[q]));
    hw.queues[0].sq = hw.registers[10] | (uint64_t)hw.registers[11] << 32;
    hw.queues[0].cq = hw.registers[12] | (uint64_t)hw.registers[13] << 32;
    hw.queues[0].size = (hw.registers[9] & 0xfff) + 1;
    hw.queues[0].phase = true;
}

static void mmio_put(uint64_t address, unsigned size, uint32_t value)
{
    const uint64_t at = address - BAR;

    ck_assert_uint_eq(size, 4);
    if (hw.gone)
        return;
    if (at >= 0x2000) {
        put_le32(hw.table + (at - 0x2000), value);
    } else if (at >= 0x1000) {
        unsigned q = (unsigned)(at - 0x1000) / 8;

        ck_assert_uint_lt(q, QUEUES);
        ck_assert_uint_lt(value, hw.queues[q].size);
        if (at % 8 == 0) {
            hw.queues[q].sq_tail = value;
            if (!hw.armed)
                timer_arm(&hw.timer, plat_time_now() + 1000);
            hw.armed = true;
        }
    } else {
        hw.registers[at / 4] = value;
        if (at == 0x14)
            enable(value & 1);
    }
}

static const struct sim_devices devices = {pci_get, pci_put, mmio_get, mmio_put};

static struct block_device *disk;

static void world(void *argument)
{
    void (*entry)(void) = (void (*)(void))argument;
    struct storage_device_info info;

    drivers_start();
    disk = NULL;
    if (storage_device_get(0, &info))
        ck_assert_int_eq(storage_open(info.name, &disk), VMK_OK);
    if (entry) {
        ck_assert_ptr_nonnull(disk);
        entry();
    }
}

static void run(void (*entry)(void))
{
    put_le32(hw.config, 0x00101b36);
    put_le32(hw.config + PCI_REVISION, 0x010802 << 8);
    put_le16(hw.config + PCI_STATUS, PCI_STATUS_CAPS);
    put_le32(hw.config + PCI_BAR0, BAR);
    hw.config[PCI_CAPABILITIES] = 0x40;
    memcpy(hw.config + 0x40, "\x11\x00\x04\x00", 4);  // MSI-X, 5 entries
    put_le32(hw.config + 0x44, 0x2000);
    hw.registers[0] = 1023 | 2u << 24;  // rings of 1024, ready within a second
    timer_init(&hw.timer, work, NULL);
    sim_devices_set(&devices);
    sim_test_begin_cpus(2);
    pci_init();
    sim_test_run(world, (void *)entry);
}

/* ---- tests ---- */

static void name_case(void)
{
    struct storage_device_info info;

    ck_assert(storage_device_get(0, &info));
    ck_assert_str_eq(info.inquiry.model, "Model of a controller");
    ck_assert_str_eq(info.path, "vmhba0:C0:T0:L0");
    ck_assert_uint_eq(info.size, MEDIUM);
    ck_assert(!strncmp(info.name, "t10.NVMe____Model_of_a_controller_", 30));
}

START_TEST(test_attach__good_controller__named)
{
    run(name_case);
}
END_TEST

static void data_case(void)
{
    static char shadow[MEDIUM];
    static char data[65536 + 512];
    struct rng rng;
    mpn_t mpn;
    char *direct;

    ck_assert_int_eq(page_alloc_zeroed(5, MEM_OWNER_TEST, &mpn), VMK_OK);
    direct = mpn_map(mpn);
    rng_init(&rng, 5, "data", 0);
    for (unsigned i = 0; i < 300; i++) {
        char *memory_of = (i & 1 ? direct : data) + 4 * rng_below(&rng, 100);
        uint32_t size = (1 + (uint32_t)rng_below(&rng, 100)) * 512;
        uint64_t offset = rng_below(&rng, (MEDIUM - size) / 512) * 512;

        if (rng_below(&rng, 2)) {
            for (uint32_t b = 0; b < size; b++)
                memory_of[b] = shadow[offset + b] = (char)rng_next(&rng);
            ck_assert_int_eq(block_write(disk, offset, memory_of, size), VMK_OK);
        } else {
            ck_assert_int_eq(block_read(disk, offset, memory_of, size), VMK_OK);
            ck_assert_mem_eq(memory_of, shadow + offset, size);
        }
        ck_assert_mem_eq(hw.medium, shadow, MEDIUM);
    }
    ck_assert_int_eq(block_flush(disk), VMK_OK);
    ck_assert_int_eq(block_discard(disk, 4096, 8192), VMK_OK);
    ck_assert_uint_eq(hw.flushes, 1);
    ck_assert_uint_eq(hw.discards, 1);
    ck_assert_int_eq(hw.medium[4096], 0);
    page_free(mpn, 5, MEM_OWNER_TEST);
}

START_TEST(test_io__any_memory__right_pages)
{
    run(data_case);
    ck_assert_uint_gt(hw.pages_checked, 1000);
}
END_TEST

static void lost_case(void)
{
    char data[512] = "lost, then found";

    hw.lose = 1;
    ck_assert_int_eq(block_write(disk, 0, data, 512), VMK_OK);
    ck_assert_str_eq(hw.medium, data);
    ck_assert_uint_eq(hw.aborted, 1);
    ck_assert_int_eq(block_read(disk, 0, data, 512), VMK_OK);
}

START_TEST(test_timeout__abort_refused__controller_reset)
{
    run(lost_case);
    ck_assert_uint_eq(hw.enables, 2);
}
END_TEST

START_TEST(test_timeout__aborted__no_reset)
{
    hw.aborts = true;
    run(lost_case);
    ck_assert_uint_eq(hw.enables, 1);
}
END_TEST

static void deaf_case(void)
{
    char data[512] = "no bell";

    hw.deaf = 1;
    ck_assert_int_eq(block_write(disk, 0, data, 512), VMK_OK);
    ck_assert_uint_eq(hw.aborted, 0);
}

START_TEST(test_timeout__answer_without_interrupt__found)
{
    run(deaf_case);
    ck_assert_uint_eq(hw.enables, 1);
}
END_TEST

static void wrong_case(void)
{
    char data[512] = "whose answer?";

    hw.wrong_id = 1000;
    ck_assert_int_eq(block_write(disk, 512, data, 512), VMK_OK);
    ck_assert_str_eq(hw.medium + 512, data);
}

START_TEST(test_answer__of_nobody__reset_and_again)
{
    run(wrong_case);
    ck_assert_uint_eq(hw.enables, 2);
}
END_TEST

static void status_case(void)
{
    static const struct {
        uint16_t status;
        vmk_status wanted;
        unsigned commands;
    } rows[] = {{0x281, VMK_IO_ERROR, 1},  {0x280, VMK_IO_ERROR, 1},
                {0x4007, VMK_IO_ERROR, 1}, {0x001, VMK_UNSUPPORTED, 1},
                {0x020, VMK_READ_ONLY, 1}, {0x006, VMK_IO_ERROR, 5}};
    char data[512] = "";

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        hw.commands = 0;
        hw.fail = 5;
        hw.fail_as = rows[i].status;
        ck_assert_int_eq(block_write(disk, 0, data, 512), rows[i].wanted);
        ck_assert_uint_eq(hw.commands, rows[i].commands);
        hw.fail = 0;
    }
}

START_TEST(test_status__each_kind__told_or_tried_again)
{
    run(status_case);
}
END_TEST

static void gone_case(void)
{
    char data[512] = "";

    hw.gone = true;
    ck_assert_int_eq(block_write(disk, 0, data, 512), VMK_NO_DEVICE);
    ck_assert_int_eq(block_read(disk, 0, data, 512), VMK_NO_DEVICE);
}

START_TEST(test_gone__registers_read_as_ones__no_device)
{
    run(gone_case);
}
END_TEST

START_TEST(test_attach__bad_controllers__left_alone)
{
    hw.never_ready = _i == 0;
    hw.refuse_queues = _i == 1;
    run(NULL);
    ck_assert_ptr_null(disk);
}
END_TEST

/* Whatever a controller says about itself: no disk, or one whose requests are answered. */
static void touch(void)
{
    static char data[65536];

    if (disk->block_size <= sizeof(data))
        ck_assert_int_eq(block_read(disk, disk->size, data, disk->block_size), VMK_BAD_PARAM);
}

START_TEST(test_attach__random_identity__no_harm)
{
    hw.random_identity = (uint64_t)_i + 1;
    run(NULL);
    if (disk)
        touch();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("nvme");
    TCase *tcase = tcase_create("nvme");

    tcase_add_test(tcase, test_attach__good_controller__named);
    tcase_add_test(tcase, test_io__any_memory__right_pages);
    tcase_add_test(tcase, test_timeout__abort_refused__controller_reset);
    tcase_add_test(tcase, test_timeout__aborted__no_reset);
    tcase_add_test(tcase, test_timeout__answer_without_interrupt__found);
    tcase_add_test(tcase, test_answer__of_nobody__reset_and_again);
    tcase_add_test(tcase, test_status__each_kind__told_or_tried_again);
    tcase_add_test(tcase, test_gone__registers_read_as_ones__no_device);
    tcase_add_loop_test(tcase, test_attach__bad_controllers__left_alone, 0, 2);
    tcase_add_loop_test(tcase, test_attach__random_identity__no_harm, 0, 60);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
