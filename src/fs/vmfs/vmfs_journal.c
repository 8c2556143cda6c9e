// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmfs/vmfs_journal.c -- a set of changed metadata sectors becomes durable as one.
 *
 * Each host that mounts a volume owns one 1 MiB file block as its journal, named by its
 * heartbeat.
 * The format inside is our own (no other reader looks there): a ring of transactions, each a
 * header with the addresses of its sectors, the locks that protect them and the blocks it
 * freed, then the sectors themselves, under one CRC.
 *
 *   commit   write the transaction; FLUSH (this also makes file data and locks written before it
 *            durable; without either, the write alone with FUA); write the sectors where they
 *            belong. The ring wraps after a FLUSH of those.
 *   replay   of a dead host: from the ring's start, the transactions whose numbers follow on.
 *            One is closed if a lock of it is no longer the dead host's with the same token:
 *            locks are let go only when all that was committed is durable in place, so a closed
 *            transaction and those before it have nothing left to do, and their sectors may be
 *            another's by now. Those behind the last closed one are applied. (An earlier one
 *            must not be, although its own locks are all held: the closed one may have changed
 *            the same sectors since.)
 *   revoke   a sector is not replayed if its block was freed by that or a later transaction:
 *            file data, which does not go through the journal, may lie there.
 *
 * Invariants
 *   - A block freed by a transaction is not reused before that transaction is durable.
 *   - Numbers grow by one; the first transaction after a mount or a wrap stands at the start.
 * Locking    vmfs_volume.mutex.
 * Start at   journal_commit().
 * Sources    docs/design/vmfs.md
 */
#include "core/assert.h"
#include "core/heap.h"
#include "core/log.h"
#include "fs/vmfs/vmfs_internal.h"
#include "lib/crc32.h"
#include "lib/string.h"
#include "plat/plat.h"

#define JOURNAL_MAGIC   0x4c4a564fu  // "OVJL"
#define JOURNAL_SECTORS (VMFS_FB_SIZE / VMFS_SECTOR)

enum journal_field {
    J_MAGIC = 0,
    J_CRC = 4,  // over the whole transaction with this field 0
    J_SEQUENCE = 8,
    J_HB_GENERATION = 16,
    J_HOST = 24,
    J_SECTORS = 40,
    J_LOCKS = 44,
    J_FREED = 48,
    J_SIZE = 52,   // bytes of header and sectors
    J_TABLE = 64,  // u64 address per sector; u64 address, u64 token per lock; u32 per freed
};

static uint32_t header_size(uint32_t sectors, uint32_t locks, uint32_t freed)
{
    return (uint32_t)round_up(J_TABLE + 8ull * sectors + 16ull * locks + 4ull * freed,
                              VMFS_SECTOR);
}

static uint64_t journal_address(uint32_t block)
{
    return (uint64_t)block << VMFS_FB_SHIFT;
}

/* Fills the buffer with the running transaction; returns its size in bytes. */
static uint32_t build(struct vmfs_volume *v)
{
    uint8_t *out = v->journal_buffer;
    uint32_t locks = 0;

    list_for_each (node, &v->locks)
        locks += list_entry(node, struct held_lock, link)->in_txn;

    uint32_t head = header_size(v->dirty_count, locks, v->freed_count);
    uint32_t size = head + v->dirty_count * VMFS_SECTOR;

    if (size > VMFS_FB_SIZE)
        return 0;
    memset(out, 0, head);
    put_le32(out + J_MAGIC, JOURNAL_MAGIC);
    put_le64(out + J_SEQUENCE, v->journal_sequence + 1);
    put_le64(out + J_HB_GENERATION, v->hb_generation);
    memcpy(out + J_HOST, v->how.host.raw, VMFS_UUID_SIZE);
    put_le32(out + J_SECTORS, v->dirty_count);
    put_le32(out + J_LOCKS, locks);
    put_le32(out + J_FREED, v->freed_count);
    put_le32(out + J_SIZE, size);

    uint8_t *table = out + J_TABLE;
    uint8_t *body = out + head;

    list_for_each (node, &v->dirty) {
        const struct meta_sector *s = list_entry(node, struct meta_sector, dirty_link);

        vmk_assert_msg(s->covered, "dirty sector 0x%llx without a lock",
                       (unsigned long long)s->address);
        put_le64(table, s->address);
        memcpy(body, s->data, VMFS_SECTOR);
        table += 8;
        body += VMFS_SECTOR;
    }
    list_for_each (node, &v->locks) {
        const struct held_lock *lock = list_entry(node, struct held_lock, link);

        if (!lock->in_txn)
            continue;
        put_le64(table, lock->address);
        put_le64(table + 8, lock->token);
        table += 16;
    }
    for (uint32_t i = 0; i < v->freed_count; i++, table += 4)
        put_le32(table, v->freed[i]);
    put_le32(out + J_CRC, crc32_add(0, out, size));
    return size;
}

