// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/task_switch.c -- a 32-bit guest changes tasks by hardware, and VT-x leaves that to us.
 *
 * A far CALL or JMP to a TSS or task gate, an IRET with NT set and an event whose gate in the
 * IDT is a task gate all exchange the whole processor state through memory. VT-x makes an exit
 * of each and has only checked the selector and the gate. AMD-V does the switch itself and is
 * not asked to exit.
 *
 * There are three parts. prepare() looks at everything that can still fault in the old task and
 * changes nothing. commit() saves the old task, marks the busy bits and loads the plain
 * registers; from there on the new task runs. enter() loads its segments: what is wrong with
 * those is a fault of the new task's first instruction, taken with as much of its state as
 * there is.
 *
 * A fault before commit() meets the event that was being delivered (v->inject) in vcpu_raise(),
 * which makes a double fault where the processor would. Behind it the event counts as
 * delivered.
 *
 * Not modelled: the limit of the new stack when the error code is pushed, NMI blocking when the
 * NMI's gate is a task gate, shadow-stack fields.
 *
 * Invariants: guest tables are input; the state left behind is one that an entry accepts.
 * Locking: none; the vCPU's world.
 * Start at: exit_task_switch().
 * Sources: SDM-3A, "Task Management"; SDM-3C, "Treatment of Task Switches".
 */
#include "core/log.h"
#include "lib/endian.h"
#include "lib/string.h"
#include "vmm/vcpu_internal.h"
#include "vmm/vm.h"

#define RFLAGS_LOADED   0x3f7fd7u  // what exists
#define DR7_LOCAL       0x155u     // L0-L3, LE: of one task only
#define SELECTOR_LDT    4u
#define TSS_WIDE_SIZE   104u
#define TSS_NARROW_SIZE 44u

/* Rights as struct vt_segment has them. */
#define RIGHTS_TYPE     0xfu
#define RIGHTS_S        BIT(4)
#define RIGHTS_P        BIT(7)
#define RIGHTS_DB       BIT(14)
#define RIGHTS_G        BIT(15)
#define RIGHTS_DPL(r)   ((r) >> 5 & 3u)
#define TYPE_CODE       8u  // of a segment with S
#define TYPE_CONFORMING 4u  // of code
#define TYPE_WRITABLE   2u  // of data; readable of code
#define TYPE_LDT        2u
#define TYPE_BUSY       2u  // of a TSS, on top of 1 (16-bit) or 9 (32-bit)

/* The order of general registers in a TSS is the order of their numbers. */
struct task_state {
    uint32_t cr3, eip, eflags, gpr[8];
    uint16_t es, cs, ss, ds, fs, gs, ldt;
    bool trap;
};

struct descriptor {
    struct vt_segment segment;  // selector, limit, rights, base
    uint64_t at;                // linear address of its 8 bytes
};

struct switching {
    struct vcpu *v;
    enum vm_task_source source;
    uint32_t ext;  // 1 in error codes: an event from outside the program
    struct vt_segment old;
    struct descriptor next;
    bool old_wide, new_wide;
    uint32_t old_eip;
    bool has_error;
    uint32_t error;
};

/* ---- memory, as the processor touches its own tables: never as a user ---- */

static bool table_copy(struct vcpu *v, uint64_t gla, void *out, const void *in, size_t size)
{
    enum gla_access access = (enum gla_access)((in ? GLA_WRITE : GLA_READ) | GLA_SYSTEM);
    size_t done = 0;

    while (done < size) {
        uint64_t at = (uint32_t)(gla + done);
        size_t part = MIN(size - done, (size_t)(PAGE_SIZE - (at & (PAGE_SIZE - 1))));
        struct gla_fault fault;
        vmk_status status;
        gpa_t gpa;

        if (!gla_translate(v, at, access, &gpa, &fault)) {
            vcpu_raise_pf(v, fault.address, fault.error);
            return false;
        }
        if (in)
            status = vm_memory_write(v->vm, gpa, (const uint8_t *)in + done, part);
        else
            status = vm_memory_read(v->vm, gpa, (uint8_t *)out + done, part);
        if (status != VMK_OK && out)
            memset((uint8_t *)out + done, 0xff, part);  // no RAM there
        done += part;
    }
    return true;
}

