// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/scsi_disk.c -- a SCSI disk over a block device: what each command block asks for.
 *
 * The command block is the guest's and so is every number in it. A command is first decoded
 * (where, how many blocks, does it fit) and nothing happens if that fails; then it becomes one
 * block request after another, none longer than the device takes, until its data is through.
 * The scatter list is used up on the way, so that no second list is needed.
 *
 *   scsi_disk_start -> transfer_begin -> part_submit -> part_done -> part_submit ... -> finish
 *
 * A device that answers before submit() returns would make that a recursion as deep as the
 * command is long; part_submit() is a loop around those (`state` says who goes on).
 *
 * WRITE SAME writes a pattern buffer again and again; UNMAP discards one descriptor after
 * another.
 * Reservations are accepted and mean nothing: a disk here belongs to one VM.
 *
 * Invariants
 *   - done() is called exactly once for each task.
 *   - Sense data is there exactly if the status is CHECK CONDITION.
 *   - The block device sees only requests that lie on it.
 * Locking    none: a task is in one place at a time; `attention` is atomic.
 * Start at   scsi_disk_start().
 * Sources    [SBC3] "Commands for direct access block devices"; [SPC4] "Sense data", "Commands"
 */
#include "vmm/dev/scsi_disk.h"

#include "core/heap.h"
#include "lib/endian.h"
#include "lib/string.h"
#include "vmm/vm_dma.h"

/* Sense key in bits 23:16, additional code and qualifier below. */
#define SENSE_READ_ERROR     0x031100u
#define SENSE_WRITE_ERROR    0x030c00u
#define SENSE_NOT_PRESENT    0x023a00u
#define SENSE_HARDWARE       0x044400u
#define SENSE_OPCODE         0x052000u
#define SENSE_RANGE          0x052100u
#define SENSE_CDB_FIELD      0x052400u
#define SENSE_PARAMETER_SIZE 0x051a00u
#define SENSE_RESET          0x062903u
#define SENSE_PROTECTED      0x072700u
#define SENSE_NO_RESOURCES   0x0b5500u
#define SENSE_MISCOMPARE     0x0e1d00u

#define PATTERN_SIZE         65536u
#define TRANSFER_MAX         (64u << 20)  // bytes of one command
#define UNMAP_HEADER         8u
#define UNMAP_DESCRIPTOR     16u

enum opcode {
    OP_TEST_UNIT_READY = 0x00,
    OP_REQUEST_SENSE = 0x03,
    OP_READ_6 = 0x08,
    OP_WRITE_6 = 0x0a,
    OP_INQUIRY = 0x12,
    OP_RESERVE_6 = 0x16,
    OP_RELEASE_6 = 0x17,
    OP_MODE_SENSE_6 = 0x1a,
    OP_START_STOP = 0x1b,
    OP_PREVENT_REMOVAL = 0x1e,
    OP_READ_CAPACITY_10 = 0x25,
    OP_READ_10 = 0x28,
    OP_WRITE_10 = 0x2a,
    OP_WRITE_VERIFY_10 = 0x2e,
    OP_VERIFY_10 = 0x2f,
    OP_SYNCHRONIZE_10 = 0x35,
    OP_WRITE_SAME_10 = 0x41,
    OP_UNMAP = 0x42,
    OP_MODE_SENSE_10 = 0x5a,
    OP_READ_16 = 0x88,
    OP_COMPARE_WRITE = 0x89,
    OP_WRITE_16 = 0x8a,
    OP_VERIFY_16 = 0x8f,
    OP_SYNCHRONIZE_16 = 0x91,
    OP_WRITE_SAME_16 = 0x93,
    OP_SERVICE_IN_16 = 0x9e,
    OP_REPORT_LUNS = 0xa0,
    OP_READ_12 = 0xa8,
    OP_WRITE_12 = 0xaa,
};
#define SERVICE_READ_CAPACITY 0x10u
#define CDB_FUA               0x08u  // of byte 1
#define CDB_VERIFY_BYTES      0x06u
#define CDB_PROTECT           0xe0u
#define CDB_NO_DATA_OUT       0x01u  // WRITE SAME(16): zeros, no data

