// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/worlds.c -- the value of --world: worlds, VMs and pools by number or by name.
 *
 * A word means every node with that number or name, and all that is below it: a VM's name means
 * its worlds. "VM/world" is how the tables name a world of a VM.
 *
 * Invariants
 *   - The tree comes from a file: a walk up ends after DEPTH_MAX steps whatever it says.
 * Locking    none: one thread.
 */
#include "trace/worlds.h"

#include <stdio.h>
#include <string.h>

#include "trace/tool.h"

#define DEPTH_MAX 64u

bool worlds_read(struct worlds *w, char *list)
{
    for (char *word = strtok(list, ","); word; word = strtok(NULL, ",")) {
        if (w->count == WORLDS_MAX)
            return false;
        w->words[w->count++] = word;
    }
    return w->count != 0;
}

static bool is_called(const struct model_node *n, const char *word)
{
    const struct model_node *vm = model_vm_of(n);
    char name[32], vm_name[32], full[64];
    uint64_t id;

    if (tool_number(word, &id) && (id == n->id || (n->vm && id == n->vm)))
        return true;
    if (!strcmp(word, model_name(n, name)))
        return true;
    snprintf(full, sizeof(full), "%s/%s", vm ? model_name(vm, vm_name) : "", name);
    return vm && !strcmp(word, full);
}

bool worlds_have(struct worlds *w, const struct model_node *n)
{
    bool found = false;

    for (unsigned i = 0; i < w->count; i++) {
        const struct model_node *up = n;

        for (unsigned depth = 0; up && depth < DEPTH_MAX; depth++, up = up->parent) {
            if (is_called(up, w->words[i]))
                w->used[i] = found = true;
        }
    }
    return found || !w->count;
}

const char *worlds_unused(const struct worlds *w)
{
    for (unsigned i = 0; i < w->count; i++) {
        if (!w->used[i])
            return w->words[i];
    }
    return NULL;
}