/*
 * Makes the built transaction durable, with all that was written before. If that is nothing the
 * transaction alone will do; in a shared volume there are always the locks.
 */
static vmk_status write_transaction(struct vmfs_volume *v, uint32_t size)
{
    const uint64_t at = journal_address(v->journal_fb) + (uint64_t)v->journal_at * VMFS_SECTOR;
    vmk_status status;

    if (v->how.private_volume && !v->unflushed)
        return lv_write_fua(v, at, v->journal_buffer, size);
    status = lv_write(v, at, v->journal_buffer, size);
    return status == VMK_OK ? lv_flush(v) : status;
}

/* What they protect is in the journal, or was in place at once. */
static void locks_committed(struct vmfs_volume *v)
{
    list_for_each (node, &v->locks)
        list_entry(node, struct held_lock, link)->in_txn = false;
}

vmk_status journal_commit(struct vmfs_volume *v)
{
    vmk_status status;
    uint32_t size;

    if (!v->dirty_count) {
        status = lv_flush(v);
        if (status == VMK_OK)
            locks_committed(v);
        return status;
    }
    size = build(v);
    if (!size)
        return VMK_LIMIT;
    if (v->journal_at + size / VMFS_SECTOR > JOURNAL_SECTORS) {
        status = lv_flush(v);
        if (status != VMK_OK)
            return status;
        v->journal_at = 0;
    }
    status = write_transaction(v, size);
    if (status == VMK_OK)
        status = lv_write_sectors(v, v->journal_buffer + J_TABLE,
                                  v->journal_buffer + size - v->dirty_count * VMFS_SECTOR,
                                  v->dirty_count);
    if (status != VMK_OK) {
        /* On disk is the old or the new state, and nobody here can know which: stop. */
        vmk_log(VMK_LOG_ERROR,
                "VMFS: commit failed (%s): the volume is read-only until remount",
                vmk_status_text(status));
        v->dead = status;
        return status;
    }
    v->journal_at += size / VMFS_SECTOR;
    v->journal_sequence++;
    v->transactions++;
    v->freed_count = v->freed_before = 0;
    list_for_each_safe (node, after, &v->dirty) {
        struct meta_sector *s = list_entry(node, struct meta_sector, dirty_link);

        s->dirty = false;
        list_remove(&s->dirty_link);
    }
    v->dirty_count = 0;
    locks_committed(v);
    return VMK_OK;
}

/* ---- replay ---- */

#define FOREIGN_RECORD 0x350u  // the first record of ESXi's journal
#define FOREIGN_HEAD   (2u * VMFS_SECTOR)

struct replay {
    uint8_t *ring;  // the whole block
    uint64_t generation;
    const uint8_t *owner;
    uint64_t hb_address;
    uint64_t good[JOURNAL_SECTORS / 64];  // where a transaction begins whose CRC was right
};