/* ---- answers ---- */

static void sense_set(struct scsi_task *t, uint32_t sense)
{
    memset(t->sense, 0, sizeof(t->sense));
    t->sense[0] = 0x70;  // current, fixed format
    t->sense[2] = (uint8_t)(sense >> 16);
    t->sense[7] = SCSI_SENSE_SIZE - 8;
    t->sense[12] = (uint8_t)(sense >> 8);
    t->sense[13] = (uint8_t)sense;
    t->sense_size = SCSI_SENSE_SIZE;
    t->status = SCSI_CHECK_CONDITION;
}

static void finish(struct scsi_task *t)
{
    heap_free(t->pattern.data);
    t->pattern.data = NULL;
    heap_free(t->list);
    t->list = NULL;
    t->done(t);
}

static void finish_sense(struct scsi_task *t, uint32_t sense)
{
    sense_set(t, sense);
    finish(t);
}

/*
 * Data that is known at once, cut at what the command allows and what the guest has room for.
 */
static void finish_data(struct scsi_task *t, const void *data, uint64_t size, uint64_t allowed)
{
    t->transferred = scatter_write(t->segments, t->segment_count, 0, data, MIN(size, allowed));
    finish(t);
}

static uint32_t sense_of(vmk_status status, enum block_op op)
{
    switch (status) {
    case VMK_AGAIN: return SENSE_MISCOMPARE;
    case VMK_READ_ONLY: return SENSE_PROTECTED;
    case VMK_NO_DEVICE: return SENSE_NOT_PRESENT;
    case VMK_NO_MEMORY:
    case VMK_NO_SPACE: return SENSE_NO_RESOURCES;
    case VMK_BAD_PARAM:
    case VMK_UNSUPPORTED: return SENSE_HARDWARE;
    default: return op == BLOCK_READ ? SENSE_READ_ERROR : SENSE_WRITE_ERROR;
    }
}

/* ---- parts: one block request after another ---- */

enum {
    PART_RUNNING,
    PART_ANSWERED,  // done() came before submit() returned
    PART_WAITED     // submit() returned first: done() goes on
};

static void part_submit(struct scsi_task *t);

/*
 * The segments from the cursor on shrink to `size` bytes; part_restore() moves on behind them.
 */
static uint32_t part_cut(struct scsi_task *t, uint64_t size)
{
    uint32_t count = 0;
    uint64_t have = 0;

    while (have < size)
        have += t->cursor[count++].size;
    t->cut = (uint32_t)(have - size);
    if (count)
        t->cursor[count - 1].size -= t->cut;
    return count;
}

static void part_restore(struct scsi_task *t)
{
    t->cursor += t->request.segment_count;
    if (t->cut) {
        t->cursor--;
        t->cursor->data = (uint8_t *)t->cursor->data + t->cursor->size;
        t->cursor->size = t->cut;
        t->cut = 0;
    }
}

/* The next range of an UNMAP list. False: no more. */
static bool unmap_next(struct scsi_task *t)
{
    const uint32_t block = t->disk->block->block_size;

    while (t->list_at < t->list_size) {
        const uint8_t *d = t->list + t->list_at;

        t->list_at += UNMAP_DESCRIPTOR;
        t->request.offset = be64(d) * block;
        t->request.size = (uint64_t)be32(d + 8) * block;
        if (t->request.size)
            return true;
    }
    return false;
}

/* What comes after the part that went well. False: the command is through. */
static bool part_next(struct scsi_task *t)
{
    struct block_request *r = &t->request;

    if (t->list)
        return unmap_next(t);
    if (r->op == BLOCK_FLUSH || r->op == BLOCK_COMPARE_WRITE)
        return false;
    if (!t->pattern.data)
        part_restore(t);
    r->offset += r->size;
    return t->left > 0;
}

