// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmkfstools/cli.c -- the command line of vmkfstools, for the program and for vmfs-tool.
 *
 * ESXi's options and the shape of its answers ("Clone: 100% done."); one operation per call.
 * What ESXi's program has beyond that and this one has not is named with its reason.
 *
 * Invariants
 *   - Every failure prints file, what failed and why, and a status that is not 0.
 * Locking    none: one thread.
 * Sources    VMKFSTOOLS
 */
#define _GNU_SOURCE
#include "agents/vmkfstools/cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agents/vmkfstools/store_posix.h"

static const char usage[] =
    "usage: vmkfstools OPTIONS PATH\n"
    "\n"
    "Virtual disks:\n"
    "  -c, --createvirtualdisk SIZE   new disk: 20g, 512m, 1t, or bytes\n"
    "      -d, --diskformat FORMAT    zeroedthick (default), thin, eagerzeroedthick; also\n"
    "                                 monoflat and monosparse (hosted products)\n"
    "      -a, --adaptertype TYPE     lsilogic (default), buslogic, lsisas, pvscsi, ide\n"
    "  -i, --clonevirtualdisk SOURCE  copy SOURCE to PATH, in format -d (also: stream, the\n"
    "                                 compressed one for export)\n"
    "  -X, --extendvirtualdisk SIZE   make it larger; with -d eagerzeroedthick all zeroed\n"
    "  -j, --inflatedisk              thin to eagerzeroedthick, contents kept\n"
    "  -k, --eagerzero                zeroedthick to eagerzeroedthick, contents kept\n"
    "  -K, --punchzero                give blocks back that hold zeros only\n"
    "  -w, --writezeros               overwrite the whole disk with zeros\n"
    "  -E, --renamevirtualdisk OLD    rename OLD to PATH\n"
    "  -U, --deletevirtualdisk        remove descriptor and extents\n"
    "      --snapshot PARENT          new delta disk PATH over PARENT\n"
    "  -x, --fix check                check the tables of a sparse disk\n"
    "  -e, --chainConsistent          check the chain of parents\n"
    "  -q, --queryrdm                 is it a raw device mapping? (here: never)\n"
    "  -g, --geometry                 cylinders/heads/sectors\n"
    "  -I, --info                     what the descriptor says, and how much space is used\n"
    "\n"
    "File systems:\n"
    "  -P, --queryfs [-h]             attributes of the volume that PATH is on\n"
    "  -C, --createfs vmfs5 -S LABEL  make a volume on a device or partition\n"
    "  -D, --dumpinfo                 the lock and the descriptor of a file as they are on "
    "disk\n"
    "  -L, --lock VERB                SCSI reservation of the disk PATH: reserve, release; or "
    "a\n"
    "                                 reset: lunreset, targetreset, busreset\n"
    "\n"
    "  -v, --verbose N  ignored         --help  this text\n"
    "\n"
    "Named and refused, each with its reason: -r, -z, -M, -T, -y, -Z, -G.\n";

enum {
    OPTION_HELP = 256,
    OPTION_SNAPSHOT,
};