static bool table_read(struct vcpu *v, uint64_t gla, void *out, size_t size)
{
    return table_copy(v, gla, out, NULL, size);
}

static bool table_write(struct vcpu *v, uint64_t gla, const void *in, size_t size)
{
    return table_copy(v, gla, NULL, in, size);
}

/* Could it be written? A #PF is queued if not. */
static bool table_writable(struct vcpu *v, uint64_t gla, size_t size)
{
    uint8_t bytes[TSS_WIDE_SIZE];

    return table_read(v, gla, bytes, size) && table_write(v, gla, bytes, size);
}

static void raise(const struct switching *s, uint8_t vector, uint32_t selector)
{
    vcpu_raise(s->v, vector, true, (selector & 0xfffcu) | s->ext);
}

/* ---- descriptors ---- */

/*
 * Reads what a selector names. False: a fault is queued, `vector` if the table ends before it.
 */
static bool descriptor_read(const struct switching *s, uint16_t selector, uint8_t vector,
                            struct descriptor *out)
{
    struct vt_segment table;
    uint8_t bytes[8];
    uint32_t high, limit, offset = selector & 0xfff8u;

    vt()->get_segment(s->v, selector & SELECTOR_LDT ? VT_LDTR : VT_GDTR, &table);
    if (((selector & SELECTOR_LDT) && (table.rights & VT_SEG_UNUSABLE)) ||
        offset + 7u > table.limit) {
        raise(s, vector, selector);
        return false;
    }
    out->at = table.base + offset;
    if (!table_read(s->v, out->at, bytes, sizeof(bytes)))
        return false;
    high = le32(bytes + 4);
    limit = le16(bytes) | (high & 0xf0000u);
    out->segment = (struct vt_segment){
        .selector = selector,
        .rights = high >> 8 & 0xf0ffu,
        .base = le32(bytes) >> 16 | (high & 0xffu) << 16 | (high & 0xff000000u),
    };
    out->segment.limit = out->segment.rights & RIGHTS_G ? limit << 12 | 0xfffu : limit;
    return true;
}

/* Sets and clears bits of the type in a descriptor in memory. */
static bool type_change(struct vcpu *v, uint64_t at, unsigned set, unsigned clear)
{
    uint8_t type;

    if (!table_read(v, at + 5, &type, 1))
        return false;
    if ((type | set) == type && !(type & clear))
        return true;
    type = (uint8_t)((type | set) & ~clear);
    return table_write(v, at + 5, &type, 1);
}

/* ---- the state in memory ---- */

static void state_decode(const uint8_t *tss, bool wide, struct task_state *out)
{
    *out = (struct task_state){0};
    if (wide) {
        uint16_t *const segments[] = {&out->es, &out->cs, &out->ss, &out->ds,
                                      &out->fs, &out->gs, &out->ldt};

        out->cr3 = le32(tss + 0x1c);
        out->eip = le32(tss + 0x20);
        out->eflags = le32(tss + 0x24);
        for (unsigned i = 0; i < 8; i++)
            out->gpr[i] = le32(tss + 0x28 + 4 * i);
        for (unsigned i = 0; i < ARRAY_COUNT(segments); i++)
            *segments[i] = le16(tss + 0x48 + 4 * i);
        out->trap = tss[0x64] & 1;
        return;
    }
    out->eip = le16(tss + 0x0e);
    out->eflags = le16(tss + 0x10);
    for (unsigned i = 0; i < 8; i++)
        out->gpr[i] = le16(tss + 0x12 + 2 * i);
    out->es = le16(tss + 0x22);
    out->cs = le16(tss + 0x24);
    out->ss = le16(tss + 0x26);
    out->ds = le16(tss + 0x28);
    out->ldt = le16(tss + 0x2a);
}

/* The part of a TSS that a switch away from it writes; gives its first offset and its size. */
static size_t state_encode(struct vcpu *v, bool wide, uint32_t eip, uint32_t eflags,
                           uint8_t *out, unsigned *offset)
{
    static const enum vt_seg order[] = {VT_ES, VT_CS, VT_SS, VT_DS, VT_FS, VT_GS};
    unsigned size = wide ? 4 : 2, at = 0, segments = wide ? 6 : 4;

    memset(out, 0, TSS_WIDE_SIZE);
    *offset = wide ? 0x20 : 0x0e;
    for (unsigned i = 0; i < 10 + segments; i++, at += size) {
        struct vt_segment segment;
        uint32_t value = i == 0 ? eip : eflags;

        if (i >= 10) {
            vt()->get_segment(v, order[i - 10], &segment);
            value = segment.selector;
        } else if (i >= 2) {
            value = (uint32_t)vcpu_gpr(v, i - 2);
        }
        if (wide)
            put_le32(out + at, value);
        else
            put_le16(out + at, (uint16_t)value);
    }
    return at;
}

