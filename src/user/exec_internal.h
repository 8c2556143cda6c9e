// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/exec_internal.h -- a program on its way into a new address space, for the files of execve.
 */
#pragma once

#include "user/user_internal.h"

#define EXEC_SCRIPT_LEVELS 4u

/* A list of strings: in the caller's memory, or the kernel's own. */
struct words {
    uint64_t user;              // of an array of pointers; used if kernel is null
    const char *const *kernel;  // ends with null
};

struct loader {
    struct thread *t;
    struct process *p;
    struct user_mm *mm;
    struct aspace *as;
    struct aspace *old;  // where user words are
    uint64_t sp;
    uint64_t entry, program_entry, headers, base;
    uint16_t header_count;
    uint64_t strings;  // bytes pushed
    // Words in front of argv[1..], from scripts: newest first on the command line.
    char *extra[2 * EXEC_SCRIPT_LEVELS + 1];
    unsigned extra_count;
    bool script;
};

static inline vmk_status exec_map(struct loader *l, const struct aspace_map *map)
{
    uint64_t address;

    return aspace_map(l->as, map, &address);
}

/*
 * exec_image.c: maps the program's segments, and its interpreter's; fills in what the stack
 * tells.
 */
must_check vmk_status exec_image_load(struct loader *l, const char *path, struct file *file);
/* vdso.c: maps the library that the kernel gives every program. */
must_check vmk_status vdso_map(struct loader *l, uint64_t *address);
/* exec_stack.c: the new stack with all that a program finds on it. */
must_check vmk_status exec_stack_make(struct loader *l, const char *path,
                                      const struct words *argv, const struct words *envp);
