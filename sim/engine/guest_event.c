// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/engine/guest_event.c -- interrupts and exceptions through the guest's own tables.
 *
 * The engine's library stops at every exception and delivers none. Delivery is the processor's
 * work: find the gate, check it, switch stacks, push the frame, go. A fault on the way takes
 * the event's place (double and triple fault included); a page that the host has not given yet
 * ends the attempt with nothing changed, because the frame is written in one piece before any
 * register.
 *
 * Invariants
 *   - Registers change only after every read and write has succeeded.
 *   - Task gates are not carried out.
 * Locking    none: one thread.
 * Sources    SDM-3A, "Interrupt and Exception Handling", "Task-State Segment"
 */
#include <string.h>

#include "lib/x86.h"
#include "plat/plat.h"
#include "sim/engine/guest.h"

#define EXT 1u  // in an error code: caused by something outside the program
#define IDT 2u  // in an error code: the index is of the IDT

/* One attempt. */
struct delivery {
    struct guest_cpu *g;
    const struct vt_event *event;
    struct vt_event fault;  // what takes its place
    bool software;          // INT n, INT3, INTO: the gate's DPL counts
    uint32_t ext;
    unsigned cpl;
    uint64_t rip, rsp, rflags;
    struct vt_segment cs, ss;
};

enum outcome {
    DONE,
    FAULT,   // d->fault
    NESTED,  // d->g->fault
    TASK,
};

struct gate {
    uint64_t offset;
    uint16_t selector;
    unsigned type, dpl, ist;
    bool present;
};

static enum outcome fault(struct delivery *d, uint8_t vector, uint32_t error)
{
    d->fault = (struct vt_event){.valid = true,
                                 .type = VT_EVENT_EXCEPTION,
                                 .vector = vector,
                                 .has_error = true,
                                 .error = error};
    return FAULT;
}

/* A read or write failed. */
static enum outcome memory_fault(struct delivery *d)
{
    const struct guest_fault *f = &d->g->fault;

    if (f->kind == GUEST_FAULT_NESTED)
        return NESTED;
    if (f->kind == GUEST_FAULT_GENERAL)
        return fault(d, VECTOR_GP, 0);
    uc_guest_set(d->g->cpu, VT_CR2, f->address);
    return fault(d, VECTOR_PF, f->error);
}

/* ---- real mode ---- */

static enum outcome deliver_real(struct delivery *d)
{
    struct guest_cpu *g = d->g;
    struct vt_segment idt;
    struct vt_segment cs;
    uint16_t vector[2];
    uint16_t frame[3] = {(uint16_t)d->rip, d->cs.selector, (uint16_t)d->rflags};
    uint16_t sp = (uint16_t)(d->rsp - 6);
    uint32_t at = d->event->vector * 4u;

    uc_guest_get_segment(g->cpu, VT_IDTR, &idt);
    if (at + 3 > idt.limit)
        return fault(d, VECTOR_GP, at * 2 + IDT + d->ext);
    if (!guest_read(g, idt.base + at, vector, 4, UC_SHIM_KERNEL) ||
        !guest_write(g, (uint32_t)(d->ss.base + sp), frame, 6, UC_SHIM_KERNEL))
        return memory_fault(d);
    cs = d->cs;
    cs.selector = vector[1];
    cs.base = (uint64_t)vector[1] << 4;
    uc_guest_set_segment(g->cpu, VT_CS, &cs);
    uc_guest_set(g->cpu, VT_RSP, (d->rsp & ~0xffffull) | sp);
    uc_guest_set(g->cpu, VT_RIP, vector[0]);
    uc_guest_set(g->cpu, VT_RFLAGS, d->rflags & ~(RFLAGS_IF | RFLAGS_TF | RFLAGS_AC));
    return DONE;
}

/* ---- protected and long mode ---- */

/* Reads the descriptor of a selector, whose faults carry it. */
static enum outcome descriptor(struct delivery *d, uint16_t selector, uint8_t vector,
                               struct vt_segment *out)
{
    struct vt_segment table;
    uint64_t word;

    uc_guest_get_segment(d->g->cpu, selector & 4 ? VT_LDTR : VT_GDTR, &table);
    if ((selector | 7u) > table.limit || !(selector & 0xfffc))
        return fault(d, vector, (selector & 0xfffcu) + d->ext);
    if (!guest_read(d->g, table.base + (selector & ~7u), &word, 8, UC_SHIM_KERNEL_SMAP))
        return memory_fault(d);
    out->selector = selector;
    out->base = (word >> 16 & 0xffffff) | (word >> 56) << 24;
    out->limit = (uint32_t)((word & 0xffff) | (word >> 32 & 0xf0000));
    if (word & BIT(55))
        out->limit = out->limit << 12 | 0xfff;
    out->rights = (uint32_t)(word >> 40 & 0xf0ff);
    return DONE;
}