/* The transaction at sector `at`, or null. */
static const uint8_t *transaction_at(struct replay *r, uint32_t at, uint64_t sequence)
{
    uint8_t *head = r->ring + (size_t)at * VMFS_SECTOR;
    uint32_t size;
    uint32_t crc;

    if (at >= JOURNAL_SECTORS || le32(head + J_MAGIC) != JOURNAL_MAGIC ||
        le64(head + J_HB_GENERATION) != r->generation ||
        memcmp(head + J_HOST, r->owner, VMFS_UUID_SIZE) != 0)
        return NULL;
    if (sequence && le64(head + J_SEQUENCE) != sequence)
        return NULL;
    size = le32(head + J_SIZE);
    if (size < VMFS_SECTOR || size % VMFS_SECTOR ||
        size > (JOURNAL_SECTORS - at) * (uint64_t)VMFS_SECTOR ||
        le32(head + J_SECTORS) > JOURNAL_SECTORS || le32(head + J_LOCKS) > VMFS_FB_SIZE / 16 ||
        le32(head + J_FREED) > VMFS_FB_SIZE / 4)
        return NULL;
    if (header_size(le32(head + J_SECTORS), le32(head + J_LOCKS), le32(head + J_FREED)) +
            (uint64_t)le32(head + J_SECTORS) * VMFS_SECTOR !=
        size)
        return NULL;
    /* It is looked at again for each sector that an earlier one has: one checksum is enough. */
    if (r->good[at / 64] >> at % 64 & 1)
        return head;
    crc = le32(head + J_CRC);
    put_le32(head + J_CRC, 0);

    bool good = crc32_add(0, head, size) == crc;

    put_le32(head + J_CRC, crc);
    if (!good)
        return NULL;
    r->good[at / 64] |= 1ull << at % 64;
    return head;
}

static const uint8_t *lock_table(const uint8_t *head)
{
    return head + J_TABLE + 8ull * le32(head + J_SECTORS);
}

static const uint8_t *freed_table(const uint8_t *head)
{
    return lock_table(head) + 16ull * le32(head + J_LOCKS);
}

/* Are all its locks still the dead host's? */
static vmk_status is_open(struct vmfs_volume *v, const struct replay *r, const uint8_t *head,
                          bool *open)
{
    const uint8_t *locks = lock_table(head);
    uint8_t sector[VMFS_SECTOR];

    *open = true;
    if (v->how.private_volume)
        return VMK_OK;
    for (uint32_t i = 0; i < le32(head + J_LOCKS) && *open; i++) {
        vmk_status status = lv_read(v, le64(locks + 16ull * i), sector, sizeof(sector));

        if (status != VMK_OK)
            return status;

        const struct vmfs_lock_info lock = lock_fields(sector);

        *open = lock.mode == LOCK_EXCLUSIVE && lock.heartbeat == r->hb_address &&
                lock.heartbeat_generation == r->generation &&
                lock.token == le64(locks + 16ull * i + 8);
    }
    return VMK_OK;
}

/* Was the block at `address` freed by this transaction or one after it? */
static bool is_revoked(struct vmfs_volume *v, struct replay *r, uint32_t at, uint64_t sequence,
                       uint64_t address)
{
    const uint8_t *head;

    for (; (head = transaction_at(r, at, sequence)) != NULL;
         at += le32(head + J_SIZE) / VMFS_SECTOR, sequence++) {
        const uint8_t *freed = freed_table(head);

        for (uint32_t i = 0; i < le32(head + J_FREED); i++) {
            uint32_t what = le32(freed + 4ull * i);
            uint64_t start = resource_position(v, what);
            uint64_t size = addr_type(what) == ADDR_FB   ? VMFS_FB_SIZE
                            : addr_type(what) == ADDR_SB ? VMFS_SB_SIZE
                            : addr_type(what) == ADDR_FD ? 0
                                                         : VMFS_PB_SIZE;

            if (start && address >= start && address - start < size)
                return true;
        }
    }
    return false;
}

static vmk_status apply(struct vmfs_volume *v, struct replay *r, const uint8_t *head,
                        uint32_t at)
{
    uint32_t count = le32(head + J_SECTORS);
    const uint8_t *body = head + le32(head + J_SIZE) - (size_t)count * VMFS_SECTOR;
    vmk_status status = VMK_OK;

    for (uint32_t i = 0; i < count && status == VMK_OK; i++) {
        uint64_t address = le64(head + J_TABLE + 8ull * i);

        if (!is_revoked(v, r, at, le64(head + J_SEQUENCE), address))
            status = lv_write(v, address, body + (size_t)i * VMFS_SECTOR, VMFS_SECTOR);
    }
    return status;
}

