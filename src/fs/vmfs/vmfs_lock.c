// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmfs/vmfs_lock.c -- heartbeats and on-disk locks: how hosts share a volume.
 *
 * Every change of a lock or a heartbeat is a compare-and-write of the exact sector read before,
 * so of two hosts that try, one wins. A host shows that it lives by rewriting its heartbeat
 * slot. A lock names its holder's slot and the slot's generation; it is stale at once if the
 * slot is free, has another generation or another owner, and after HB_DEAD_NS of an unchanged
 * slot. Whoever wants a dead host's lock first claims the slot (state "being replayed", so
 * nobody else does), replays its journal, gives back its journal block, frees the slot, and
 * then breaks the lock.
 *
 * A lock is kept after the operation that took it, for the next one, and let go when everything
 * it protects is durable in place and a tick finds nobody who needs it (locks_release()).
 *
 * Invariants
 *   - In a shared volume a lock sector is never in a transaction: it is changed on disk at once
 *     or not at all. In a private one no lock is taken, and a new descriptor's lock sector is
 *     metadata like any other.
 *   - A slot's generation grows at each change of its state.
 *   - After a lost compare-and-write on the own slot nothing is written any more (FENCED).
 *   - Nothing is written HB_LEASE_NS after the last beat was begun, and a device answers, or
 *     gives up for good, within another HB_LEASE_NS: so a host that was held up writes nothing
 *     after HB_DEAD_NS.
 * Locking    vmfs_volume.mutex; the own slot under vmfs_volume.beat, so that a beat waits for
 *            nobody.
 * Start at   lock_acquire().
 * Sources    [VMFS-LOCKING]; docs/design/vmfs.md
 */
#include "core/heap.h"
#include "core/log.h"
#include "fs/vmfs/vmfs_internal.h"
#include "lib/crc32.h"
#include "lib/string.h"
#include "plat/plat.h"

#define HB_REPLAYING    0xABCDEF03u  // our value for a state that readers do not know
#define HB_REPLAYER     0x6C
#define HB_REPLAYER_AT  0x94
#define HB_REPLAYER_GEN 0x9C
#define SWAP_TRIES      8u
#define CREATE_AHEAD    (LOCKS_AHEAD * VMFS_FD_SIZE)

/* ---- heartbeats ---- */

static void slot_image(struct vmfs_volume *v, uint8_t *image, uint32_t state,
                       uint64_t generation)
{
    uint64_t address = v->hb_address;

    memset(image, 0, VMFS_SECTOR);
    put_le32(image + HB_STATE, state);
    put_le64(image + HB_ADDRESS, address);
    put_le64(image + HB_GENERATION, generation);
    if (state == HB_FREE)
        return;
    put_le64(image + HB_STAMP, plat_time_now() / 1000);
    memcpy(image + HB_OWNER, v->how.host.raw, VMFS_UUID_SIZE);
    put_le32(image + HB_MAJOR, FS_MAJOR);
    image[HB_MINOR] = FS_MINOR;
    image[HB_LOCK_DRIVER] = LOCK_DRIVER;
    for (unsigned i = 0; v->how.host_text && i < 45 && v->how.host_text[i]; i++)
        image[HB_HOST + i] = (uint8_t)v->how.host_text[i];
    if (v->journal_fb) {
        put_le32(image + HB_JOURNAL_FB, addr_fb(v->journal_fb));
        put_le64(image + HB_JOURNAL, (uint64_t)v->journal_fb << VMFS_FB_SHIFT);
    }
}

/* Replaces the own slot; FENCED if somebody else changed it. v->beat held. */
static vmk_status own_slot_swap(struct vmfs_volume *v, const uint8_t *fresh)
{
    plat_ns begun = plat_time_now();
    vmk_status status = lv_swap(v, v->hb_address, v->hb_image, fresh);

    if (status == VMK_AGAIN) {
        vmk_log(VMK_LOG_ERROR, "VMFS: another host took over our heartbeat: volume stopped");
        v->dead = status = VMK_FENCED;
    }
    if (status == VMK_OK) {
        memcpy(v->hb_image, fresh, VMFS_SECTOR);
        v->beaten = begun;
    }
    return status;
}