static const struct option options[] = {
    {"createvirtualdisk", required_argument, NULL, 'c'},
    {"diskformat", required_argument, NULL, 'd'},
    {"adaptertype", required_argument, NULL, 'a'},
    {"clonevirtualdisk", required_argument, NULL, 'i'},
    {"extendvirtualdisk", required_argument, NULL, 'X'},
    {"inflatedisk", no_argument, NULL, 'j'},
    {"eagerzero", no_argument, NULL, 'k'},
    {"renamevirtualdisk", required_argument, NULL, 'E'},
    {"deletevirtualdisk", no_argument, NULL, 'U'},
    {"snapshot", required_argument, NULL, OPTION_SNAPSHOT},
    {"fix", required_argument, NULL, 'x'},
    {"chainConsistent", no_argument, NULL, 'e'},
    {"geometry", no_argument, NULL, 'g'},
    {"info", no_argument, NULL, 'I'},
    {"queryfs", no_argument, NULL, 'P'},
    {"humanreadable", no_argument, NULL, 'h'},
    {"createfs", required_argument, NULL, 'C'},
    {"setfsname", required_argument, NULL, 'S'},
    {"dumpinfo", no_argument, NULL, 'D'},
    {"lock", required_argument, NULL, 'L'},
    {"punchzero", no_argument, NULL, 'K'},
    {"writezeros", no_argument, NULL, 'w'},
    {"queryrdm", no_argument, NULL, 'q'},
    {"createrdm", required_argument, NULL, 'r'},
    {"createrdmpassthru", required_argument, NULL, 'z'},
    {"migratevirtualdisk", no_argument, NULL, 'M'},
    {"upgradevmfs", no_argument, NULL, 'T'},
    {"reclaimBlocks", required_argument, NULL, 'y'},
    {"spanfs", required_argument, NULL, 'Z'},
    {"growfs", required_argument, NULL, 'G'},
    {"verbose", required_argument, NULL, 'v'},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

struct wish {
    int what;  // the option's letter, 0: none yet
    const char *argument;
    const char *path;
    const char *adapter, *label;
    enum vmdk_provision how;
    bool how_given, human;
};

static void print_line(void *argument, const char *text)
{
    (void)argument;
    fprintf(stderr, "vmkfstools: %s\n", text);
}

static const struct vmdk_report report = {.line = print_line};

static int fail(const char *path, vmk_status status)
{
    fprintf(stderr, "vmkfstools: %s: %s\n", path, vmk_status_text(status));
    return 3;
}

struct percent {
    const char *what;
    int shown;
};

static void percent_step(void *argument, uint64_t done, uint64_t of)
{
    struct percent *p = argument;
    int now = of ? (int)(done / (of / 100 + 1)) : 100;

    if (now == p->shown || !isatty(STDOUT_FILENO))
        return;
    p->shown = now;
    printf("\r%s: %d%% done.", p->what, now);
    fflush(stdout);
}

static int percent_end(struct percent *p, const char *path, vmk_status status)
{
    if (status != VMK_OK) {
        if (p->shown >= 0)
            putchar('\n');
        return fail(path, status);
    }
    printf("%s%s: 100%% done.\n", isatty(STDOUT_FILENO) ? "\r" : "", p->what);
    return 0;
}

static bool size_parse(const char *text, uint64_t *out)
{
    static const char units[] = "sbkmgt";
    static const unsigned shifts[] = {9, 0, 10, 20, 30, 40};
    unsigned long long value;
    unsigned shift = 0;
    char *end;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno || end == text || *text == '-')
        return false;
    if (*end) {
        const char *unit = strchr(units, *end | 32);

        if (!unit || end[1])
            return false;
        shift = shifts[unit - units];
    }
    *out = (uint64_t)value << shift;
    return *out >> shift == value && *out;
}

static const char *format_text(enum vmdk_provision how)
{
    switch (how) {
    case VMDK_THIN: return "VMFS thin-provisioned";
    case VMDK_EAGER_ZEROED: return "VMFS eagerzeroedthick";
    case VMDK_MONO_FLAT: return "monolithic flat";
    case VMDK_MONO_SPARSE: return "monolithic sparse";
    case VMDK_STREAM: return "stream-optimized";
    default: return "VMFS zeroedthick";
    }
}

static int run_create(struct vmdk_store *store, const char *path, const struct wish *w)
{
    struct percent percent = {"Create", -1};
    const struct vmdk_progress progress = {.step = percent_step, .argument = &percent};
    struct vmdk_create what = {.how = w->how, .adapter = w->adapter};

    if (!size_parse(w->argument, &what.size)) {
        fprintf(stderr, "vmkfstools: -c '%s': a size is a number and one of s b k m g t\n",
                w->argument);
        return 2;
    }
    return percent_end(&percent, path, vmdk_create(store, path, &what, &progress));
}

static int run_extend(struct vmdk_store *store, const char *path, const struct wish *w)
{
    struct percent percent = {"Grow", -1};
    const struct vmdk_progress progress = {.step = percent_step, .argument = &percent};
    uint64_t size;

    if (!size_parse(w->argument, &size)) {
        fprintf(stderr, "vmkfstools: -X '%s': a size is a number and one of s b k m g t\n",
                w->argument);
        return 2;
    }
    return percent_end(&percent, path,
                       vmdk_extend(store, path, size, w->how, &report, &progress));
}

