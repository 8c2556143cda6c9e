// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/engine/uc_shim.c -- libunicorn 2.0.1 made usable: its own functions replaced from
 * outside.
 *
 * As packaged, Unicorn takes 130 ns for a store, forces physical = virtual addresses, reads the
 * host's TSC and cannot count instructions cheaply. But its shared library exports every
 * internal function and calls them through its PLT, so a program that defines a function of the
 * same name is called instead. Each replacement below does its work for the CPUs made here and
 * hands every other Unicorn in the process to the original.
 *
 *   x86_cpu_tlb_fill        the MMU: asks the owner; a fault ends the run at that instruction
 *   cpu_check_watchpoint, cpu_watchpoint_address_matches   data breakpoints (empty in the
 *   library) memory_mapping          virtual addresses pass the check against mapped regions
 *   tlb_protect_code, tlb_unprotect_code, tb_invalidate_phys_page_fast, page_collection_*
 *                           stores are slow only where code was translated, on any CPU of the
 *                           host
 *   tcg_tb_insert, cpu_restore_state   where translated code is, and which code left the run
 *   helper_in*, helper_out*  ports end the run at the instruction
 *   cpu_get_tsc             virtual time
 *   cpu_exec_realizefn      how we learn the CPU's address
 *
 * Stores: a page's entry in the software TLB is made fast when it is filled, unless some CPU
 * has code from it. `fast[]` remembers for which pages that was done since the last flush; when
 * code is translated from such a page, that CPU's TLB is flushed first. So a store to code
 * always takes the slow path, which forgets the translations in all CPUs.
 *
 * What was translated stays as long as its bytes do: a page's checksum of the time of its first
 * translation tells whether a page that is said to have changed did. So a program text that is
 * mapped again by every execve is translated once.
 *
 * Invariants
 *   - code_count[page] = how many CPUs have the page's bit in `code`.
 *   - code_sums[page] is of the bytes that are translated, or 0: a program has stored to them
 *     since.
 *   - A CPU that is not running has no live frame in libunicorn.
 *   - A machine address is the library's RAM offset: the memory is its first and only block.
 * Locking    none: one thread.
 */
#define _GNU_SOURCE  // RTLD_NEXT
#include "sim/engine/uc_shim.h"

#include <dlfcn.h>
#include <sys/mman.h>

#include "sim/engine/uc_internal.h"

#define PROT_READ_  1
#define PROT_WRITE_ 2
#define PROT_EXEC_  4
#define CODE_LIMIT  (512ull << 20)  // of the library's buffer of 1 GB

struct uc_shim_all uc_shim_all = {.code_limit = CODE_LIMIT};
struct uc_library library;
static unsigned char pages_locked;  // stands for a locked collection of pages