/* Called with the request's status set. */
static bool part_judge(struct scsi_task *t)
{
    struct block_request *r = &t->request;

    if (r->status != VMK_OK) {
        sense_set(t, sense_of(r->status, r->op));
        return false;
    }
    if (r->op == BLOCK_READ || (r->op == BLOCK_WRITE && !t->pattern.data))
        t->transferred += r->size;
    return part_next(t);
}

static void part_done(struct block_request *request)
{
    struct scsi_task *t = request->context;

    if (__atomic_exchange_n(&t->state, PART_ANSWERED, __ATOMIC_ACQ_REL) == PART_RUNNING)
        return;  // part_submit() is still on the stack and goes on itself
    if (part_judge(t))
        part_submit(t);
    else
        finish(t);
}

/* Sets what is the part's own: how much, and which segments. */
static void part_fill(struct scsi_task *t)
{
    struct block_request *r = &t->request;
    uint64_t most = t->disk->block->max_transfer ? t->disk->block->max_transfer : TRANSFER_MAX;

    if (r->op != BLOCK_READ && r->op != BLOCK_WRITE)
        return;
    if (t->pattern.data)
        most = MIN(most, (uint64_t)PATTERN_SIZE);
    r->size = MIN(t->left, most & ~(uint64_t)(t->disk->block->block_size - 1));
    t->left -= r->size;
    if (t->pattern.data) {
        t->pattern.size = (uint32_t)r->size;
        r->segments = &t->pattern;
        r->segment_count = 1;
    } else {
        r->segments = t->cursor;
        r->segment_count = part_cut(t, r->size);
    }
}

static void part_submit(struct scsi_task *t)
{
    for (;;) {
        part_fill(t);
        __atomic_store_n(&t->state, PART_RUNNING, __ATOMIC_RELEASE);
        block_submit(t->disk->block, &t->request);
        if (__atomic_exchange_n(&t->state, PART_WAITED, __ATOMIC_ACQ_REL) == PART_RUNNING)
            return;
        if (!part_judge(t))
            break;
    }
    finish(t);
}

static void request_begin(struct scsi_task *t, enum block_op op)
{
    t->request = (struct block_request){
        .op = op, .client = t->disk->client, .done = part_done, .context = t};
    t->cursor = t->segments;
}

/* ---- commands with data ---- */

/* Does [lba, lba + count) lie on the disk? */
static bool in_range(const struct scsi_disk *disk, uint64_t lba, uint64_t count)
{
    uint64_t blocks = disk->block->size / disk->block->block_size;

    return lba <= blocks && count <= blocks - lba;
}

static void transfer(struct scsi_task *t, bool write, uint64_t lba, uint64_t count)
{
    const struct block_device *b = t->disk->block;
    uint64_t size = count * b->block_size;

    if (!in_range(t->disk, lba, count)) {
        finish_sense(t, SENSE_RANGE);
    } else if (write && b->read_only) {
        finish_sense(t, SENSE_PROTECTED);
    } else if (size > TRANSFER_MAX || scatter_size(t->segments, t->segment_count) < size) {
        finish_sense(t, SENSE_CDB_FIELD);  // asks for more than there is memory for
    } else if (!count) {
        finish(t);
    } else {
        request_begin(t, write ? BLOCK_WRITE : BLOCK_READ);
        t->request.fua = write && t->cdb[0] != OP_WRITE_6 &&
                         ((t->cdb[1] & CDB_FUA) || t->cdb[0] == OP_WRITE_VERIFY_10);
        t->request.offset = lba * b->block_size;
        t->left = size;
        part_submit(t);
    }
}

/* READ(6) and WRITE(6): 21 bits of address, and a count of 0 is 256. */
static void transfer_6(struct scsi_task *t, bool write)
{
    uint64_t lba = be32(t->cdb) & 0x1fffff;

    transfer(t, write, lba, t->cdb[4] ? t->cdb[4] : 256);
}