static int run_inflate(struct vmdk_store *store, const char *path, const struct wish *w)
{
    struct percent percent = {w->what == 'j' ? "Inflate" : "Eager zero", -1};
    const struct vmdk_progress progress = {.step = percent_step, .argument = &percent};

    return percent_end(&percent, path, vmdk_inflate(store, path, &report, &progress));
}

static int run_clone(struct vmdk_store *from_store, const char *from, struct vmdk_store *store,
                     const char *path, const struct wish *w)
{
    struct percent percent = {"Clone", -1};
    const struct vmdk_progress progress = {.step = percent_step, .argument = &percent};

    printf("Destination disk format: %s\n", format_text(w->how));
    printf("Cloning disk '%s'...\n", w->argument);
    fflush(stdout);
    return percent_end(&percent, path,
                       vmdk_clone(from_store, from, store, path, w->how, &report, &progress));
}

static uint64_t used_by(struct vmdk_store *store, const char *path,
                        const struct vmdk_descriptor *d)
{
    const char *slash = strrchr(path, '/');
    uint64_t total = 0;

    for (unsigned i = 0; i < d->extent_count; i++) {
        char name[VMDK_NAME_MAX];
        uint64_t bytes = 0;
        void *file;

        snprintf(name, sizeof(name), "%.*s%s", slash ? (int)(slash + 1 - path) : 0, path,
                 d->extents[i].name);
        if (!store->ops->used || d->extents[i].type == VMDK_ZERO ||
            store->ops->open(store, name, VMDK_OPEN_READ, &file) != VMK_OK)
            continue;
        if (store->ops->used(store, file, &bytes) == VMK_OK)
            total += bytes;
        store->ops->close(store, file);
    }
    return total;
}

#define PIECE (1u << 20)

static bool all_zero(const char *data, size_t size)
{
    return !data[0] && !memcmp(data, data + 1, size - 1);
}

/* -w: every byte a zero. -K: what is zero anyway is given back. */
static int run_zero(struct vmdk_store *store, const char *path, bool write)
{
    struct percent percent = {write ? "Write zeros" : "Punch zero", -1};
    char *data = calloc(1, PIECE);
    struct vmdk *disk;
    vmk_status status = data ? vmdk_open(store, path, false, &report, &disk) : VMK_NO_MEMORY;
    uint64_t capacity;
    uint64_t before;
    unsigned given = 0;

    if (status != VMK_OK) {
        free(data);
        return fail(path, status);
    }
    capacity = vmdk_capacity(disk);
    before = used_by(store, path, vmdk_descriptor_of(disk, 0));
    for (uint64_t at = 0; at < capacity && status == VMK_OK;) {
        uint64_t size = capacity - at < PIECE ? capacity - at : PIECE;
        uint64_t run = size;
        bool hole = false;

        if (write) {
            status = vmdk_write(disk, at, data, size);
        } else {
            status = vmdk_is_hole(disk, at, size, &hole, &run);
            if (run && run < size)
                size = run;
            if (status == VMK_OK && !hole)
                status = vmdk_read(disk, at, data, size);
            if (status == VMK_OK && !hole && all_zero(data, size)) {
                status = vmdk_discard(disk, at, size);
                given++;
            }
        }
        at += size;
        percent_step(&percent, at, capacity);
    }
    if (status == VMK_OK)
        status = vmdk_flush(disk);
    if (status == VMK_OK && given &&
        used_by(store, path, vmdk_descriptor_of(disk, 0)) >= before) {
        fprintf(stderr,
                "vmkfstools: %s: this file system gives no blocks back inside a file; "
                "-i and -d thin make a copy without the zeros\n",
                path);
        status = VMK_UNSUPPORTED;
    }
    free(data);
    if (vmdk_close(disk) != VMK_OK && status == VMK_OK)
        status = VMK_IO_ERROR;
    return percent_end(&percent, path, status);
}

