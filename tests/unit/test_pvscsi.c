// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_pvscsi.c -- the adapter as a driver sees it, and as a hostile guest tries it.
 *
 * The guest's memory holds the state page, a request and a completion ring of one page each,
 * and data; requests are written as Linux' driver writes them. See disk_fixture.h for what is
 * real.
 */
#include "tests/unit/disk_fixture.h"
#include "vmm/dev/pvscsi_internal.h"

#define STATE       0x10000u
#define REQUESTS    0x11000u
#define COMPLETIONS 0x12000u
#define LIST        0x20000u
#define SENSE       0x21000u
#define DATA        0x100000u

#define REG_COMMAND 0x0000u
#define REG_DATA    0x0004u
#define REG_STATUS  0x0008u
#define REG_INTR    0x100cu
#define REG_MASK    0x2010u
#define REG_KICK    0x4018u

static unsigned produced;  // requests so far

static void setup_with(uint32_t request_pages, uint32_t completion_pages, uint64_t state,
                       uint64_t requests, uint64_t completions)
{
    uint32_t words[132] = {request_pages, completion_pages, (uint32_t)(state >> 12),
                           (uint32_t)(state >> 44)};

    for (unsigned i = 0; i < 32; i++) {
        words[4 + 2 * i] = (uint32_t)(requests >> 12) + (i < request_pages ? i : 0);
        words[5 + 2 * i] = (uint32_t)(requests >> 44);
        words[68 + 2 * i] = (uint32_t)(completions >> 12) + (i < completion_pages ? i : 0);
        words[69 + 2 * i] = (uint32_t)(completions >> 44);
    }
    bus_write(BAR + REG_COMMAND, 4, 3);
    for (unsigned i = 0; i < 132; i++)
        bus_write(BAR + REG_DATA, 4, words[i]);
    produced = 0;
}

static void setup(void)
{
    setup_with(1, 1, STATE, REQUESTS, COMPLETIONS);
    ck_assert_uint_eq(bus_read(BAR + REG_STATUS, 4), 0);
}

static void start(void)
{
    disk_fixture_start(VM_DISK_SCSI);
}

/* Writes a request into the ring; returns its place in guest memory. */
static uint64_t request(uint64_t context, const uint8_t *cdb, unsigned cdb_size, uint32_t flags,
                        uint64_t data, uint64_t size)
{
    uint8_t r[128] = {0};
    uint64_t at = REQUESTS + produced % 32 * 128;

    put_le64(r, context);
    put_le64(r + 8, data);
    put_le64(r + 16, size);
    put_le64(r + 24, SENSE);
    put_le32(r + 32, 18);
    put_le32(r + 36, flags);
    memcpy(r + 40, cdb, cdb_size);
    r[56] = (uint8_t)cdb_size;
    r[67] = 1;  // target; bus and unit 0
    guest_put(at, r, sizeof(r));
    guest_u32_set(STATE, ++produced);
    return at;
}

static void read_write(uint64_t context, bool write, uint32_t lba, uint16_t count,
                       uint32_t flags, uint64_t data)
{
    uint8_t cdb[10] = {write ? 0x2a : 0x28};

    put_be32(cdb + 2, lba);
    put_be16(cdb + 7, count);
    (void)request(context, cdb, 10, flags | (write ? 16 : 8), data, (uint64_t)count * 512);
}

static void kick(void)
{
    bus_write(BAR + REG_KICK, 4, 0);
    jobs_run();
}

/* The completion number `n`, and that there are n + 1 of them. */
static void completion(unsigned n, uint64_t context, unsigned host, unsigned scsi)
{
    uint8_t c[32];

    ck_assert_uint_eq(guest_u32(STATE + 12), n + 1);
    guest_get(COMPLETIONS + n % 128 * 32, c, sizeof(c));
    ck_assert_uint_eq(le64(c), context);
    ck_assert_uint_eq(le16(c + 20), host);
    ck_assert_uint_eq(le16(c + 22), scsi);
    guest_u32_set(STATE + 16, n + 1);
}

START_TEST(test_pvscsi__setup__sizes_and_identity)
{
    ck_assert_uint_eq(config_read(0, 4), 0x07c015adu);
    setup();
    ck_assert_uint_eq(guest_u32(STATE + 8), 5);
    ck_assert_uint_eq(guest_u32(STATE + 20), 7);
    // What is not here says so at once: message ring, threshold, nonsense.
    for (unsigned command = 0; command < 40; command++) {
        bool here = command == 1 || (command >= 3 && command <= 7);

        bus_write(BAR + REG_COMMAND, 4, command);
        ck_assert_int_eq(bus_read(BAR + REG_STATUS, 4) != UINT32_MAX, here);
    }
}
END_TEST