vmk_status hb_beat(struct vmfs_volume *v)
{
    uint8_t fresh[VMFS_SECTOR];
    vmk_status status = VMK_FENCED;

    mutex_lock(&v->beat);
    memcpy(fresh, v->hb_image, VMFS_SECTOR);
    put_le64(fresh + HB_STAMP, plat_time_now() / 1000);
    /* The stamp must change for a watcher even if the clock stands still. */
    if (le64(fresh + HB_STAMP) <= le64(v->hb_image + HB_STAMP))
        put_le64(fresh + HB_STAMP, le64(v->hb_image + HB_STAMP) + 1);
    if (v->dead != VMK_FENCED)
        status = own_slot_swap(v, fresh);
    mutex_unlock(&v->beat);
    return status;
}

vmk_status hb_lease(struct vmfs_volume *v)
{
    if (!v->hb_address || v->how.private_volume)
        return VMK_OK;
    if (v->dead == VMK_FENCED)
        return VMK_FENCED;
    return plat_time_now() - v->beaten < HB_LEASE_NS ? VMK_OK : hb_beat(v);
}

/* Takes a dead host's slot, replays, frees what it had. `image` is the slot as it stands. */
static vmk_status bury(struct vmfs_volume *v, const uint8_t *image)
{
    uint64_t address = le64(image + HB_ADDRESS);
    uint8_t claim[VMFS_SECTOR];
    uint8_t fresh[VMFS_SECTOR];
    uint32_t journal = le32(image + HB_JOURNAL_FB);
    vmk_status status = journal_is_ours(v, image);

    if (status != VMK_OK)
        return status;
    memcpy(claim, image, VMFS_SECTOR);
    put_le32(claim + HB_STATE, HB_REPLAYING);
    put_le64(claim + HB_STAMP, le64(image + HB_STAMP) + 1);
    memcpy(claim + HB_REPLAYER, v->how.host.raw, VMFS_UUID_SIZE);
    put_le64(claim + HB_REPLAYER_AT, v->hb_address);
    put_le64(claim + HB_REPLAYER_GEN, v->hb_generation);
    status = lv_swap(v, address, image, claim);

    v->buried++;
    if (status != VMK_OK)
        return status == VMK_AGAIN ? VMK_CONTENDED : status;
    status = journal_replay(v, claim);
    if (status != VMK_OK)
        return status;
    /* What the cache holds of unlocked things may be from before the replay. */
    meta_drop_clean(v);
    if (journal) {
        v->burying = address;
        status = journal_block_give(v, addr_fb_block(journal));
        if (status == VMK_OK)
            status = lv_flush(v);
        v->burying = 0;
        if (status != VMK_OK)
            return status;
    }
    memset(fresh, 0, sizeof(fresh));
    put_le32(fresh + HB_STATE, HB_FREE);
    put_le64(fresh + HB_ADDRESS, address);
    put_le64(fresh + HB_GENERATION, le64(claim + HB_GENERATION) + 1);
    status = lv_swap(v, address, claim, fresh);
    if (status == VMK_OK)
        status = lv_flush(v);
    return status == VMK_AGAIN ? VMK_CONTENDED : status;
}

static struct hb_watch *watch_of(struct vmfs_volume *v, uint64_t address)
{
    struct hb_watch *oldest = &v->watches[0];

    for (unsigned i = 0; i < ARRAY_COUNT(v->watches); i++) {
        if (v->watches[i].address == address)
            return &v->watches[i];
        if (v->watches[i].since < oldest->since)
            oldest = &v->watches[i];
    }
    memset(oldest, 0, sizeof(*oldest));
    oldest->address = address;
    return oldest;
}

/*
 * Is the holder named by a lock dead? OK: yes, and buried. CONTENDED: it lives, or it is too
 * early to tell (ask again until HB_DEAD_NS have passed).
 */
