// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/vdso.c -- the small shared library that the kernel maps into every program.
 *
 * C libraries look in it for functions that tell the time (AT_SYSINFO_EHDR says where it is).
 * Most do without, but programs linked with dietlibc take for granted that it is there. Its
 * functions are the system calls and nothing more: no data of the kernel is mapped.
 *
 * It is put together here, as one page of the host that all programs have: headers, tables,
 * symbols with and without the prefix, and eight bytes of code a function.
 *
 * Locking    none: made once, then only read.
 * Start at   vdso_map().
 * Sources    vdso(7); [ELF] section headers, dynamic section, symbol table, hash table
 */
#include "core/assert.h"
#include "lib/elf.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mem/page.h"
#include "plat/plat.h"
#include "user/exec_internal.h"

#define PT_DYNAMIC   2u
#define DT_HASH      4u
#define DT_STRTAB    5u
#define DT_SYMTAB    6u
#define DT_STRSZ     10u
#define DT_SYMENT    11u
#define DT_SONAME    14u
#define SHT_PROGBITS 1u
#define SHT_STRTAB   3u
#define SHT_DYNSYM   11u
#define SHF_ALLOC    2u
#define SHF_EXEC     4u
#define STB_GLOBAL   1u
#define STB_WEAK     2u
#define STT_FUNC     2u

#define FUNCTIONS    5u
#define SYMBOLS      (1 + 2 * FUNCTIONS)  // the first is none
#define BUCKETS      1u

enum {
#define SYSCALL(number, name, parameters, handler, note) SYS_##name = number,
#include "user/syscall.def"
};

static const struct {
    const char *name;
    uint32_t number;
} functions[FUNCTIONS] = {{"clock_gettime", SYS_clock_gettime},
                          {"gettimeofday", SYS_gettimeofday},
                          {"time", SYS_time},
                          {"clock_getres", SYS_clock_getres},
                          {"getcpu", SYS_getcpu}};

static const char prefix[] = "__vdso_";

struct symbol {
    uint32_t name;
    uint8_t info, other;
    uint16_t section;
    uint64_t value, size;
};
_Static_assert(sizeof(struct symbol) == 24, "ELF64 symbol");

struct section {
    uint32_t name, type;
    uint64_t flags, addr, offset, size;
    uint32_t link, info;
    uint64_t align, entry_size;
};
_Static_assert(sizeof(struct section) == 64, "ELF64 section header");

/* dietlibc looks for symbols by way of the sections, others by way of the dynamic one. */
enum {
    SECTION_NONE,
    SECTION_TEXT,
    SECTION_STRINGS,
    SECTION_SYMBOLS,
    SECTION_COUNT
};

/* The page. */
struct library {
    struct elf64_header header;
    struct elf64_segment segments[2];
    struct {
        uint64_t tag, value;
    } dynamic[7];
    struct section sections[SECTION_COUNT];
    uint32_t hash[2 + BUCKETS + SYMBOLS];
    struct symbol symbols[SYMBOLS];
    struct {
        uint8_t load;  // mov $number, %eax
        uint32_t number;
        uint8_t rest[3];  // syscall; ret
    } packed_layout code[FUNCTIONS];
    char strings[256];
};
_Static_assert(sizeof(struct library) <= PAGE_SIZE, "one page");

struct vdso {
    struct aspace_object object;
    mpn_t page;
};

/* ---- its contents ---- */

/* A name at the end of the strings; its place. */
static uint32_t add_string(struct library *l, uint32_t *end, const char *before,
                           const char *name)
{
    uint32_t at = *end;

    memcpy(l->strings + at, before, strlen(before));
    memcpy(l->strings + at + strlen(before), name, strlen(name) + 1);
    *end += (uint32_t)(strlen(before) + strlen(name)) + 1;
    return at;
}

/* One bucket: a chain of all symbols, from the first. */
static void fill_hash(struct library *l)
{
    uint32_t *chain = l->hash + 2 + BUCKETS;

    l->hash[0] = BUCKETS;
    l->hash[1] = SYMBOLS;
    l->hash[2] = 1;
    for (uint32_t i = 1; i < SYMBOLS; i++)
        chain[i] = i + 1 < SYMBOLS ? i + 1 : 0;
}

static void fill_dynamic(struct library *l, uint32_t soname, uint32_t strings_size)
{
    const uint64_t entries[ARRAY_COUNT(l->dynamic)][2] = {
        {DT_SONAME, soname},
        {DT_HASH, offsetof(struct library, hash)},
        {DT_STRTAB, offsetof(struct library, strings)},
        {DT_SYMTAB, offsetof(struct library, symbols)},
        {DT_STRSZ, strings_size},
        {DT_SYMENT, sizeof(struct symbol)}};

    for (unsigned i = 0; i < ARRAY_COUNT(entries); i++) {
        l->dynamic[i].tag = entries[i][0];
        l->dynamic[i].value = entries[i][1];
    }
}

static void fill_section(struct library *l, unsigned index, uint32_t name, uint32_t type,
                         uint64_t at, uint64_t size)
{
    l->sections[index] = (struct section){.name = name,
                                          .type = type,
                                          .flags = SHF_ALLOC,
                                          .addr = at,
                                          .offset = at,
                                          .size = size,
                                          .align = 8};
}

