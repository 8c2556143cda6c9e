// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmfs/vmfs_describe.c -- the lock and the descriptor of a file as they stand on disk, as text.
 *
 * For vmkfstools -D, whose lines are ESXi's: who has a file that another host finds busy.
 *
 * Locking    vmfs_volume.mutex.
 * Start at   vmfs_describe().
 * Sources    [VMKFSTOOLS]; the shape of the lines is that of public support articles.
 */
#include "fs/vmfs/vmfs_internal.h"
#include "lib/format.h"
#include "lib/string.h"

#define HOLDER_SIZE 32u  // u64 heartbeat, u64 generation, UUID
#define HOLDERS_MAX 8u

/* Behind the holders: the lock's state between clusters, which is 0 here. */
enum {
    LOCK_HOLDER = 0x44,
    LOCK_GLOBAL_HOLDERS = 0x164,
    LOCK_GLOBAL_GENERATION = 0x168,
    LOCK_GLOBAL_BREAK = 0x170,
};

static vmk_status read_lock(struct vmfs_volume *v, vmfs_id file, struct fd *fd,
                            uint8_t lock[VMFS_SECTOR])
{
    vmk_status status = fd_get(v, file, false, fd);

    return status == VMK_OK ? lv_read(v, fd->position, lock, VMFS_SECTOR) : status;
}

vmk_status vmfs_lock_info(struct vmfs_volume *v, vmfs_id file, struct vmfs_lock_info *out)
{
    uint8_t lock[VMFS_SECTOR];
    struct fd fd;
    vmk_status status = volume_enter(v, false);

    if (status == VMK_OK)
        status = read_lock(v, file, &fd, lock);
    if (status == VMK_OK) {
        out->address = le64(lock + LOCK_ADDRESS);
        out->heartbeat = le64(lock + LOCK_HB_ADDRESS);
        out->heartbeat_generation = le64(lock + LOCK_HB_GENERATION);
        out->token = le64(lock + LOCK_TOKEN);
        out->type = le32(lock + LOCK_TYPE);
        out->mode = le32(lock + LOCK_MODE);
        memcpy(out->owner.raw, lock + LOCK_OWNER, VMFS_UUID_SIZE);
    }
    return volume_leave(v, status);
}

/* ---- as text ---- */

struct text {
    char *out;
    size_t room, length;
};

static void say(struct text *t, const char *format, ...) printf_like(2, 3);

static void say(struct text *t, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    t->length +=
        (size_t)vmk_vsnprintf(t->out + t->length, t->room - t->length, format, arguments);
    va_end(arguments);
    t->length = MIN(t->length, t->room - 1);
}

static void uuid_text(const uint8_t *raw, char out[VMFS_UUID_TEXT])
{
    struct vmfs_uuid uuid;

    memcpy(uuid.raw, raw, VMFS_UUID_SIZE);
    vmfs_uuid_text(&uuid, out);
}

static void say_lock(struct text *t, const uint8_t *lock)
{
    const uint32_t holders = le32(lock + LOCK_HOLDERS);
    char uuid[VMFS_UUID_TEXT];

    uuid_text(lock + LOCK_OWNER, uuid);
    say(t, "Lock [type %08x offset %llu v %llu, hb offset %llu\n", le32(lock + LOCK_TYPE),
        (unsigned long long)le64(lock + LOCK_ADDRESS),
        (unsigned long long)le64(lock + LOCK_TOKEN),
        (unsigned long long)le64(lock + LOCK_HB_ADDRESS));
    say(t, "gen %llu, mode %u, owner %s mtime %llu\n",
        (unsigned long long)le64(lock + LOCK_HB_GENERATION), le32(lock + LOCK_MODE), uuid,
        (unsigned long long)le64(lock + LOCK_MTIME));
    say(t, "num %u gblnum %u gblgen %llu gblbrk %u]\n", holders,
        le32(lock + LOCK_GLOBAL_HOLDERS),
        (unsigned long long)le64(lock + LOCK_GLOBAL_GENERATION),
        le32(lock + LOCK_GLOBAL_BREAK));
    for (uint32_t i = 0; i < MIN(holders, HOLDERS_MAX); i++) {
        const uint8_t *holder = lock + LOCK_HOLDER + i * HOLDER_SIZE;

        uuid_text(holder + 16, uuid);
        say(t, "RO Owner[%u] HB Offset %llu %s\n", i, (unsigned long long)le64(holder), uuid);
    }
}

static void say_descriptor(struct text *t, const struct fd *fd)
{
    static const char *const types[] = {[FD_TYPE_DIR] = "dir",
                                        [FD_TYPE_FILE] = "reg",
                                        [FD_TYPE_LINK] = "lnk",
                                        [FD_TYPE_SYSTEM] = "sys",
                                        [FD_TYPE_RDM] = "rdm"};
    const uint32_t type = fd_u32(fd, FD_TYPE);
    const uint8_t *meta = fd->meta->data;

    say(t, "Addr <%u, %u, %u>, gen %u, links %u, type %s, flags %u, uid %u, gid %u, mode %o\n",
        (unsigned)addr_type(fd->address), addr_cluster(fd->address), addr_item(fd->address),
        fd_u32(fd, FD_GENERATION), fd_u32(fd, FD_LINKS),
        type < ARRAY_COUNT(types) && types[type] ? types[type] : "unknown",
        fd_u32(fd, FD_FLAGS), fd_u32(fd, FD_UID), fd_u32(fd, FD_GID), fd_u32(fd, FD_MODE));
    say(t, "len %llu, nb %llu tbz %llu, cow %u, newSinceEpoch %llu, zla %u, bs %llu\n",
        (unsigned long long)fd_length(fd), (unsigned long long)le64(meta + FD_BLOCKS),
        (unsigned long long)fd_u32(fd, FD_TBZ_COUNT) |
            (unsigned long long)fd_u32(fd, FD_TBZ_HIGH) << 32,
        fd_u32(fd, FD_COW_COUNT),
        (unsigned long long)fd_u32(fd, FD_NEW_COUNT) |
            (unsigned long long)fd_u32(fd, FD_NEW_HIGH) << 32,
        fd_u32(fd, FD_ZLA), (unsigned long long)le64(meta + FD_BLOCK_SIZE));
}

vmk_status vmfs_describe(struct vmfs_volume *v, vmfs_id file, char *out, size_t room)
{
    struct text t = {.out = out, .room = room};
    uint8_t lock[VMFS_SECTOR];
    struct fd fd;
    vmk_status status = volume_enter(v, false);

    if (status == VMK_OK)
        status = read_lock(v, file, &fd, lock);
    if (status == VMK_OK) {
        say_lock(&t, lock);
        say_descriptor(&t, &fd);
    }
    return volume_leave(v, status);
}