/* ---- the old task ---- */

/* What can fault while the old task is still there. False: a fault is queued. */
static bool prepare(struct switching *s, uint16_t selector)
{
    struct vcpu *v = s->v;
    const struct vt_segment *next = &s->next.segment;
    bool back = s->source == VM_TASK_IRET;
    uint8_t wrong = back ? VECTOR_TS : VECTOR_GP;
    unsigned type;

    if ((selector & SELECTOR_LDT) || !(selector & 0xfffc)) {
        raise(s, wrong, selector);
        return false;
    }
    if (!descriptor_read(s, selector, wrong, &s->next))
        return false;
    type = next->rights & RIGHTS_TYPE;
    s->new_wide = type & 8;
    if ((next->rights & RIGHTS_S) || (type & 7) != (back ? 3u : 1u)) {
        raise(s, wrong, selector);
        return false;
    }
    if (!(next->rights & RIGHTS_P)) {
        raise(s, VECTOR_NP, selector);
        return false;
    }
    if (next->limit + 1 < (s->new_wide ? TSS_WIDE_SIZE : TSS_NARROW_SIZE)) {
        raise(s, VECTOR_TS, selector);
        return false;
    }
    vt()->get_segment(v, VT_TR, &s->old);
    s->old_wide = s->old.rights & 8;
    return table_writable(v, s->old.base, s->old_wide ? TSS_WIDE_SIZE : TSS_NARROW_SIZE) &&
           table_writable(v, next->base, s->new_wide ? TSS_WIDE_SIZE : TSS_NARROW_SIZE) &&
           type_change(v, s->next.at, 0, 0);
}

/*
 * Saves the old task and makes the new one current, all but its segments. False: a fault is
 * queued; after prepare() only when another vCPU changed the tables meanwhile.
 */
static bool commit(struct switching *s, struct task_state *state)
{
    struct vcpu *v = s->v;
    bool nested = s->source == VM_TASK_CALL || s->source == VM_TASK_GATE;
    uint32_t eflags = (uint32_t)vt()->get(v, VT_RFLAGS);
    uint8_t tss[TSS_WIDE_SIZE], link[2];
    struct descriptor old;
    struct vt_segment tr;
    unsigned offset;
    size_t size;

    if (s->source == VM_TASK_IRET)
        eflags &= ~(uint32_t)RFLAGS_NT;
    size = state_encode(v, s->old_wide, s->old_eip, eflags, tss, &offset);
    if (!table_write(v, s->old.base + offset, tss, size))
        return false;
    if (!nested && (!descriptor_read(s, s->old.selector, VECTOR_TS, &old) ||
                    !type_change(v, old.at, 0, TYPE_BUSY)))
        return false;
    if (nested) {
        put_le16(link, s->old.selector);
        if (!table_write(v, s->next.segment.base, link, sizeof(link)))
            return false;
    }
    if (s->source != VM_TASK_IRET && !type_change(v, s->next.at, TYPE_BUSY, 0))
        return false;
    if (!table_read(v, s->next.segment.base, tss,
                    s->new_wide ? TSS_WIDE_SIZE : TSS_NARROW_SIZE))
        return false;
    state_decode(tss, s->new_wide, state);

    tr = s->next.segment;
    tr.rights |= TYPE_BUSY;
    vt()->set_segment(v, VT_TR, &tr);
    vt()->set(v, VT_CR0, vt()->get(v, VT_CR0) | CR0_TS);
    vt()->set(v, VT_DR7, vt()->get(v, VT_DR7) & ~(uint64_t)DR7_LOCAL);
    if (s->new_wide && (vt()->get(v, VT_CR0) & CR0_PG)) {
        vt()->set(v, VT_CR3, state->cr3);
        vt()->flush_vcpu(v);
    }
    (void)vt()->step(v, state->eip);
    state->eflags = (state->eflags & RFLAGS_LOADED) | 2u | (nested ? (uint32_t)RFLAGS_NT : 0);
    vt()->set(v, VT_RFLAGS, state->eflags);
    for (unsigned i = 0; i < 8; i++)
        vcpu_gpr_set(v, i, state->gpr[i]);
    return true;
}