static void compare_write(struct scsi_task *t)
{
    const struct block_device *b = t->disk->block;
    uint64_t lba = be64(t->cdb + 2);
    uint32_t count = t->cdb[13];

    if (!b->can_compare_write) {
        finish_sense(t, SENSE_OPCODE);
    } else if (count > 1 || (t->cdb[1] & CDB_PROTECT)) {
        finish_sense(t, SENSE_CDB_FIELD);
    } else if (!in_range(t->disk, lba, count)) {
        finish_sense(t, SENSE_RANGE);
    } else if (!count) {
        finish(t);
    } else if (scatter_size(t->segments, t->segment_count) < 2ull * b->block_size) {
        finish_sense(t, SENSE_CDB_FIELD);
    } else {
        request_begin(t, BLOCK_COMPARE_WRITE);
        // The device wants both blocks in one piece each.
        t->pattern.data = heap_alloc(2ull * b->block_size, MEM_OWNER_VMM);
        if (!t->pattern.data) {
            finish_sense(t, SENSE_NO_RESOURCES);
            return;
        }
        t->transferred = scatter_read(t->segments, t->segment_count, 0, t->pattern.data,
                                      2ull * b->block_size);
        t->halves[0] = (struct block_segment){.data = t->pattern.data, .size = b->block_size};
        t->halves[1] = (struct block_segment){
            .data = (uint8_t *)t->pattern.data + b->block_size, .size = b->block_size};
        t->request.segments = t->halves;
        t->request.segment_count = 2;
        t->request.offset = lba * b->block_size;
        t->request.size = b->block_size;
        part_submit(t);
    }
}

static void write_same(struct scsi_task *t, uint64_t lba, uint64_t count)
{
    const struct block_device *b = t->disk->block;
    bool zeros = t->cdb[0] == OP_WRITE_SAME_16 && (t->cdb[1] & CDB_NO_DATA_OUT);

    if (!in_range(t->disk, lba, count)) {
        finish_sense(t, SENSE_RANGE);
        return;
    }
    if (count == 0 || count > SCSI_WRITE_SAME_MAX || (t->cdb[1] & CDB_PROTECT) ||
        (!zeros && scatter_size(t->segments, t->segment_count) < b->block_size)) {
        finish_sense(t, SENSE_CDB_FIELD);
        return;
    }
    if (b->read_only) {
        finish_sense(t, SENSE_PROTECTED);
        return;
    }
    request_begin(t, BLOCK_WRITE);
    t->pattern.data = heap_alloc(PATTERN_SIZE, MEM_OWNER_VMM);
    if (!t->pattern.data) {
        finish_sense(t, SENSE_NO_RESOURCES);
        return;
    }
    if (!zeros) {
        t->transferred =
            scatter_read(t->segments, t->segment_count, 0, t->pattern.data, b->block_size);
        for (uint32_t at = b->block_size; at < PATTERN_SIZE; at += b->block_size)
            memcpy((uint8_t *)t->pattern.data + at, t->pattern.data, b->block_size);
    }
    t->request.offset = lba * b->block_size;
    t->left = count * b->block_size;
    part_submit(t);
}