START_TEST(test_pvscsi__rings_that_are_no_memory__refused)
{
    static const uint32_t pages[] = {0, 3, 33, 64, UINT32_MAX};

    for (size_t i = 0; i < ARRAY_COUNT(pages); i++) {
        setup_with(pages[i], 1, STATE, REQUESTS, COMPLETIONS);
        ck_assert_uint_eq(bus_read(BAR + REG_STATUS, 4), UINT32_MAX);
        setup_with(1, pages[i], STATE, REQUESTS, COMPLETIONS);
        ck_assert_uint_eq(bus_read(BAR + REG_STATUS, 4), UINT32_MAX);
    }
    setup_with(1, 1, 64ull << 20, REQUESTS, COMPLETIONS);
    ck_assert_uint_eq(bus_read(BAR + REG_STATUS, 4), UINT32_MAX);
    setup_with(1, 1, STATE, ~0xfffull, COMPLETIONS);
    ck_assert_uint_eq(bus_read(BAR + REG_STATUS, 4), UINT32_MAX);
    kick();  // nobody is there
    setup();
    read_write(1, false, 0, 1, 0, DATA);
    kick();
    completion(0, 1, 0, 0);
}
END_TEST

/* Out through a chained list of odd pieces, back through one run, and what lies on the disk. */
START_TEST(test_pvscsi__write_and_read__by_list_and_flat)
{
    static const uint32_t sizes[] = {3, 4000, 1, 5, 8192, 100, 4083};  // 32 blocks in all
    uint8_t out[16384], in[16384], element[16];
    uint64_t at = DATA, list = LIST;
    size_t done = 0;

    setup();
    pattern(out, sizeof(out), 1);
    for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
        if (i == 4) {  // the list goes on elsewhere
            memset(element, 0, sizeof(element));
            put_le64(element, LIST + 0xff8);
            put_le32(element + 12, 1);
            guest_put(list, element, sizeof(element));
            list = LIST + 0xff8;
        }
        memset(element, 0, sizeof(element));
        put_le64(element, at);
        put_le32(element + 8, sizes[i]);
        guest_put(list, element, sizeof(element));
        guest_put(at, out + done, sizes[i]);
        list += 16;
        done += sizes[i];
        at += sizes[i] + 777;
    }
    ck_assert_uint_eq(done, sizeof(out));
    read_write(7, true, 100, 32, 1, LIST);
    kick();
    completion(0, 7, 0, 0);
    ck_assert_int_eq(block_read(disk_model_device(model), 100 * 512, in, sizeof(in)), VMK_OK);
    ck_assert_mem_eq(in, out, sizeof(out));
    read_write(8, false, 100, 32, 0, DATA + 0x40123);
    kick();
    completion(1, 8, 0, 0);
    guest_get(DATA + 0x40123, in, sizeof(in));
    ck_assert_mem_eq(in, out, sizeof(out));
}
END_TEST

START_TEST(test_pvscsi__many_laps__each_completed_once_in_any_order)
{
    unsigned n = 0;

    setup();
    for (unsigned lap = 0; lap < 10; lap++) {
        gate.hold = true;
        for (unsigned i = 0; i < 30; i++)
            read_write(lap * 100 + i, false, i, 1, 0, DATA + i * 512);
        kick();
        ck_assert_uint_eq(guest_u32(STATE + 12), n);
        ck_assert_uint_eq(guest_u32(STATE + 4), produced);  // all were taken
        gate_release();
        jobs_run();
        ck_assert_uint_eq(guest_u32(STATE + 12), n + 30);
        for (unsigned i = 0; i < 30; i++) {
            uint8_t c[32];

            guest_get(COMPLETIONS + n++ % 128 * 32, c, sizeof(c));
            ck_assert_uint_eq(le64(c), lap * 100 + 29 - i);  // the gate lets the last go first
        }
        guest_u32_set(STATE + 16, n);
    }
}
END_TEST

START_TEST(test_pvscsi__absent_target_or_unit__told)
{
    uint8_t inquiry[6] = {0x12, 0, 0, 0, 36}, target = 2, unit = 1, bus = 1;
    uint64_t at;

    setup();
    at = request(1, inquiry, 6, 8, DATA, 36);
    guest_put(at + 67, &target, 1);
    kick();
    completion(0, 1, 0x11, 0);
    at = request(2, inquiry, 6, 8, DATA, 36);
    guest_put(at + 58, &unit, 1);
    kick();
    completion(1, 2, 0x11, 0);
    at = request(3, inquiry, 6, 8, DATA, 36);
    guest_put(at + 66, &bus, 1);
    kick();
    completion(2, 3, 0x11, 0);
}
END_TEST

