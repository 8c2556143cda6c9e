// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/visorfs/gunzip.h -- an archive as a stream of bytes, unpacked on the way if it is packed.
 */
#pragma once

#include "core/status.h"

struct gunzip;

/* `data` stays the caller's until gunzip_close(). Not packed: passed through. */
must_check vmk_status gunzip_open(const void *data, size_t size, struct gunzip **out);
/* All of `size` bytes, or BAD_FORMAT with *what saying why (static text). */
must_check vmk_status gunzip_read(struct gunzip *z, void *to, size_t size, const char **what);
/*
 * Reads to the end, so that lengths and checksums of all members of the gzip file were
 * compared.
 */
must_check vmk_status gunzip_finish(struct gunzip *z, const char **what);
void gunzip_close(struct gunzip *z);
