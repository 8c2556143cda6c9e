// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/proc/proc_text.c -- the text of a generated file: made once per reading, then read in pieces.
 *
 * A reader with a small buffer must not see half of one moment and half of another. So the text
 * is made when somebody reads at offset 0 and kept with the open file.
 *
 * Invariants
 *   - reader.text is what the last read at offset 0 saw.
 * Locking    reader.lock (mutex), then whatever the show function takes.
 */
#include "core/assert.h"
#include "fs/proc/proc_internal.h"
#include "lib/format.h"
#include "lib/string.h"

#define TEXT_MAX  (16u << 20)
#define STORE_MAX 65536u

static bool reserve(struct procfs_text *out, size_t more)
{
    size_t room = out->room ? out->room : 256;
    char *text;

    while (room < out->length + more)
        room *= 2;
    if (room == out->room)
        return true;
    text = room <= TEXT_MAX ? heap_alloc(room, MEM_OWNER_FS) : NULL;
    if (!text) {
        out->failed = true;
        return false;
    }
    if (out->length)
        memcpy(text, out->text, out->length);
    heap_free(out->text);
    out->text = text;
    out->room = room;
    return true;
}

void procfs_write(struct procfs_text *out, const void *bytes, size_t size)
{
    if (!size || !reserve(out, size))
        return;
    memcpy(out->text + out->length, bytes, size);
    out->length += size;
}

bool procfs_line(const char *text, size_t length, char *line, size_t size)
{
    while (length && (text[length - 1] == '\n' || text[length - 1] == ' ' || !text[length - 1]))
        length--;
    if (length >= size)
        return false;
    memcpy(line, text, length);
    line[length] = 0;
    return true;
}

void procfs_printf(struct procfs_text *out, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vmk_vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length <= 0 || !reserve(out, (size_t)length + 1))
        return;
    va_start(arguments, format);
    (void)vmk_vsnprintf(out->text + out->length, (size_t)length + 1, format, arguments);
    va_end(arguments);
    out->length += (size_t)length;
}

struct reader {
    struct proc_source source;
    struct mutex lock;
    struct procfs_text text;  // lock
    bool made;                // lock
};

static vmk_status make_text(struct reader *r)
{
    r->text.length = 0;
    r->text.failed = false;
    return r->source.show(&r->source, &r->text);
}

static vmk_status reader_read(struct file *file, struct vfs_iov *iov)
{
    struct reader *r = file->private;
    vmk_status status = VMK_OK;

    if (!r->source.show)
        return VMK_BAD_PARAM;
    mutex_lock(&r->lock);
    if (!r->made || iov->offset == 0)
        status = make_text(r);
    r->made = status == VMK_OK;
    if (status == VMK_OK && iov->offset < r->text.length) {
        iov->done = MIN(iov->size, r->text.length - (size_t)iov->offset);
        memcpy(iov->to, r->text.text + iov->offset, iov->done);
    }
    mutex_unlock(&r->lock);
    return status;
}

static vmk_status reader_write(struct file *file, struct vfs_iov *iov)
{
    struct reader *r = file->private;
    char *copy;
    vmk_status status;

    if (!r->source.store)
        return VMK_NO_PERMISSION;
    if (iov->size > STORE_MAX)
        return VMK_TOO_BIG;
    copy = heap_alloc(iov->size + 1, MEM_OWNER_FS);
    if (!copy)
        return VMK_NO_MEMORY;
    memcpy(copy, iov->from, iov->size);
    status = r->source.store(&r->source, copy, iov->size);
    heap_free(copy);
    if (status == VMK_OK)
        iov->done = iov->size;
    return status;
}

static void reader_release(struct file *file)
{
    struct reader *r = file->private;

    heap_free(r->text.text);
    heap_free(r);
}

static vmk_status reader_truncate(struct file *file, uint64_t size)
{
    (void)file;
    (void)size;
    return VMK_OK;  // echo text > file
}

static const struct file_ops reader_ops = {
    .read = reader_read,
    .write = reader_write,
    .truncate = reader_truncate,
    .release = reader_release,
    .seekable = true,
};

vmk_status proc_file_open(struct file *file, const struct proc_source *source)
{
    struct reader *r = heap_alloc(sizeof(*r), MEM_OWNER_FS);

    if (!r)
        return VMK_NO_MEMORY;
    r->source = *source;
    mutex_init(&r->lock, "proc text");
    file->ops = &reader_ops;
    file->private = r;
    return VMK_OK;
}
