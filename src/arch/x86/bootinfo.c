// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/bootinfo.c -- what the loader said: memory map, command line, modules, RSDP, screen.
 *
 * Everything but the modules themselves is copied, so nothing depends on the loader's memory
 * later.
 * Firmware maps may overlap and be unsorted: every page gets the kind of the strongest entry
 * that touches it (see `strength`), and overlaps are reported.
 *
 * The two protocols are told apart by the magic in memory: EAX is the Multiboot1 magic on one
 * PVH loader.
 *
 * Invariants
 *   - The regions of the map are sorted and do not overlap.
 * Locking    none: CPU 0 before all else; read-only afterwards.
 * Sources    [MULTIBOOT2] "Boot information format"; [PVH]
 */
#include "arch/x86/arch_internal.h"
#include "core/assert.h"
#include "core/log.h"
#include "lib/format.h"
#include "lib/string.h"

#define ENTRIES_MAX  256u
#define MODULES_MAX  64u
#define PVH_MAGIC    0x336ec578u
#define MB2_MAGIC    0x36d76289u
#define CMDLINE_SIZE 2048u
#define NAME_SIZE    64u

struct entry {
    uint64_t base, end;
    enum plat_region_kind kind;
};

static struct {
    const char *loader;
    char command_line[CMDLINE_SIZE];
    struct plat_module modules[MODULES_MAX];
    char names[MODULES_MAX][NAME_SIZE];
    size_t module_count, modules_ignored;
    struct entry raw[ENTRIES_MAX];  // as told
    size_t raw_count;
    size_t firmware_count;  // of them from the firmware; the rest is what we carve out
    struct plat_region regions[ENTRIES_MAX];
    size_t region_count;
    uint64_t rsdp;
    struct boot_framebuffer framebuffer;
    bool framebuffer_valid;
} info;

static void copy_string(char *out, size_t size, const char *in, size_t in_size)
{
    size_t n = 0;

    while (n + 1 < size && n < in_size && in[n]) {
        out[n] = in[n];
        n++;
    }
    out[n] = 0;
}

static void add_entry(uint64_t base, uint64_t size, enum plat_region_kind kind)
{
    uint64_t end = base + size;

    if (size == 0 || end < base || info.raw_count == ENTRIES_MAX)
        return;
    info.raw[info.raw_count++] = (struct entry){base, end, kind};
}

static enum plat_region_kind kind_of(uint32_t type)
{
    switch (type) {
    case 1: return PLAT_REGION_RAM;
    case 3: return PLAT_REGION_ACPI;
    case 4: return PLAT_REGION_NVS;
    default: return PLAT_REGION_RESERVED;
    }
}

static void add_module(uint64_t base, uint64_t size, const char *line, size_t line_size)
{
    const char *start;
    char text[256];
    char *name;

    if (info.module_count == MODULES_MAX || size == 0) {
        info.modules_ignored++;
        return;
    }
    name = info.names[info.module_count];
    text[0] = 0;
    if (line)
        copy_string(text, sizeof(text), line, line_size);
    for (size_t n = strlen(text); n > 0 && text[n - 1] == ' '; n--)
        text[n - 1] = 0;
    start = text;
    for (const char *p = text; *p; p++)
        if (*p == ' ')
            start = p + 1;
    if (*start)
        copy_string(name, NAME_SIZE, start, NAME_SIZE);
    else
        vmk_snprintf(name, NAME_SIZE, "module%zu", info.module_count);
    info.modules[info.module_count++] =
        (struct plat_module){name, plat_map(paddr_make(base)), size};
}

/* ---- PVH ---- */
struct pvh_info {
    uint32_t magic, version, flags, module_count;
    uint64_t modules, command_line, rsdp, map;
    uint32_t map_count, reserved;
};
struct pvh_module {
    uint64_t base, size, command_line, reserved;
};
struct pvh_entry {
    uint64_t base, size;
    uint32_t type, reserved;
};

static void parse_pvh(const struct pvh_info *pvh)
{
    info.loader = "PVH";
    if (pvh->command_line)
        copy_string(info.command_line, CMDLINE_SIZE, plat_map(paddr_make(pvh->command_line)),
                    CMDLINE_SIZE);
    info.rsdp = pvh->rsdp;
    if (pvh->version >= 1 && pvh->map) {
        const struct pvh_entry *map = plat_map(paddr_make(pvh->map));

        for (uint32_t i = 0; i < pvh->map_count; i++)
            add_entry(map[i].base, map[i].size, kind_of(map[i].type));
    }
    if (pvh->modules) {
        const struct pvh_module *m = plat_map(paddr_make(pvh->modules));

        for (uint32_t i = 0; i < pvh->module_count; i++)
            add_module(m[i].base, m[i].size,
                       m[i].command_line ? plat_map(paddr_make(m[i].command_line)) : NULL, 255);
    }
}

