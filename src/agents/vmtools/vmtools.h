// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/vmtools.h -- what the programs of this folder share: one binary, called by many names.
 *
 * esxcli, esxtop, vm, vim-cmd and vmx are one static program, because the C library is most of
 * the size of each and is so paid for once, on disk and in memory. main.c looks at the name it
 * was called by.
 *
 * Exit codes of all: 0 done, 1 the answer is no (no such VM, a time-out), 2 usage, 3 bad input
 * or it failed. Messages name the program, the file or object, the field, and what would help.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/abi/vmk.h"

#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define COUNT_OF(a)       (sizeof(a) / sizeof((a)[0]))

enum exit_code {
    EXIT_DONE = 0,
    EXIT_NO = 1,
    EXIT_USAGE = 2,
    EXIT_FAILED = 3
};

/* ---- common.c ---- */
extern const char *program_name;
/* "program: text", and a newline, on stderr. */
void complain(const char *format, ...) PRINTF_LIKE(1, 2);
__attribute__((noreturn)) void fail(int code, const char *format, ...) PRINTF_LIKE(2, 3);
void *allocate(size_t size);  // zeroed; ends the program if there is no memory
char *text_of(const char *format, ...) PRINTF_LIKE(1, 2);  // allocated
/* A whole number, decimal or with 0x; false: it is none, or above `most`. */
bool number_of(const char *text, uint64_t most, uint64_t *out);
/* All of a file, with a NUL behind it, or null with errno; at most `most` bytes (EFBIG). */
char *file_text(const char *path, size_t most, size_t *size);

/* ---- device.c: /dev/vmk ---- */
int device(void);  // opens it once; ends the program if it cannot be had
/* ioctl() with the head filled; -1 and errno. */
int vmk_call(int fd, unsigned long request, void *data, size_t size);
/* A whole list: allocated, `*count` entries of `entry_size`. Ends the program on an error. */
void *vmk_list_get(enum vmk_list_kind kind, size_t entry_size, uint32_t *count);
void vmk_host_get(struct vmk_host *out);
void vmk_memory_get(struct vmk_host_memory *out);
void vmk_swap_get(struct vmk_swap *out);
/* A name for the kernel; ends the program if it is too long. */
void name_put(char *to, size_t room, const char *name);
/* The VM of that name, world id, cartel id or .vmx path; null: there is none. Allocated. */
struct vmk_vm *vm_find(const char *what);
/* The same, or the program says so and ends with EXIT_NO. */
struct vmk_vm *vm_must_find(const char *what);
const char *uuid_text(const uint8_t uuid[16]);  // "56 4d ... 07-08 ..." in a static buffer
const char *user_name(uint32_t uid);            // or the number; static buffer

/* ---- config.c: .vmx files and the list of them ---- */
#define VM_LIST_FILE "/etc/vmware/vm-list"
struct vm_brief {
    char name[VMK_NAME_SIZE];
    char serial_file[VMK_PATH_SIZE];  // or empty
    uint32_t memory_mb, vcpus;
    bool autostart, bios;
};
/* Reads a .vmx file by the kernel's own parser; false: `error` says why. `text` may be null. */
bool config_read(const char *path, struct vm_brief *out, char *error, size_t error_size,
                 char **text, size_t *text_size);
/* The absolute form of a path; allocated. */
char *absolute_path(const char *path);
/* The paths in VM_LIST_FILE in their order; allocated, ends with null. Missing file: none. */
char **vm_list_read(void);

/* ---- the programs ---- */
int esxcli_main(int argc, char **argv);
int esxtop_main(int argc, char **argv);
int vm_main(int argc, char **argv);
int vimcmd_main(int argc, char **argv);
int vmx_main(int argc, char **argv);