static enum outcome read_gate(struct delivery *d, bool long_mode, struct gate *out)
{
    uint32_t size = long_mode ? 16 : 8;
    uint32_t at = d->event->vector * size;
    uint32_t error = d->event->vector * 8u + IDT + (d->software ? 0 : d->ext);
    uint64_t words[2] = {0};
    struct vt_segment idt;

    uc_guest_get_segment(d->g->cpu, VT_IDTR, &idt);
    if (at + size - 1 > idt.limit)
        return fault(d, VECTOR_GP, error);
    if (!guest_read(d->g, idt.base + at, words, size, UC_SHIM_KERNEL_SMAP))
        return memory_fault(d);
    out->offset = (words[0] & 0xffff) | (words[0] >> 48) << 16 | (words[1] & 0xffffffff) << 32;
    out->selector = (uint16_t)(words[0] >> 16);
    out->type = words[0] >> 40 & 0x1f;
    out->dpl = words[0] >> 45 & 3;
    out->ist = words[0] >> 32 & 7;
    out->present = words[0] & BIT(47);
    if (out->type != 14 && out->type != 15 &&
        (long_mode || (out->type != 5 && out->type != 6 && out->type != 7)))
        return fault(d, VECTOR_GP, error);
    if (d->software && out->dpl < d->cpl)
        return fault(d, VECTOR_GP, error);
    if (!out->present)
        return fault(d, VECTOR_NP, error);
    return out->type == 5 ? TASK : DONE;
}

/* The handler's code segment and the privilege it runs at. */
static enum outcome handler_code(struct delivery *d, const struct gate *gate, bool long_mode,
                                 struct vt_segment *cs, unsigned *cpl)
{
    enum outcome o = descriptor(d, gate->selector, VECTOR_GP, cs);
    uint32_t error = (gate->selector & 0xfffcu) + d->ext;
    unsigned dpl = cs->rights >> 5 & 3;

    if (o != DONE)
        return o;
    if ((cs->rights & 0x18) != 0x18 || dpl > d->cpl ||
        (long_mode && (cs->rights & (VT_SEG_L | VT_SEG_DB)) != VT_SEG_L))
        return fault(d, VECTOR_GP, error);
    if (!(cs->rights & VT_SEG_P))
        return fault(d, VECTOR_NP, error);
    *cpl = (cs->rights & 4) ? d->cpl : dpl;
    if ((d->rflags & RFLAGS_VM) && *cpl != 0)
        return fault(d, VECTOR_GP, error);
    cs->rights |= 1;
    cs->selector = (uint16_t)((gate->selector & 0xfffc) | *cpl);
    return DONE;
}

/* A field of the task-state segment. */
static enum outcome read_tss(struct delivery *d, uint32_t at, void *out, uint32_t size)
{
    struct vt_segment tr;

    uc_guest_get_segment(d->g->cpu, VT_TR, &tr);
    if (at + size - 1 > tr.limit)
        return fault(d, VECTOR_TS, (tr.selector & 0xfffcu) + d->ext);
    if (!guest_read(d->g, tr.base + at, out, size, UC_SHIM_KERNEL_SMAP))
        return memory_fault(d);
    return DONE;
}

static void enter_handler(struct delivery *d, const struct gate *gate,
                          const struct vt_segment *cs, uint64_t clear)
{
    struct uc_shim *cpu = d->g->cpu;
    uint64_t rflags = d->rflags & ~(RFLAGS_TF | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM | clear);

    if (!(gate->type & 1))
        rflags &= ~RFLAGS_IF;
    uc_guest_set(cpu, VT_RFLAGS, rflags);
    uc_guest_set_segment(cpu, VT_CS, cs);
    uc_guest_set(cpu, VT_RIP, gate->offset);
}

static bool is_canonical(uint64_t va)
{
    return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}

static enum outcome deliver_long(struct delivery *d)
{
    struct guest_cpu *g = d->g;
    struct gate gate;
    struct vt_segment cs;
    unsigned cpl = 0;
    uint64_t rsp = d->rsp;
    uint64_t frame[6];
    unsigned words = 0;
    enum outcome o = read_gate(d, true, &gate);

