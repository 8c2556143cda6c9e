// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vmx_config.c -- reads a .vmx file into a struct vm_config.
 *
 * The keys are ESXi's, in any case, each at most once. Keys that mean nothing here are passed
 * over, as ESXi does: files are shared between products. Keys are rows of tables; a row knows
 * how its value is read and its limits. What only several keys together tell is looked at when
 * the file ends.
 *
 * Invariants
 *   - `out` is complete and within its limits when OK is returned.
 *   - Strings in `out` end with NUL.
 * Locking    none: pure but for debug lines in the log.
 * Start at   vmx_config_parse().
 */
#include "core/log.h"
#include "lib/ascii.h"
#include "lib/rng.h"
#include "lib/string.h"
#include "vmm/vmx_config_internal.h"

#define FILE_SIZE_MAX 16384u
#define VCPUS_MAX     8u

static vmk_status set_name(struct vmx_parser *p, struct vm_config *out)
{
    if (p->value[0] == '\0')
        return vmx_fail(p, "empty");
    return vmx_string_copy(p, out->name, sizeof(out->name));
}

static vmk_status set_memory(struct vmx_parser *p, struct vm_config *out)
{
    return vmx_number_read(p, VMX_MEMORY_MIN, VMX_MEMORY_MAX, &out->memory_mb);
}

static vmk_status set_vcpus(struct vmx_parser *p, struct vm_config *out)
{
    return vmx_number_read(p, 1, VCPUS_MAX, &out->vcpus);
}

static vmk_status set_kernel(struct vmx_parser *p, struct vm_config *out)
{
    return vmx_string_copy(p, out->kernel, sizeof(out->kernel));
}

static vmk_status set_initrd(struct vmx_parser *p, struct vm_config *out)
{
    return vmx_string_copy(p, out->initrd, sizeof(out->initrd));
}

static vmk_status set_cmdline(struct vmx_parser *p, struct vm_config *out)
{
    return vmx_string_copy(p, out->cmdline, sizeof(out->cmdline));
}

static vmk_status set_serial(struct vmx_parser *p, struct vm_config *out)
{
    p->serial_line = p->line;
    out->serial_port = -1;
    if (p->value[0] == '\0' || ascii_same(p->value, "none"))
        return VMK_OK;
    if (ascii_same(p->value, "com1"))
        out->serial_port = 0;
    else if (ascii_same(p->value, "com2"))
        out->serial_port = 1;
    else
        return vmx_string_copy(p, out->serial_file, sizeof(out->serial_file));
    return VMK_OK;
}

/* What serial0.fileName names: a port of the machine (device), or a file the vmx writes. */
static vmk_status set_serial_type(struct vmx_parser *p, struct vm_config *out)
{
    (void)out;
    p->serial_is_file = ascii_same(p->value, "file");
    if (p->serial_is_file || ascii_same(p->value, "device") || ascii_same(p->value, "pipe"))
        return VMK_OK;
    return vmx_fail(p, "must be device or file");
}

static vmk_status set_autostart(struct vmx_parser *p, struct vm_config *out)
{
    out->autostart = ascii_same(p->value, "poweron") || ascii_same(p->value, "true");
    if (out->autostart || ascii_same(p->value, "none") || ascii_same(p->value, "false"))
        return VMK_OK;
    return vmx_fail(p, "must be poweron or none");
}

static vmk_status set_serial_present(struct vmx_parser *p, struct vm_config *out)
{
    (void)out;
    p->serial_absent = ascii_same(p->value, "false");
    if (p->serial_absent || ascii_same(p->value, "true"))
        return VMK_OK;
    return vmx_fail(p, "must be TRUE or FALSE");
}

/* "56 4d 01 02 03 04 05 06-07 08 09 0a 0b 0c 0d 0e" */
static vmk_status set_uuid(struct vmx_parser *p, struct vm_config *out)
{
    const char *c = p->value;

    p->uuid_given = true;
    for (unsigned i = 0; i < 16; i++) {
        while (*c == ' ' || *c == '-')
            c++;
        if (ascii_hex(c[0]) < 0 || ascii_hex(c[1]) < 0)
            return vmx_fail(p, "expected 16 bytes of two hexadecimal digits");
        out->uuid[i] = (uint8_t)(ascii_hex(c[0]) * 16 + ascii_hex(c[1]));
        c += 2;
    }
    return *c == '\0' ? VMK_OK : vmx_fail(p, "expected 16 bytes, found more");
}

static vmk_status set_firmware(struct vmx_parser *p, struct vm_config *out)
{
    if (!ascii_same(p->value, "bios"))
        return vmx_fail(p, "must be bios; without this key a kernel is started directly");
    out->firmware = VM_FIRMWARE_BIOS;
    return VMK_OK;
}

static vmk_status set_bios(struct vmx_parser *p, struct vm_config *out)
{
    return p->value[0] ? vmx_string_copy(p, out->bios, sizeof(out->bios))
                       : vmx_fail(p, "empty");
}