static vmk_status holder_is_dead(struct vmfs_volume *v, const struct vmfs_lock_info *lock)
{
    const uint64_t slot = lock->heartbeat;
    const uint8_t *owner = lock->owner.raw;
    uint8_t image[VMFS_SECTOR];
    vmk_status status;

    if (slot < HB_BASE || slot >= HB_BASE + HB_SLOTS * VMFS_SECTOR || slot % VMFS_SECTOR)
        return VMK_OK;  // names nobody
    if (slot == v->burying)
        return VMK_OK;
    status = lv_read(v, slot, image, sizeof(image));
    if (status != VMK_OK)
        return status;
    if ((le32(image + HB_STATE) != HB_IN_USE && le32(image + HB_STATE) != HB_REPLAYING) ||
        le64(image + HB_GENERATION) != lock->heartbeat_generation ||
        memcmp(image + HB_OWNER, owner, VMFS_UUID_SIZE) != 0)
        return VMK_OK;
    /*
     * This host in an earlier life, which died while it buried one before it: it has no journal
     * yet.
     */
    if (slot != v->hb_address && !memcmp(owner, v->how.host.raw, VMFS_UUID_SIZE))
        return VMK_OK;

    struct hb_watch *watch = watch_of(v, slot);

    if (!watch->since || memcmp(watch->image, image, VMFS_SECTOR) != 0) {
        if (watch->since)
            __atomic_add_fetch(&v->holder_beats, 1, __ATOMIC_RELAXED);
        memcpy(watch->image, image, VMFS_SECTOR);
        watch->since = MAX(plat_time_now(), 1ull);
        v->lock_waits++;
        return VMK_CONTENDED;
    }
    if (plat_time_now() - watch->since < HB_DEAD_NS)
        return VMK_CONTENDED;
    /*
     * Burying writes in place, which must not carry half an operation along: op_begin() does
     * it.
     */
    v->bury_wanted = slot;
    return VMK_CONTENDED;
}

static bool is_shared(const struct vmfs_lock_info *lock)
{
    return lock->mode == LOCK_SHARED || lock->mode == LOCK_MULTI_WRITER;
}

/*
 * The same for every host that has the lock: a shared one has a list of them. This code takes
 * none of these; ESXi does, for a disk that several hosts read.
 */
static vmk_status holders_are_dead(struct vmfs_volume *v, const uint8_t *sector)
{
    struct vmfs_lock_info lock = lock_fields(sector);
    vmk_status status = VMK_OK;

    if (!is_shared(&lock))
        return holder_is_dead(v, &lock);
    if (lock.holders > LOCK_HOLDERS_MAX)
        return VMK_CONTENDED;  // the rest stands nobody knows where
    if (le64(lock.owner.raw) || le64(lock.owner.raw + 8))
        status = holder_is_dead(v, &lock);
    for (uint32_t i = 0; i < lock.holders && status == VMK_OK; i++) {
        const uint8_t *holder = sector + LOCK_HOLDER + (size_t)i * LOCK_HOLDER_SIZE;

        lock.heartbeat = le64(holder);
        lock.heartbeat_generation = le64(holder + 8);
        memcpy(lock.owner.raw, holder + 16, VMFS_UUID_SIZE);
        status = holder_is_dead(v, &lock);
    }
    return status;
}

vmk_status hb_bury_wanted(struct vmfs_volume *v)
{
    uint64_t slot = v->bury_wanted;
    struct hb_watch *watch = watch_of(v, slot);
    uint8_t image[VMFS_SECTOR];
    vmk_status status = journal_commit(v);

    v->bury_wanted = 0;
    if (status == VMK_OK)
        status = lv_read(v, slot, image, sizeof(image));
    if (status != VMK_OK)
        return status;
    if (!watch->since || memcmp(watch->image, image, VMFS_SECTOR) != 0)
        return VMK_OK;  // it moved after all
    vmk_log(VMK_LOG_WARN, "VMFS: heartbeat at 0x%llx unchanged for %llu s: its host is dead",
            (unsigned long long)slot, HB_DEAD_NS / 1000000000ull);
    watch->address = 0;
    v->orphans_wanted = true;
    return bury(v, image);
}

static uint32_t slot_start(const struct vmfs_volume *v)
{
    return crc32_add(0, v->how.host.raw, VMFS_UUID_SIZE) % HB_SLOTS;
}

/*
 * Slots that our own earlier life, or (offline tools) anybody, left in use: as they stood in
 * `slots`.
 */