static void unmap(struct scsi_task *t)
{
    const struct block_device *b = t->disk->block;
    uint32_t size = be16(t->cdb + 7);
    uint32_t list;

    if (!b->can_discard) {
        finish_sense(t, SENSE_OPCODE);
        return;
    }
    if (size == 0) {
        finish(t);
        return;
    }
    if (size < UNMAP_HEADER || size > UNMAP_HEADER + SCSI_UNMAP_LIST_MAX * UNMAP_DESCRIPTOR) {
        finish_sense(t, SENSE_PARAMETER_SIZE);
        return;
    }
    t->list = heap_alloc(size, MEM_OWNER_VMM);
    if (!t->list) {
        finish_sense(t, SENSE_NO_RESOURCES);
        return;
    }
    if (scatter_read(t->segments, t->segment_count, 0, t->list, size) < size) {
        finish_sense(t, SENSE_PARAMETER_SIZE);
        return;
    }
    t->transferred = size;
    list = be16(t->list + 2) & ~(UNMAP_DESCRIPTOR - 1);
    t->list_size = MIN(size, UNMAP_HEADER + list);
    t->list_size -= (t->list_size - UNMAP_HEADER) % UNMAP_DESCRIPTOR;
    for (uint32_t at = UNMAP_HEADER; at < t->list_size; at += UNMAP_DESCRIPTOR) {
        if (!in_range(t->disk, be64(t->list + at), be32(t->list + at + 8))) {
            finish_sense(t, SENSE_RANGE);
            return;
        }
    }
    t->list_at = UNMAP_HEADER;
    request_begin(t, BLOCK_DISCARD);
    if (unmap_next(t))
        part_submit(t);
    else
        finish(t);
}

static void flush(struct scsi_task *t)
{
    request_begin(t, BLOCK_FLUSH);
    part_submit(t);
}

/* ---- commands that are answered from tables ---- */

static void inquiry(struct scsi_task *t)
{
    uint8_t out[SCSI_PAGE_ROOM];
    size_t size = scsi_inquiry(t->disk, t->cdb, out);

    if (!size)
        finish_sense(t, SENSE_CDB_FIELD);
    else
        finish_data(t, out, size, be16(t->cdb + 3));
}

static void mode_sense(struct scsi_task *t)
{
    uint8_t out[SCSI_PAGE_ROOM];
    size_t size = scsi_mode_sense(t->disk, t->cdb, out);

    if (!size)
        finish_sense(t, SENSE_CDB_FIELD);
    else
        finish_data(t, out, size, t->cdb[0] == OP_MODE_SENSE_6 ? t->cdb[4] : be16(t->cdb + 7));
}

static void read_capacity_10(struct scsi_task *t)
{
    uint64_t last = t->disk->block->size / t->disk->block->block_size - 1;
    uint8_t out[8];

    put_be32(out, last > UINT32_MAX ? UINT32_MAX : (uint32_t)last);
    put_be32(out + 4, t->disk->block->block_size);
    finish_data(t, out, sizeof(out), sizeof(out));
}

static void service_in(struct scsi_task *t)
{
    uint8_t out[32] = {0};

    if ((t->cdb[1] & 0x1f) != SERVICE_READ_CAPACITY) {
        finish_sense(t, SENSE_CDB_FIELD);
        return;
    }
    put_be64(out, t->disk->block->size / t->disk->block->block_size - 1);
    put_be32(out + 8, t->disk->block->block_size);
    out[14] =
        t->disk->block->can_discard ? 0x80 : 0;  // thin; what is unmapped reads as it likes
    finish_data(t, out, sizeof(out), be32(t->cdb + 10));
}

static void report_luns(struct scsi_task *t)
{
    uint8_t out[16] = {0};

    out[3] = 8;  // one unit, number 0
    finish_data(t, out, sizeof(out), be32(t->cdb + 6));
}

/*
 * Sense data goes out with its status at once, so there is none to be asked for, but for this.
 */
static void request_sense(struct scsi_task *t)
{
    uint8_t out[SCSI_SENSE_SIZE];

    if (__atomic_exchange_n(&t->disk->attention, false, __ATOMIC_RELAXED))
        sense_set(t, SENSE_RESET);
    else
        sense_set(t, 0);
    memcpy(out, t->sense, sizeof(out));
    t->status = SCSI_GOOD;
    t->sense_size = 0;
    finish_data(t, out, sizeof(out), t->cdb[4]);
}

/* VERIFY without bytes to compare: are the blocks there? */
static void verify(struct scsi_task *t, uint64_t lba, uint64_t count)
{
    if (t->cdb[1] & CDB_VERIFY_BYTES)
        finish_sense(t, SENSE_CDB_FIELD);
    else if (!in_range(t->disk, lba, count))
        finish_sense(t, SENSE_RANGE);
    else
        finish(t);
}