static const struct vmx_key general_keys[] = {
    {"displayName", set_name},
    {"memSize", set_memory},
    {"numvcpus", set_vcpus},
    {"orrery.kernel", set_kernel},
    {"orrery.initrd", set_initrd},
    {"orrery.cmdline", set_cmdline},
    {"serial0.present", set_serial_present},
    {"serial0.fileName", set_serial},
    {"serial0.fileType", set_serial_type},
    {"autostart", set_autostart},
    {"firmware", set_firmware},
    {"orrery.bios", set_bios},
    {"uuid.bios", set_uuid},
};

static bool key_seen_before(const struct vmx_parser *p)
{
    struct vmx_parser earlier = {.file = p->file, .text = p->text, .size = p->size};

    while (vmx_setting_next(&earlier) == VMK_OK && earlier.line < p->line) {
        if (ascii_same(earlier.key, p->key))
            return true;
    }
    return false;
}

static vmk_status setting_apply(struct vmx_parser *p, struct vm_config *out)
{
    vmk_status status;

    if (vmx_key_apply(p, general_keys, ARRAY_COUNT(general_keys), out, &status) ||
        vmx_sched_key(p, out, &status) || vmx_disk_key(p, out, &status))
        return status;
    status = vmx_foreign_controller(p);
    if (status != VMK_OK)
        return status;
    vmk_log(VMK_LOG_DEBUG, "Config: %s:%u: %s: unknown key ignored", p->file, p->line, p->key);
    return VMK_OK;
}

/* The same name always gives the same UUID; marked as random and of the usual variant. */
static void uuid_make(struct vm_config *out)
{
    struct rng r;

    rng_init(&r, 0, out->name, 0);
    for (unsigned i = 0; i < 16; i += 8) {
        uint64_t word = rng_next(&r);
        memcpy(out->uuid + i, &word, 8);
    }
    out->uuid[0] = 0x56;  // as VMware's begin
    out->uuid[1] = 0x4d;
    out->uuid[6] = (uint8_t)((out->uuid[6] & 0x0f) | 0x40);
    out->uuid[8] = (uint8_t)((out->uuid[8] & 0x3f) | 0x80);
}

/* A file without displayName is named after the file, without folder and extension. */
static void name_make(const char *file, struct vm_config *out)
{
    const char *base = file;
    size_t length;

    for (const char *c = file; *c; c++) {
        if (*c == '/')
            base = c + 1;
    }
    length = strlen(base);
    if (length > 4 && ascii_same(base + length - 4, ".vmx"))
        length -= 4;
    length = MIN(length, sizeof(out->name) - 1);
    memcpy(out->name, base, length);
    out->name[length] = '\0';
}

static void config_defaults(struct vm_config *out)
{
    memset(out, 0, sizeof(*out));
    out->memory_mb = 32;
    out->vcpus = 1;
    out->mem_per_mb = VMX_MEM_PER_MB;
    out->mem_balloon_mb = UINT32_MAX;
    out->shares = VMX_SHARES_NORMAL;
    out->serial_port = -1;
    memcpy(out->bios, "bios-256k.bin", sizeof("bios-256k.bin"));
}

/* What only several keys together tell, and what follows from keys that are missing. */
static vmk_status config_finish(struct vmx_parser *p, struct vm_config *out)
{
    vmk_status status = vmx_sched_finish(p, out);

    if (status == VMK_OK)
        status = vmx_disks_finish(p, out);
    if (status != VMK_OK)
        return status;
    if (out->kernel[0] == '\0' && out->firmware == VM_FIRMWARE_DIRECT)
        return vmx_fail_at(p, "orrery.kernel", p->line, "missing");
    if (out->serial_file[0] && !p->serial_is_file)
        return vmx_fail_at(
            p, "serial0.fileName", p->serial_line,
            "must be com1, com2 or none; serial0.fileType = \"file\" for a file");
    if (p->serial_absent) {
        out->serial_port = -1;
        out->serial_file[0] = '\0';
    }
    if (out->name[0] == '\0')
        name_make(p->file, out);
    if (!p->uuid_given)
        uuid_make(out);
    return VMK_OK;
}

vmk_status vmx_config_parse(const char *file, const char *text, size_t size,
                            struct vm_config *out, char *error, size_t error_size)
{
    struct vmx_parser p = {.file = file,
                           .text = text,
                           .size = size,
                           .disks = out->disks,
                           .error = error,
                           .error_size = error_size};
    vmk_status status;

    config_defaults(out);
    if (size > FILE_SIZE_MAX)
        return vmx_fail(&p, "file longer than 16384 bytes");
    while ((status = vmx_setting_next(&p)) == VMK_OK) {
        if (key_seen_before(&p))
            return vmx_fail(&p, "given twice");
        status = setting_apply(&p, out);
        if (status != VMK_OK)
            return status;
    }
    return status == VMK_NOT_FOUND ? config_finish(&p, out) : status;
}
