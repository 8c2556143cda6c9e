// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/scenario/root_disk.c -- the image's own system tardisk for a scenario, and its script on top.
 *
 * The root is $BUILD/system.v00, which the Makefile makes and the image boots with: found
 * beside the simulator, or named by ORRERY_SYSTEM; ORRERY_TARDISKS may name more, with colons
 * between. A last tardisk in memory adds the script and a program. The same
 * busybox can be run by the host's own kernel, in an empty folder, for comparison.
 *
 * Invariants
 *   - The tardisks depend only on what the image has and the script.
 * Locking    none: before the simulation runs.
 * Sources    POSIX "ustar Interchange Format"
 */
#include "sim/scenario/root_disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/platform/sim.h"

#define BLOCK       512u

#define APPLETS_MAX 512u

static char *applets[APPLETS_MAX];
static unsigned applet_count;

struct archive {
    unsigned char *bytes;
    size_t size, room;
};

static void append(struct archive *a, const void *bytes, size_t size)
{
    size_t padded = (size + BLOCK - 1) / BLOCK * BLOCK;

    if (a->size + padded > a->room) {
        a->room = (a->size + padded) * 2;
        a->bytes = realloc(a->bytes, a->room);
        if (!a->bytes)
            sim_fail("no memory for an archive");
    }
    memset(a->bytes + a->size, 0, padded);
    if (bytes)
        memcpy(a->bytes + a->size, bytes, size);
    a->size += padded;
}

static void member(struct archive *a, const char *name, char type, unsigned mode,
                   const char *link, const void *data, size_t size)
{
    char header[BLOCK] = "";
    unsigned sum = 0;

    snprintf(header, 100, "%s", name);
    snprintf(header + 100, 8, "%07o", mode);
    snprintf(header + 108, 8, "%07o", 0);
    snprintf(header + 116, 8, "%07o", 0);
    snprintf(header + 124, 12, "%011zo", size);
    snprintf(header + 136, 12, "%011o", 1700000000);
    memset(header + 148, ' ', 8);
    header[156] = type;
    if (link)
        snprintf(header + 157, 100, "%s", link);
    strcpy(header + 257, "ustar");
    header[263] = header[264] = '0';
    for (unsigned i = 0; i < BLOCK; i++)
        sum += (unsigned char)header[i];
    snprintf(header + 148, 8, "%06o", sum);
    append(a, header, BLOCK);
    append(a, data, size);
}

static void text_file(struct archive *a, const char *name, const char *text)
{
    member(a, name, '0', 0755, NULL, text, strlen(text));
}

/* What this busybox can do, as it says itself. */
static bool applets_list(const char *busybox)
{
    char command[4200];
    char line[64];
    FILE *list;

    snprintf(command, sizeof(command), "'%s' --list", busybox);
    list = applet_count ? NULL : popen(command, "r");
    while (list && applet_count < APPLETS_MAX && fgets(line, sizeof(line), list)) {
        line[strcspn(line, "\n")] = 0;
        if (strcmp(line, "busybox") != 0)
            applets[applet_count++] = strdup(line);
    }
    if (list)
        pclose(list);
    if (!applet_count)
        fprintf(stderr, "orrery-sim: %s --list names no applets\n", busybox);
    return applet_count;
}

/* Where busybox is: $ORRERY_BUSYBOX, else what scripts/deps.sh fetched. Null: nowhere. */
static const char *root_disk_busybox(void)
{
    static char path[4096];
    const char *named = getenv("ORRERY_BUSYBOX");
    const char *cache = getenv("ORRERY_CACHE");
    const char *xdg = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");

    if (named)
        snprintf(path, sizeof(path), "%s", named);
    else if (cache)
        snprintf(path, sizeof(path), "%s/guest/busybox", cache);
    else if (xdg)
        snprintf(path, sizeof(path), "%s/orrery/guest/busybox", xdg);
    else
        snprintf(path, sizeof(path), "%s/.cache/orrery/guest/busybox", home ? home : "");
    if (access(path, R_OK) == 0)
        return path;
    fprintf(stderr,
            "orrery-sim: no busybox at %s: %s; scripts/deps.sh fetches it, or name one by "
            "ORRERY_BUSYBOX\n",
            path, strerror(errno));
    return NULL;
}

/* A file of this computer; null: errno says why. */
static unsigned char *file_read_all(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    unsigned char *bytes = NULL;
    struct stat about;

    if (!f)
        return NULL;
    if (fstat(fileno(f), &about) == 0) {
        *size = (size_t)about.st_size;
        bytes = malloc(*size + 1);
        if (bytes && fread(bytes, 1, *size, f) != *size) {
            free(bytes);
            bytes = NULL;
        }
    }
    fclose(f);
    return bytes;
}

static bool program_add(struct archive *a, const char *name, const char *path)
{
    size_t size;
    unsigned char *bytes = file_read_all(path, &size);

    if (!bytes) {
        const char *remedy = errno != ENOENT            ? ""
                             : strstr(path, "/guest/")  ? "; `make guests` builds it"
                             : strstr(path, "/agents/") ? "; `make all` builds it"
                                                        : "";

        fprintf(stderr, "orrery-sim: cannot read %s: %s%s\n", path, strerror(errno), remedy);
        return false;
    }
    member(a, name, '0', 0755, NULL, bytes, size);
    free(bytes);
    return true;
}