/* Null, or the name that is missing. */
const char *uc_library_find(void)
{
    void *found;

    if (library.tcg_tb_lookup_x86_64)
        return NULL;
#define X(type, name, parameters)                                                              \
    found = dlsym(RTLD_NEXT, #name);                                                           \
    if (!found)                                                                                \
        return #name;                                                                          \
    memcpy(&library.name, &found, sizeof(found));
    REPLACED CALLED
#undef X
        return NULL;
}

/* Called before the first CPU of ours, too, by a Unicorn that is not ours. */
void uc_library_need(void)
{
    const char *missing = uc_library_find();

    if (missing)
        sim_fail("libunicorn has no function %s: see uc_shim_unusable()", missing);
}

static struct uc_shim *uc_shim_of_uc(const uc_engine *uc)
{
    if (uc_shim_all.current && uc_shim_all.current->uc == uc)
        return uc_shim_all.current;
    for (unsigned i = 0; i < uc_shim_all.count; i++) {
        if (uc_shim_all.cpus[i]->uc == uc)
            return uc_shim_all.cpus[i];
    }
    return uc_shim_all.being_made && uc_shim_all.being_made->uc == uc ? uc_shim_all.being_made
                                                                      : NULL;
}

struct uc_shim *uc_shim_of_cpu(const void *cpu)
{
    if (uc_shim_all.current && uc_shim_all.current->cpu == cpu)
        return uc_shim_all.current;
    for (unsigned i = 0; i < uc_shim_all.count; i++) {
        if (uc_shim_all.cpus[i]->cpu == cpu)
            return uc_shim_all.cpus[i];
    }
    return uc_shim_all.being_made && uc_shim_all.being_made->cpu == cpu ? uc_shim_all.being_made
                                                                        : NULL;
}

/* ---- the MMU ---- */

void uc_shim_flush_now(struct uc_shim *s)
{
    s->generation++;
    s->flush_pending = false;
    s->counts.flushes++;
    library.tlb_flush_x86_64(s->cpu);
}

static uint64_t page_sum(const struct uc_shim_memory *m, uint64_t page)
{
    const uint64_t *words = (const uint64_t *)(m->base + (page << 12));
    uint64_t sums[4] = {1, 2, 3, 4};

    for (unsigned i = 0; i < 512; i++)
        sums[i % 4] = (sums[i % 4] ^ words[i]) * 0x9e3779b97f4a7c15ull + (sums[i % 4] >> 29);
    return (sums[0] ^ sums[1] * 3 ^ sums[2] * 5 ^ sums[3] * 7) | 1;
}

static void install(struct uc_shim *s, uint64_t va, int access, int index,
                    const struct uc_shim_page *page)
{
    struct uc_shim_memory *m = s->memory;
    uint64_t frame = page->machine >> 12;
    int protection =
        PROT_READ_ | (page->writable ? PROT_WRITE_ : 0) | (page->executable ? PROT_EXEC_ : 0);

    va &= ~0xfffull;
    if (page->machine >= m->size)
        sim_fail("the page table maps %#llx to machine address %#llx, which is beyond memory",
                 (unsigned long long)va, (unsigned long long)page->machine);
    s->counts.fills++;
    if (m->checking && access == UC_SHIM_FETCH && m->code_count[frame]) {
        uint64_t sum = page_sum(m, frame);

        if (m->code_sums[frame] && m->code_sums[frame] != sum) {
            sim_fail(
                "machine page %#llx is executed at %#llx but changed since it was translated: "
                "plat_user_code_changed() was not called",
                (unsigned long long)frame, (unsigned long long)va);
        }
        m->code_sums[frame] = sum;
    }
    /* Data where code was in an earlier life of the page: nothing of that is left. */
    if (access == UC_SHIM_STORE && !page->executable && m->code_count[frame])
        uc_shim_code_changed(m, page->machine & ~0xfffull, 4096);
    library.tlb_set_page_with_attrs_x86_64(s->cpu, va, page->machine & ~0xfffull, 0, protection,
                                           index, 4096);
    if (page->writable && !m->code_count[frame]) {
        library.tlb_set_dirty_x86_64(s->cpu, va);
        s->fast[frame] = s->generation;
    }
}

/* Ends the run at the instruction whose translated code called. */
noreturn_fn void uc_shim_leave(struct uc_shim *s, uintptr_t return_address)
{
    int exception = EXCEPTION_STOP;

    s->translating = false;
    s->stopped = true;
    memcpy(at(s->cpu, CPU_EXCEPTION), &exception, sizeof(exception));
    library.cpu_loop_exit_restore_x86_64(s->cpu, return_address);
    abort();
}

bool x86_cpu_tlb_fill_x86_64(void *cpu, uint64_t va, int size, int access, int index,
                             bool probe, uintptr_t return_address)
{
    struct uc_shim *s = uc_shim_of_cpu(cpu);
    struct uc_shim_page page;

    if (!s) {
        uc_library_need();
        return library.x86_cpu_tlb_fill_x86_64(cpu, va, size, access, index, probe,
                                               return_address);
    }
    if (s->owner->translate(s->context, va, (enum uc_shim_access)access,
                            (enum uc_shim_mode)index, probe || !s->running, &page)) {
        install(s, va, access, index, &page);
        return true;
    }
    if (probe)
        return false;
    if (!s->running)
        siglongjmp(s->escape, 1);
    s->exit->stop = UC_SHIM_STOP_FAULT;
    s->exit->fault_address = va;
    s->exit->fault_access = (enum uc_shim_access)access;
    uc_shim_leave(s, return_address);
}

/* Pages with a data breakpoint have no fast path; each access to one comes to the second. */
int cpu_watchpoint_address_matches_x86_64(void *cpu, uint64_t va, uint64_t size)
{
    struct uc_shim *s = uc_shim_of_cpu(cpu);

    return s && s->owner->watched ? (int)s->owner->watched(s->context, va, size) : 0;
}

void cpu_check_watchpoint_x86_64(void *cpu, uint64_t va, uint64_t size, uint32_t attributes,
                                 int flags, uintptr_t return_address)
{
    struct uc_shim *s = uc_shim_of_cpu(cpu);

    (void)attributes;
    if (!s || !s->running || !s->owner->watched || s->data_ignored ||
        !(s->owner->watched(s->context, va, size) & (unsigned)flags))
        return;
    s->exit->stop = UC_SHIM_STOP_WATCH;
    s->exit->fault_address = va;
    s->exit->fault_size = (unsigned)size;
    uc_shim_leave(s, return_address);
}

/* With translation of our own, every address is one of the memory's. */
void *memory_mapping(uc_engine *uc, uint64_t address)
{
    uc_library_need();
    return library.memory_mapping(uc, uc_shim_of_uc(uc) ? 0 : address);
}

/* ---- code ---- */

static bool has_code(const struct uc_shim *s, uint64_t page)
{
    return s->code[page / 64] & BIT(page % 64);
}

void tlb_protect_code_x86_64(uc_engine *uc, uint64_t machine)
{
    struct uc_shim *s = uc_shim_of_uc(uc);
    uint64_t page = machine >> 12;

    if (!s) {
        uc_library_need();
        library.tlb_protect_code_x86_64(uc, machine);
        return;
    }
    if (page >= s->memory->size >> 12 || has_code(s, page))
        return;
    s->code[page / 64] |= BIT(page % 64);
    if (s->memory->code_count[page]++ == 0)
        s->memory->code_sums[page] = page_sum(s->memory, page);
    for (unsigned i = 0; i < s->memory->cpu_count; i++) {
        struct uc_shim *other = s->memory->cpus[i];

        if (other->fast[page] != other->generation)
            continue;
        s->counts.code_flushes++;
        if (other->running)
            uc_shim_flush_now(other);
        else
            other->flush_pending = true;
        /* Nothing is fast any more, so that this is done once. */
        other->fast[page] = other->generation - 1;
    }
}

void uc_shim_code_gone(struct uc_shim *s, uint64_t page)
{
    if (page >= s->memory->size >> 12 || !has_code(s, page))
        return;
    s->code[page / 64] &= ~BIT(page % 64);
    s->memory->code_count[page]--;
}

void tlb_unprotect_code_x86_64(uc_engine *uc, uint64_t machine)
{
    struct uc_shim *s = uc_shim_of_uc(uc);

    if (s) {
        uc_shim_code_gone(s, machine >> 12);
        return;
    }
    uc_library_need();
    library.tlb_unprotect_code_x86_64(uc, machine);
}

/* A store on the slow path: by the running CPU, to a page that has, or lately had, code. */
void tb_invalidate_phys_page_fast_x86_64(uc_engine *uc, void *pages, uint64_t start, int length,
                                         uintptr_t return_address)
{
    struct uc_shim *s = uc_shim_of_uc(uc);
    uint64_t page = start >> 12;

    if (!s) {
        uc_library_need();
        library.tb_invalidate_phys_page_fast_x86_64(uc, pages, start, length, return_address);
        return;
    }
    if (page >= s->memory->size >> 12 || !s->memory->code_count[page])
        return;
    s->counts.invalidations++;
    for (unsigned i = 0; i < s->memory->cpu_count; i++) {
        struct uc_shim *other = s->memory->cpus[i];

        if (other != s && has_code(other, page)) {
            library.tb_invalidate_phys_range_x86_64(other->uc, start, start + (uint64_t)length);
        }
    }
    s->memory->code_sums[page] = 0;
    /* May leave this run and come back to the store as a block of its own. */
    if (has_code(s, page)) {
        library.tb_invalidate_phys_page_fast_x86_64(uc, pages, start, length, return_address);
    }
}

/* The originals build a tree of pages to lock them; nothing needs that in one thread. */
void *page_collection_lock_x86_64(uc_engine *uc, uint64_t start, uint64_t end)
{
    if (uc_shim_of_uc(uc))
        return &pages_locked;
    uc_library_need();
    return library.page_collection_lock_x86_64(uc, start, end);
}

void page_collection_unlock_x86_64(void *pages)
{
    if (pages == &pages_locked)
        return;
    uc_library_need();
    library.page_collection_unlock_x86_64(pages);
}

void tcg_tb_insert_x86_64(void *tcg, void *block)
{
    if (uc_shim_all.current) {
        uc_shim_all.current->tcg = tcg;
        uc_shim_block_patch(uc_shim_all.current, block);
    }
    uc_library_need();
    library.tcg_tb_insert_x86_64(tcg, block);
}

void uc_shim_code_limit(size_t bytes)
{
    uc_shim_all.code_limit = bytes;
}

/*
 * Room for a block in the buffer of translated code; null where it is full, and the library
 * calls tb_flush() and leaves the run. The library itself would begin the buffer anew without a
 * flush when it is full for the first time: it takes the only region that there is for the next
 * one. So it is full for us before that.
 */
void *tcg_tb_alloc_x86_64(void *tcg)
{
    struct uc_shim *s = uc_shim_all.current;
    void *block;

    uc_library_need();
    if (s && s->running && s->code_used > uc_shim_all.code_limit) {
        s->translating = false;
        return NULL;
    }
    block = library.tcg_tb_alloc_x86_64(tcg);
    if (s && block) {
        if (!s->code_first)
            s->code_first = block;
        s->code_used = (size_t)((unsigned char *)block - s->code_first);
    }
    return block;
}

/* All translated code goes, and return addresses are used again. */
void tb_flush_x86_64(void *cpu)
{
    struct uc_shim *s = uc_shim_of_cpu(cpu);

    uc_library_need();
    if (s) {
        for (uint64_t page = 0; page < s->memory->size >> 12; page++)
            uc_shim_code_gone(s, page);
    }
    library.tb_flush_x86_64(cpu);
    if (s) {
        uintptr_t first = ((uintptr_t)s->code_first + 4095) & ~4095ul;

        /* The library has written zeros to all of the buffer: memory that nobody needs. */
        if (s->code_first)
            (void)madvise((void *)first, CODE_LIMIT, MADV_DONTNEED);
        s->code_first = NULL;
        s->code_used = 0;
        s->flushed = true;
        s->counts.code_full++;
    }
}

void uc_shim_code_changed(struct uc_shim_memory *memory, uint64_t machine, uint64_t size)
{
    uint64_t end = MIN(machine + size, memory->size);

    for (uint64_t start = machine; start < end; start = (start & ~0xfffull) + 4096) {
        uint64_t page = start >> 12;
        uint64_t stop = MIN(end, (start & ~0xfffull) + 4096);

        if (!memory->code_count[page] || memory->code_sums[page] == page_sum(memory, page))
            continue;

        for (unsigned i = 0; i < memory->cpu_count && memory->code_count[page]; i++) {
            struct uc_shim *s = memory->cpus[i];

            if (has_code(s, page)) {
                s->counts.invalidations++;
                library.tb_invalidate_phys_range_x86_64(s->uc, start, stop);
            }
        }
        memory->code_sums[page] = page_sum(memory, page);
    }
}
void uc_shim_flush(struct uc_shim *s)
{
    s->flush_pending = true;
}

void uc_shim_flush_page(struct uc_shim *s, uint64_t va)
{
    if (!s->flush_pending)
        library.tlb_flush_page_x86_64(s->cpu, va);
}

struct uc_shim_memory *uc_shim_memory_create(void *base, uint64_t size)
{
    struct uc_shim_memory *m = calloc(1, sizeof(*m));

    if (m) {
        m->code_count = calloc(size >> 12, sizeof(*m->code_count));
        m->code_sums = calloc(size >> 12, sizeof(*m->code_sums));
    }
    if (!m || !m->code_count || !m->code_sums)
        sim_fail("no memory for the engine's page counts");
    m->base = base;
    m->size = size;
    return m;
}

void uc_shim_check_code(struct uc_shim_memory *memory, bool on)
{
    memory->checking = on;
}

/* What TCG can execute but the CPU model does not name: CPUID words by index. */