static vmk_status bury_leftovers(struct vmfs_volume *v, const uint8_t *slots)
{
    for (unsigned i = 0; i < HB_SLOTS; i++) {
        const uint8_t *image = slots + (size_t)i * VMFS_SECTOR;
        uint32_t state = le32(image + HB_STATE);
        bool own = !memcmp(image + HB_OWNER, v->how.host.raw, VMFS_UUID_SIZE);

        if (state != HB_IN_USE && state != HB_REPLAYING)
            continue;
        if (!own && !v->how.break_stale && !v->how.private_volume)
            continue;
        if (v->hb_address == HB_BASE + i * VMFS_SECTOR)
            continue;
        if (le64(image + HB_ADDRESS) != HB_BASE + i * VMFS_SECTOR)
            return VMK_CORRUPT;

        vmk_status status = bury(v, image);

        if (status != VMK_OK)
            return status;
    }
    return VMK_OK;
}

vmk_status hb_claim(struct vmfs_volume *v)
{
    uint8_t *slots = vmfs_alloc(HB_SLOTS * VMFS_SECTOR);
    uint8_t fresh[VMFS_SECTOR];
    vmk_status status;

    if (!slots)
        return VMK_NO_MEMORY;
    status = lv_read(v, HB_BASE, slots, HB_SLOTS * VMFS_SECTOR);
    for (unsigned i = 0; status == VMK_OK && i < HB_SLOTS && !v->hb_address; i++) {
        unsigned slot = (slot_start(v) + i) % HB_SLOTS;
        const uint8_t *image = slots + (size_t)slot * VMFS_SECTOR;

        if (le32(image + HB_STATE) != HB_FREE)
            continue;
        v->hb_address = HB_BASE + slot * VMFS_SECTOR;
        v->hb_generation = le64(image + HB_GENERATION) + 1;
        slot_image(v, fresh, HB_IN_USE, v->hb_generation);
        status = lv_swap(v, v->hb_address, image, fresh);
        if (status == VMK_AGAIN) {
            v->hb_address = 0;
            status = VMK_OK;
        }
    }
    if (status == VMK_OK && !v->hb_address) {
        vmk_log(VMK_LOG_ERROR, "VMFS: all %u heartbeat slots are in use", HB_SLOTS);
        status = VMK_LIMIT;
    }
    if (status == VMK_OK) {
        memcpy(v->hb_image, fresh, VMFS_SECTOR);
        v->beaten = plat_time_now();
        /*
         * The own slot first, and durable: if the power goes while the dead are buried, it
         * tells the next mount that there may be files without names left.
         */
        status = lv_flush(v);
    }
    if (status == VMK_OK)
        status = bury_leftovers(v, slots);
    heap_free(slots);
    if (status != VMK_OK) {
        if (status == VMK_UNSUPPORTED)  // it will be read only: the slot is given back
            hb_release(v);
        return status;
    }

    plat_ns began = plat_time_now();
    uint32_t block;

    while ((status = journal_block_take(v, &block)) == VMK_CONTENDED && v->how.wait &&
           plat_time_now() - began < 2 * HB_DEAD_NS) {
        v->how.wait();
        status = hb_beat(v);
        if (status == VMK_OK && v->bury_wanted)
            status = hb_bury_wanted(v);
        if (status != VMK_OK && status != VMK_CONTENDED)
            return status;
    }
    return status == VMK_OK ? lv_flush(v) : status;
}

/* Called by journal_block_take() before the block's bit is set: the slot names it first. */
vmk_status hb_name_journal(struct vmfs_volume *v, uint32_t block)
{
    uint8_t fresh[VMFS_SECTOR];

    vmk_status status;

    mutex_lock(&v->beat);
    v->journal_fb = block;
    slot_image(v, fresh, HB_IN_USE, v->hb_generation);
    status = own_slot_swap(v, fresh);
    mutex_unlock(&v->beat);
    return status;
}