/* ---- Multiboot2 ---- */
struct mb2_tag {
    uint32_t type, size;
};
struct mb2_module {
    struct mb2_tag tag;
    uint32_t start, end;
    char line[];
};
struct mb2_map {
    struct mb2_tag tag;
    uint32_t entry_size, version;
    uint8_t entries[];
};
struct packed_layout mb2_framebuffer {
    struct mb2_tag tag;
    uint64_t address;
    uint32_t pitch, width, height;
    uint8_t bits, kind;
    uint16_t reserved;
    uint8_t red_shift, red_size, green_shift, green_size, blue_shift, blue_size;
};

static void parse_mb2_map(const struct mb2_map *map)
{
    if (map->entry_size < sizeof(struct pvh_entry))
        return;
    for (uint32_t at = 16; at + map->entry_size <= map->tag.size; at += map->entry_size) {
        struct pvh_entry e;

        memcpy(&e, map->entries + (at - 16), sizeof(e));
        add_entry(e.base, e.size, kind_of(e.type));
    }
}

static void parse_mb2(uint32_t pa)
{
    const uint8_t *base = plat_map(paddr_make(pa));
    uint32_t total;

    info.loader = "Multiboot2";
    memcpy(&total, base, sizeof(total));
    for (uint32_t at = 8; at + sizeof(struct mb2_tag) <= total;) {
        const struct mb2_tag *tag = (const void *)(base + at);

        if (tag->type == 0 || tag->size < sizeof(*tag))
            break;
        switch (tag->type) {
        case 1:
            copy_string(info.command_line, CMDLINE_SIZE, (const char *)(tag + 1),
                        tag->size - sizeof(*tag));
            break;
        case 3: {
            const struct mb2_module *m = (const void *)tag;

            add_module(m->start, m->end - m->start, m->line, tag->size - sizeof(*m));
            break;
        }
        case 6: parse_mb2_map((const void *)tag); break;
        case 8: {
            const struct mb2_framebuffer *f = (const void *)tag;

            info.framebuffer = (struct boot_framebuffer){
                f->address, f->pitch,     f->width,       f->height,    f->bits,
                f->kind,    f->red_shift, f->green_shift, f->blue_shift};
            info.framebuffer_valid =
                f->kind == 1 && (f->bits == 24 || f->bits == 32) &&
                MAX(f->red_shift, MAX(f->green_shift, f->blue_shift)) <= 24;
            break;
        }
        case 14:  // ACPI 1.0
        case 15:  // ACPI 2.0 and later: a copy of the RSDP; preferred
            if (tag->type == 15 || !info.rsdp)
                info.rsdp = pa + at + (uint32_t)sizeof(*tag);
            break;
        default: break;
        }
        at += (uint32_t)round_up(tag->size, 8);
    }
    info.firmware_count = info.raw_count;
    add_entry(pa, total, PLAT_REGION_LOADER);
}

/* ---- the map ---- */
static unsigned strength(enum plat_region_kind kind)
{
    switch (kind) {
    case PLAT_REGION_RAM: return 1;
    case PLAT_REGION_ACPI: return 2;
    case PLAT_REGION_NVS: return 3;
    case PLAT_REGION_RESERVED: return 4;
    case PLAT_REGION_LOADER: return 5;
    case PLAT_REGION_MODULE: return 6;
    case PLAT_REGION_KERNEL: return 7;
    }
    return 0;
}

/* RAM is what lies whole in it; everything else takes each page it touches. */
static struct entry to_pages(const struct entry *e)
{
    struct entry out = *e;

    if (e->kind == PLAT_REGION_RAM) {
        out.base = round_up(e->base, PAGE_SIZE);
        out.end = round_down(e->end, PAGE_SIZE);
    } else {
        out.base = round_down(e->base, PAGE_SIZE);
        out.end = round_up(e->end, PAGE_SIZE);
    }
    return out;
}

/* The next page address above `at` where an entry begins or ends; UINT64_MAX if none. */
static uint64_t next_edge(uint64_t at)
{
    uint64_t next = UINT64_MAX;

    for (size_t i = 0; i < info.raw_count; i++) {
        struct entry e = to_pages(&info.raw[i]);

        if (e.base >= e.end)
            continue;
        if (e.base > at && e.base < next)
            next = e.base;
        if (e.end > at && e.end < next)
            next = e.end;
    }
    return next;
}