START_TEST(test_pvscsi__error__status_and_sense)
{
    uint8_t sense[18];

    setup();
    read_write(1, false, DISK_SIZE / 512, 1, 0, DATA);
    kick();
    completion(0, 1, 0, 2);
    guest_get(SENSE, sense, sizeof(sense));
    ck_assert_uint_eq(sense[2], 5);
    ck_assert_uint_eq(sense[12], 0x21);
    disk_model_fail(model, 0, 512, 1);
    read_write(2, false, 0, 1, 0, DATA);
    kick();
    completion(1, 2, 0, 2);
    guest_get(SENSE, sense, sizeof(sense));
    ck_assert_uint_eq(sense[2], 3);
}
END_TEST

/* Requests that make no sense: each gets an answer, and the adapter goes on. */
START_TEST(test_pvscsi__hostile_requests__answered_and_harmless)
{
    uint8_t read[10] = {0x28, 0, 0, 0, 0, 0, 0, 0, 1}, element[16] = {0}, big = 17;
    uint64_t at;
    unsigned n = 0;

    setup();
    (void)request(1, read, 10, 8, 64ull << 20, 512);  // no memory there
    kick();
    completion(n++, 1, 0x1a, 0);
    (void)request(2, read, 10, 8, UINT64_MAX - 100, 512);  // around the end of the world
    kick();
    completion(n++, 2, 0x1a, 0);
    (void)request(3, read, 10, 8, DATA, UINT64_MAX);
    kick();
    completion(n++, 3, 0x1a, 0);
    put_le64(element, LIST);  // a list that leads to itself
    put_le32(element + 12, 1);
    guest_put(LIST, element, sizeof(element));
    (void)request(4, read, 10, 9, LIST, 512);
    kick();
    completion(n++, 4, 0x1a, 0);
    put_le32(element + 12, 0);  // elements of no bytes without end
    for (unsigned i = 0; i < 256; i++)
        guest_put(LIST + i * 16, element, sizeof(element));
    (void)request(5, read, 10, 9, LIST, 512);
    kick();
    completion(n++, 5, 0x1a, 0);
    at = request(6, read, 10, 8, DATA, 512);
    guest_put(at + 56, &big, 1);
    kick();
    completion(n++, 6, 0x1a, 0);
    (void)request(7, read, 10, 2, DATA, 512);  // a command block elsewhere
    kick();
    completion(n++, 7, 0x1a, 0);
    (void)request(8, read, 10, 8, DATA, 100);  // less memory than blocks
    kick();
    completion(n++, 8, 0, 2);
    (void)request(9, read, 10, 8, DATA, 512);
    kick();
    completion(n++, 9, 0, 0);
}
END_TEST

START_TEST(test_pvscsi__hostile_indices__stop_until_set_up_again)
{
    setup();
    guest_u32_set(STATE, 33);
    kick();
    ck_assert_uint_eq(guest_u32(STATE + 12), 0);
    guest_u32_set(STATE, 1);
    kick();
    ck_assert_uint_eq(guest_u32(STATE + 12), 0);
    setup();
    read_write(1, false, 0, 1, 0, DATA);
    kick();
    completion(0, 1, 0, 0);
    // A completion ring that the guest says is full: answers wait for room.
    guest_u32_set(STATE + 16, 1u - 128u);
    read_write(2, false, 0, 1, 0, DATA);
    kick();
    ck_assert_uint_eq(guest_u32(STATE + 12), 1);
    guest_u32_set(STATE + 16, 1);
    bus_write(BAR + REG_INTR, 4, 1);
    jobs_run();
    completion(1, 2, 0, 0);
}
END_TEST

static void release_job(struct vm_job *job)
{
    (void)job;
    gate_release();
}

/*
 * The status after a reset may be read only when no request of before will touch memory again.
 */
START_TEST(test_pvscsi__reset_in_flight__waits_and_drops)
{
    struct vm_job release;
    uint8_t in[512], want[512];

    setup();
    pattern(want, sizeof(want), 9);
    ck_assert_int_eq(block_write(disk_model_device(model), 0, want, 512), VMK_OK);
    gate.hold = true;
    read_write(1, false, 0, 1, 0, DATA);
    read_write(2, false, 1, 1, 0, DATA + 512);
    kick();
    ck_assert_uint_eq(gate.held_count, 2);
    vm_job_init(&release, release_job);
    vm_job_queue(vm->work, &release);
    bus_write(BAR + REG_COMMAND, 4, 1);
    ck_assert_uint_eq(gate.held_count, 0);
    ck_assert_uint_eq(bus_read(BAR + REG_STATUS, 4), 0);
    guest_get(DATA, in, sizeof(in));
    ck_assert_mem_eq(in, want, sizeof(in));
    ck_assert_uint_eq(guest_u32(STATE + 12), 0);  // nobody hears of them any more
    kick();
    ck_assert_uint_eq(guest_u32(STATE + 12), 0);
    setup();
    read_write(3, false, 0, 1, 0, DATA);
    kick();
    completion(0, 3, 0, 0);
}
END_TEST

