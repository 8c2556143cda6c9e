// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/elf.c -- reads ELF64 headers; touches nothing else, so a fuzzer can drive it.
 *
 * Anything a file may say is input: sums that wrap, segments outside of the file or of user
 * space, out of order or on top of each other are refused with a reason.
 *
 * Invariants
 *   - Accepted segments ascend and share no page, lie in user space and in the file.
 * Locking    none: pure.
 * Sources    [ELF] for the layout
 */
#include "user/elf.h"

#include "lib/elf.h"
#include "lib/string.h"
#include "mem/aspace.h"

#define HEADER_MAX 64u  // program headers

vmk_status elf_head(const void *head, uint64_t *offset, uint64_t *size)
{
    static const uint8_t wanted[7] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
    struct elf64_header e;

    memcpy(&e, head, sizeof(e));
    if (memcmp(e.ident, wanted, sizeof(wanted)) != 0 || e.machine != EM_X86_64 ||
        (e.type != ET_EXEC && e.type != ET_DYN) ||
        e.phentsize != sizeof(struct elf64_segment) || e.phnum == 0 || e.phnum > HEADER_MAX ||
        e.phoff > UINT32_MAX)
        return VMK_BAD_FORMAT;
    *offset = e.phoff;
    *size = (uint64_t)e.phnum * sizeof(struct elf64_segment);
    return VMK_OK;
}

static const char *add_segment(const struct elf64_segment *p, uint64_t file_size,
                               struct elf_image *out)
{
    struct elf_segment *s = &out->segments[out->segment_count];
    uint64_t end;

    if (p->memsz == 0)
        return NULL;
    if (out->segment_count == ELF_SEGMENTS_MAX)
        return "too many segments";
    if (p->filesz > p->memsz || p->offset > file_size || p->filesz > file_size - p->offset)
        return "a segment lies outside of the file";
    if (p->vaddr >= ASPACE_END - PAGE_SIZE || p->memsz > ASPACE_END - p->vaddr - PAGE_SIZE ||
        (!out->relocatable && p->vaddr < ASPACE_LOWEST))
        return "a segment lies outside of user space";
    if ((p->vaddr ^ p->offset) & (PAGE_SIZE - 1))
        return "a segment's address and offset differ within the page";
    end = round_up(p->vaddr + p->memsz, PAGE_SIZE);
    if (out->segment_count && round_down(p->vaddr, PAGE_SIZE) < out->high)
        return "segments overlap or do not ascend";
    if (!out->segment_count)
        out->low = round_down(p->vaddr, PAGE_SIZE);
    out->high = end;
    *s = (struct elf_segment){.address = p->vaddr,
                              .offset = p->offset,
                              .file_size = p->filesz,
                              .memory_size = p->memsz};
    s->protection = (p->flags & PF_R ? ASPACE_READ : 0u) |
                    (p->flags & PF_W ? ASPACE_WRITE : 0u) |
                    (p->flags & PF_X ? ASPACE_EXEC : 0u);
    out->segment_count++;
    return NULL;
}

vmk_status elf_parse(const void *head, const void *headers, uint64_t file_size,
                     struct elf_image *out, const char **why)
{
    const uint8_t *at = headers;
    struct elf64_header e;

    memcpy(&e, head, sizeof(e));
    *out = (struct elf_image){
        .relocatable = e.type == ET_DYN, .entry = e.entry, .header_count = e.phnum};
    *why = NULL;
    for (unsigned i = 0; i < e.phnum && !*why; i++) {
        struct elf64_segment p;

        memcpy(&p, at + i * sizeof(p), sizeof(p));
        if (p.type == PT_LOAD) {
            *why = add_segment(&p, file_size, out);
        } else if (p.type == PT_INTERP) {
            if (p.filesz < 2 || p.filesz > ELF_PATH_MAX || p.offset > file_size ||
                p.filesz > file_size - p.offset)
                *why = "the interpreter's name is outside of the file or too long";
            out->interpreter_offset = p.offset;
            out->interpreter_size = p.filesz;
        }
    }
    if (!*why && out->segment_count == 0)
        *why = "there is nothing to load";
    if (!*why && (out->entry >= ASPACE_END || out->entry < out->low || out->entry >= out->high))
        *why = "the entry point is in no segment";
    if (*why)
        return VMK_BAD_FORMAT;
    /* The headers are seen where the first segment that holds them puts them. */
    for (unsigned i = 0; i < out->segment_count; i++) {
        const struct elf_segment *s = &out->segments[i];
        uint64_t size = (uint64_t)e.phnum * sizeof(struct elf64_segment);

        if (e.phoff >= s->offset && e.phoff - s->offset <= s->file_size &&
            size <= s->file_size - (e.phoff - s->offset)) {
            out->headers = s->address + (e.phoff - s->offset);
            break;
        }
    }
    return VMK_OK;
}
