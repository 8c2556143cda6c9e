// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/pvscsi_internal.h -- struct pvscsi and the guest's rings, for the two files of the adapter.
 */
#pragma once

#include "vmm/dev/pvscsi.h"
#include "vmm/dev/scsi_disk.h"
#include "vmm/dev/vpci.h"
#include "vmm/vm.h"
#include "vmm/vm_disks.h"
#include "vmm/vm_work.h"

#define PVSCSI_RING_PAGES           32u
#define PVSCSI_DESCRIPTOR_WORDS     132u
#define PVSCSI_REQUEST_SIZE         128u
#define PVSCSI_COMPLETION_SIZE      32u
#define PVSCSI_REQUESTS_PER_PAGE    32u
#define PVSCSI_COMPLETIONS_PER_PAGE 128u

#define PVSCSI_INTR_COMPLETION      0x1u
#define PVSCSI_INTR_ALL             0xfu

/* The page of indices, in guest memory: both sides write it. Ours count in struct pvscsi. */
struct pvscsi_state_page {
    uint32_t request_produced, request_consumed, request_log2;
    uint32_t completion_produced, completion_consumed, completion_log2;
    uint32_t call_threshold;
};

struct pvscsi {
    struct vm *vm;                           // (i)
    struct vpci_function function;           // vm->lock
    struct scsi_disk disks[PVSCSI_TARGETS];  // (i) block null: nobody
    struct vm_settle settle;                 // vm->lock

    // Registers: vm->lock.
    uint32_t command, data_count, command_status;
    uint32_t settling;  // a command waits until nothing is in flight
    uint32_t descriptor[PVSCSI_DESCRIPTOR_WORDS];
    uint32_t intr_status, intr_mask;
    bool active;          // there are rings, and requests may be taken
    bool waits_for_room;  // completions wait for the guest to take some

    // Rings: the I/O world's while active.
    uint32_t request_pages, completion_pages;  // 0: none
    uint32_t request_consumed, completion_produced;
    bool broken;  // the guest's indices are nonsense; until the next set-up
    struct pvscsi_state_page *state;
    void *requests[PVSCSI_RING_PAGES], *completions[PVSCSI_RING_PAGES];

    // Work lock.
    struct vm_job job;
    struct list done;  // requests to be completed
    unsigned in_flight;
    uint32_t segments_in_flight;
};

/* The job: completes what is done, takes what is new. pvscsi_ring.c */
void pvscsi_run(struct vm_job *job);
/* vm->lock held. */
void pvscsi_interrupt(struct pvscsi *p, uint32_t bits);
