// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/emulate_fixture.h -- a machine of a few lines under the emulator of instructions.
 *
 * Linear address = physical address, 64 KB of RAM, one device page, holes elsewhere. It takes
 * the place of vmm/gla.c, vmm/vcpu.c, vmm/vm_io.c and the vector moves; faults are counted, not
 * raised.
 */
#pragma once

#include "vmm/emulate_vector.h"
#include "vmm/emulate_x87.h"
#include "vmm/vm.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "tests/unit/suite_run.h"

#define RAM_SIZE  0x10000u
#define CODE_AT   0x1000u
#define DEVICE_AT 0xfee00000ull
#define FLAGS     0x8d5ul

static struct machine {
    struct vm vm;
    struct vcpu vcpu;
    uint64_t rip, rflags, rsp, cr0, efer;
    struct vt_segment segments[VT_SEG_COUNT];
    uint8_t ram[RAM_SIZE];
    uint8_t device[PAGE_SIZE];
    unsigned device_accesses, last_size;
    uint8_t port_log[8192];
    unsigned port_accesses, ud, gp, pf, de, db;
    uint64_t pf_address, watched, hits;
    enum breakpoint_kind watched_kind;
    uint32_t pf_error;
} m;

/* ---- what the emulator calls ---- */

static uint64_t fake_get(struct vcpu *v, enum vt_reg reg)
{
    (void)v;
    switch (reg) {
    case VT_RIP: return m.rip;
    case VT_RFLAGS: return m.rflags;
    case VT_RSP: return m.rsp;
    case VT_CR0: return m.cr0;
    case VT_EFER: return m.efer;
    default: ck_abort_msg("register %d", (int)reg); return 0;
    }
}

static void fake_set(struct vcpu *v, enum vt_reg reg, uint64_t value)
{
    (void)v;
    ck_assert_int_eq(reg, VT_RFLAGS);
    m.rflags = value;
}

static void fake_get_segment(struct vcpu *v, enum vt_seg seg, struct vt_segment *out)
{
    (void)v;
    *out = m.segments[seg];
}

const struct vt_backend *vt(void)
{
    static const struct vt_backend fake = {
        .name = "test", .get = fake_get, .set = fake_set, .get_segment = fake_get_segment};

    return &fake;
}

uint64_t vcpu_gpr(struct vcpu *v, unsigned number)
{
    return number == GPR_RSP ? m.rsp : v->regs.gpr[number];
}

void vcpu_gpr_set(struct vcpu *v, unsigned number, uint64_t value)
{
    if (number == GPR_RSP)
        m.rsp = value;
    else
        v->regs.gpr[number] = value;
}

void vcpu_raise(struct vcpu *v, uint8_t vector, bool has_error, uint32_t error)
{
    (void)v;
    (void)error;
    ck_assert_uint_eq(vector, VECTOR_DE);
    ck_assert(!has_error);
    m.de++;
}

uint64_t breakpoint_hits(struct vcpu *v, uint64_t at, unsigned size, enum breakpoint_kind kind)
{
    return v->breakpoints && kind == m.watched_kind && at <= m.watched && m.watched < at + size;
}

void breakpoint_step(struct vcpu *v, uint64_t next, uint64_t hits)
{
    (void)v;
    m.rip = next;
    m.db++;
    m.hits = hits;
}

void vcpu_raise_gp(struct vcpu *v)
{
    ck_assert_ptr_eq(v, &m.vcpu);
    m.gp++;
}

void vcpu_raise_ud(struct vcpu *v)
{
    (void)v;
    m.ud++;
}

void vcpu_raise_pf(struct vcpu *v, uint64_t address, uint32_t error)
{
    (void)v;
    m.pf++;
    m.pf_address = address;
    m.pf_error = error;
}

bool gla_translate(struct vcpu *v, uint64_t gla, enum gla_access access, gpa_t *out,
                   struct gla_fault *fault)
{
    (void)v;
    if (gla < RAM_SIZE || gla - DEVICE_AT < PAGE_SIZE) {
        *out = gpa_make(gla);
        return true;
    }
    *fault = (struct gla_fault){gla, (uint32_t)access};
    return false;
}

vmk_status gla_read(struct vcpu *v, uint64_t gla, void *out, size_t size,
                    enum gla_access access, struct gla_fault *fault)
{
    gpa_t gpa;

    for (size_t i = 0; i < size; i++) {
        if (!gla_translate(v, gla + i, access, &gpa, fault))
            return VMK_BAD_PARAM;
        if (gpa.raw >= RAM_SIZE)
            return VMK_NOT_FOUND;
        ((uint8_t *)out)[i] = m.ram[gpa.raw];
    }
    return VMK_OK;
}

