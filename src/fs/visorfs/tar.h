// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/visorfs/tar.h -- the headers of a ustar archive: bytes in, facts or a complaint out.
 */
#pragma once

#include "core/status.h"

#define TAR_BLOCK    512u
#define TAR_NAME_MAX 1024u  // bytes of a member's path, with NUL

enum tar_kind {
    TAR_END,  // a block of zeros
    TAR_FILE,
    TAR_HARD_LINK,
    TAR_LINK,
    TAR_CHAR,
    TAR_BLOCK_DEVICE,
    TAR_DIR,
    TAR_FIFO,
    TAR_LONG_NAME,  // GNU: the data are the next member's name
    TAR_LONG_LINK,  // GNU: ... its target
    TAR_PAX,        // POSIX: the data are records about the next member
    TAR_PAX_GLOBAL,
};

struct tar_header {
    enum tar_kind kind;
    char name[TAR_NAME_MAX];
    char target[TAR_NAME_MAX];
    uint32_t mode, uid, gid, major, minor;
    uint64_t size;
    uint64_t mtime;
};

/* Reads one block. BAD_FORMAT with *what (static text). Pure. */
must_check vmk_status tar_header_decode(const uint8_t block[TAR_BLOCK], struct tar_header *out,
                                        const char **what);
/* Applies pax records ("27 path=...\n") to a header: path, linkpath, size, mtime. Pure. */
must_check vmk_status tar_pax_apply(const char *records, size_t size, struct tar_header *header,
                                    const char **what);
/*
 * Is it a path below the root, without tricks? Strips "./" and slashes at the end; *name may
 * come out empty (the root itself). Changes `name` in place.
 */
must_check vmk_status tar_name_check(char *name, const char **what);
