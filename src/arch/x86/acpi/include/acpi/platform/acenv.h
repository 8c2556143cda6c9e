// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/acpi/include/acpi/platform/acenv.h -- what ACPICA is told about this kernel.
 *
 * ACPICA's headers begin with <acpi/platform/acenv.h>, which chooses among the hosts it knows.
 * This file stands before it on the include path and takes its place: no choice, one host. The
 * C functions that ACPICA wants beyond lib/string.h are here too, in the plainest form; nothing
 * else in the kernel uses them.
 */
#ifndef __ACENV_H__
#define __ACENV_H__

#include "acpi/platform/acgcc.h"
#include "lib/format.h"
#include "lib/string.h"
#include "lib/types.h"

/* Kinds of mutexes, named by acpiosxf.h. */
#define ACPI_BINARY_SEMAPHORE     0
#define ACPI_OSL_MUTEX            1
#define ACPI_MUTEX_TYPE           ACPI_BINARY_SEMAPHORE

#define ACPI_MACHINE_WIDTH        64
#define COMPILER_DEPENDENT_INT64  long long
#define COMPILER_DEPENDENT_UINT64 unsigned long long
#define ACPI_USE_NATIVE_DIVIDE
#define ACPI_USE_SYSTEM_CLIBRARY
#define ACPI_USE_DO_WHILE_0
#define ACPI_USE_LOCAL_CACHE
#define ACPI_IGNORE_PACKAGE_RESOLUTION_ERRORS
#define ACPI_PCI_CONFIGURED
#define ACPI_STRUCT_INIT(field, value) .field = value
#define ACPI_INIT_FUNCTION
#define ACPI_SYSTEM_XFACE
#define ACPI_EXTERNAL_XFACE
#define ACPI_INTERNAL_XFACE
#define ACPI_INTERNAL_VAR_XFACE
#define ACPI_FILE                void *
#define ACPI_FILE_OUT            NULL
#define ACPI_FILE_ERR            NULL
#define DEBUGGER_SINGLE_THREADED 0
#define DEBUGGER_MULTI_THREADED  1
#define DEBUGGER_THREADING       DEBUGGER_SINGLE_THREADED
#define __iomem
#define kmemleak_not_leak(p) ((void)(p))

struct acpi_os_semaphore;
#define acpi_spinlock      struct spinlock *
#define acpi_raw_spinlock  struct spinlock *
#define acpi_semaphore     struct acpi_os_semaphore *
#define acpi_cpu_flags     unsigned long
#define acpi_uintptr_t     uintptr_t
#define ACPI_TO_INTEGER(p) ((uintptr_t)(p))
#define ACPI_OFFSET(d, f)  offsetof(d, f)
struct spinlock;

/* The first byte of a message is its level: acpi_os_vprintf() takes it off. */
#define ACPI_MSG_LEVEL_ERROR  '\001'
#define ACPI_MSG_LEVEL_WARN   '\002'
#define ACPI_MSG_LEVEL_INFO   '\003'
#define ACPI_MSG_ERROR        "\001"
#define ACPI_MSG_EXCEPTION    "\001exception: "
#define ACPI_MSG_WARNING      "\002"
#define ACPI_MSG_INFO         "\003"
#define ACPI_MSG_BIOS_ERROR   "\001firmware error: "
#define ACPI_MSG_BIOS_WARNING "\002firmware: "

/* The lock that firmware and we share is a word in the FACS. */
int acpi_os_global_lock_acquire(void *facs_lock);
int acpi_os_global_lock_release(void *facs_lock);
#define ACPI_ACQUIRE_GLOBAL_LOCK(facs, acquired)                                               \
    ((acquired) = (u8)acpi_os_global_lock_acquire(&(facs)->global_lock))
#define ACPI_RELEASE_GLOBAL_LOCK(facs, pending)                                                \
    ((pending) = (u8)acpi_os_global_lock_release(&(facs)->global_lock))
#define ACPI_FLUSH_CPU_CACHE() __asm__ volatile("wbinvd" : : : "memory")

/* ---- the C library's leaves ---- */
static inline int isdigit(int c)
{
    return c >= '0' && c <= '9';
}

static inline int isupper(int c)
{
    return c >= 'A' && c <= 'Z';
}

static inline int islower(int c)
{
    return c >= 'a' && c <= 'z';
}

static inline int isalpha(int c)
{
    return isupper(c) || islower(c);
}

static inline int isxdigit(int c)
{
    return isdigit(c) || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

static inline int isspace(int c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static inline int isprint(int c)
{
    return c >= ' ' && c <= '~';
}

static inline int toupper(int c)
{
    return islower(c) ? c - 'a' + 'A' : c;
}

static inline int tolower(int c)
{
    return isupper(c) ? c - 'A' + 'a' : c;
}

static inline char *strcpy(char *to, const char *from)
{
    return memcpy(to, from, strlen(from) + 1);
}

static inline char *strncpy(char *to, const char *from, size_t size)
{
    size_t n = 0;

    for (; n < size && from[n]; n++)
        to[n] = from[n];
    memset(to + n, 0, size - n);
    return to;
}

static inline char *strcat(char *to, const char *from)
{
    strcpy(to + strlen(to), from);
    return to;
}

static inline char *strncat(char *to, const char *from, size_t size)
{
    char *end = to + strlen(to);
    size_t n = 0;

    for (; n < size && from[n]; n++)
        end[n] = from[n];
    end[n] = 0;
    return to;
}

#define snprintf          vmk_snprintf
#define vsnprintf         vmk_vsnprintf
/* ACPICA's own buffers are large enough for what it prints into them. */
#define sprintf(out, ...) vmk_snprintf((out), 4096, __VA_ARGS__)

#endif
