// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmkfstools/cli.h -- the command line of vmkfstools, for the program and for vmfs-tool.
 */
#pragma once

#include "fs/vmdk/vmdk.h"

struct vmkfstools {
    void *context;
    /* Where a path leads: the store, and the path in it. Null: store_posix() for all. */
    struct vmdk_store *(*store)(void *context, const char **path);
    /*
     * -P, -C, -D, -L: what needs the volume itself. Null: not here. Each answers an exit
     * status.
     */
    int (*query)(void *context, const char *path, bool human);
    int (*create_fs)(void *context, const char *type, const char *label, const char *device);
    int (*dump_lock)(void *context, const char *path);
    /* -L: `verb` is reserve, release or reset. */
    int (*lock)(void *context, const char *verb, const char *device);
};

/* 0 done, 1 the disk has problems, 2 usage, 3 failed. */
int vmkfstools_run(const struct vmkfstools *where, int argc, char **argv);
