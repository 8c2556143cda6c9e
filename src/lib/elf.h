// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/elf.h -- headers of ELF files as they lie in the file, for the loaders of guests and of programs.
 *
 * Both are little endian here, as this machine is; a loader checks the identification before it
 * believes the rest.
 *
 * Sources    [ELF] ELF header, program header.
 */
#pragma once

#include "lib/types.h"

#define ELF_CLASS_32      1u
#define ELF_CLASS_64      2u
#define ELF_LITTLE_ENDIAN 1u

#define ET_EXEC           2u
#define ET_DYN            3u
#define EM_X86_64         62u
#define PT_LOAD           1u
#define PT_INTERP         3u
#define PF_X              1u
#define PF_W              2u
#define PF_R              4u

struct elf32_header {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version, entry, phoff, shoff, flags;
    uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
} packed_layout;
_Static_assert(sizeof(struct elf32_header) == 52, "ELF32 header");

struct elf32_segment {
    uint32_t type, offset, vaddr, paddr, filesz, memsz, flags, align;
} packed_layout;
_Static_assert(sizeof(struct elf32_segment) == 32, "ELF32 program header");

struct elf64_header {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, phoff, shoff;
    uint32_t flags;
    uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
} packed_layout;
_Static_assert(sizeof(struct elf64_header) == 64, "ELF64 header");

struct elf64_segment {
    uint32_t type, flags;
    uint64_t offset, vaddr, paddr, filesz, memsz, align;
} packed_layout;
_Static_assert(sizeof(struct elf64_segment) == 56, "ELF64 program header");
