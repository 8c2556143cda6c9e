// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_virtio_blk.c -- the device as a driver sees it, and as a hostile guest tries it.
 *
 * Descriptors, rings and headers are written as the specification lays them out. See
 * disk_fixture.h for what is real.
 */
#include "tests/unit/disk_fixture.h"
#include "vmm/dev/virtio.h"

#define DESCRIPTORS 0x10000u
#define AVAILABLE   0x12000u
#define USED        0x13000u
#define TABLE       0x14000u
#define HEADER      0x15000u
#define STATUS      0x16000u
#define DATA        0x100000u
#define SIZE        16u

#define COMMON      BAR
#define ISR         (BAR + 0x1000u)
#define CONFIG      (BAR + 0x2000u)
#define NOTIFY      (BAR + 0x3000u)
#define REG_STATUS  (COMMON + 0x14u)

static unsigned available, used;

static void start(void)
{
    disk_fixture_start(VM_DISK_VIRTIO);
}

static uint64_t features(void)
{
    uint64_t value;

    bus_write(COMMON, 4, 0);
    value = bus_read(COMMON + 4, 4);
    bus_write(COMMON, 4, 1);
    return value | bus_read(COMMON + 4, 4) << 32;
}

static void accept(uint64_t value)
{
    bus_write(REG_STATUS, 1, 0);
    bus_write(REG_STATUS, 1, 3);
    bus_write(COMMON + 8, 4, 0);
    bus_write(COMMON + 12, 4, (uint32_t)value);
    bus_write(COMMON + 8, 4, 1);
    bus_write(COMMON + 12, 4, value >> 32);
    bus_write(REG_STATUS, 1, 11);
}

static void queue_set(uint64_t descriptors, uint64_t avail, uint64_t use)
{
    bus_write(COMMON + 0x16, 2, 0);
    bus_write(COMMON + 0x18, 2, SIZE);
    bus_write(COMMON + 0x20, 4, (uint32_t)descriptors);
    bus_write(COMMON + 0x24, 4, descriptors >> 32);
    bus_write(COMMON + 0x28, 8, avail);
    bus_write(COMMON + 0x30, 8, use);
    bus_write(COMMON + 0x1c, 2, 1);
    guest_u32_set(AVAILABLE, 0);
    guest_u32_set(USED, 0);
    available = used = 0;
}

static void setup(void)
{
    accept(features());
    ck_assert_uint_eq(bus_read(REG_STATUS, 1), 11);
    queue_set(DESCRIPTORS, AVAILABLE, USED);
    bus_write(REG_STATUS, 1, 15);
}

static void descriptor(uint64_t table, unsigned index, uint64_t address, uint32_t size,
                       unsigned flags, unsigned next)
{
    uint8_t d[16];

    put_le64(d, address);
    put_le32(d + 8, size);
    put_le16(d + 12, (uint16_t)flags);
    put_le16(d + 14, (uint16_t)next);
    guest_put(table + 16 * index, d, sizeof(d));
}

static void header(uint32_t type, uint64_t sector)
{
    uint8_t h[16] = {0}, none = 0xff;

    put_le32(h, type);
    put_le64(h + 8, sector);
    guest_put(HEADER, h, sizeof(h));
    guest_put(STATUS, &none, 1);
}

static void offer(unsigned head)
{
    uint8_t bytes[2];

    put_le16(bytes, (uint16_t)head);
    guest_put(AVAILABLE + 4 + 2 * (available++ % SIZE), bytes, 2);
    put_le16(bytes, (uint16_t)available);
    guest_put(AVAILABLE + 2, bytes, 2);
}

static void notify(void)
{
    bus_write(NOTIFY, 2, 0);
    jobs_run();
}

static uint8_t status_byte(void)
{
    uint8_t status;

    guest_get(STATUS, &status, 1);
    return status;
}

/* One more used entry, for this chain and of this length. */
static void answered(unsigned head, uint32_t length, uint8_t status)
{
    uint64_t at = USED + 4 + 8 * (used++ % SIZE);

    ck_assert_uint_eq(guest_u32(USED) >> 16, used & 0xffff);
    ck_assert_uint_eq(guest_u32(at), head);
    ck_assert_uint_eq(guest_u32(at + 4), length);
    ck_assert_uint_eq(status_byte(), status);
}

/* A request of that type through chain 0, and its answer. */
static void ask(uint32_t type, uint64_t sector, uint32_t length, uint8_t status)
{
    header(type, sector);
    offer(0);
    notify();
    answered(0, length, status);
}

static void broken(void)
{
    unsigned before = guest_u32(USED);

    ck_assert_uint_eq(bus_read(REG_STATUS, 1) & 0x40, 0x40);
    header(4, 0);
    descriptor(DESCRIPTORS, 0, HEADER, 16, 1, 1);
    descriptor(DESCRIPTORS, 1, STATUS, 1, 2, 0);
    offer(0);
    notify();
    ck_assert_uint_eq(guest_u32(USED), before);
}

