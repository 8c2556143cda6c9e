// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/elf.h -- what is in a program file: a pure reader of ELF64 headers.
 */
#pragma once

#include "core/status.h"
#include "lib/types.h"

#define ELF_SEGMENTS_MAX 32u
#define ELF_PATH_MAX     256u
#define ELF_HEAD_SIZE    64u

struct elf_segment {
    uint64_t address;  // as linked
    uint64_t offset;   // in the file
    uint64_t file_size, memory_size;
    unsigned protection;  // ASPACE_*
};

struct elf_image {
    bool relocatable;  // ET_DYN: may be loaded anywhere
    uint64_t entry;
    uint64_t headers;  // where the program headers will be seen, as linked; 0: not mapped
    uint16_t header_count;
    uint64_t low, high;  // of all segments, page aligned
    unsigned segment_count;
    struct elf_segment segments[ELF_SEGMENTS_MAX];
    uint64_t interpreter_offset, interpreter_size;  // size 0: none
};

/* Where the program headers are in the file, from the first ELF_HEAD_SIZE bytes. BAD_FORMAT. */
must_check vmk_status elf_head(const void *head, uint64_t *offset, uint64_t *size);
/* Reads head and program headers into `out`; says in *why what is wrong. BAD_FORMAT. */
must_check vmk_status elf_parse(const void *head, const void *headers, uint64_t file_size,
                                struct elf_image *out, const char **why);