void hb_release(struct vmfs_volume *v)
{
    uint8_t fresh[VMFS_SECTOR];
    vmk_status status = VMK_OK;

    if (!v->hb_address || v->dead != VMK_OK)
        return;
    if (v->journal_fb) {
        status = journal_block_give(v, v->journal_fb);
        if (status == VMK_OK)
            status = lv_flush(v);
    }
    if (status == VMK_OK) {
        mutex_lock(&v->beat);
        slot_image(v, fresh, HB_FREE, v->hb_generation + 1);
        status = own_slot_swap(v, fresh);
        mutex_unlock(&v->beat);
    }
    if (status != VMK_OK)
        vmk_log(VMK_LOG_WARN, "VMFS: heartbeat not released: %s", vmk_status_text(status));
}

vmk_status hb_others(struct vmfs_volume *v, bool *others)
{
    uint8_t *slots = vmfs_alloc(HB_SLOTS * VMFS_SECTOR);
    vmk_status status =
        slots ? lv_read(v, HB_BASE, slots, HB_SLOTS * VMFS_SECTOR) : VMK_NO_MEMORY;

    *others = false;
    for (unsigned i = 0; status == VMK_OK && i < HB_SLOTS; i++) {
        if (le32(slots + (size_t)i * VMFS_SECTOR + HB_STATE) != HB_FREE &&
            v->hb_address != HB_BASE + i * VMFS_SECTOR)
            *others = true;
    }
    heap_free(slots);
    return status;
}

/* ---- locks ---- */

struct vmfs_lock_info lock_fields(const uint8_t *sector)
{
    struct vmfs_lock_info lock = {
        .address = le64(sector + LOCK_ADDRESS),
        .heartbeat = le64(sector + LOCK_HB_ADDRESS),
        .heartbeat_generation = le64(sector + LOCK_HB_GENERATION),
        .token = le64(sector + LOCK_TOKEN),
        .mtime = le64(sector + LOCK_MTIME),
        .type = le32(sector + LOCK_TYPE),
        .mode = le32(sector + LOCK_MODE),
        .holders = le32(sector + LOCK_HOLDERS),
    };

    memcpy(lock.owner.raw, sector + LOCK_OWNER, VMFS_UUID_SIZE);
    return lock;
}

void lock_image_make(uint8_t *image, uint32_t type, uint64_t address, uint64_t mtime)
{
    memset(image, 0, VMFS_SECTOR);
    put_le32(image + LOCK_TYPE, type);
    put_le64(image + LOCK_ADDRESS, address);
    put_le64(image + LOCK_TOKEN, 1);
    put_le64(image + LOCK_MTIME, mtime);
}

struct held_lock *lock_find(const struct vmfs_volume *v, uint64_t address)
{
    list_for_each (node, &v->locks) {
        struct held_lock *lock = list_entry(node, struct held_lock, link);

        if (lock->address == address)
            return lock;
    }
    return NULL;
}

bool lock_covers(const struct vmfs_volume *v, uint64_t address)
{
    return v->how.private_volume || lock_find(v, address);
}

static vmk_status remember(struct vmfs_volume *v, uint64_t address, const uint8_t *image)
{
    struct held_lock *lock = vmfs_alloc(sizeof(*lock));

    if (!lock)
        return VMK_NO_MEMORY;
    lock->address = address;
    lock->token = lock_fields(image).token;
    lock->in_txn = true;
    memcpy(lock->image, image, VMFS_SECTOR);
    list_add_tail(&v->locks, &lock->link);
    v->lock_count++;
    return VMK_OK;
}

static void own_image(struct vmfs_volume *v, uint8_t *image)
{
    put_le64(image + LOCK_HB_ADDRESS, v->hb_address);
    put_le64(image + LOCK_HB_GENERATION, v->hb_generation);
    put_le64(image + LOCK_TOKEN, le64(image + LOCK_TOKEN) + 1);
    put_le32(image + LOCK_MODE, LOCK_EXCLUSIVE);
    memcpy(image + LOCK_OWNER, v->how.host.raw, VMFS_UUID_SIZE);
    put_le32(image + LOCK_HOLDERS, 0);
}

static void free_image(uint8_t *image)
{
    put_le32(image + LOCK_MODE, LOCK_FREE);
    memset(image + LOCK_OWNER, 0, VMFS_UUID_SIZE);
    put_le32(image + LOCK_HOLDERS, 0);
}

