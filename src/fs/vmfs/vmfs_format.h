// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmfs/vmfs_format.h -- VMFS-5 on disk: where each field stands.
 *
 * Every integer is little-endian and most stand unaligned, so a structure is a byte array and
 * its fields are offsets read by le16(), le32() and le64(). Names follow the open-source
 * readers.
 *
 * Sources [VMFS-TOOLS]; docs/design/vmfs.md says what was tested against what.
 */
#pragma once

#include "lib/endian.h"

#define VMFS_SECTOR     512u
#define VMFS_FB_SHIFT   20u
#define VMFS_FB_SIZE    (1u << VMFS_FB_SHIFT)
#define VMFS_SB_SHIFT   13u
#define VMFS_SB_SIZE    (1u << VMFS_SB_SHIFT)
#define VMFS_PB_SIZE    4096u
#define VMFS_PB_WORDS   1024u  // addresses in a pointer block
#define VMFS_FD_SIZE    2048u
#define VMFS_FD_WORDS   256u  // addresses in a descriptor
#define VMFS_UUID_SIZE  16u
#define VMFS_LABEL_SIZE 128u
#define VMFS_NAME_MAX   127u

/* ---- LVM: at LVM_BASE on each device ---- */
#define LVM_BASE        0x100000ull
#define LVM_MAGIC       0xC001D00Du
#define LVM_MAJOR       5u
#define LVM_MAJOR_OLD   3u           // VMFS-3
#define LVM_VOLUME      0x100200ull  // volume table, entry 0
#define LVM_NAMES       0x17E200ull  // 32 device names of 256 bytes
#define LVM_PE_BITMAP   0x180200ull  // 1 KiB per 8192 PEs
#define LVM_PE_TABLE    0x180600ull  // 8192 entries of 128 bytes
#define LVM_PE_MAP_STEP 0x100400ull  // bitmap and table repeat
#define LVM_PES_PER_MAP 8192u
#define LVM_PE_MAPS_MAX 8u
#define LVM_DATA        0x1100000ull  // PE 0
#define LVM_PE_SHIFT    28u
#define LVM_PE_SIZE     (1ull << LVM_PE_SHIFT)
#define LVM_EXTENTS_MAX 32u

enum lvm_device_field {
    LVM_D_MAGIC = 0x00,
    LVM_D_MAJOR = 0x04,
    LVM_D_MINOR = 0x08,
    LVM_D_DISK_TYPE = 0x0C,  // u8 type, u8 idlen, u16 lun, u8 devtype, u8 scsilevel
    LVM_D_VENDOR = 0x12,
    LVM_D_MODEL = 0x1A,
    LVM_D_REVISION = 0x2A,
    LVM_D_ID = 0x2E,
    LVM_D_BLOCK_SIZE = 0x5A,
    LVM_D_TOTAL_BYTES = 0x5E,
    LVM_D_VOLUMES = 0x66,
    LVM_D_PES = 0x6A,
    LVM_D_LAST_PE = 0x6E,
    LVM_D_GENERATION = 0x72,
    LVM_D_DATA = 0x7A,
    LVM_D_UUID = 0x82,
    LVM_D_INIT_TIME = 0x92,
    LVM_D_MOD_TIME = 0x9A,
    LVM_D_PE_MAPS = 0xBE,
};

enum lvm_volume_field {
    LVM_V_SIZE = 0x00,
    LVM_V_GENERATION = 0x08,
    LVM_V_STATE = 0x10,
    LVM_V_NAME = 0x14,
    LVM_V_UUID = 0x54,
    LVM_V_SNAPSHOT = 0x64,
    LVM_V_CREATED = 0x68,
    LVM_V_INDEX = 0x70,
    LVM_V_PES = 0x74,
    LVM_V_FIRST_PE = 0x78,
    LVM_V_LAST_PE = 0x80,
    LVM_V_MOD_TIME = 0x88,
    LVM_V_DEVICES = 0x90,
    LVM_V_CONSUMED = 0x110,
};

enum lvm_pe_field {
    LVM_P_USED = 0,
    LVM_P_ID = 1,
    LVM_P_VOLUME = 5,
    LVM_P_DEVICE_AT = 9,
    LVM_P_VOLUME_AT = 17,
    LVM_P_LENGTH = 25,
    LVM_P_VERSION = 33,
};
#define LVM_PE_ENTRY 128u

/* Where the entry of the device's extent `pe` stands. */
static inline uint64_t lvm_pe_entry(uint64_t pe)
{
    return LVM_PE_TABLE + pe / LVM_PES_PER_MAP * LVM_PE_MAP_STEP +
           pe % LVM_PES_PER_MAP * LVM_PE_ENTRY;
}

