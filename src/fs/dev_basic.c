// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/dev_basic.c -- /dev/null zero full random urandom kmsg: devices without a device.
 *
 * The random bytes are a ChaCha20 stream whose key is drawn from the platform's entropy and
 * replaced by its own output after each request, so that what was handed out cannot be computed
 * from the state left behind. In the simulation the entropy is seeded and so are the bytes.
 *
 * Invariants
 *   - No 32 bytes of key serve two requests.
 * Locking    random.lock (rank FILEPAGE) around the key; the stream is made outside of it.
 * Sources    [RFC8439] for ChaCha20
 */
#include "core/heap.h"
#include "core/log.h"
#include "fs/vfs_internal.h"
#include "lib/string.h"
#include "plat/plat.h"

/* ---- ChaCha20 ---- */

static uint32_t rotate(uint32_t v, unsigned by)
{
    return (v << by) | (v >> (32 - by));
}

static void quarter(uint32_t x[16], unsigned a, unsigned b, unsigned c, unsigned d)
{
    x[a] += x[b];
    x[d] = rotate(x[d] ^ x[a], 16);
    x[c] += x[d];
    x[b] = rotate(x[b] ^ x[c], 12);
    x[a] += x[b];
    x[d] = rotate(x[d] ^ x[a], 8);
    x[c] += x[d];
    x[b] = rotate(x[b] ^ x[c], 7);
}

void chacha20_block(const uint32_t state[16], uint8_t out[64])
{
    uint32_t x[16];

    memcpy(x, state, sizeof(x));
    for (unsigned i = 0; i < 10; i++) {
        quarter(x, 0, 4, 8, 12);
        quarter(x, 1, 5, 9, 13);
        quarter(x, 2, 6, 10, 14);
        quarter(x, 3, 7, 11, 15);
        quarter(x, 0, 5, 10, 15);
        quarter(x, 1, 6, 11, 12);
        quarter(x, 2, 7, 8, 13);
        quarter(x, 3, 4, 9, 14);
    }
    for (unsigned i = 0; i < 16; i++) {
        x[i] += state[i];
        memcpy(out + 4 * i, &x[i], 4);
    }
}

struct fs_random {
    struct spinlock lock;
    uint32_t key[8];  // lock
    bool seeded;      // lock
};

static void state_init(uint32_t state[16], const uint32_t key[8])
{
    static const uint32_t constants[4] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};

    memcpy(state, constants, sizeof(constants));
    memcpy(state + 4, key, 32);
    memset(state + 12, 0, 16);
}

void vfs_random(void *out, size_t size)
{
    struct fs_random *random = fs_state()->random;
    uint32_t state[16];
    uint8_t block[64];
    bool irqs = spin_lock(&random->lock);

    for (unsigned i = 0; i < 4; i++) {
        uint64_t fresh = random->seeded && i ? 0 : plat_entropy();

        random->key[2 * i] ^= (uint32_t)fresh;
        random->key[2 * i + 1] ^= (uint32_t)(fresh >> 32);
    }
    random->seeded = true;
    state_init(state, random->key);
    chacha20_block(state, block);
    memcpy(random->key, block, 32);  // the next request's
    spin_unlock(&random->lock, irqs);

    /* This request's stream has a key nobody keeps: the block's other half. */
    memcpy(state + 4, block + 32, 32);
    for (size_t done = 0; done < size; done += 64) {
        state[12]++;
        chacha20_block(state, block);
        memcpy((char *)out + done, block, MIN(size - done, sizeof(block)));
    }
    memset(state, 0, sizeof(state));
    memset(block, 0, sizeof(block));
}

/* ---- the devices ---- */

static vmk_status take_all(struct file *file, struct vfs_iov *iov)
{
    (void)file;
    iov->done = iov->size;
    return VMK_OK;
}

static vmk_status refuse_all(struct file *file, struct vfs_iov *iov)
{
    (void)file;
    return iov->size ? VMK_NO_SPACE : VMK_OK;
}

static vmk_status read_nothing(struct file *file, struct vfs_iov *iov)
{
    (void)file;
    (void)iov;
    return VMK_OK;
}

static vmk_status read_zeros(struct file *file, struct vfs_iov *iov)
{
    (void)file;
    memset(iov->to, 0, iov->size);
    iov->done = iov->size;
    return VMK_OK;
}

static vmk_status read_random(struct file *file, struct vfs_iov *iov)
{
    (void)file;
    vfs_random(iov->to, iov->size);
    iov->done = iov->size;
    return VMK_OK;
}

static vmk_status write_random(struct file *file, struct vfs_iov *iov)
{
    struct fs_random *random = fs_state()->random;
    bool irqs = spin_lock(&random->lock);

    (void)file;
    for (size_t i = 0; i < iov->size; i++)
        random->key[i % 8] = rotate(random->key[i % 8], 5) ^ ((const uint8_t *)iov->from)[i];
    spin_unlock(&random->lock, irqs);
    iov->done = iov->size;
    return VMK_OK;
}

static const struct file_ops null_ops = {
    .read = read_nothing, .write = take_all, .seekable = true, .seeks_to_zero = true};
static const struct file_ops zero_ops = {
    .read = read_zeros, .write = take_all, .seekable = true, .seeks_to_zero = true};
static const struct file_ops full_ops = {
    .read = read_zeros, .write = refuse_all, .seekable = true, .seeks_to_zero = true};
static const struct file_ops random_ops = {
    .read = read_random, .write = write_random, .seekable = true, .seeks_to_zero = true};

static vmk_status basic_open(struct vfs_device_driver *driver, struct file *file)
{
    file->ops = driver->private;
    return VMK_OK;
}

static const struct {
    const char *name;
    uint32_t minor;
    const struct file_ops *ops;
} basics[] = {
    {"null", 3, &null_ops},     {"zero", 5, &zero_ops},      {"full", 7, &full_ops},
    {"random", 8, &random_ops}, {"urandom", 9, &random_ops},
};

vmk_status fs_basic_devices_register(void)
{
    struct fs_state *fs = fs_state();

    fs->random = heap_alloc(sizeof(*fs->random), MEM_OWNER_FS);
    if (!fs->random)
        return VMK_NO_MEMORY;
    spin_init(&fs->random->lock, "random", LOCK_RANK_FILEPAGE);
    for (size_t i = 0; i < ARRAY_COUNT(basics); i++) {
        struct vfs_device_driver *driver = heap_alloc(sizeof(*driver), MEM_OWNER_FS);
        vmk_status status;

        if (!driver)
            return VMK_NO_MEMORY;
        driver->name = basics[i].name;
        driver->type = VFS_TYPE_CHAR;
        driver->mode = 0666;
        driver->device = vfs_device(1, basics[i].minor);
        driver->open = basic_open;
        driver->private = (void *)(uintptr_t)basics[i].ops;
        status = vfs_device_register(driver);
        if (status != VMK_OK)
            return status;
    }
    return VMK_OK;
}
