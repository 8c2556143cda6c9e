// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/list.h -- a circular doubly linked list with the links inside the objects.
 *
 * No allocation, O(1) insert and remove from the middle. A node that is on no list points to
 * itself, so list_is_linked() needs no list and a second remove is harmless.
 */
#pragma once

#include "lib/types.h"

struct list {
    struct list *next;
    struct list *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l;
    l->prev = l;
}

static inline bool list_is_empty(const struct list *l)
{
    return l->next == l;
}

/* False for zeroed memory too. */
static inline bool list_is_linked(const struct list *node)
{
    return node->next && node->next != node;
}

/* A node that is on a list already must be removed first. */
static inline void list_insert_before(struct list *at, struct list *node)
{
    node->prev = at->prev;
    node->next = at;
    at->prev->next = node;
    at->prev = node;
}

static inline void list_add_tail(struct list *l, struct list *node)
{
    list_insert_before(l, node);
}

static inline void list_add_head(struct list *l, struct list *node)
{
    list_insert_before(l->next, node);
}

static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

#define list_entry(node, type, member) container_of(node, type, member)

#define list_for_each(node, l)                                                                 \
    for (struct list *node = (l)->next; node != (l); node = node->next)

#define list_for_each_safe(node, after, l)                                                     \
    for (struct list *node = (l)->next, *after = node->next; node != (l);                      \
         node = after, after = node->next)