    if (o == DONE)
        o = handler_code(d, &gate, true, &cs, &cpl);
    if (o == DONE && gate.ist)
        o = read_tss(d, 28 + 8 * gate.ist, &rsp, 8);
    else if (o == DONE && cpl < d->cpl)
        o = read_tss(d, 4 + 8 * cpl, &rsp, 8);
    if (o != DONE)
        return o;
    if (d->event->has_error)
        frame[words++] = d->event->error;
    frame[words++] = d->rip;
    frame[words++] = d->cs.selector;
    frame[words++] = d->rflags;
    frame[words++] = d->rsp;
    frame[words++] = d->ss.selector;
    rsp = (rsp & ~15ull) - 8 * words;
    if (!is_canonical(rsp))
        return fault(d, VECTOR_SS, d->ext);
    if (!guest_write(g, rsp, frame, 8 * words, cpl == 3 ? UC_SHIM_USER : UC_SHIM_KERNEL_SMAP))
        return memory_fault(d);
    if (cpl < d->cpl) {
        const struct vt_segment null = {.selector = (uint16_t)cpl,
                                        .rights = (uint32_t)VT_SEG_UNUSABLE | cpl << 5};

        uc_guest_set_segment(g->cpu, VT_SS, &null);
    }
    uc_guest_set(g->cpu, VT_RSP, rsp);
    enter_handler(d, &gate, &cs, 0);
    return DONE;
}

/* Where the handler's stack is when the privilege changes. */
static enum outcome inner_stack(struct delivery *d, unsigned cpl, struct vt_segment *ss,
                                uint64_t *esp)
{
    struct vt_segment tr;
    uint32_t wide[2] = {0};
    uint16_t narrow[2] = {0};
    uint16_t selector;
    enum outcome o;

    uc_guest_get_segment(d->g->cpu, VT_TR, &tr);
    if (tr.rights & 8) {
        o = read_tss(d, 4 + 8 * cpl, wide, 8);
        *esp = wide[0];
        selector = (uint16_t)wide[1];
    } else {
        o = read_tss(d, 2 + 4 * cpl, narrow, 4);
        *esp = narrow[0];
        selector = narrow[1];
    }
    if (o == DONE)
        o = descriptor(d, selector, VECTOR_TS, ss);
    if (o != DONE)
        return o;
    if ((selector & 3) != cpl || (ss->rights >> 5 & 3) != cpl || (ss->rights & 0x1a) != 0x12)
        return fault(d, VECTOR_TS, (selector & 0xfffcu) + d->ext);
    if (!(ss->rights & VT_SEG_P))
        return fault(d, VECTOR_SS, (selector & 0xfffcu) + d->ext);
    ss->rights |= 1;
    return DONE;
}

static enum outcome deliver_protected(struct delivery *d)
{
    static const enum vt_seg data[] = {VT_GS, VT_FS, VT_DS, VT_ES};
    struct guest_cpu *g = d->g;
    struct gate gate;
    struct vt_segment cs;
    struct vt_segment ss = d->ss;
    struct vt_segment seg;
    unsigned cpl = 0;
    uint64_t esp = d->rsp;
    uint32_t push[10];
    uint16_t narrow[10];
    unsigned n = 0;
    bool inner;
    enum outcome o = read_gate(d, false, &gate);

    if (o == DONE)
        o = handler_code(d, &gate, false, &cs, &cpl);
    inner = cpl < d->cpl;
    if (o == DONE && inner)
        o = inner_stack(d, cpl, &ss, &esp);
    if (o != DONE)
        return o;
    /* In the order of addresses, which is the last push first. */
    if (d->event->has_error)
        push[n++] = d->event->error;
    push[n++] = (uint32_t)d->rip;
    push[n++] = d->cs.selector;
    push[n++] = (uint32_t)d->rflags;
    if (inner) {
        push[n++] = (uint32_t)d->rsp;
        push[n++] = d->ss.selector;
    }
    for (unsigned i = 0; (d->rflags & RFLAGS_VM) && i < ARRAY_COUNT(data); i++) {
        uc_guest_get_segment(g->cpu, data[ARRAY_COUNT(data) - 1 - i], &seg);
        push[n++] = seg.selector;
    }

    bool wide = gate.type & 8;
    uint64_t mask = (ss.rights & VT_SEG_DB) ? 0xffffffff : 0xffff;
    uint64_t size = n * (wide ? 4u : 2u);
    uint64_t bottom = (esp - size) & mask;