/* Is it a lock of that type, and the one that belongs there? */
static vmk_status check_place(const struct vmfs_lock_info *lock, uint64_t address,
                              uint32_t type)
{
    if (lock->type == type && lock->address == address)
        return VMK_OK;
    vmk_log(VMK_LOG_ERROR, "VMFS: no lock of type %x at 0x%llx", type,
            (unsigned long long)address);
    return VMK_CORRUPT;
}

/* Nobody else mounts it: only the lock's place is checked, from memory if it was before. */
static vmk_status check_private(struct vmfs_volume *v, uint64_t address, uint32_t type)
{
    struct meta_sector *s;
    vmk_status status = meta_get(v, address, true, &s);

    if (status == VMK_OK) {
        const struct vmfs_lock_info lock = lock_fields(s->data);

        status = check_place(&lock, address, type);
    }
    return status;
}

/*
 * Is it held, and not by this host's slot in this life of it? Of a shared one the slot means
 * nothing: it is whoever had it alone before.
 */
static bool is_others(const struct vmfs_volume *v, const struct vmfs_lock_info *lock)
{
    return lock->mode != LOCK_FREE && (is_shared(lock) || lock->heartbeat != v->hb_address ||
                                       lock->heartbeat_generation != v->hb_generation);
}

vmk_status lock_acquire(struct vmfs_volume *v, uint64_t address, uint32_t type)
{
    struct held_lock *held = lock_find(v, address);
    uint8_t image[VMFS_SECTOR];
    uint8_t fresh[VMFS_SECTOR];

    if (held) {
        held->in_txn = true;
        return VMK_OK;
    }
    if (v->how.private_volume)
        return check_private(v, address, type);
    for (unsigned tries = 0; tries < SWAP_TRIES; tries++) {
        vmk_status status = lv_read(v, address, image, sizeof(image));

        if (status != VMK_OK)
            return status;

        const struct vmfs_lock_info lock = lock_fields(image);

        status = check_place(&lock, address, type);
        if (status != VMK_OK)
            return status;
        memcpy(fresh, image, VMFS_SECTOR);
        if (is_others(v, &lock)) {
            status = holders_are_dead(v, image);
            if (status != VMK_OK)
                return status;
            v->locks_broken++;
            free_image(fresh);
            status = lv_swap(v, address, image, fresh);
            if (status != VMK_OK && status != VMK_AGAIN)
                return status;
            continue;
        }
        own_image(v, fresh);
        status = lv_swap(v, address, image, fresh);
        if (status == VMK_OK)
            return remember(v, address, fresh);
        if (status != VMK_AGAIN)
            return status;
    }
    return VMK_CONTENDED;
}

/*
 * Metadata like any other. Descriptors are made one behind the other: the next are read too, up
 * to where something else may begin.
 */
static vmk_status create_private(struct vmfs_volume *v, uint64_t address, uint32_t type)
{
    struct meta_sector *s;
    vmk_status status;

    meta_prefetch(v, address, VMFS_SECTOR, CREATE_AHEAD - address % CREATE_AHEAD, true);
    status = meta_get(v, address, true, &s);
    if (status == VMK_OK)
        status = meta_dirty(v, s);
    if (status != VMK_OK)
        return status;

    const struct vmfs_lock_info before = lock_fields(s->data);

    lock_image_make(s->data, type, address, before.mtime + 1);
    put_le64(s->data + LOCK_TOKEN, before.token + 1);
    return VMK_OK;
}

static struct lock_ahead *ahead_of(struct vmfs_volume *v, uint64_t address)
{
    return &v->ahead[address / VMFS_FD_SIZE % LOCKS_AHEAD];
}

/* The lock as it stands, and those of the descriptors behind it for later. */
static vmk_status read_ahead(struct vmfs_volume *v, uint64_t address, uint8_t *image)
{
    const uint32_t size = CREATE_AHEAD - (uint32_t)(address % CREATE_AHEAD);
    uint8_t *run = vmfs_alloc(size);
    vmk_status status = run ? lv_read(v, address, run, size) : VMK_NO_MEMORY;

    for (uint32_t at = VMFS_FD_SIZE; status == VMK_OK && at < size; at += VMFS_FD_SIZE) {
        struct lock_ahead *ahead = ahead_of(v, address + at);

        ahead->address = address + at;
        memcpy(ahead->image, run + at, VMFS_SECTOR);
    }
    if (status == VMK_OK)
        memcpy(image, run, VMFS_SECTOR);
    heap_free(run);
    return status;
}

