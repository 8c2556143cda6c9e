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

/* Enters the volume; the caller leaves it. */
static vmk_status enter_and_read(struct vmfs_volume *v, vmfs_id file, struct fd *fd,
                                 uint8_t sector[VMFS_SECTOR])
{
    vmk_status status = volume_enter(v, false);

    if (status == VMK_OK)
        status = fd_get(v, file, false, fd);
    return status == VMK_OK ? lv_read(v, fd->position, sector, VMFS_SECTOR) : status;
}

vmk_status vmfs_lock_info(struct vmfs_volume *v, vmfs_id file, struct vmfs_lock_info *out)
{
    uint8_t sector[VMFS_SECTOR];
    struct fd fd;
    vmk_status status = enter_and_read(v, file, &fd, sector);

    if (status == VMK_OK)
        *out = lock_fields(sector);
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

static void say_lock(struct text *t, const uint8_t *sector)
{
    const struct vmfs_lock_info lock = lock_fields(sector);
    char uuid[VMFS_UUID_TEXT];

    vmfs_uuid_text(&lock.owner, uuid);
    say(t, "Lock [type %08x offset %llu v %llu, hb offset %llu\n", lock.type,
        (unsigned long long)lock.address, (unsigned long long)lock.token,
        (unsigned long long)lock.heartbeat);
    say(t, "gen %llu, mode %u, owner %s mtime %llu\n",
        (unsigned long long)lock.heartbeat_generation, lock.mode, uuid,
        (unsigned long long)lock.mtime);
    say(t, "num %u gblnum %u gblgen %llu gblbrk %u]\n", lock.holders,
        le32(sector + LOCK_GLOBAL_HOLDERS),
        (unsigned long long)le64(sector + LOCK_GLOBAL_GENERATION),
        le32(sector + LOCK_GLOBAL_BREAK));
    for (uint32_t i = 0; i < MIN(lock.holders, LOCK_HOLDERS_MAX); i++) {
        const uint8_t *at = sector + LOCK_HOLDER + i * LOCK_HOLDER_SIZE;
        struct vmfs_uuid holder;

        memcpy(holder.raw, at + 16, VMFS_UUID_SIZE);
        vmfs_uuid_text(&holder, uuid);
        say(t, "RO Owner[%u] HB Offset %llu %s\n", i, (unsigned long long)le64(at), uuid);
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
    uint8_t sector[VMFS_SECTOR];
    struct fd fd;
    vmk_status status = enter_and_read(v, file, &fd, sector);

    if (status == VMK_OK) {
        say_lock(&t, sector);
        say_descriptor(&t, &fd);
    }
    return volume_leave(v, status);
}