/* Further tardisks that ORRERY_TARDISKS names, in order, with colons between. */
static bool named_add(void)
{
    char *rest = getenv("ORRERY_TARDISKS");
    char *path = rest ? strtok(strdup(rest), ":") : NULL;

    for (; path; path = strtok(NULL, ":")) {
        size_t size;
        unsigned char *bytes = file_read_all(path, &size);
        const char *name = strrchr(path, '/');

        if (!bytes) {
            fprintf(stderr, "orrery-sim: cannot read %s, which ORRERY_TARDISKS names: %s\n",
                    path, strerror(errno));
            return false;
        }
        sim_module_add(name ? name + 1 : path, bytes, size);
    }
    return true;
}

/* The tardisk that was built with this simulator. */
static bool system_add(void)
{
    const char *named = getenv("ORRERY_SYSTEM");
    static char path[4096];
    unsigned char *bytes;
    size_t size;
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 32);

    for (unsigned up = 0; n > 0 && up < 2; up++) {  // BUILD/sim/orrery-sim
        while (n > 0 && path[--n] != '/')
            ;
    }
    if (named)
        snprintf(path, sizeof(path), "%s", named);
    else
        strcpy(path + (n > 0 ? n : 0), "/system.v00");
    bytes = file_read_all(path, &size);
    if (!bytes) {
        fprintf(
            stderr,
            "orrery-sim: cannot read %s: %s; make sim makes it, or name one by ORRERY_SYSTEM\n",
            path, strerror(errno));
        return false;
    }
    sim_module_add("system.v00", bytes, size);
    return true;
}

bool root_disk_add(const char *script)
{
    struct archive a = {NULL, 0, 0};
    const char *program = getenv("ORRERY_PROGRAM");

    if (!system_add() || !named_add())
        return false;
    member(&a, "etc", '5', 0755, NULL, NULL, 0);
    member(&a, "bin", '5', 0755, NULL, NULL, 0);
    if (program && !program_add(&a, "bin/program", program))
        return false;
    text_file(&a, "etc/script", script);
    append(&a, NULL, 2 * BLOCK);
    sim_module_add("script.v01", a.bytes, a.size);
    return true;
}

bool root_disk_more(const char *module, const struct root_disk_entry *entries, size_t count)
{
    struct archive a = {NULL, 0, 0};

    for (size_t i = 0; i < count; i++) {
        const struct root_disk_entry *e = &entries[i];
        unsigned mode = (e->mode ? e->mode : 0755u) & 07777u;

        if (e->path) {
            if (!program_add(&a, e->name, e->path))
                return false;
        } else if (e->text) {
            member(&a, e->name, '0', mode, NULL, e->text, strlen(e->text));
        } else {
            member(&a, e->name, e->link ? '2' : '5', mode, e->link, NULL, 0);
        }
    }
    append(&a, NULL, 2 * BLOCK);
    sim_module_add(module, a.bytes, a.size);
    return true;
}

const char *root_disk_built(const char *name)
{
    static char path[4200];
    ssize_t length = readlink("/proc/self/exe", path, 4000);

    path[length > 0 ? length : 0] = 0;
    for (int up = 0; up < 2 && strrchr(path, '/'); up++)
        *strrchr(path, '/') = 0;
    snprintf(path + strlen(path), sizeof(path) - strlen(path), "/%s", name);
    return path;
}

/* In the child: a folder with nothing but busybox and its links, as /bin is in the tardisk. */
static noreturn_fn void native_child(const char *busybox, const char *script, int output)
{
    char folder[] = "/tmp/orrery-native-XXXXXX";
    char bin[64];
    char name[128];
    char path[160];

    if (!mkdtemp(folder))
        _exit(127);
    snprintf(bin, sizeof(bin), "%s/.bin", folder);
    if (mkdir(bin, 0755) != 0)
        _exit(127);
    for (unsigned i = 0; i < applet_count; i++) {
        snprintf(name, sizeof(name), "%s/%s", bin, applets[i]);
        if (symlink(busybox, name) != 0)
            _exit(127);
    }
    snprintf(name, sizeof(name), "%s/busybox", bin);
    if (symlink(busybox, name) != 0 || chdir(folder) != 0 || dup2(output, 1) != 1 ||
        dup2(output, 2) != 2)
        _exit(127);
    snprintf(path, sizeof(path), "PATH=%s", bin);

    char *const environment[] = {path, (char *)"HOME=/", (char *)"TERM=linux", NULL};

    snprintf(name, sizeof(name), "%s/sh", bin);
    if (fork() == 0) {
        execle(name, "sh", "-c", script, (char *)NULL, environment);
        _exit(127);
    }
    wait(NULL);
    if (fork() == 0) {
        execlp("rm", "rm", "-rf", folder, (char *)NULL);
        _exit(127);
    }
    wait(NULL);
    _exit(0);
}

char *root_disk_native(const char *script)
{
    const char *path = root_disk_busybox();
    char *text = calloc(1, 1 << 20);
    size_t have = 0;
    ssize_t n;
    int ends[2];
    int status;
    pid_t child;

    if (!path || !text || !applets_list(path) || pipe(ends) != 0)
        return NULL;
    fflush(NULL);
    child = fork();
    if (child == 0) {
        close(ends[0]);
        native_child(path, script, ends[1]);
    }
    close(ends[1]);
    while (have < (1 << 20) - 1 && (n = read(ends[0], text + have, (1 << 20) - 1 - have)) > 0)
        have += (size_t)n;
    close(ends[0]);
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        fprintf(stderr, "orrery-sim: cannot run %s on this host\n", path);
        return NULL;
    }
    return text;
}