/* ---- the new task ---- */

static void segment_none(struct vcpu *v, enum vt_seg which, uint16_t selector, unsigned dpl)
{
    const struct vt_segment none = {.selector = selector,
                                    .rights = (uint32_t)VT_SEG_UNUSABLE | dpl << 5};

    vt()->set_segment(v, which, &none);
}

static bool code_fits(uint32_t rights, unsigned rpl, unsigned cpl)
{
    if (!(rights & RIGHTS_S) || !(rights & TYPE_CODE))
        return false;
    if (rights & TYPE_CONFORMING)
        return RIGHTS_DPL(rights) <= cpl;
    return rpl <= cpl && RIGHTS_DPL(rights) == cpl;
}

static bool stack_fits(uint32_t rights, unsigned rpl, unsigned cpl)
{
    return (rights & RIGHTS_S) && !(rights & TYPE_CODE) && (rights & TYPE_WRITABLE) &&
           rpl == cpl && RIGHTS_DPL(rights) == cpl;
}

static bool data_fits(uint32_t rights, unsigned rpl, unsigned cpl)
{
    if (!(rights & RIGHTS_S) || (rights & (TYPE_CODE | TYPE_WRITABLE)) == TYPE_CODE)
        return false;  // execute-only
    if ((rights & (TYPE_CODE | TYPE_CONFORMING)) == (TYPE_CODE | TYPE_CONFORMING))
        return true;
    return RIGHTS_DPL(rights) >= MAX(rpl, cpl);
}

static bool segment_fits(enum vt_seg which, uint32_t rights, unsigned rpl, unsigned cpl)
{
    switch ((unsigned)which) {
    case VT_CS: return code_fits(rights, rpl, cpl);
    case VT_SS: return stack_fits(rights, rpl, cpl);
    case VT_LDTR: return !(rights & RIGHTS_S) && (rights & RIGHTS_TYPE) == TYPE_LDT;
    default: return data_fits(rights, rpl, cpl);
    }
}

/* One segment register of the new task. False: a fault is queued. */
static bool segment_load(const struct switching *s, enum vt_seg which, uint16_t selector,
                         unsigned cpl)
{
    struct vcpu *v = s->v;
    struct descriptor d;
    bool memory = which != VT_LDTR;

    if (!(selector & 0xfffc)) {
        if (which != VT_CS && which != VT_SS)
            return true;  // it has none
        raise(s, VECTOR_TS, selector);
        return false;
    }
    if (!memory && (selector & SELECTOR_LDT)) {
        raise(s, VECTOR_TS, selector);
        return false;
    }
    if (!descriptor_read(s, selector, VECTOR_TS, &d))
        return false;
    if (!segment_fits(which, d.segment.rights, selector & 3u, cpl)) {
        raise(s, VECTOR_TS, selector);
        return false;
    }
    if (!(d.segment.rights & RIGHTS_P)) {
        raise(s, which == VT_SS ? VECTOR_SS : memory ? VECTOR_NP : VECTOR_TS, selector);
        return false;
    }
    if (memory) {
        if (!type_change(v, d.at, 1, 0))
            return false;
        d.segment.rights |= 1;
    }
    vt()->set_segment(v, which, &d.segment);
    return true;
}

static void enter_vm86(struct vcpu *v, const struct task_state *state)
{
    const struct {
        enum vt_seg which;
        uint16_t selector;
    } all[] = {{VT_ES, state->es}, {VT_CS, state->cs}, {VT_SS, state->ss},
               {VT_DS, state->ds}, {VT_FS, state->fs}, {VT_GS, state->gs}};

    for (unsigned i = 0; i < ARRAY_COUNT(all); i++) {
        const struct vt_segment segment = {all[i].selector, 0xffff, 0xf3,
                                           (uint64_t)all[i].selector << 4};

        vt()->set_segment(v, all[i].which, &segment);
    }
}

