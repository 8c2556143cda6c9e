// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/share.c -- the table of shared pages and hints: 16 bytes a frame, chained by hash.
 *
 * What to read first: share_page(), then share_leave(). Between a look into the table and an
 * action on a VM the table is not locked, because VM locks come first; a reference taken under
 * the lock keeps a shared page where it is meanwhile, and a hint is only ever a guess.
 *
 * Invariants
 *   - Each frame is in one chain or on the free list.
 *   - the who of a shared page's frame is SHARED; at most one frame names a machine page.
 * Locking and sources: mem/share.h.
 */
#include "mem/share.h"

#include "core/assert.h"
#include "lib/string.h"

#define SHARED       BIT(31)
#define WHO(age, vm) ((uint32_t)(age) << 16 | (vm))
#define WHO_VM(who)  ((uint16_t)(who))
#define WHO_AGE(who) ((uint8_t)((who) >> 16))
#define AGE_MAX      127u  // ages wrap below SHARED
#define CHUNK        ((uint32_t)(PAGE_SIZE / sizeof(struct share_frame)))
#define BUCKETS_MAX  (1u << 19)  // with the heap's head a block of pages: it has no larger one

static uint64_t mix(uint64_t h)
{
    h ^= h >> 32;
    h *= 0x9e3779b97f4a7c15ull;  // 2^64 / golden ratio: spreads every bit upwards
    return h ^ h >> 29;
}

