// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmdk/vmdk_sparse_new.c -- new sparse extents: headers, and directories of nothing.
 *
 * A hosted extent gets all its tables at once, twice, behind each other, and its header last,
 * so that what is cut short is no extent. An ESX one gets its tables as they are needed.
 *
 * Locking    none.
 * Sources    VMDK-FORMAT; VDF "Hosted Sparse Extents", "ESX Server Sparse Extents".
 */
#include "core/heap.h"
#include "fs/vmdk/vmdk_internal.h"
#include "lib/endian.h"
#include "lib/string.h"

#define TABLE_SECTORS (VMDK_GT_ENTRIES * 4 / VMDK_SECTOR)

void vmdk_hosted_header(uint8_t *h, uint64_t sectors, uint32_t flags, uint32_t version)
{
    memset(h, 0, VMDK_SECTOR);
    put_le32(h + HOSTED_MAGIC, VMDK_HOSTED_MAGIC);
    put_le32(h + HOSTED_VERSION, version);
    put_le32(h + HOSTED_FLAGS, flags | HOSTED_FLAG_LINE_ENDS);
    put_le64(h + HOSTED_CAPACITY, sectors);
    put_le64(h + HOSTED_GRAIN, VMDK_GRAIN_SECTORS);
    put_le64(h + HOSTED_DESCRIPTOR, 1);
    put_le64(h + HOSTED_DESCRIPTOR_SIZE, VMDK_EMBED_SECTORS);
    put_le32(h + HOSTED_GT_ENTRIES, VMDK_GT_ENTRIES);
    memcpy(h + HOSTED_LINE_ENDS, "\n \r\n", 4);
}

/* A directory at `at` whose tables lie behind it, one after the other. */
static vmk_status directory_write(struct vmdk_file *file, uint64_t at, uint64_t entries,
                                  uint64_t *end)
{
    uint64_t table = at + (entries * 4 + VMDK_SECTOR - 1) / VMDK_SECTOR;
    uint8_t sector[VMDK_SECTOR];

    *end = table + entries * TABLE_SECTORS;
    if (*end > UINT32_MAX)
        return VMK_TOO_BIG;
    for (uint64_t i = 0; i < entries; at++) {
        vmk_status status;

        memset(sector, 0, sizeof(sector));
        for (unsigned j = 0; j < VMDK_SECTOR / 4 && i < entries; j++, i++)
            put_le32(sector + 4 * j, (uint32_t)(table + i * TABLE_SECTORS));
        status = vmdk_file_write(file, at * VMDK_SECTOR, sector, sizeof(sector));
        if (status != VMK_OK)
            return status;
    }
    return VMK_OK;
}

vmk_status vmdk_sparse_create_hosted(struct vmdk_file *file, uint64_t sectors,
                                     const char *descriptor, size_t length)
{
    uint64_t span = (uint64_t)VMDK_GRAIN_SECTORS * VMDK_GT_ENTRIES;
    uint64_t entries = (sectors + span - 1) / span;
    uint64_t rgd = 1 + VMDK_EMBED_SECTORS;
    uint64_t gd = 0;
    uint64_t end = 0;
    uint8_t h[VMDK_SECTOR];
    vmk_status status;

    if (length > VMDK_EMBED_SECTORS * VMDK_SECTOR)
        return VMK_TOO_BIG;
    status = directory_write(file, rgd, entries, &gd);
    if (status == VMK_OK)
        status = directory_write(file, gd, entries, &end);
    end = (end + VMDK_GRAIN_SECTORS - 1) / VMDK_GRAIN_SECTORS * VMDK_GRAIN_SECTORS;
    if (status == VMK_OK)
        status = file->store->ops->truncate(file->store, file->handle, end * VMDK_SECTOR);
    if (status != VMK_OK)
        return status;
    file->size = end * VMDK_SECTOR;
    vmdk_hosted_header(h, sectors, HOSTED_FLAG_RGD, 1);
    put_le64(h + HOSTED_RGD, rgd);
    put_le64(h + HOSTED_GD, gd);
    put_le64(h + HOSTED_OVERHEAD, end);
    if (length)
        status = vmdk_file_write(file, VMDK_SECTOR, descriptor, length);
    if (status == VMK_OK)
        status = vmdk_file_sync(file);
    if (status == VMK_OK)
        status = vmdk_file_write(file, 0, h, sizeof(h));
    return status == VMK_OK ? vmdk_file_sync(file) : status;
}

vmk_status vmdk_sparse_create_esx(struct vmdk_file *file, uint64_t sectors)
{
    uint64_t grain = 1;
    uint64_t entries;
    uint64_t end;
    uint8_t *h;
    vmk_status status;

    if (sectors > UINT32_MAX)
        return VMK_TOO_BIG;
    entries = (sectors + grain * ESX_GT_ENTRIES - 1) / (grain * ESX_GT_ENTRIES);
    end = 4 + (entries * 4 + VMDK_SECTOR - 1) / VMDK_SECTOR;
    h = heap_alloc(ESX_HEADER_SIZE, MEM_OWNER_FS);
    if (!h)
        return VMK_NO_MEMORY;
    put_le32(h + ESX_MAGIC, VMDK_ESX_MAGIC);
    put_le32(h + ESX_VERSION, 1);
    put_le32(h + ESX_FLAGS, 3);
    put_le32(h + ESX_CAPACITY, (uint32_t)sectors);
    put_le32(h + ESX_GRAIN, (uint32_t)grain);
    put_le32(h + ESX_GD, 4);
    put_le32(h + ESX_GD_ENTRIES, (uint32_t)entries);
    put_le32(h + ESX_NEXT_FREE, (uint32_t)end);
    status = file->store->ops->truncate(file->store, file->handle, end * VMDK_SECTOR);
    file->size = end * VMDK_SECTOR;
    if (status == VMK_OK)
        status = vmdk_file_write(file, 0, h, ESX_HEADER_SIZE);
    heap_free(h);
    return status == VMK_OK ? vmdk_file_sync(file) : status;
}
