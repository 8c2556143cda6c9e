// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/config.c -- .vmx files as these programs see them, and the list of registered ones.
 *
 * There is one parser of .vmx files, src/vmm/vmx_config.c, and it is linked here too: what a
 * program says about a file is what the kernel will say. The list is a text file with a path
 * per line, in the order in which machines start; "#" begins a comment.
 *
 * Invariants
 *   - What vm_list_read() returns are absolute paths.
 * Locking    none: one thread.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agents/vmtools/vmtools.h"
#include "vmm/vmx_config.h"

#define CONFIG_MAX 16384u
#define LIST_MAX   65536u

bool config_read(const char *path, struct vm_brief *out, char *error, size_t error_size,
                 char **text, size_t *text_size)
{
    struct vm_config *config = allocate(sizeof(*config));
    size_t size;
    char *bytes = file_text(path, CONFIG_MAX, &size);
    bool good = false;

    memset(out, 0, sizeof(*out));
    if (!bytes) {
        snprintf(error, error_size, "%s: %s", path,
                 errno == EFBIG ? "longer than 16384 bytes: is it a .vmx file?"
                                : strerror(errno));
    } else if (vmx_config_parse(path, bytes, size, config, error, error_size) == VMK_OK) {
        good = true;
        snprintf(out->name, sizeof(out->name), "%s", config->name);
        snprintf(out->serial_file, sizeof(out->serial_file), "%s", config->serial_file);
        out->memory_mb = config->memory_mb;
        out->vcpus = config->vcpus;
        out->autostart = config->autostart;
        out->bios = config->firmware == VM_FIRMWARE_BIOS;
    }
    free(config);
    if (good && text) {
        *text = bytes;
        *text_size = size;
    } else {
        free(bytes);
    }
    return good;
}

char *absolute_path(const char *path)
{
    char here[PATH_MAX];
    char *real = realpath(path, NULL);

    if (real)
        return real;
    if (path[0] == '/' || !getcwd(here, sizeof(here)))
        return text_of("%s", path);
    return text_of("%s/%s", here, path);
}

char **vm_list_read(void)
{
    size_t size;
    char *text = file_text(VM_LIST_FILE, LIST_MAX, &size);
    char **paths = allocate((LIST_MAX / 2 + 1) * sizeof(*paths));
    size_t count = 0;

    if (!text && errno != ENOENT)
        complain("%s: %s", VM_LIST_FILE, strerror(errno));
    for (char *line = text ? strtok(text, "\n") : NULL; line; line = strtok(NULL, "\n")) {
        line += strspn(line, " \t");
        line[strcspn(line, "\r\t ")] = 0;
        if (*line == '/')
            paths[count++] = text_of("%s", line);
        else if (*line && *line != '#')
            complain("%s: %s: not an absolute path, passed over", VM_LIST_FILE, line);
    }
    free(text);
    return paths;
}