/* ---- superblock: one sector at FS_BASE of the logical volume ---- */
#define FS_BASE         0x200000ull
#define FS_MAGIC        0x2FABF15Eu
#define FS_MAJOR        14u
#define FS_MAJOR_OLDEST 3u  // VMFS-3
#define FS_MINOR        81u
#define FS_MODE_DENSE   4u  // sub-blocks of 8 KiB, 32 in a cluster
#define FB_SHIFT_MAX    23u
#define SB_SHIFT_MAX    16u
#define FDC_BASE        0x400000ull  // first block of .fdc.sf, or block 1 if that is behind it

enum fs_field {
    FS_MAGIC_AT = 0x00,
    FS_MAJOR_AT = 0x04,
    FS_MINOR_AT = 0x08,
    FS_UUID = 0x09,
    FS_MODE = 0x19,
    FS_LABEL = 0x1D,
    FS_DISK_BLOCK = 0x9D,
    FS_BLOCK_SIZE = 0xA1,
    FS_CREATED = 0xA9,
    FS_SNAPSHOT = 0xAD,
    FS_LV_UUID = 0xB1,
    FS_LV_SNAPSHOT = 0xC1,
    FS_FDC_HEADER = 0xD1,
    FS_FDC_CLUSTERS = 0xD5,
    FS_SUB_BLOCK = 0xD9,
    FS_JOURNAL_SLOTS = 0xDD,
    FS_PB2_ADDRESS = 0xE1,
    FS_PB2_FD = 0xE9,
    FS_HOST = 0xED,
    FS_GENERATION = 0xFD,
    FS_SDD_ADDRESS = 0x105,
    FS_SDD_FD = 0x10D,
};

/* ---- on-disk lock: the sector in front of what it protects ---- */
enum lock_type {
    LOCK_FD = 0x10C00001,
    LOCK_FBB = 0x10C00002,
    LOCK_SBC = 0x10C00003,
    LOCK_PBC = 0x10C00004,
    LOCK_FDC = 0x10C00005,
    LOCK_PB2 = 0x10C00006,
};

enum lock_field {
    LOCK_TYPE = 0x00,
    LOCK_ADDRESS = 0x04,
    LOCK_HB_ADDRESS = 0x0C,
    LOCK_HB_GENERATION = 0x14,
    LOCK_TOKEN = 0x1C,
    LOCK_MODE = 0x24,
    LOCK_OWNER = 0x28,
    LOCK_MTIME = 0x38,
    LOCK_HOLDERS = 0x40,  // how many
    LOCK_HOLDER = 0x44,   // u64 heartbeat, u64 generation, UUID
    /* The lock's state between clusters, which is 0 here. */
    LOCK_GLOBAL_HOLDERS = 0x164,
    LOCK_GLOBAL_GENERATION = 0x168,
    LOCK_GLOBAL_BREAK = 0x170,
};
#define LOCK_HOLDER_SIZE 32u
#define LOCK_HOLDERS_MAX 8u  // in the lock's own sector

enum lock_mode {
    LOCK_FREE = 0,
    LOCK_EXCLUSIVE = 1,
    LOCK_SHARED = 2,
    LOCK_MULTI_WRITER = 3,
};

/* ---- heartbeats ---- */
#define HB_BASE    0x300000ull
#define HB_SLOTS   2048u
#define HB_FREE    0xABCDEF01u
#define HB_IN_USE  0xABCDEF02u
#define HB_DEAD_NS 16000000000ull  // unchanged for so long: its host is dead
#define HB_BEAT_NS 3000000000ull
#define HB_LEASE_NS                                                                            \
    (HB_DEAD_NS / 2)  // so long after a beat a host may write, and a write may take
#define LOCK_DRIVER 3u

enum hb_field {
    HB_STATE = 0x00,
    HB_ADDRESS = 0x04,
    HB_GENERATION = 0x0C,
    HB_STAMP = 0x14,
    HB_OWNER = 0x1C,
    HB_JOURNAL_FB = 0x2C,
    HB_MAJOR = 0x30,
    HB_MINOR = 0x34,
    HB_LOCK_DRIVER = 0x35,
    HB_HOST = 0x36,  // 46 bytes of text
    HB_JOURNAL = 0x64,
};

/* ---- resource files ---- */
#define RES_HEADER_SIZE  0x10000u
#define RES_GROUP        64u    // clusters per group
#define RES_CLUSTER_SIZE 1024u  // lock sector and metadata sector
#define RES_BITMAP_SIZE  64u

enum res_header_field {
    RES_H_PER_CLUSTER = 0x00,
    RES_H_PER_GROUP = 0x04,
    RES_H_HEADER = 0x08,
    RES_H_ITEM_SIZE = 0x0C,
    RES_H_GROUP_SIZE = 0x10,
    RES_H_TOTAL = 0x14,
    RES_H_GROUPS = 0x18,
    RES_H_TOTAL_HIGH = 0x1C,
};