/* ESXi's answer for a disk that is none; any disk that can be opened is none. */
static int run_query_rdm(struct vmdk_store *store, const char *path)
{
    struct vmdk *disk;
    vmk_status status = vmdk_open(store, path, true, &report, &disk);

    if (status != VMK_OK)
        return fail(path, status);
    (void)!vmdk_close(disk);
    printf("Disk %s is not a Raw Device Mapping\n", path);
    return 1;
}

static int refuse(int what, const char *path)
{
    static const struct {
        char what;
        const char *why;
    } reasons[] = {
        {'r', "raw device mappings are not supported: give the VM a VMDK, or -i a copy of the "
              "device"},
        {'z', "raw device mappings are not supported: give the VM a VMDK, or -i a copy of the "
              "device"},
        {'M', "disks of ESX 2 are not known; -i copies any VMDK that can be read"},
        {'T', "volumes of VMFS-3 are read as they are; make a VMFS-5 volume and copy"},
        {'y', "file blocks are not unmapped on the device; -K gives a disk's zeros back to the "
              "volume"},
        {'Z',
         "add an extent by `vmfs-tool IMAGE grow IMAGE2` on a computer that has the disks"},
        {'G', "grow the volume by `vmfs-tool IMAGE grow` on a computer that has the disk"},
    };

    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].what == what) {
            fprintf(stderr, "vmkfstools: %s: -%c: %s\n", path, what, reasons[i].why);
            return 3;
        }
    }
    return -1;
}

static int run_check(struct vmdk_store *store, const char *path)
{
    struct vmdk_check_result result;
    vmk_status status = vmdk_check(store, path, &report, &result);

    if (status == VMK_CORRUPT || status == VMK_BAD_FORMAT) {
        puts("Disk needs repair");
        return 1;
    }
    if (status != VMK_OK)
        return fail(path, status);
    if (result.problems) {
        printf("Disk has %u problem%s\n", result.problems, result.problems == 1 ? "" : "s");
        return 1;
    }
    puts("Disk is error free");
    return 0;
}

static int run_info(struct vmdk_store *store, const char *path, int what)
{
    const struct vmdk_descriptor *d;
    struct vmdk *disk;
    vmk_status status = vmdk_open(store, path, true, &report, &disk);

    if (status != VMK_OK && what == 'e') {
        puts("Disk chain is not consistent");
        return 1;
    }
    if (status != VMK_OK)
        return fail(path, status);
    d = vmdk_descriptor_of(disk, 0);
    if (what == 'e') {
        puts("Disk chain is consistent.");
    } else if (what == 'g') {
        printf("Geometry information C/H/S is %u/%u/%u\n", d->cylinders, d->heads, d->sectors);
    } else {
        printf("createType %s, capacity %llu bytes, used %llu bytes%s\n", d->create_type,
               (unsigned long long)vmdk_capacity(disk),
               (unsigned long long)used_by(store, path, d), d->thin ? ", thin" : "");
        printf("adapter %s, geometry %u/%u/%u, CID %08x\n", d->adapter, d->cylinders, d->heads,
               d->sectors, d->cid);
        for (unsigned i = 1; (d = vmdk_descriptor_of(disk, i)); i++)
            printf("parent %u: %s, CID %08x\n", i, d->create_type, d->cid);
    }
    (void)!vmdk_close(disk);
    return 0;
}

static int done_or_fail(const char *path, vmk_status status)
{
    return status == VMK_OK ? 0 : fail(path, status);
}

static int run_disk(const struct vmkfstools *where, const struct wish *w)
{
    const char *path = w->path;
    const char *other = w->argument;
    bool two = w->what == 'i' || w->what == 'E' || w->what == OPTION_SNAPSHOT;
    struct vmdk_store *store =
        where->store ? where->store(where->context, &path) : store_posix();
    struct vmdk_store *other_store = store;

    if (two && where->store)
        other_store = where->store(where->context, &other);
    if (!store || !other_store)
        return 3;
    if (two && w->what != 'i' && other_store != store) {
        fprintf(stderr, "vmkfstools: %s and %s are on different volumes\n", w->argument,
                w->path);
        return 3;
    }
    switch (w->what) {
    case 'c': return run_create(store, path, w);
    case 'i': return run_clone(other_store, other, store, path, w);
    case 'X': return run_extend(store, path, w);
    case 'j':
    case 'k': return run_inflate(store, path, w);
    case 'E': return done_or_fail(other, vmdk_rename(store, other, path, &report));
    case 'U': return done_or_fail(path, vmdk_remove(store, path, &report));
    case OPTION_SNAPSHOT: return done_or_fail(path, vmdk_snapshot(store, other, path, &report));
    case 'K':
    case 'w': return run_zero(store, path, w->what == 'w');
    case 'q': return run_query_rdm(store, path);
    case 'x': return run_check(store, path);
    default: return run_info(store, path, w->what);
    }
}