/* Nothing is kept: every fetch walks. tests/unit/test_code_page.c has the rest. */
const uint8_t *code_page_find(struct vcpu *v, uint64_t gla)
{
    (void)v;
    (void)gla;
    return NULL;
}

void code_page_keep(struct vcpu *v, uint64_t gla)
{
    (void)v;
    (void)gla;
}

/* No vector moves: tests/unit/test_emulate_vector.c has those. */
bool vector_move_of(const struct decoded *d, struct vector_move *out)
{
    (void)d;
    (void)out;
    return false;
}

void vector_get(struct vcpu *v, const struct vector_move *move, uint8_t bytes[VECTOR_BYTES])
{
    (void)v;
    (void)move;
    (void)bytes;
}

void vector_load(struct vcpu *v, const struct vector_move *move, const uint8_t *bytes)
{
    (void)v;
    (void)move;
    (void)bytes;
}

/* Nor x87 ones: tests/unit/test_emulate_x87.c. */
bool x87_form_of(const struct decoded *d, struct x87_form *out)
{
    (void)d;
    (void)out;
    return false;
}

enum x87_outcome x87_run(struct vcpu *v, const struct x87_form *move, uint64_t rip,
                         uint64_t gla, uint8_t bytes[X87_BYTES])
{
    (void)v;
    (void)move;
    (void)rip;
    (void)gla;
    (void)bytes;
    return X87_DONE;
}

vmk_status vm_memory_read(struct vm *vm, gpa_t gpa, void *out, size_t size)
{
    (void)vm;
    if (gpa.raw + size > RAM_SIZE)
        return VMK_NOT_FOUND;
    memcpy(out, m.ram + gpa.raw, size);
    return VMK_OK;
}

vmk_status vm_memory_write(struct vm *vm, gpa_t gpa, const void *in, size_t size)
{
    (void)vm;
    if (gpa.raw + size > RAM_SIZE)
        return VMK_NOT_FOUND;
    memcpy(m.ram + gpa.raw, in, size);
    return VMK_OK;
}

bool vm_mmio_access(struct vm *vm, struct vcpu *v, gpa_t gpa, unsigned size, bool read,
                    uint64_t *value)
{
    uint64_t at = gpa.raw - DEVICE_AT;

    (void)vm;
    (void)v;
    ck_assert_uint_le(at + size, PAGE_SIZE);
    m.device_accesses++;
    m.last_size = size;
    if (read) {
        *value = 0;
        memcpy(value, m.device + at, size);
    } else {
        memcpy(m.device + at, value, size);
    }
    return true;
}

bool vm_port_access(struct vm *vm, struct vcpu *v, uint16_t port, unsigned size, bool in,
                    uint32_t *value)
{
    (void)vm;
    (void)v;
    ck_assert_uint_eq(port, 0x1f0);
    for (unsigned i = 0; i < size; i++) {
        if (in)
            *value =
                i ? *value | (m.port_accesses & 0xffu) << (8 * i) : m.port_accesses & 0xffu;
        else
            m.port_log[m.port_accesses * size + i] = (uint8_t)(*value >> (8 * i));
    }
    m.port_accesses++;
    return true;
}

plat_ns plat_time_now(void)
{
    return 1;
}

void vmk_log(enum vmk_log_level level, const char *format, ...)
{
    (void)level;
    (void)format;
}

/* ---- running one instruction ---- */

static void machine_reset(unsigned mode)
{
    memset(&m, 0, sizeof(m));
    m.vcpu.vm = &m.vm;
    m.vm.page_count = m.vm.low_page_count = RAM_SIZE >> PAGE_SHIFT;
    m.rip = CODE_AT;
    m.rsp = 0x8000;
    m.rflags = 2;
    m.cr0 = 1;
    m.efer = mode == 64 ? BIT(10) : 0;
    m.segments[VT_CS].rights = mode == 64 ? VT_SEG_L : mode == 32 ? VT_SEG_DB : 0;
    m.segments[VT_SS].rights = mode == 16 ? 0 : VT_SEG_DB;
}

static void code_hex(const char *hex)
{
    for (size_t i = 0; hex[2 * i]; i++)
        m.ram[CODE_AT + i] =
            (uint8_t)strtoul((char[]){hex[2 * i], hex[2 * i + 1], 0}, NULL, 16);
}

static enum exit_verdict mmio(uint64_t gpa, uint32_t *length)
{
    struct vm_exit exit = {.kind = VM_EXIT_NESTED_FAULT, .nested = {.gpa = gpa_make(gpa)}};

    *length = 0;
    return emulate_mmio(&m.vcpu, &exit, length);
}