/* Answers that wait for a guest that never takes them must not keep a reset waiting. */
START_TEST(test_pvscsi__reset_with_a_full_ring__ends)
{
    setup();
    guest_u32_set(STATE + 16, 0u - 128u);
    read_write(1, false, 0, 1, 0, DATA);
    kick();
    ck_assert_uint_eq(guest_u32(STATE + 12), 0);
    bus_write(BAR + REG_COMMAND, 4, 1);
    ck_assert_uint_eq(bus_read(BAR + REG_STATUS, 4), 0);
    setup();
    read_write(2, false, 0, 1, 0, DATA);
    kick();
    completion(0, 2, 0, 0);
}
END_TEST

START_TEST(test_pvscsi__power_off_in_flight__waits)
{
    struct vm_job release;

    setup();
    gate.hold = true;
    read_write(1, true, 5, 1, 0, DATA);
    kick();
    vm_job_init(&release, release_job);
    vm_job_queue(vm->work, &release);
    vm_disks_detach(vm);
    ck_assert_uint_eq(gate.held_count, 0);
    ck_assert_ptr_null(vm->disks->pvscsi[0]);
}
END_TEST

START_TEST(test_pvscsi__bus_reset__disk_says_so_once)
{
    setup();
    bus_write(BAR + REG_COMMAND, 4, 4);
    ck_assert_uint_eq(bus_read(BAR + REG_STATUS, 4), 0);
    read_write(1, false, 0, 1, 0, DATA);
    kick();
    completion(0, 1, 0, 2);
    read_write(2, false, 0, 1, 0, DATA);
    kick();
    completion(1, 2, 0, 0);
}
END_TEST

START_TEST(test_pvscsi__interrupts__line_or_message)
{
    unsigned msi = 0x40;

    setup();
    vlapic_mmio_write(cpu, 0xf0, 0x1ff);
    read_write(1, false, 0, 1, 0, DATA);
    kick();
    ck_assert_uint_eq(bus_read(BAR + REG_INTR, 4), 1);
    ck_assert_uint_eq(config_read(6, 1) & 8, 0);  // masked
    bus_write(BAR + REG_MASK, 4, 1);
    ck_assert_uint_eq(config_read(6, 1) & 8, 8);
    bus_write(BAR + REG_INTR, 4, 1);
    ck_assert_uint_eq(config_read(6, 1) & 8, 0);
    config_write(msi + 4, 4, 0xfee00000);
    config_write(msi + 12, 2, 0x61);
    config_write(msi + 2, 2, 1);
    read_write(2, false, 0, 1, 0, DATA);
    kick();
    ck_assert_int_eq(vlapic_pending(cpu), 0x61);
    bus_write(BAR + REG_COMMAND, 4, 1);
    ck_assert_uint_eq(bus_read(BAR + REG_INTR, 4), 0);
}
END_TEST

START_TEST(test_pvscsi__config_page__number_of_targets)
{
    uint32_t words[6] = {DATA, 0, 0, 0x2120, 0x1958};

    bus_write(BAR + REG_COMMAND, 4, 7);
    for (unsigned i = 0; i < 6; i++)
        bus_write(BAR + REG_DATA, 4, words[i]);
    ck_assert_uint_eq(bus_read(BAR + REG_STATUS, 4), 0);
    ck_assert_uint_eq(guest_u32(DATA), 0x1958);
    ck_assert_uint_eq(guest_u32(DATA + 472), 16);
    words[1] = 0x80000000u;  // no memory
    bus_write(BAR + REG_COMMAND, 4, 7);
    for (unsigned i = 0; i < 6; i++)
        bus_write(BAR + REG_DATA, 4, words[i]);
    ck_assert_uint_eq(bus_read(BAR + REG_STATUS, 4), UINT32_MAX);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_pvscsi__setup__sizes_and_identity,
        test_pvscsi__rings_that_are_no_memory__refused,
        test_pvscsi__write_and_read__by_list_and_flat,
        test_pvscsi__many_laps__each_completed_once_in_any_order,
        test_pvscsi__absent_target_or_unit__told,
        test_pvscsi__error__status_and_sense,
        test_pvscsi__hostile_requests__answered_and_harmless,
        test_pvscsi__hostile_indices__stop_until_set_up_again,
        test_pvscsi__reset_in_flight__waits_and_drops,
        test_pvscsi__reset_with_a_full_ring__ends,
        test_pvscsi__power_off_in_flight__waits,
        test_pvscsi__bus_reset__disk_says_so_once,
        test_pvscsi__interrupts__line_or_message,
        test_pvscsi__config_page__number_of_targets,
    };

    return disk_fixture_run("pvscsi", start, tests, ARRAY_COUNT(tests));
}
