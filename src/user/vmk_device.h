// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/vmk_device.h -- the kernel's side of /dev/vmk: what its files share.
 */
#pragma once

#include "user/abi/vmk.h"
#include "user/user_internal.h"

/* Registers the device. After fs_init(). */
void vmk_device_init(void);

/* Size and version are those of this kernel. */
must_check bool vmk_head_ok(const void *data, size_t size);
/* Root, or that user. */
must_check bool vmk_may(const struct thread *t, uint32_t owner_uid);
/* Gives `file` (taken over, also on failure) a descriptor. */
must_check vmk_status vmk_fd_give(struct thread *t, struct file *file, int32_t *fd);

/* ---- vmk_list.c ---- */
vmk_status vmk_list(struct thread *t, struct vmk_list *list);
vmk_status vmk_host_get(struct vmk_host *host);

/* ---- vmk_memory.c ---- */
/* Rows of up to `room` VMs; how many there are. World context, as all here. */
uint32_t vmk_memory_gather(struct vmk_vm_memory *out, uint32_t room);
vmk_status vmk_memory_get(struct vmk_host_memory *out);
vmk_status vmk_memory_set(struct thread *t, struct vmk_memory_set *s);

/* ---- vmk_store.c ---- */
/* Rows of up to `room` datastores or partitions; how many there are. [block] */
uint32_t vmk_datastores_gather(struct vmk_datastore *out, uint32_t room);
uint32_t vmk_coredumps_gather(struct vmk_coredump_partition *out, uint32_t room);
vmk_status vmk_disk_set(struct thread *t, struct vmk_disk_set *s);
vmk_status vmk_datastore_set(struct thread *t, struct vmk_datastore_set *s);
vmk_status vmk_swap_get(struct vmk_swap *out);
vmk_status vmk_swap_set(struct thread *t, struct vmk_swap_set *s);
vmk_status vmk_coredump_get(struct vmk_coredump *out);
vmk_status vmk_coredump_set(struct thread *t, struct vmk_coredump_set *s);

/* ---- vmk_vm.c ---- */
struct vm;
vmk_status vmk_vm_create(struct thread *t, struct vmk_vm_create *create);
/* What a list shows of it; under the table's lock. */
void vmk_vm_fill(struct vm *vm, struct vmk_vm *out);
/* Presses its power button. Any context below rank VM. */
void vmk_vm_button(struct vm *vm);