/* ---- the table of commands ---- */

static unsigned length_of(uint8_t opcode)
{
    static const uint8_t lengths[8] = {6, 10, 10, 0, 16, 12, 0, 0};  // by the opcode's group

    return lengths[opcode >> 5];
}

static void execute(struct scsi_task *t)
{
    const uint8_t *c = t->cdb;

    switch ((enum opcode)c[0]) {
    case OP_TEST_UNIT_READY:
    case OP_RESERVE_6:
    case OP_RELEASE_6:
    case OP_PREVENT_REMOVAL: finish(t); break;
    case OP_REQUEST_SENSE: request_sense(t); break;
    case OP_INQUIRY: inquiry(t); break;
    case OP_MODE_SENSE_6:
    case OP_MODE_SENSE_10: mode_sense(t); break;
    case OP_REPORT_LUNS: report_luns(t); break;
    case OP_READ_CAPACITY_10: read_capacity_10(t); break;
    case OP_SERVICE_IN_16: service_in(t); break;
    case OP_READ_6: transfer_6(t, false); break;
    case OP_WRITE_6: transfer_6(t, true); break;
    case OP_READ_10: transfer(t, false, be32(c + 2), be16(c + 7)); break;
    case OP_WRITE_10:
    case OP_WRITE_VERIFY_10: transfer(t, true, be32(c + 2), be16(c + 7)); break;
    case OP_READ_12: transfer(t, false, be32(c + 2), be32(c + 6)); break;
    case OP_WRITE_12: transfer(t, true, be32(c + 2), be32(c + 6)); break;
    case OP_READ_16: transfer(t, false, be64(c + 2), be32(c + 10)); break;
    case OP_WRITE_16: transfer(t, true, be64(c + 2), be32(c + 10)); break;
    case OP_VERIFY_10: verify(t, be32(c + 2), be16(c + 7)); break;
    case OP_VERIFY_16: verify(t, be64(c + 2), be32(c + 10)); break;
    case OP_START_STOP:
    case OP_SYNCHRONIZE_10:
    case OP_SYNCHRONIZE_16: flush(t); break;
    case OP_WRITE_SAME_10: write_same(t, be32(c + 2), be16(c + 7)); break;
    case OP_WRITE_SAME_16: write_same(t, be64(c + 2), be32(c + 10)); break;
    case OP_UNMAP: unmap(t); break;
    case OP_COMPARE_WRITE: compare_write(t); break;
    default: finish_sense(t, SENSE_OPCODE); break;
    }
}

void scsi_disk_start(struct scsi_task *t)
{
    uint8_t op = t->cdb[0];

    t->status = SCSI_GOOD;
    t->sense_size = 0;
    t->transferred = 0;
    t->left = 0;
    t->cut = 0;
    t->list = NULL;
    t->pattern.data = NULL;
    if (!length_of(op) || t->cdb_size < length_of(op))
        finish_sense(t, SENSE_OPCODE);
    else if (op != OP_INQUIRY && op != OP_REPORT_LUNS && op != OP_REQUEST_SENSE &&
             __atomic_exchange_n(&t->disk->attention, false, __ATOMIC_RELAXED))
        finish_sense(t, SENSE_RESET);
    else
        execute(t);
}

void scsi_disk_attention(struct scsi_disk *disk)
{
    __atomic_store_n(&disk->attention, true, __ATOMIC_RELAXED);
}

void scsi_disk_init(struct scsi_disk *disk, struct block_device *block, uint32_t client,
                    uint64_t id)
{
    *disk = (struct scsi_disk){.block = block, .client = client};
    for (unsigned i = 0; i < 16; i++)
        disk->serial[i] = "0123456789abcdef"[(id >> (60 - 4 * i)) & 15];
}