static void fill_sections(struct library *l, uint32_t *end)
{
    fill_section(l, SECTION_TEXT, add_string(l, end, "", ".text"), SHT_PROGBITS,
                 offsetof(struct library, code), sizeof(l->code));
    l->sections[SECTION_TEXT].flags |= SHF_EXEC;
    fill_section(l, SECTION_STRINGS, add_string(l, end, "", ".dynstr"), SHT_STRTAB,
                 offsetof(struct library, strings), sizeof(l->strings));
    fill_section(l, SECTION_SYMBOLS, add_string(l, end, "", ".dynsym"), SHT_DYNSYM,
                 offsetof(struct library, symbols), sizeof(l->symbols));
    l->sections[SECTION_SYMBOLS].link = SECTION_STRINGS;
    l->sections[SECTION_SYMBOLS].info = 1;  // the first that is global
    l->sections[SECTION_SYMBOLS].entry_size = sizeof(struct symbol);
}

static void fill(struct library *l)
{
    uint32_t end = 1;  // the first string is empty

    l->header = (struct elf64_header){
        .ident = {0x7f, 'E', 'L', 'F', ELF_CLASS_64, ELF_LITTLE_ENDIAN, 1},
        .type = ET_DYN,
        .machine = EM_X86_64,
        .version = 1,
        .phoff = offsetof(struct library, segments),
        .shoff = offsetof(struct library, sections),
        .ehsize = sizeof(struct elf64_header),
        .phentsize = sizeof(struct elf64_segment),
        .phnum = ARRAY_COUNT(l->segments),
        .shentsize = sizeof(struct section),
        .shnum = SECTION_COUNT,
        .shstrndx = SECTION_STRINGS};
    l->segments[0] = (struct elf64_segment){.type = PT_LOAD,
                                            .flags = PF_R | PF_X,
                                            .filesz = sizeof(*l),
                                            .memsz = sizeof(*l),
                                            .align = PAGE_SIZE};
    l->segments[1] = (struct elf64_segment){.type = PT_DYNAMIC,
                                            .flags = PF_R,
                                            .offset = offsetof(struct library, dynamic),
                                            .vaddr = offsetof(struct library, dynamic),
                                            .filesz = sizeof(l->dynamic),
                                            .memsz = sizeof(l->dynamic),
                                            .align = 8};
    for (uint32_t i = 0; i < FUNCTIONS; i++) {
        uint64_t at = offsetof(struct library, code) + i * sizeof(l->code[0]);
        struct symbol symbol = {
            .section = SECTION_TEXT, .value = at, .size = sizeof(l->code[0])};

        l->code[i].load = 0xb8;
        l->code[i].number = functions[i].number;
        memcpy(l->code[i].rest, "\x0f\x05\xc3", 3);
        symbol.info = STB_GLOBAL << 4 | STT_FUNC;
        symbol.name = add_string(l, &end, prefix, functions[i].name);
        l->symbols[1 + i] = symbol;
        symbol.info = STB_WEAK << 4 | STT_FUNC;
        symbol.name += (uint32_t)sizeof(prefix) - 1;
        l->symbols[1 + FUNCTIONS + i] = symbol;
    }
    fill_sections(l, &end);
    fill_hash(l);
    fill_dynamic(l, add_string(l, &end, "linux-vdso", ".so.1"), sizeof(l->strings));
}

/* ---- as what is mapped ---- */

static vmk_status page_get(struct aspace_object *object, uint64_t index, bool write, mpn_t *out)
{
    (void)index;
    (void)write;
    *out = container_of(object, struct vdso, object)->page;
    return VMK_OK;
}

static void page_stays(struct aspace_object *object, uint64_t index, mpn_t page)
{
    (void)object;
    (void)index;
    (void)page;
}

static void stays(struct aspace_object *object)
{
    (void)object;
}

static void describe(struct aspace_object *object, char *name, size_t size, uint64_t *device,
                     uint64_t *inode)
{
    (void)object;
    vmk_snprintf(name, size, "[vdso]");
    *device = *inode = 0;
}

void vdso_init(void)
{
    static const struct aspace_object_ops ops = {.page_get = page_get,
                                                 .page_put = page_stays,
                                                 .page_ref = page_stays,
                                                 .ref = stays,
                                                 .unref = stays,
                                                 .describe = describe};
    struct vdso *vdso = heap_alloc(sizeof(*vdso), MEM_OWNER_USER);

    if (!vdso || page_alloc_zeroed(0, MEM_OWNER_USER, &vdso->page) != VMK_OK)
        vmk_panic("no memory for the vDSO");
    vdso->object.ops = &ops;
    fill(mpn_map(vdso->page));
    user_state()->vdso = vdso;
}

vmk_status vdso_map(struct loader *l, uint64_t *address)
{
    const struct aspace_map map = {.size = PAGE_SIZE,
                                   .protection = ASPACE_READ | ASPACE_EXEC,
                                   .object = &user_state()->vdso->object};

    return aspace_map(l->as, &map, address);
}