enum res_cluster_field {  // in the metadata sector
    RES_C_NUMBER = 0x00,
    RES_C_COUNT = 0x04,
    RES_C_FREE = 0x08,
    RES_C_FIRST_FREE = 0x0C,
    RES_C_BITMAP = 0x10,  // 1 = free
    RES_C_TYPE_DATA = 0x50,
    RES_C_PRIORITY = 0x60,
};

/* ---- addresses: the low three bits are the type ---- */
enum address_type {
    ADDR_NONE = 0,
    ADDR_FB = 1,
    ADDR_SB = 2,
    ADDR_PB = 3,
    ADDR_FD = 4,
    ADDR_PB2 = 5,
};
#define ADDR_TBZ (1u << 5)  // on a file block: allocated, reads as zeros

static inline enum address_type addr_type(uint32_t address)
{
    return (enum address_type)(address & 7);
}

static inline uint32_t addr_fb(uint32_t block)
{
    return block << 6 | ADDR_FB;
}

static inline uint32_t addr_fb_block(uint32_t address)
{
    return address >> 6;
}

static inline uint32_t addr_sb(uint32_t cluster, uint32_t item)
{
    return (item & 15) << 28 | cluster << 6 | (item >> 4 & 3) << 3 | ADDR_SB;
}

static inline uint32_t addr_pb(uint32_t cluster, uint32_t item)
{
    return item << 28 | cluster << 6 | ADDR_PB;
}

static inline uint32_t addr_fd(uint32_t cluster, uint32_t item)
{
    return item << 22 | cluster << 6 | ADDR_FD;
}

static inline uint32_t addr_cluster(uint32_t address)
{
    return addr_type(address) == ADDR_FD ? address >> 6 & 0xffff : address >> 6 & 0x3fffff;
}

static inline uint32_t addr_item(uint32_t address)
{
    switch (addr_type(address)) {
    case ADDR_FD: return address >> 22;
    case ADDR_SB: return address >> 28 | (address >> 3 & 3) << 4;
    default: return address >> 28;
    }
}

/* ---- file descriptors; offsets from the descriptor's start ---- */
#define FD_META      0x200u
#define FD_DATA      0x400u
#define FD_DATA_SIZE 1024u

enum fd_field {  // in the metadata sector
    FD_ADDRESS = 0x00,
    FD_GENERATION = 0x04,
    FD_LINKS = 0x08,
    FD_TYPE = 0x0C,
    FD_FLAGS = 0x10,
    FD_LENGTH = 0x14,
    FD_BLOCK_SIZE = 0x1C,
    FD_BLOCKS = 0x24,
    FD_MTIME = 0x2C,
    FD_CTIME = 0x30,
    FD_ATIME = 0x34,
    FD_UID = 0x38,
    FD_GID = 0x3C,
    FD_MODE = 0x40,
    FD_ZLA = 0x44,
    FD_TBZ_COUNT = 0x48,
    FD_COW_COUNT = 0x4C,
    FD_NEW_COUNT = 0x50,
    FD_TBZ_HIGH = 0x54,
    FD_PB_COUNT = 0x5C,
    FD_NEW_HIGH = 0x60,
    FD_AFFINITY = 0x68,
    FD_TBZ_SHIFT = 0x6C,
    FD_BLOCK_SHIFT = 0x89,
};

enum fd_type {
    FD_TYPE_DIR = 2,
    FD_TYPE_FILE = 3,
    FD_TYPE_LINK = 4,
    FD_TYPE_SYSTEM = 5,
    FD_TYPE_RDM = 6,
};

/* What the 256 addresses of a descriptor are. */
enum fd_zla {
    ZLA_FB = 1,
    ZLA_SB = 2,
    ZLA_PB = 3,
    ZLA_PB2_SINGLE = 5,
    ZLA_DOUBLE = 4304,
    ZLA_RESIDENT = 4305,
};
#define FD_RESIDENT_MAX 1024u
#define FD_DIRECT_BYTES (256ull << 20)
#define FD_SINGLE_BYTES (256ull << 30)
#define VMFS_FILE_MAX   69201586814976ull  // what ESXi reports as its largest

enum fd_system {  // items of cluster 0
    FD_ROOT,
    FD_FBB,
    FD_FDC,
    FD_PBC,
    FD_SBC,
    FD_VH,
    FD_PB2,
    FD_SDD,
    FD_SYSTEM_COUNT,
};

/* ---- directory entries ---- */
#define DIRENT_SIZE 140u

enum dirent_field {
    DIRENT_TYPE = 0x00,
    DIRENT_FD = 0x04,
    DIRENT_GENERATION = 0x08,
    DIRENT_NAME = 0x0C,
};