/*
 * ESXi's own journal: a header that is zero when nothing is open, then records of a flag, a
 * kind, an address and a length. What they mean for sure is not known, so such a transaction is
 * never replayed.
 */
static bool foreign_transaction(const struct vmfs_volume *v, const uint8_t *ring)
{
    const uint8_t *record = ring + FOREIGN_RECORD;
    const uint64_t address = le64(record + 16);
    const uint64_t length = le64(record + 24);
    bool header = false;

    for (unsigned i = 0; i < VMFS_SECTOR; i++)
        header |= ring[i];
    return header && le32(ring + J_MAGIC) != JOURNAL_MAGIC && le32(record) == 1 &&
           le32(record + 4) <= 2 && address && address % VMFS_SECTOR == 0 &&
           address < v->size && length && length % VMFS_SECTOR == 0 && length <= VMFS_FB_SIZE;
}

vmk_status journal_is_ours(struct vmfs_volume *v, const uint8_t *hb_image)
{
    const uint32_t block = addr_fb_block(le32(hb_image + HB_JOURNAL_FB));
    uint8_t head[FOREIGN_HEAD];
    vmk_status status;

    if (!le32(hb_image + HB_JOURNAL_FB))
        return VMK_OK;
    if (((uint64_t)block + 1) << VMFS_FB_SHIFT > v->size)
        return VMK_CORRUPT;
    status = lv_read(v, journal_address(block), head, sizeof(head));
    if (status != VMK_OK || !foreign_transaction(v, head))
        return status;
    vmk_log(VMK_LOG_ERROR,
            "VMFS: the heartbeat at 0x%llx is of a host that stopped in the middle of a "
            "change, with a "
            "journal of another format: mount it there, or read-only here",
            (unsigned long long)le64(hb_image + HB_ADDRESS));
    return VMK_UNSUPPORTED;
}

vmk_status journal_replay(struct vmfs_volume *v, const uint8_t *hb_image)
{
    struct replay r = {.generation = le64(hb_image + HB_GENERATION),
                       .owner = hb_image + HB_OWNER,
                       .hb_address = le64(hb_image + HB_ADDRESS)};
    uint32_t block = addr_fb_block(le32(hb_image + HB_JOURNAL_FB));
    vmk_status status = VMK_OK;
    const uint8_t *head;
    unsigned applied = 0;
    uint64_t sequence = 0;  // 0: any
    uint64_t start_sequence = 0;
    uint32_t start = 0;

    if (!le32(hb_image + HB_JOURNAL_FB))
        return VMK_OK;
    if (((uint64_t)block + 1) << VMFS_FB_SHIFT > v->size)
        return VMK_CORRUPT;
    r.ring = vmfs_alloc(VMFS_FB_SIZE);
    if (!r.ring)
        return VMK_NO_MEMORY;
    status = lv_read(v, journal_address(block), r.ring, VMFS_FB_SIZE);
    for (uint32_t at = 0; status == VMK_OK && (head = transaction_at(&r, at, sequence));) {
        bool open;

        status = is_open(v, &r, head, &open);
        at += le32(head + J_SIZE) / VMFS_SECTOR;
        sequence = le64(head + J_SEQUENCE) + 1;
        if (!open) {
            start = at;
            start_sequence = sequence;
        }
    }
    for (uint32_t at = start;
         status == VMK_OK && (head = transaction_at(&r, at, start_sequence)); applied++) {
        status = apply(v, &r, head, at);
        at += le32(head + J_SIZE) / VMFS_SECTOR;
        start_sequence = le64(head + J_SEQUENCE) + 1;
    }
    if (status == VMK_OK)
        status = lv_flush(v);
    heap_free(r.ring);
    if (status == VMK_OK && applied) {
        v->replays += applied;
        vmk_log(VMK_LOG_INFO, "VMFS: replayed %u transactions of a host that went away",
                applied);
    }
    return status;
}