    for (unsigned i = 0; i < n; i++)
        narrow[i] = (uint16_t)push[i];
    if (!guest_write(g, (uint32_t)(ss.base + bottom), wide ? (void *)push : (void *)narrow,
                     size, cpl == 3 ? UC_SHIM_USER : UC_SHIM_KERNEL_SMAP))
        return memory_fault(d);
    if (inner)
        uc_guest_set_segment(g->cpu, VT_SS, &ss);
    uc_guest_set(g->cpu, VT_RSP, (esp & ~mask) | bottom);
    for (unsigned i = 0; (d->rflags & RFLAGS_VM) && i < ARRAY_COUNT(data); i++) {
        const struct vt_segment null = {.rights = (uint32_t)VT_SEG_UNUSABLE};

        uc_guest_set_segment(g->cpu, data[i], &null);
    }
    gate.offset = wide ? (uint32_t)gate.offset : (uint16_t)gate.offset;
    enter_handler(d, &gate, &cs, 0);
    return DONE;
}

/* ---- all modes ---- */

static enum outcome attempt(struct guest_cpu *g, const struct vt_event *event,
                            struct delivery *d)
{
    uint64_t cr0 = uc_guest_get(g->cpu, VT_CR0);

    *d = (struct delivery){.g = g, .event = event, .cpl = uc_guest_cpl(g->cpu)};
    d->software =
        event->type == VT_EVENT_SOFT_INTERRUPT || event->type == VT_EVENT_SOFT_EXCEPTION;
    d->ext = d->software ? 0 : EXT;
    d->rip = uc_guest_get(g->cpu, VT_RIP);
    if (d->software || event->type == VT_EVENT_PRIV_EXCEPTION)
        d->rip += event->length;
    d->rsp = uc_guest_get(g->cpu, VT_RSP);
    d->rflags = uc_guest_get(g->cpu, VT_RFLAGS);
    uc_guest_get_segment(g->cpu, VT_CS, &d->cs);
    uc_guest_get_segment(g->cpu, VT_SS, &d->ss);
    if (!(cr0 & CR0_PE))
        return deliver_real(d);
    return (uc_guest_get(g->cpu, VT_EFER) & EFER_LMA) ? deliver_long(d) : deliver_protected(d);
}

static bool is_exception(const struct vt_event *e)
{
    return e->type == VT_EVENT_EXCEPTION || e->type == VT_EVENT_SOFT_EXCEPTION ||
           e->type == VT_EVENT_PRIV_EXCEPTION;
}

static bool is_contributory(unsigned vector)
{
    return vector == 0 || (vector >= VECTOR_TS && vector <= VECTOR_GP);
}

enum guest_delivery guest_deliver(struct guest_cpu *g, const struct vt_event *event)
{
    struct vt_event now = *event;
    struct delivery d;

    uc_guest_clear_shadow(g->cpu);
    for (;;) {
        enum outcome o = attempt(g, &now, &d);

        if (o == DONE)
            return GUEST_DELIVERED;
        if (o == NESTED)
            return GUEST_NESTED_FAULT;
        if (o == TASK)
            return GUEST_TASK_GATE;
        if (is_exception(&now)) {
            bool bad = is_contributory(d.fault.vector) || d.fault.vector == VECTOR_PF;

            if (now.vector == VECTOR_DF)
                return GUEST_TRIPLE_FAULT;
            if (bad && ((is_contributory(now.vector) && d.fault.vector != VECTOR_PF) ||
                        now.vector == VECTOR_PF)) {
                (void)fault(&d, VECTOR_DF, 0);
            }
        }
        now = d.fault;
        if (!(uc_guest_get(g->cpu, VT_CR0) & CR0_PE))
            now.has_error = false;
    }
}

bool guest_port_allowed(struct guest_cpu *g, uint16_t port, unsigned size)
{
    uint64_t rflags = uc_guest_get(g->cpu, VT_RFLAGS);
    struct vt_segment tr;
    uint16_t map;
    uint16_t bits;

    if (!(uc_guest_get(g->cpu, VT_CR0) & CR0_PE) ||
        (uc_guest_cpl(g->cpu) <= (rflags >> 12 & 3) && !(rflags & RFLAGS_VM)))
        return true;
    g->fault.kind = GUEST_FAULT_NONE;
    uc_guest_get_segment(g->cpu, VT_TR, &tr);
    if (!(tr.rights & VT_SEG_P) || (tr.rights & 0xf) != 0xb || tr.limit < 103)
        return false;
    if (!guest_read(g, tr.base + 102, &map, 2, UC_SHIM_KERNEL_SMAP))
        return false;
    map = (uint16_t)(map + port / 8);
    if (map + 1u > tr.limit || !guest_read(g, tr.base + map, &bits, 2, UC_SHIM_KERNEL_SMAP))
        return false;
    return !((unsigned)bits >> port % 8 & ((1u << size) - 1));
}
