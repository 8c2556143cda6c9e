// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/fw_cfg.h -- how a BIOS learns what it cannot probe: named files at two ports.
 */
#pragma once

#include "core/status.h"

struct fw_cfg;
struct vm;

#define FW_CFG_FILES     8u
#define FW_CFG_NAME_SIZE 56u

/* Registers the ports. NO_MEMORY, LIMIT. vm->lock not held. */
must_check vmk_status fw_cfg_create(struct vm *vm, struct fw_cfg **out);
void fw_cfg_destroy(struct fw_cfg *fw);
/* A copy of `data` becomes the file `name`. NO_MEMORY, LIMIT. Before the VM runs. */
must_check vmk_status fw_cfg_file_add(struct fw_cfg *fw, const char *name, const void *data,
                                      size_t size);
