// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/scenario/root_disk.c -- a tardisk with Debian's busybox, made while a scenario is
 * prepared.
 *
 * A ustar archive in memory: /bin with busybox and a link for each applet, and the few files of
 * /etc that programs ask for. The same busybox can be run by the host's own kernel, in an empty
 * folder, for comparison.
 *
 * Invariants
 *   - The archive depends only on busybox and the script.
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

const char *root_disk_busybox(void)
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

/* A file of this computer. */
static bool program_add(struct archive *a, const char *name, const char *path)
{
    FILE *f = fopen(path, "rb");
    unsigned char *bytes = NULL;
    struct stat about;
    size_t size = 0;

    if (f && fstat(fileno(f), &about) == 0) {
        size = (size_t)about.st_size;
        bytes = malloc(size);
    }
    if (!bytes || fread(bytes, 1, size, f) != size) {
        fprintf(stderr, "orrery-sim: cannot read %s: %s\n", path, strerror(errno));
        return false;
    }
    fclose(f);
    member(a, name, '0', 0755, NULL, bytes, size);
    free(bytes);
    return true;
}

bool root_disk_add(const char *script)
{
    static const char *const folders[] = {"bin", "sbin", "etc", "etc/init.d", "root", "home"};
    const char *path = root_disk_busybox();
    struct archive a = {NULL, 0, 0};
    const char *program = getenv("ORRERY_PROGRAM");
    char name[64];

    if (!path)
        return false;
    if (!applets_list(path))
        return false;
    for (unsigned i = 0; i < ARRAY_COUNT(folders); i++)
        member(&a, folders[i], '5', 0755, NULL, NULL, 0);
    if (!program_add(&a, "bin/busybox", path) ||
        (program && !program_add(&a, "bin/program", program)))
        return false;
    for (unsigned i = 0; i < applet_count; i++) {
        snprintf(name, sizeof(name), "bin/%s", applets[i]);
        member(&a, name, '2', 0777, "busybox", NULL, 0);
    }
    member(&a, "sbin/init", '2', 0777, "/bin/busybox", NULL, 0);
    text_file(&a, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
    text_file(&a, "etc/group", "root:x:0:\n");
    text_file(&a, "etc/hostname", "orrery\n");
    text_file(&a, "etc/inittab",
              "::sysinit:/etc/init.d/rcS\n"
              "console::respawn:-/bin/sh\n"
              "::shutdown:/bin/sync\n");
    text_file(&a, "etc/init.d/rcS",
              "#!/bin/sh\necho \"rcS: $(uname -s), $(ls /etc | wc -l) files\"\n");
    text_file(&a, "etc/script", script);
    append(&a, NULL, 2 * BLOCK);
    sim_module_add("root.tgz", a.bytes, a.size);
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