/* Two words go into a chain by one multiplication, both halves of which count. */
static uint64_t fold(uint64_t chain, const uint64_t *words)
{
    unsigned __int128 product =
        (unsigned __int128)(words[0] ^ 0x9e3779b97f4a7c15ull) * (words[1] ^ chain);

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Four chains, so that the multiplications overlap. */
uint64_t page_hash(const void *page)
{
    uint64_t a = 1, b = 2, c = 3, d = 4;

    for (const uint64_t *at = page, *end = at + PAGE_SIZE / 8; at < end; at += 8) {
        a = fold(a, at);
        b = fold(b, at + 2);
        c = fold(c, at + 4);
        d = fold(d, at + 6);
    }
    return mix(mix(mix(mix(a) ^ b) ^ c) ^ d);
}

static uint64_t salted(uint64_t hash, uint64_t salt)
{
    return mix(hash ^ mix(salt));
}

vmk_status share_init(struct share_table *t, uint32_t capacity, const struct share_ops *ops,
                      void *context)
{
    static const uint64_t zeroes[PAGE_SIZE / 8];
    uint32_t buckets = 64;

    while (buckets < capacity / 2 && buckets < BUCKETS_MAX)
        buckets *= 2;
    memset(t, 0, sizeof(*t));
    spin_init(&t->lock, "share", LOCK_RANK_SHARE);
    t->ops = ops;
    t->context = context;
    t->chunks = heap_alloc((size_t)(capacity / CHUNK + 1) * sizeof(struct share_frame *),
                           MEM_OWNER_P2M);
    t->buckets = heap_alloc((size_t)buckets * sizeof(*t->buckets), MEM_OWNER_P2M);
    if (!t->chunks || !t->buckets) {
        heap_free(t->chunks);
        heap_free(t->buckets);
        return VMK_NO_MEMORY;
    }
    t->capacity = capacity;
    t->bucket_mask = buckets - 1;
    t->zero_hash = page_hash(zeroes);
    return VMK_OK;
}

void share_destroy(struct share_table *t)
{
    vmk_assert(t->counters.common == 0);
    for (uint32_t i = 0; i < t->made; i += CHUNK)
        page_free(paddr_to_mpn(plat_unmap_address(t->chunks[i / CHUNK])), 0, MEM_OWNER_VMM);
    heap_free(t->chunks);
    heap_free(t->buckets);
}

/* ---- chains; the lock is held ---- */

static uint32_t *bucket_of(struct share_table *t, uint64_t key)
{
    return &t->buckets[(uint32_t)key & t->bucket_mask];
}

static struct share_frame *frame_at(struct share_table *t, uint32_t link)
{
    return link ? &t->chunks[(link - 1) / CHUNK][(link - 1) % CHUNK] : NULL;
}

/* More frames on the free list, if there is room and memory. */
static void chunk_add(struct share_table *t)
{
    mpn_t mpn;

    if (t->made >= t->capacity || page_alloc_zeroed(0, MEM_OWNER_VMM, &mpn) != VMK_OK)
        return;
    t->chunks[t->made / CHUNK] = mpn_map(mpn);
    for (uint32_t last = t->made + CHUNK; t->made < last; t->made++) {
        if (t->made < t->capacity) {
            frame_at(t, t->made + 1)->next = t->free;
            t->free = t->made + 1;
        }
    }
}

static void hints_count(struct share_table *t, uint32_t who, int32_t by)
{
    if (who & SHARED)
        return;
    vmk_assert(WHO_VM(who) < SHARE_VMS_MAX);
    t->counters.hints += (uint64_t)(int64_t)by;
    t->hints_of[WHO_VM(who)] += (uint32_t)by;
}

static bool frame_add(struct share_table *t, uint64_t key, uint32_t page, uint32_t who)
{
    uint32_t *bucket = bucket_of(t, key);
    struct share_frame *f;
    uint32_t link;

    if (!t->free)
        chunk_add(t);
    link = t->free;
    f = frame_at(t, link);
    if (!f)
        return false;
    t->free = f->next;
    *f = (struct share_frame){
        .next = *bucket, .hash = (uint32_t)(key >> 32), .page = page, .who = who};
    *bucket = link;
    hints_count(t, who, 1);
    return true;
}

static void frame_drop(struct share_table *t, uint32_t *link)
{
    uint32_t index = *link;
    struct share_frame *f = frame_at(t, index);

    hints_count(t, f->who, -1);
    *link = f->next;
    f->next = t->free;
    t->free = index;
}

/* The link to the first frame of this key that `wanted` says; a shared page before a hint. */
static uint32_t *frame_find(struct share_table *t, uint64_t key, bool shared)
{
    uint32_t *link = bucket_of(t, key);

    for (struct share_frame *f; (f = frame_at(t, *link)) != NULL; link = &f->next) {
        if (f->hash == (uint32_t)(key >> 32) && !!(f->who & SHARED) == shared)
            return link;
    }
    return NULL;
}

static uint32_t *frame_of(struct share_table *t, uint64_t key, uint32_t page, uint32_t who)
{
    uint32_t *link = bucket_of(t, key);

    for (struct share_frame *f; (f = frame_at(t, *link)) != NULL; link = &f->next) {
        if (f->page == page && f->who == who)
            return link;
    }
    return NULL;
}

/* ---- sharing ---- */

struct freezing {
    struct share_table *t;
    uint64_t key, salt;
    mpn_t mpn;
};

/* Under the VM's lock, with writers kept out: the page becomes a shared one of one holder. */
static bool accept(void *argument, mpn_t mpn, uint64_t hash)
{
    struct freezing *f = argument;
    struct share_table *t = f->t;
    bool irqs, done;

    if (salted(hash, f->salt) != f->key)
        return false;
    irqs = spin_lock(&t->lock);
    done = frame_add(t, f->key, (uint32_t)mpn.raw, SHARED);
    if (done) {
        t->counters.pages++;
        t->counters.common++;
        t->counters.zero += hash == t->zero_hash;
    }
    spin_unlock(&t->lock, irqs);
    f->mpn = mpn;
    return done;
}

/* Takes a reference of the shared page of this key. */
static bool shared_get(struct share_table *t, uint64_t key, mpn_t *mpn)
{
    bool irqs = spin_lock(&t->lock);
    uint32_t *link = frame_find(t, key, true);
    bool got = false;

    if (link) {
        *mpn = mpn_make(frame_at(t, *link)->page);
        got = page_share(*mpn);
    }
    spin_unlock(&t->lock, irqs);
    return got;
}

/* Takes the hint of this key out, if it is another page's. */
static bool hint_take(struct share_table *t, uint64_t key, uint16_t vm, uint32_t ppn,
                      struct share_frame *hint)
{
    bool irqs = spin_lock(&t->lock);
    uint32_t *link = frame_find(t, key, false);
    bool other = false;

    if (link) {
        *hint = *frame_at(t, *link);
        other = hint->page != ppn || WHO_VM(hint->who) != vm;
        frame_drop(t, link);
    }
    spin_unlock(&t->lock, irqs);
    return other;
}

/* One reference less; true: it was the last, and the page is out of the table. */
static bool leave(struct share_table *t, uint64_t key, mpn_t mpn)
{
    uint32_t *link = frame_of(t, key, (uint32_t)mpn.raw, SHARED);

    vmk_assert(link);
    if (page_references(mpn) > 1) {
        page_put(mpn);
        return false;
    }
    frame_drop(t, link);
    t->counters.common--;
    return true;
}

bool share_leave(struct share_table *t, mpn_t mpn, uint64_t salt)
{
    uint64_t hash = page_hash(mpn_map(mpn));
    bool irqs = spin_lock(&t->lock);
    bool last = leave(t, salted(hash, salt), mpn);

    vmk_assert(t->counters.pages > 0);
    t->counters.pages--;
    t->counters.zero -= hash == t->zero_hash;
    t->counters.broken++;
    spin_unlock(&t->lock, irqs);
    return last;
}

static enum share_result join(struct share_table *t, uint16_t vm, uint32_t ppn, uint64_t key,
                              mpn_t with, bool is_zero)
{
    bool joined = t->ops->join(t->context, vm, ppn, with);
    bool irqs = spin_lock(&t->lock);
    bool last = false;

    if (joined) {
        t->counters.pages++;
        t->counters.joined++;
        t->counters.zero += is_zero;
    } else {
        t->counters.unlike++;
        last = leave(t, key, with);
    }
    spin_unlock(&t->lock, irqs);
    if (last)
        page_put(with);  // all others have left it meanwhile
    return joined ? SHARE_JOINED : SHARE_LOST;
}

enum share_result share_page(struct share_table *t, uint16_t vm, uint32_t ppn, uint64_t salt)
{
    struct freezing freezing = {.t = t, .salt = salt};
    struct share_frame hint;
    enum share_result result = SHARE_HINT;
    uint64_t hash;
    mpn_t mpn;
    bool irqs;

    t->counters.scanned++;
    if (!t->ops->hash(t->context, vm, ppn, &hash))
        return SHARE_NOTHING;
    t->counters.looked++;
    freezing.key = salted(hash, salt);
    if (shared_get(t, freezing.key, &mpn))
        return join(t, vm, ppn, freezing.key, mpn, hash == t->zero_hash);
    if (hint_take(t, freezing.key, vm, ppn, &hint)) {
        if (t->ops->freeze(t->context, WHO_VM(hint.who), hint.page, accept, &freezing)) {
            if (!shared_get(t, freezing.key, &mpn))
                return SHARE_LOST;  // written again already
            result = join(t, vm, ppn, freezing.key, mpn, hash == t->zero_hash);
            return result == SHARE_JOINED ? SHARE_FIRST : result;
        }
        t->counters.stale_hints++;
    }
    irqs = spin_lock(&t->lock);
    if (!frame_add(t, freezing.key, ppn, WHO(t->age, vm)))
        result = SHARE_FULL;
    spin_unlock(&t->lock, irqs);
    return result;
}

/* ---- hints that are of no use any more ---- */

static void drop_hints(struct share_table *t,
                       bool (*useless)(const struct share_table *t, uint32_t who, uint16_t vm),
                       uint16_t vm)
{
    for (uint32_t i = 0; i <= t->bucket_mask; i++) {
        bool irqs = spin_lock(&t->lock);
        uint32_t *link = &t->buckets[i];

        for (struct share_frame *f; (f = frame_at(t, *link)) != NULL;) {
            if (!(f->who & SHARED) && useless(t, f->who, vm))
                frame_drop(t, link);
            else
                link = &f->next;
        }
        spin_unlock(&t->lock, irqs);
    }
}

static bool is_of(const struct share_table *t, uint32_t who, uint16_t vm)
{
    (void)t;
    return WHO_VM(who) == vm;
}

static bool is_old(const struct share_table *t, uint32_t who, uint16_t vm)
{
    (void)vm;
    return ((t->age - WHO_AGE(who)) & AGE_MAX) > 1;
}

void share_forget(struct share_table *t, uint16_t vm)
{
    drop_hints(t, is_of, vm);
}

void share_pass(struct share_table *t)
{
    bool irqs = spin_lock(&t->lock);

    t->age = (t->age + 1) & AGE_MAX;
    spin_unlock(&t->lock, irqs);
    drop_hints(t, is_old, 0);
}

void share_counters_get(struct share_table *t, struct share_counters *out)
{
    bool irqs = spin_lock(&t->lock);

    *out = t->counters;
    out->bytes = (uint64_t)t->made * sizeof(struct share_frame) +
                 ((uint64_t)t->bucket_mask + 1) * sizeof(*t->buckets);
    spin_unlock(&t->lock, irqs);
}

uint32_t share_hints(struct share_table *t, uint16_t vm)
{
    bool irqs = spin_lock(&t->lock);
    uint32_t count = vm < SHARE_VMS_MAX ? t->hints_of[vm] : 0;

    spin_unlock(&t->lock, irqs);
    return count;
}