static const struct entry *strongest(uint64_t at)
{
    const struct entry *best = NULL;

    for (size_t i = 0; i < info.raw_count; i++) {
        struct entry e = to_pages(&info.raw[i]);

        if (e.base <= at && at < e.end &&
            (!best || strength(info.raw[i].kind) > strength(best->kind)))
            best = &info.raw[i];
    }
    return best;
}

static void build_map(void)
{
    info.region_count = 0;
    for (uint64_t at = 0; at != UINT64_MAX;) {
        const uint64_t next = next_edge(at);
        const struct entry *e = strongest(at);

        if (e && next != UINT64_MAX && info.region_count < ENTRIES_MAX) {
            struct plat_region *last =
                info.region_count ? &info.regions[info.region_count - 1] : NULL;

            if (last && last->kind == e->kind && last->base.raw + last->size == at)
                last->size += next - at;
            else
                info.regions[info.region_count++] =
                    (struct plat_region){paddr_make(at), next - at, e->kind};
        }
        at = next;
    }
}

void *bootinfo_take(size_t size)
{
    uint64_t bytes = round_up(size, PAGE_SIZE);

    for (size_t i = info.region_count; i > 0; i--) {
        const struct plat_region *r = &info.regions[i - 1];
        uint64_t end = MIN(r->base.raw + r->size, BIT(32));
        void *at;

        if (r->kind != PLAT_REGION_RAM || r->base.raw < 0x100000 || end < r->base.raw + bytes)
            continue;
        at = plat_map(paddr_make(end - bytes));
        memset(at, 0, bytes);
        add_entry(end - bytes, bytes, PLAT_REGION_KERNEL);
        build_map();
        return at;
    }
    vmk_panic("no %zu bytes of RAM below 4 GB", size);
}

void bootinfo_parse(uint32_t magic, uint32_t information)
{
    const uint32_t *first = plat_map(paddr_make(information));

    (void)magic;
    if (*first == PVH_MAGIC)
        parse_pvh((const void *)first);
    else if (magic == MB2_MAGIC)
        parse_mb2(information);
    else
        vmk_panic("unknown boot protocol: magic %x", magic);
    if (info.firmware_count == 0)
        info.firmware_count = info.raw_count;
    add_entry(KERNEL_LOAD, (uint64_t)(uintptr_t)image_end - KERNEL_BASE - KERNEL_LOAD,
              PLAT_REGION_KERNEL);
    add_entry(AP_TRAMPOLINE, PAGE_SIZE, PLAT_REGION_KERNEL);
    for (size_t i = 0; i < info.module_count; i++)
        add_entry(plat_unmap_address(info.modules[i].data).raw, info.modules[i].size,
                  PLAT_REGION_MODULE);
    build_map();
}

void bootinfo_report(void)
{
    vmk_log(VMK_LOG_INFO, "Boot: loader %s, command line \"%s\"", info.loader,
            info.command_line);
    for (size_t i = 0; i < info.module_count; i++)
        vmk_log(VMK_LOG_INFO, "Boot: module %s, %zu bytes", info.modules[i].name,
                info.modules[i].size);
    if (info.framebuffer.address)
        vmk_log(VMK_LOG_INFO, "Boot: screen %ux%u, %u bits, kind %u, at %llx",
                info.framebuffer.width, info.framebuffer.height, info.framebuffer.bits,
                info.framebuffer.kind, (unsigned long long)info.framebuffer.address);
    if (info.modules_ignored)
        vmk_log(VMK_LOG_WARN, "Boot: %zu modules ignored", info.modules_ignored);
    for (size_t i = 0; i < info.firmware_count; i++)
        for (size_t j = i + 1; j < info.firmware_count; j++) {
            const struct entry *a = &info.raw[i], *b = &info.raw[j];

            if (a->base < b->end && b->base < a->end)
                vmk_log(VMK_LOG_WARN,
                        "Boot: firmware map: %llx-%llx kind %u overlaps %llx-%llx kind %u",
                        (unsigned long long)a->base, (unsigned long long)a->end, a->kind,
                        (unsigned long long)b->base, (unsigned long long)b->end, b->kind);
        }
}

uint64_t bootinfo_rsdp(void)
{
    return info.rsdp;
}

const struct boot_framebuffer *bootinfo_framebuffer(void)
{
    return info.framebuffer_valid ? &info.framebuffer : NULL;
}

size_t plat_memory_map(struct plat_region *out, size_t room)
{
    size_t n = MIN(room, info.region_count);

    memcpy(out, info.regions, n * sizeof(*out));
    return info.region_count;
}

const char *plat_command_line(void)
{
    return info.command_line;
}

size_t plat_modules(const struct plat_module **out)
{
    *out = info.modules;
    return info.module_count;
}
