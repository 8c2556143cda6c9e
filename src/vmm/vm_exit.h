// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vm_exit.h -- what the hardware said, read once, before any handler runs.
 */
#pragma once

#include "mem/addr.h"

struct vcpu;

enum vm_exit_kind {
#define VM_EXIT(name, handler, carries) VM_EXIT_##name,
#include "vmm/vm_exit.def"
    VM_EXIT_KIND_COUNT
};

enum vm_cr_kind {
    VM_CR_MOV,
    VM_CR_CLTS,
    VM_CR_LMSW
};

/* What began a task switch. */
enum vm_task_source {
    VM_TASK_UNKNOWN,  // the back end cannot say
    VM_TASK_CALL,
    VM_TASK_IRET,
    VM_TASK_JMP,
    VM_TASK_GATE,  // of an event, which is in v->inject
};

struct vm_exit {
    enum vm_exit_kind kind;
    uint32_t raw_reason;     // the vendor's number, for logs
    uint32_t length;         // of the instruction; 0 when the back end does not know
    uint64_t qualification;  // VT-x qualification or EXITINFO1, for logs
    uint64_t rip;
    union {
        struct {
            uint8_t vector;
            bool has_error;
            uint32_t error;
            uint64_t cr2;
        } exception;
        struct {
            uint8_t number;  // 0, 3, 4, 8
            bool write;
            uint8_t gpr;  // register number; for LMSW `value` holds the operand
            enum vm_cr_kind kind;
            uint16_t value;
        } cr;
        struct {
            uint8_t number;
            bool write;
            uint8_t gpr;
        } dr;
        struct {
            uint16_t port;
            uint8_t size;  // 1, 2, 4
            bool in, string, rep;
        } io;
        struct {
            gpa_t gpa;
            bool read, write, fetch;
            bool gla_valid;
            uint64_t gla;
        } nested;
        struct {
            uint16_t selector;  // of the new TSS
            enum vm_task_source source;
        } task;
        struct {
            const char *rule;  // static text: what the software checker found
        } failure;
    };
};

/* What the run loop does next. Handlers never touch RIP themselves. */
enum exit_verdict {
    EXIT_RESUME,       // run again at the same RIP
    EXIT_AGAIN,        // the same, and no device and no interrupt was touched
    EXIT_RESUME_NEXT,  // emulated: step over the instruction
    EXIT_BLOCK,        // like RESUME_NEXT, then the world waits for an interrupt (HLT)
    EXIT_KILL_VM,      // guest state that no handler can mend
};

/* As in logs, vmware.log and traces: "CPUID". */
const char *vm_exit_name(enum vm_exit_kind kind);
/* Counts and calls the handler. Runs in the vCPU's world, irqs on, no lock held. */
enum exit_verdict vm_exit_dispatch(struct vcpu *v, const struct vm_exit *exit);
