// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/fuzz/fuzz_vmx_config.c -- any bytes as a .vmx file: an error or a config within its limits.
 */
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "vmm/vmx_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Takes the place of core/log.c, which needs a host: unknown keys are logged. */
void vmk_log(enum vmk_log_level level, const char *format, ...)
{
    (void)level;
    (void)format;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct vm_config config;
    char error[128] = "";

    if (vmx_config_parse("fuzz.vmx", (const char *)data, size, &config, error, sizeof(error)) ==
        VMK_OK) {
        if (config.vcpus < 1 || config.vcpus > 8 || config.memory_mb < 4 ||
            (!config.kernel[0] && config.firmware == VM_FIRMWARE_DIRECT) ||
            config.disk_count > VM_DISKS_MAX || strlen(config.name) >= VM_NAME_SIZE ||
            strlen(config.cmdline) >= VM_CMDLINE_SIZE)
            abort();
    } else if (!error[0]) {
        abort();
    }
    return 0;
}
