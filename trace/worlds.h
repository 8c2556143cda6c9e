// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/worlds.h -- the value of --world: worlds, VMs and pools by number or by name.
 */
#pragma once

#include "trace/model.h"

#define WORLDS_MAX 64u

/* Empty: all. The words are the option's, cut up in place. */
struct worlds {
    char *words[WORLDS_MAX];
    bool used[WORLDS_MAX];  // something was found by that word
    unsigned count;
};

/* Adds "1003,web,vm1/vm1.v0"; false: more than WORLDS_MAX, or none. */
bool worlds_read(struct worlds *w, char *list);
/* Is `n` meant, or a VM or pool above it? Notes which word it was. */
bool worlds_have(struct worlds *w, const struct model_node *n);
/* The first word by which nothing was found, or null. */
const char *worlds_unused(const struct worlds *w);