START_TEST(test_virtio__negotiation__needs_version_1_and_nothing_unknown)
{
    uint64_t offered = features();

    ck_assert_uint_eq(config_read(0, 4), 0x10421af4u);
    ck_assert(offered & VIRTIO_F_VERSION_1);
    ck_assert(offered & BIT(9));
    accept(offered & ~VIRTIO_F_VERSION_1);
    ck_assert_uint_eq(bus_read(REG_STATUS, 1) & 8, 0);
    accept(offered | BIT(50));
    ck_assert_uint_eq(bus_read(REG_STATUS, 1) & 8, 0);
    accept(offered);
    ck_assert_uint_eq(bus_read(REG_STATUS, 1) & 8, 8);
    ck_assert_uint_eq(bus_read(CONFIG, 8), DISK_SIZE / 512);
    ck_assert_uint_eq(bus_read(CONFIG + 20, 4), 512);
    ck_assert_uint_eq(bus_read(COMMON + 0x12, 2), 1);
    bus_write(COMMON + 0x16, 2, 1);
    ck_assert_uint_eq(bus_read(COMMON + 0x18, 2), 0);  // no second queue
}
END_TEST

/* Header, data and status in pieces as odd as a driver may choose. */
START_TEST(test_virtio__write_and_read__any_framing)
{
    uint8_t out[2048], in[2048];

    setup();
    pattern(out, sizeof(out), 4);
    guest_put(DATA, out, sizeof(out));
    header(1, 9);
    descriptor(DESCRIPTORS, 3, HEADER, 5, 1, 4);
    descriptor(DESCRIPTORS, 4, HEADER + 5, 11, 1, 5);
    descriptor(DESCRIPTORS, 5, DATA, 1, 1, 6);
    descriptor(DESCRIPTORS, 6, DATA + 1, 2047, 1, 7);
    descriptor(DESCRIPTORS, 7, STATUS, 1, 2, 0);
    offer(3);
    notify();
    answered(3, 1, 0);
    ck_assert_int_eq(block_read(disk_model_device(model), 9 * 512, in, sizeof(in)), VMK_OK);
    ck_assert_mem_eq(in, out, sizeof(out));
    header(0, 9);
    // An indirect table; the status byte behind the data in one buffer.
    descriptor(TABLE, 0, HEADER, 16, 1, 1);
    descriptor(TABLE, 1, DATA + 0x8001, 700, 3, 2);
    descriptor(TABLE, 2, DATA + 0x8001 + 700, 1349, 2, 0);
    descriptor(DESCRIPTORS, 0, TABLE, 48, 4, 0);
    offer(0);
    notify();
    ck_assert_uint_eq(guest_u32(USED + 4 + 8 + 4), 2049);
    guest_get(DATA + 0x8001, in, sizeof(in));
    ck_assert_mem_eq(in, out, sizeof(out));
    guest_get(DATA + 0x8001 + 2048, in, 1);
    ck_assert_uint_eq(in[0], 0);
}
END_TEST

START_TEST(test_virtio__other_requests__flush_id_zero_discard)
{
    uint8_t bytes[2048], range[16] = {0};

    setup();
    pattern(bytes, sizeof(bytes), 1);
    ck_assert_int_eq(block_write(disk_model_device(model), 0, bytes, sizeof(bytes)), VMK_OK);
    descriptor(DESCRIPTORS, 0, HEADER, 16, 1, 1);
    descriptor(DESCRIPTORS, 1, STATUS, 1, 2, 0);
    ask(4, 0, 1, 0);
    ask(99, 0, 1, 2);
    descriptor(DESCRIPTORS, 1, DATA, 20, 3, 2);
    descriptor(DESCRIPTORS, 2, STATUS, 1, 2, 0);
    ask(8, 0, 21, 0);
    guest_get(DATA, bytes, 16);
    ck_assert_mem_eq(bytes, "00001234abcd5678", 16);
    put_le64(range, 1);
    put_le32(range + 8, 2);
    guest_put(DATA, range, 16);
    descriptor(DESCRIPTORS, 1, DATA, 16, 1, 2);
    ask(13, 0, 1, 0);
    ck_assert_int_eq(block_read(disk_model_device(model), 0, bytes, sizeof(bytes)), VMK_OK);
    for (unsigned i = 0; i < sizeof(bytes); i++)
        ck_assert_uint_eq(bytes[i], i >= 512 && i < 1536 ? 0 : (uint8_t)(i * 7 + i / 256 + 1));
    header(11, 0);
    offer(0);
    notify();
    ck_assert_uint_ne(status_byte(), 0xff);  // the model says whether it can
    used++;
    put_le64(range, DISK_SIZE / 512);
    guest_put(DATA, range, 16);
    ask(13, 0, 1, 1);
}
END_TEST

