// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vmx_config_sched.c -- the keys of a .vmx file that say how much of the machine a VM gets.
 *
 * sched.cpu.* (shares, reservation, limit, affinity), sched.mem.* (the same of memory, the most
 * its balloon may take, with whom it shares pages), sched.swap.dir. A disk's shares are the
 * disk's: vmm/vmx_config_disks.c.
 *
 * Locking    none: pure.
 * Start at   sched_keys.
 */
#include "lib/ascii.h"
#include "lib/format.h"
#include "lib/rng.h"
#include "lib/string.h"
#include "plat/plat_types.h"
#include "vmm/vmx_config_internal.h"

#define MEM_SHARES_MAX 10000000u
#define SHARES_MAX     1000000u
#define MHZ_MAX        64000000u

static vmk_status set_shares(struct vmx_parser *p, struct vm_config *out)
{
    if (vmx_level_read(p, VMX_SHARES_NORMAL, &out->shares))
        return VMK_OK;
    out->shares_of_vm = true;
    return vmx_number_read(p, 1, SHARES_MAX, &out->shares);
}

/* No limit, as ESXi's own files spell it. */
static bool is_unlimited(const struct vmx_parser *p)
{
    return ascii_same(p->value, "unlimited") || ascii_same(p->value, "-1");
}

static vmk_status set_cpu_min(struct vmx_parser *p, struct vm_config *out)
{
    return vmx_number_read(p, 0, MHZ_MAX, &out->min_mhz);
}

static vmk_status set_cpu_max(struct vmx_parser *p, struct vm_config *out)
{
    out->max_mhz = 0;
    if (is_unlimited(p))
        return VMK_OK;
    return vmx_number_read(p, 1, MHZ_MAX, &out->max_mhz);
}

static vmk_status set_mem_shares(struct vmx_parser *p, struct vm_config *out)
{
    if (vmx_level_read(p, VMX_MEM_PER_MB, &out->mem_per_mb))
        return VMK_OK;
    return vmx_number_read(p, 1, MEM_SHARES_MAX, &out->mem_shares);
}

static vmk_status set_mem_min(struct vmx_parser *p, struct vm_config *out)
{
    memcpy(p->mem_min_key, p->key, sizeof(p->mem_min_key));
    p->mem_min_line = p->line;
    return vmx_number_read(p, 0, VMX_MEMORY_MAX, &out->mem_min_mb);
}

static vmk_status set_mem_max(struct vmx_parser *p, struct vm_config *out)
{
    p->mem_max_line = p->line;
    if (is_unlimited(p))
        return VMK_OK;
    return vmx_number_read(p, VMX_MEMORY_MIN, VMX_MEMORY_MAX, &out->mem_max_mb);
}

static vmk_status set_mem_balloon(struct vmx_parser *p, struct vm_config *out)
{
    if (ascii_same(p->value, "-1"))
        return VMK_OK;
    return vmx_number_read(p, 0, VMX_MEMORY_MAX, &out->mem_balloon_mb);
}

static vmk_status set_mem_share(struct vmx_parser *p, struct vm_config *out)
{
    bool on = true;
    vmk_status status = vmx_truth_read(p, &on);

    out->mem_unshared = !on;
    return status;
}

vmk_status vmx_sched_finish(struct vmx_parser *p, const struct vm_config *out)
{
    if (out->mem_min_mb > out->memory_mb)
        return vmx_fail_at(p, p->mem_min_key, p->mem_min_line, "is more than memSize");
    if (out->mem_max_mb && out->mem_max_mb < out->mem_min_mb)
        return vmx_fail_at(p, "sched.mem.max", p->mem_max_line, "is less than sched.mem.min");
    return VMK_OK;
}

/* "all", or CPUs and ranges of them with commas between. */
static vmk_status set_affinity(struct vmx_parser *p, struct vm_config *out)
{
    static const char wrong[] = "must be all, or CPUs below 64 like 0,2,4-7";
    const char *at = p->value;

    out->affinity = 0;
    if (ascii_same(at, "all"))
        return VMK_OK;
    for (;;) {
        uint64_t first, last;

        if (!parse_u64(at, &at, &first))
            return vmx_fail(p, wrong);
        last = first;
        if (*at == '-' && !parse_u64(at + 1, &at, &last))
            return vmx_fail(p, wrong);
        if (first > last || last >= PLAT_CPUS_MAX)
            return vmx_fail(p, wrong);
        for (uint64_t cpu = first; cpu <= last; cpu++)
            out->affinity |= BIT(cpu);
        if (*at != ',')
            break;
        at++;
    }
    return *at ? vmx_fail(p, wrong) : VMK_OK;
}

static vmk_status set_swap_dir(struct vmx_parser *p, struct vm_config *out)
{
    if (p->value[0] != '/')
        return vmx_fail(p, "must be an absolute path like /vmfs/volumes/datastore1");
    return vmx_string_copy(p, out->swap_dir, sizeof(out->swap_dir));
}

/*
 * Texts, not numbers: who knows the same text shares. The hash is not secret, the host's files
 * are.
 */
static vmk_status set_mem_salt(struct vmx_parser *p, struct vm_config *out)
{
    struct rng hash;

    if (!p->value[0])
        return vmx_fail(p, "must not be empty; leave the key out for a salt of its own");
    out->mem_salted = true;
    rng_init(&hash, 0, p->value, 0);
    out->mem_salt = rng_next(&hash);
    return VMK_OK;
}

static const struct vmx_key sched_keys[] = {
    {"sched.cpu.shares", set_shares},         {"sched.cpu.min", set_cpu_min},
    {"sched.cpu.max", set_cpu_max},           {"sched.cpu.affinity", set_affinity},
    {"sched.mem.shares", set_mem_shares},     {"sched.mem.min", set_mem_min},
    {"sched.mem.minSize", set_mem_min},       {"sched.mem.max", set_mem_max},
    {"sched.mem.maxmemctl", set_mem_balloon}, {"sched.mem.pshare.enable", set_mem_share},
    {"sched.mem.pshare.salt", set_mem_salt},  {"sched.swap.dir", set_swap_dir},
};

bool vmx_sched_key(struct vmx_parser *p, struct vm_config *out, vmk_status *status)
{
    return vmx_key_apply(p, sched_keys, ARRAY_COUNT(sched_keys), out, status);
}