/* The segments of the new task, in an order in which each knows the privilege it needs. */
static bool enter(const struct switching *s, const struct task_state *state)
{
    const struct {
        enum vt_seg which;
        uint16_t selector;
    } data[] = {{VT_ES, state->es}, {VT_DS, state->ds}, {VT_FS, state->fs}, {VT_GS, state->gs}};
    struct vcpu *v = s->v;
    unsigned cpl = state->cs & 3u;
    struct vt_segment cs;

    segment_none(v, VT_LDTR, state->ldt, 0);
    if (state->eflags & RFLAGS_VM) {
        enter_vm86(v, state);
        return segment_load(s, VT_LDTR, state->ldt, 0);
    }
    // Until each is loaded: its selector, and nothing behind it. SS has the privilege that CS
    // has.
    vt()->get_segment(v, VT_CS, &cs);
    cs.selector = state->cs;
    if (cs.rights & VT_SEG_UNUSABLE || !(cs.rights & TYPE_CODE))
        cs = (struct vt_segment){state->cs, UINT32_MAX, 0xc09b, 0};  // out of virtual-8086 mode
    vt()->set_segment(v, VT_CS, &cs);
    segment_none(v, VT_SS, state->ss, RIGHTS_DPL(cs.rights));
    for (unsigned i = 0; i < ARRAY_COUNT(data); i++)
        segment_none(v, data[i].which, data[i].selector, 0);
    if (!segment_load(s, VT_LDTR, state->ldt, 0) || !segment_load(s, VT_CS, state->cs, cpl))
        return false;
    segment_none(v, VT_SS, state->ss, cpl);
    if (!segment_load(s, VT_SS, state->ss, cpl))
        return false;
    for (unsigned i = 0; i < ARRAY_COUNT(data); i++) {
        if (!segment_load(s, data[i].which, data[i].selector, cpl))
            return false;
    }
    return true;
}

/* The event's error code onto the new task's stack. */
static bool error_push(const struct switching *s)
{
    unsigned size = s->new_wide ? 4 : 2;
    struct gla_fault fault;
    struct vt_segment ss;
    uint64_t sp, mask;
    uint8_t bytes[4];

    vt()->get_segment(s->v, VT_SS, &ss);
    mask = ss.rights & RIGHTS_DB ? UINT32_MAX : UINT16_MAX;
    sp = vcpu_gpr(s->v, GPR_RSP);
    sp = (sp & ~mask) | ((sp - size) & mask);
    put_le32(bytes, s->error);
    if (gla_write(s->v, (uint32_t)(ss.base + (sp & mask)), bytes, size, &fault) ==
        VMK_BAD_PARAM) {
        vcpu_raise_pf(s->v, fault.address, fault.error);
        return false;
    }
    vcpu_gpr_set(s->v, GPR_RSP, sp);
    return true;
}

enum exit_verdict exit_task_switch(struct vcpu *v, const struct vm_exit *exit)
{
    const struct vt_event event = v->inject;
    struct switching s = {.v = v, .source = exit->task.source};
    struct task_state state;
    uint32_t length = exit->length;

    if (exit->task.source == VM_TASK_UNKNOWN || (vt()->get(v, VT_EFER) & EFER_LMA)) {
        vmk_log(VMK_LOG_ERROR, "VM: %s: hardware task switch at %#llx is not supported here",
                v->vm->config.name, (unsigned long long)exit->rip);
        return EXIT_KILL_VM;
    }
    if (s.source == VM_TASK_GATE) {
        bool software = event.type == VT_EVENT_SOFT_INTERRUPT ||
                        event.type == VT_EVENT_SOFT_EXCEPTION ||
                        event.type == VT_EVENT_PRIV_EXCEPTION;

        length = software ? event.length : 0;
        s.ext = event.type == VT_EVENT_SOFT_INTERRUPT || event.type == VT_EVENT_SOFT_EXCEPTION
                    ? 0
                    : 1;
        s.has_error = event.has_error;
        s.error = event.error;
    }
    s.old_eip = (uint32_t)(exit->rip + length);
    if (!prepare(&s, exit->task.selector))
        return EXIT_RESUME;
    v->inject.valid = false;
    if (!commit(&s, &state) || !enter(&s, &state) || (s.has_error && !error_push(&s)))
        return EXIT_RESUME;
    if (state.trap)
        vcpu_raise_db(v, DR6_BT);
    return EXIT_RESUME;
}
