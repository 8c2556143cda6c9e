// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/dump/dump.h -- what a panic leaves behind: its form, who writes it, who finds and reads it.
 *
 * A dump lies at the beginning of a partition of ESXi's type vmkcore (ESXi's own form of a dump
 * is not documented, so the form is ours), or, after the next boot, in a file vmkernel-zdump.N.
 * Both are the same bytes, all integers little-endian:
 *
 *     0     "VMKDUMP1"          8   u32 version, 1        12   u32 flags: 1 packed by zlib, 2 whole
 *     16    u32 state: 1 new, 2 collected                 20   u32 CRC of the body as stored
 *     24    u64 bytes of the body as stored               32   u64 bytes of it unpacked
 *     40    u64 time of the panic, seconds since 1970     48   u64 uptime, nanoseconds
 *     56    u32 CPU       60   u32 world                  64   char version[64]
 *     128   char place[128], "file:line"                  256  char reason[512]
 *     4092  u32 CRC of the 4092 bytes before it
 *     4096  the body
 *
 * The body, unpacked, is records: u32 0x43455244 ("DREC"), u32 size, char section[8], then
 * `size` bytes. What records of one section hold belongs together, in their order. Sections:
 * "panic" the text of the panic screen (registers, locks, backtrace), "log" the log's ring,
 * "trace" frames (core/trace_frame.h), "worlds" a line for each world. The header is written
 * again behind each section, so a dump that came to an end in the middle has what was before;
 * it lacks flag 2.
 */
#pragma once

#include "core/core.h"
#include "io/block.h"

#define DUMP_HEADER_SIZE  4096u
#define DUMP_SECTION_SIZE 8u
#define DUMP_RECORD_MAGIC 0x43455244u  // "DREC"
#define DUMP_RECORD_HEAD  16u
#define DUMP_LEAST        (1u << 20)  // of a partition that is used

enum dump_flag {
    DUMP_PACKED = 1,
    DUMP_WHOLE = 2,
};

/* NEW and COLLECTED are on the disk; the others tell of one that has no good dump. */
enum dump_status {
    DUMP_NONE = 0,
    DUMP_NEW = 1,
    DUMP_COLLECTED = 2,
    DUMP_CORRUPT = 3,
};

struct dump_header {
    uint32_t flags, state, body_crc, cpu, world;
    uint64_t stored, unpacked, when, uptime;
    char version[64], place[128], reason[512];
};

/* ---- form: dump_read.c ---- */

void dump_header_encode(const struct dump_header *header, uint8_t raw[DUMP_HEADER_SIZE]);
/* NOT_FOUND: there is no dump. CORRUPT: there is the beginning of one. */
must_check vmk_status dump_header_decode(const uint8_t raw[DUMP_HEADER_SIZE],
                                         struct dump_header *out);

/* Where a dump lies, from its header on. */
struct dump_source {
    vmk_status (*read)(void *context, uint64_t offset, void *to, size_t size);
    void *context;
    uint64_t size;
};
/* The read() of a source whose context is a block device. */
must_check vmk_status dump_device_read(void *device, uint64_t offset, void *to, size_t size);
/* A piece of a section, in their order; false ends the reading. */
typedef bool dump_piece_fn(void *context, const char *section, const void *data, size_t size);
/*
 * Reads a dump and gives its pieces out. `header` is filled in unless there is none
 * (NOT_FOUND). CORRUPT: the pieces so far were good, or the body's CRC is wrong, which is known
 * before the first piece. NO_MEMORY.
 */
must_check vmk_status dump_read(const struct dump_source *source, struct dump_header *header,
                                dump_piece_fn *piece, void *context);

/* ---- writing, from a panic: dump_write.c ---- */

struct dump_writer;
/*
 * Everything that is needed later is had now. The device has panic_write. Null: no memory.
 * [block]
 */
struct dump_writer *dump_writer_create(struct block_device *device);
void dump_writer_destroy(struct dump_writer *writer);
/* To be filled in before it begins; sizes, sums, flags and state are the writer's. */
struct dump_header *dump_writer_header(struct dump_writer *writer);
/* Begins: what was there is no dump any more. */
must_check vmk_status dump_writer_begin(struct dump_writer *writer);
/* Adds to a section. NO_SPACE: the partition is full; what fitted is good. */
must_check vmk_status dump_writer_add(struct dump_writer *writer, const char *section,
                                      const void *data, size_t size);
/* The header says what is there so far. */
must_check vmk_status dump_writer_mark(struct dump_writer *writer, bool whole);
uint64_t dump_writer_stored(const struct dump_writer *writer);

/* ---- the host's: dump.c ---- */

/*
 * Collects what an earlier panic left on any vmkcore partition into /scratch/core or /var/core,
 * and chooses where a panic of this host is saved: dumpPartition=NAME or none, else the first
 * such partition of the first disk that has one. /proc/vmware/coredump shows and changes it.
 * Once, files and datastores are up. [block]
 */
void dump_start(void);

/* What was chosen; both names are empty without one. */
struct dump_choice {
    char active[BLOCK_NAME_SIZE];      // where a panic is saved
    char configured[BLOCK_NAME_SIZE];  // what was asked for by name
    bool off;                          // nowhere was asked for
};
/* Of a host that does not save panics: nothing. [block] */
void dump_choice_get(struct dump_choice *out);
/*
 * A partition's name, "auto" or "none", until the next boot. NOT_FOUND, NO_MEMORY; NO_DEVICE:
 * this host does not save panics.
 */
must_check vmk_status dump_choose(const char *name);
/* Every partition that can be chosen and what is on it; it is open during the call. */
typedef void dump_partition_fn(void *argument, const struct block_device *device,
                               enum dump_status state);
void dump_partitions(dump_partition_fn *fn, void *argument);