/* -L: reservations of a whole disk. VMFS needs none: its locks are compare-and-write. */
static int run_lock(const struct vmkfstools *where, const struct wish *w)
{
    static const char *const verbs[][2] = {{"reserve", "reserve"}, {"release", "release"},
                                           {"lunreset", "reset"},  {"targetreset", "reset"},
                                           {"busreset", "reset"},  {"readkeys", NULL},
                                           {"readresv", NULL}};

    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(verbs[i][0], w->argument) != 0)
            continue;
        if (verbs[i][1] && where->lock)
            return where->lock(where->context, verbs[i][1], w->path);
        fprintf(stderr, "vmkfstools: %s: -L %s: %s\n", w->path, w->argument,
                where->lock ? "no disk here has persistent reservations"
                            : "in the host shell only: an image file has no reservations");
        return 3;
    }
    fprintf(stderr,
            "vmkfstools: -L '%s': one of reserve, release, lunreset, targetreset, busreset, "
            "readkeys, readresv\n",
            w->argument);
    return 2;
}

static int run(const struct vmkfstools *where, const struct wish *w)
{
    int result = w->what == 'L' ? run_lock(where, w) : refuse(w->what, w->path);

    if (result >= 0)
        return result;
    if (w->what == 'P' && where->query)
        result = where->query(where->context, w->path, w->human);
    else if (w->what == 'C' && where->create_fs)
        result = where->create_fs(where->context, w->argument, w->label, w->path);
    else if (w->what == 'D' && where->dump_lock)
        result = where->dump_lock(where->context, w->path);
    else if (!strchr("PCD", w->what) || w->what > 255)
        result = run_disk(where, w);
    if (result < 0) {
        fprintf(stderr, "vmkfstools: -%c is not possible here; see vmkfstools --help\n",
                w->what);
        return 3;
    }
    return result;
}

static bool take(struct wish *w, int letter, const char *argument)
{
    if (w->what) {
        fputs("vmkfstools: one operation at a time; see vmkfstools --help\n", stderr);
        return false;
    }
    w->what = letter;
    w->argument = argument;
    return true;
}

static bool take_option(struct wish *w, int letter, const char *argument)
{
    switch (letter) {
    case 'd':
        w->how_given = true;
        if (vmdk_provision_find(argument, &w->how))
            return true;
        fprintf(stderr,
                "vmkfstools: -d '%s': formats are thin, zeroedthick, eagerzeroedthick, "
                "monoflat, monosparse, stream\n",
                argument);
        return false;
    case 'a': w->adapter = argument; return true;
    case 'S': w->label = argument; return true;
    case 'h': w->human = true; return true;
    case 'v': return true;
    case '?': return false;
    default: return take(w, letter, argument);
    }
}

int vmkfstools_run(const struct vmkfstools *where, int argc, char **argv)
{
    struct wish w = {.how = VMDK_ZEROED_THICK};
    int letter;

    optind = 1;
    while ((letter = getopt_long(argc, argv, "c:d:a:i:X:jkE:Ux:egIPhC:S:DL:v:Kwqr:z:MTy:Z:G:",
                                 options, NULL)) != -1) {
        if (letter == OPTION_HELP) {
            fputs(usage, stdout);
            return 0;
        }
        if (!take_option(&w, letter, optarg))
            return 2;
    }
    if (!w.what || optind != argc - 1) {
        fputs(usage, stderr);
        return 2;
    }
    w.path = argv[optind];
    return run(where, &w);
}
