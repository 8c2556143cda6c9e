// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vmx_config_internal.h -- the parser of .vmx files, as the vmx_config*.c files share it.
 */
#pragma once

#include "vmm/vmx_config.h"

#define VMX_KEY_SIZE      64u
#define VMX_VALUE_SIZE    VM_CMDLINE_SIZE

#define VMX_MEMORY_MIN    4u
#define VMX_MEMORY_MAX    (1u << 20)  // MB: one terabyte
#define VMX_SHARES_NORMAL 1000u
#define VMX_MEM_PER_MB    10u  // normal shares of memory, for each MB

/* One file being read, on the stack of who reads it. */
struct vmx_parser {
    const char *file;
    const char *text;
    size_t size;
    size_t at;      // first byte of the next line
    unsigned line;  // number of the current one, from 1
    char key[VMX_KEY_SIZE];
    char value[VMX_VALUE_SIZE];
    bool uuid_given;
    bool serial_absent;              // serial0.present = "FALSE"
    bool serial_is_file;             // serial0.fileType = "file"
    unsigned serial_line;            // of serial0.fileName
    char mem_min_key[VMX_KEY_SIZE];  // which of its two names was given
    unsigned mem_min_line, mem_max_line;
    /*
     * Disks of which a key was seen are in the configuration until vmx_disks_finish() sorts
     * them out.
     */
    struct vm_disk_config *disks;
    bool disk_present[VM_DISKS_MAX];
    unsigned disk_count;
    char *error;
    size_t error_size;
};

/* A key and what reads its value. */
struct vmx_key {
    const char *key;
    vmk_status (*set)(struct vmx_parser *p, struct vm_config *out);
};

/* ---- vmx_config_text.c: lines, keys and values ---- */

/* Says what is wrong with the current line's key. BAD_FORMAT. */
vmk_status vmx_fail(struct vmx_parser *p, const char *what);
/* The same for a key that is wrong only together with others: it stood on `line`. */
vmk_status vmx_fail_at(struct vmx_parser *p, const char *key, unsigned line, const char *what);
/* Reads the next line that holds a setting. NOT_FOUND: the end of the file. */
must_check vmk_status vmx_setting_next(struct vmx_parser *p);
must_check vmk_status vmx_number_read(struct vmx_parser *p, uint64_t low, uint64_t high,
                                      uint32_t *out);
must_check vmk_status vmx_string_copy(struct vmx_parser *p, char *out, size_t room);
must_check vmk_status vmx_truth_read(struct vmx_parser *p, bool *out);
/* "low", "normal" and "high" are half, once and twice `normal`. False: another word. */
must_check bool vmx_level_read(const struct vmx_parser *p, uint32_t normal, uint32_t *out);
/* True: the key is in the table, and `status` says how it went. */
must_check bool vmx_key_apply(struct vmx_parser *p, const struct vmx_key *keys, size_t count,
                              struct vm_config *out, vmk_status *status);

/* ---- vmx_config_sched.c: sched.cpu.*, sched.mem.*, sched.swap.dir ---- */

/* True: the line's key is of this kind, and `status` says how it went. */
must_check bool vmx_sched_key(struct vmx_parser *p, struct vm_config *out, vmk_status *status);
/* What can be said of bounds only when all are known. */
must_check vmk_status vmx_sched_finish(struct vmx_parser *p, const struct vm_config *out);

/*
 * ---- vmx_config_disks.c: scsiB.*, scsiB:U.*, orrery.virtioB.*, orrery.virtioB:U.*,
 * sched.scsiB:U.shares
 */

/* As vmx_sched_key(). */
must_check bool vmx_disk_key(struct vmx_parser *p, struct vm_config *out, vmk_status *status);
/* Controllers that a file from another product may have, and that are not here. */
must_check vmk_status vmx_foreign_controller(struct vmx_parser *p);
/* What is present stays in the configuration, in the order of bus, number and unit. */
must_check vmk_status vmx_disks_finish(struct vmx_parser *p, struct vm_config *out);