START_TEST(test_virtio__errors__in_the_status_byte)
{
    setup();
    descriptor(DESCRIPTORS, 0, HEADER, 16, 1, 1);
    descriptor(DESCRIPTORS, 1, DATA, 512, 3, 2);
    descriptor(DESCRIPTORS, 2, STATUS, 1, 2, 0);
    ask(0, DISK_SIZE / 512, 1, 1);
    disk_model_fail(model, 0, 512, 1);
    ask(0, 0, 1, 1);
    ask(0, 0, 513, 0);
    descriptor(DESCRIPTORS, 1, DATA, 100, 3, 2);  // no whole sectors
    ask(0, 0, 1, 1);
}
END_TEST

START_TEST(test_virtio__hostile_rings__stop_until_reset)
{
    // A chain that leads in a circle.
    setup();
    descriptor(DESCRIPTORS, 0, HEADER, 16, 1, 1);
    descriptor(DESCRIPTORS, 1, DATA, 512, 1, 0);
    offer(0);
    notify();
    broken();
    setup();  // indices past the table
    offer(SIZE);
    notify();
    broken();
    setup();
    descriptor(DESCRIPTORS, 0, HEADER, 16, 1, SIZE + 5);
    offer(0);
    notify();
    broken();
    setup();  // more chains than the ring has
    available = SIZE;
    offer(0);
    notify();
    broken();
    setup();  // buffers that are no memory
    descriptor(DESCRIPTORS, 0, 64ull << 20, 16, 0, 0);
    offer(0);
    notify();
    broken();
    setup();
    descriptor(DESCRIPTORS, 0, HEADER, UINT32_MAX, 0, 0);
    offer(0);
    notify();
    broken();
    setup();  // an indirect table within one, and one of no whole descriptors
    descriptor(TABLE, 0, TABLE, 16, 4, 0);
    descriptor(DESCRIPTORS, 0, TABLE, 16, 4, 0);
    offer(0);
    notify();
    broken();
    setup();
    descriptor(DESCRIPTORS, 0, TABLE, 17, 4, 0);
    offer(0);
    notify();
    broken();
    setup();  // something to read behind something to write
    descriptor(DESCRIPTORS, 0, DATA, 512, 3, 1);
    descriptor(DESCRIPTORS, 1, HEADER, 16, 0, 0);
    offer(0);
    notify();
    broken();
    accept(features());  // rings that are no memory
    queue_set(DESCRIPTORS, 64ull << 20, USED);
    bus_write(REG_STATUS, 1, 15);
    notify();
    ck_assert_uint_eq(bus_read(REG_STATUS, 1) & 0x40, 0x40);
    setup();
    header(4, 0);
    descriptor(DESCRIPTORS, 0, HEADER, 16, 1, 1);
    descriptor(DESCRIPTORS, 1, STATUS, 1, 2, 0);
    offer(0);
    notify();
    answered(0, 1, 0);
}
END_TEST

static void release_job(struct vm_job *job)
{
    (void)job;
    gate_release();
}

START_TEST(test_virtio__reset_in_flight__waits_and_drops)
{
    struct vm_job release;

    setup();
    gate.hold = true;
    header(4, 0);
    descriptor(DESCRIPTORS, 0, HEADER, 16, 1, 1);
    descriptor(DESCRIPTORS, 1, STATUS, 1, 2, 0);
    offer(0);
    notify();
    ck_assert_uint_eq(gate.held_count, 1);
    vm_job_init(&release, release_job);
    vm_job_queue(vm->work, &release);
    bus_write(REG_STATUS, 1, 0);
    ck_assert_uint_eq(gate.held_count, 0);
    ck_assert_uint_eq(bus_read(REG_STATUS, 1), 0);
    ck_assert_uint_eq(guest_u32(USED) >> 16, 0);
    setup();
    offer(0);
    notify();
    answered(0, 1, 0);
}
END_TEST

START_TEST(test_virtio__interrupts__line_and_isr)
{
    setup();
    header(4, 0);
    descriptor(DESCRIPTORS, 0, HEADER, 16, 1, 1);
    descriptor(DESCRIPTORS, 1, STATUS, 1, 2, 0);
    offer(0);
    notify();
    ck_assert_uint_eq(config_read(6, 1) & 8, 8);
    ck_assert_uint_eq(bus_read(ISR, 1), 1);
    ck_assert_uint_eq(config_read(6, 1) & 8, 0);
    ck_assert_uint_eq(bus_read(ISR, 1), 0);
    guest_u32_set(AVAILABLE, available << 16 | 1);  // the driver asks for none
    offer(0);
    notify();
    ck_assert_uint_eq(config_read(6, 1) & 8, 0);
    ck_assert_uint_eq(guest_u32(USED) >> 16, 2);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_virtio__negotiation__needs_version_1_and_nothing_unknown,
        test_virtio__write_and_read__any_framing,
        test_virtio__other_requests__flush_id_zero_discard,
        test_virtio__errors__in_the_status_byte,
        test_virtio__hostile_rings__stop_until_reset,
        test_virtio__reset_in_flight__waits_and_drops,
        test_virtio__interrupts__line_and_isr,
    };

    return disk_fixture_run("virtio_blk", start, tests, ARRAY_COUNT(tests));
}