/* AGAIN: it does not stand there as in `image` any more. */
static vmk_status create_from(struct vmfs_volume *v, uint64_t address, uint32_t type,
                              const uint8_t *image)
{
    const struct vmfs_lock_info before = lock_fields(image);
    uint8_t fresh[VMFS_SECTOR];
    vmk_status status;

    lock_image_make(fresh, type, address, before.mtime + 1);
    put_le64(fresh + LOCK_TOKEN, before.token);
    /*
     * Whoever still has the number of a file that is gone may have locked it, to find nothing
     * there.
     */
    if (before.type == type && is_others(v, &before)) {
        status = holders_are_dead(v, image);
        if (status != VMK_OK)
            return status;
    }
    own_image(v, fresh);
    status = lv_swap(v, address, image, fresh);
    return status == VMK_OK ? remember(v, address, fresh) : status;
}

vmk_status lock_create(struct vmfs_volume *v, uint64_t address, uint32_t type)
{
    struct lock_ahead *ahead = ahead_of(v, address);
    uint8_t image[VMFS_SECTOR];
    struct held_lock *held = lock_find(v, address);
    vmk_status status;

    if (held) {
        held->in_txn = true;
        return VMK_OK;
    }
    if (v->how.private_volume)
        return create_private(v, address, type);
    /*
     * What was read ahead may be old: the compare-and-write finds out, and a look at the disk
     * says what there is instead.
     */
    if (ahead->address == address) {
        ahead->address = 0;
        status = create_from(v, address, type, ahead->image);
        if (status != VMK_AGAIN && status != VMK_CONTENDED)
            return status;
    }
    status = read_ahead(v, address, image);
    if (status == VMK_OK)
        status = create_from(v, address, type, image);
    return status == VMK_AGAIN ? VMK_CONTENDED : status;
}

/* Writes the `count` locks free, and forgets them. */
static vmk_status release_some(struct vmfs_volume *v, struct held_lock **locks, uint32_t count)
{
    struct lv_swap swaps[LV_AT_ONCE];
    vmk_status result = VMK_OK;

    for (uint32_t i = 0; i < count; i++) {
        memcpy(locks[i]->freed, locks[i]->image, VMFS_SECTOR);
        free_image(locks[i]->freed);
        swaps[i] = (struct lv_swap){.address = locks[i]->address,
                                    .expected = locks[i]->image,
                                    .fresh = locks[i]->freed};
    }
    lv_swap_many(v, swaps, count);
    for (uint32_t i = 0; i < count; i++) {
        if (swaps[i].status == VMK_AGAIN) {
            vmk_log(VMK_LOG_ERROR, "VMFS: a lock at 0x%llx was taken from us: volume stopped",
                    (unsigned long long)locks[i]->address);
            v->dead = swaps[i].status = VMK_FENCED;
        }
        if (swaps[i].status != VMK_OK)
            result = swaps[i].status;
        v->lock_count--;
        list_remove(&locks[i]->link);
        heap_free(locks[i]);
    }
    return result;
}

vmk_status locks_release(struct vmfs_volume *v)
{
    struct held_lock *some[LV_AT_ONCE];
    vmk_status result = VMK_OK;
    uint32_t count = 0;
    bool any = false;

    list_for_each_safe (node, after, &v->locks) {
        struct held_lock *lock = list_entry(node, struct held_lock, link);

        if (!lock->pins && !lock->in_txn)
            some[count++] = lock;
        if (count == LV_AT_ONCE) {
            vmk_status status = release_some(v, some, count);

            if (status != VMK_OK)
                result = status;
            count = 0;
            any = true;
        }
    }
    if (count) {
        vmk_status status = release_some(v, some, count);

        if (status != VMK_OK)
            result = status;
        any = true;
    }
    if (any)
        meta_drop_clean(v);
    return result;
}

void locks_forget(struct vmfs_volume *v)
{
    list_for_each_safe (node, after, &v->locks)
        heap_free(list_entry(node, struct held_lock, link));
    list_init(&v->locks);
    v->lock_count = 0;
}
