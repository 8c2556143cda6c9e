// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/exec_image.c -- maps the segments of a program and of the interpreter it names.
 *
 * A program that may lie anywhere goes to PIE_BASE, the interpreter (the dynamic linker) to
 * INTERP_BASE; what the headers say is checked in elf.c.
 *
 * Locking    none; the new space is nobody's until mm_switch().
 * Start at   exec_image_load().
 * Sources    [ELF]
 */
#include "core/log.h"
#include "user/elf.h"
#include "user/exec_internal.h"

#define PIE_BASE    0x555555554000ull
#define INTERP_BASE 0x7f0000000000ull

static vmk_status load_segment(struct loader *l, struct aspace_object *object,
                               const struct elf_segment *s, uint64_t bias)
{
    uint64_t start = round_down(s->address + bias, PAGE_SIZE);
    uint64_t file_end = s->address + bias + s->file_size;
    uint64_t file_top = s->file_size ? round_up(file_end, PAGE_SIZE) : start;
    uint64_t top = round_up(s->address + bias + s->memory_size, PAGE_SIZE);
    struct aspace_map map = {.address = start, .protection = s->protection, .fixed = true};
    vmk_status status = VMK_OK;

    if (file_top > start) {
        map.size = file_top - start;
        map.object = object;
        map.offset = (s->offset - (s->address & (PAGE_SIZE - 1))) >> PAGE_SHIFT;
        status = exec_map(l, &map);
        /* What follows the file's bytes in the last page is zero, not the file's next bytes. */
        if (status == VMK_OK && file_end < file_top && s->memory_size > s->file_size) {
            static const uint8_t zeros[256];

            for (uint64_t at = file_end; at < file_top && status == VMK_OK;) {
                size_t part = (size_t)MIN(file_top - at, sizeof(zeros));

                status = aspace_poke(l->as, at, zeros, part);
                at += part;
            }
        }
    }
    if (status == VMK_OK && top > file_top) {
        map.address = file_top;
        map.size = top - file_top;
        map.object = NULL;
        map.offset = 0;
        status = exec_map(l, &map);
    }
    return status;
}

static vmk_status load_segments(struct loader *l, struct file *file,
                                const struct elf_image *image, uint64_t bias)
{
    struct aspace_object *object;
    vmk_status status = mm_file_object(file, false, &object);

    for (unsigned i = 0; i < image->segment_count && status == VMK_OK; i++)
        status = load_segment(l, object, &image->segments[i], bias);
    if (object)
        object->ops->unref(object);
    return status;
}

/* Reads and checks the headers. */
static vmk_status read_headers(const char *path, struct file *file, struct elf_image *image)
{
    uint8_t head[ELF_HEAD_SIZE];
    uint8_t *headers;
    struct vfs_attr attr;
    uint64_t offset, size;
    size_t done = 0;
    const char *why;
    vmk_status status = file_pread(file, head, sizeof(head), 0, &done);

    if (status != VMK_OK)
        return status;
    if (done < sizeof(head) || elf_head(head, &offset, &size) != VMK_OK)
        return VMK_BAD_FORMAT;
    status = file_getattr(file, &attr);
    if (status != VMK_OK)
        return status;
    headers = heap_alloc(size, MEM_OWNER_USER);
    if (!headers)
        return VMK_NO_MEMORY;
    status = file_pread(file, headers, size, offset, &done);
    if (status == VMK_OK && done < size)
        status = VMK_BAD_FORMAT;
    if (status == VMK_OK) {
        status = elf_parse(head, headers, attr.size, image, &why);
        if (status != VMK_OK)
            vmk_log(VMK_LOG_INFO, "User: %s: cannot run it: %s", path, why);
    }
    heap_free(headers);
    return status;
}

static uint64_t bias_of(const struct elf_image *image, uint64_t base)
{
    return image->relocatable ? base - image->low : 0;
}

static vmk_status load_interpreter(struct loader *l, struct file *program,
                                   const struct elf_image *image)
{
    char path[ELF_PATH_MAX + 1];
    struct elf_image *inner;
    struct user_path where;
    struct file *file;
    size_t done = 0;
    vmk_status status =
        file_pread(program, path, image->interpreter_size, image->interpreter_offset, &done);

    if (status != VMK_OK || done < image->interpreter_size)
        return VMK_BAD_FORMAT;
    path[done] = 0;
    where_get(l->t, &where);
    status = vfs_open(&where.where, path, VFS_O_RDONLY, 0, &file);
    path_put(&where);
    if (status != VMK_OK) {
        vmk_log(VMK_LOG_INFO, "User: no interpreter %s; link the program with -static", path);
        return status;
    }
    inner = heap_alloc(sizeof(*inner), MEM_OWNER_USER);
    status = inner ? read_headers(path, file, inner) : VMK_NO_MEMORY;
    if (status == VMK_OK) {
        uint64_t bias = bias_of(inner, INTERP_BASE);

        status = load_segments(l, file, inner, bias);
        l->entry = inner->entry + bias;
        l->base = inner->low + bias;
    }
    heap_free(inner);
    file_put(file);
    return status;
}

vmk_status exec_image_load(struct loader *l, const char *path, struct file *file)
{
    struct elf_image *image = heap_alloc(sizeof(*image), MEM_OWNER_USER);
    vmk_status status = image ? read_headers(path, file, image) : VMK_NO_MEMORY;
    uint64_t bias;

    if (status != VMK_OK)
        goto out;
    bias = bias_of(image, PIE_BASE);
    if (image->high + bias > INTERP_BASE - (1ull << 30)) {
        status = VMK_BAD_FORMAT;
        goto out;
    }
    status = load_segments(l, file, image, bias);
    if (status != VMK_OK)
        goto out;
    l->program_entry = l->entry = image->entry + bias;
    l->headers = image->headers ? image->headers + bias : 0;
    l->header_count = image->header_count;
    l->mm->code_start = image->low + bias;
    l->mm->code_end = image->high + bias;
    aspace_heap_set(l->as, image->high + bias);
    if (image->interpreter_size)
        status = load_interpreter(l, file, image);
out:
    heap_free(image);
    return status;
}
