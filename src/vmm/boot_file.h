// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/boot_file.h -- the files the loader put into memory: boot modules, ustar archives unpacked.
 *
 * boot_file_find(), declared in vmm/vm.h, is implemented beside these.
 */
#pragma once

#include "core/status.h"

/*
 * How many files there are. Logs each damaged archive, whose members do not count. Any context.
 */
size_t boot_file_count(void);
/* The file number `i`; false from the count on. Name and data live as long as the host. */
must_check bool boot_file_at(size_t i, const char **name, const void **data, size_t *size);

/* ---- the archive reader, pure ---- */
struct ustar_member {
    const char *name;  // in the archive, without a leading "./"; ends with NUL
    const void *data;
    size_t size;
    bool is_file;
};
bool ustar_is_archive(const void *archive, size_t size);
/*
 * Reads the member at *offset and steps over it. NOT_FOUND: the end. BAD_FORMAT: damaged there;
 * `*what` says how (static text).
 */
must_check vmk_status ustar_next(const void *archive, size_t size, size_t *offset,
                                 struct ustar_member *out, const char **what);
