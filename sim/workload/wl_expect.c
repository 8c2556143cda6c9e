// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/wl_expect.c -- the claims a workload file makes about its own run.
 *
 *     expect run(b) = 2 * run(a) within 1% each 1s from 100ms
 *     expect ops(vm1.*) >= 2 * uncoordinated.ops(vm1.*) by share
 *
 * A claim stands beside the workload it is about, so a scenario is one file that states what is
 * to be believed of the scheduler and can fail. Claims are judged after the run and may use
 * floating point; nothing here reaches a decision or a trace.
 *
 * `by` names the policies that make a claim; under another it is not judged.
 *
 * Invariants
 *   - An expression nests at most DEPTH_MAX deep, so no input exhausts the stack.
 *   - A metric that matches no world is NaN, and a claim with a NaN does not hold.
 * Locking    none.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sched/machine.h"
#include "sim/workload/wl.h"

#define DEPTH_MAX 32

struct cursor {
    const char *at, *end;
    char *message;
    size_t size;
    int depth;
    bool failed;
};

static void blanks(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t'))
        c->at++;
}

static struct wl_expr *fail(struct cursor *c, const char *what)
{
    if (!c->failed) {
        snprintf(c->message, c->size, "%s, at '%.*s'", what,
                 (int)MIN((size_t)(c->end - c->at), (size_t)40), c->at);
    }
    c->failed = true;
    return NULL;
}

static bool taken(struct cursor *c, const char *word)
{
    size_t length = strlen(word);

    blanks(c);
    if ((size_t)(c->end - c->at) < length || memcmp(c->at, word, length) != 0)
        return false;
    c->at += length;
    return true;
}

static void expr_free(struct wl_expr *e)
{
    if (!e)
        return;
    expr_free(e->left);
    expr_free(e->right);
    free(e);
}

static struct wl_expr *node(enum wl_expr_kind kind, struct wl_expr *left, struct wl_expr *right)
{
    struct wl_expr *e = calloc(1, sizeof(*e));

    if (!e) {
        fputs("orrery: no memory for an expectation\n", stderr);
        exit(3);
    }
    e->kind = kind;
    e->left = left;
    e->right = right;
    return e;
}

static bool word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_' || c == '-';
}

/* 12, 0.5, 25%, 3ms */
static struct wl_expr *number(struct cursor *c)
{
    const char *start = c->at;
    struct wl_expr *e;
    uint64_t ns;
    double value = 0, scale = 1;
    bool point = false;

    for (; c->at < c->end && ((*c->at >= '0' && *c->at <= '9') || (*c->at == '.' && !point));
         c->at++) {
        if (*c->at == '.') {
            point = true;
            continue;
        }
        value = value * 10 + (*c->at - '0');
        scale *= point ? 10 : 1;
    }
    if (c->at < c->end && *c->at == '%') {
        c->at++;
        scale *= 100;
    } else if (c->at < c->end && word_char(*c->at)) {
        while (c->at < c->end && word_char(*c->at))
            c->at++;
        if (!wl_time_parse(start, (size_t)(c->at - start), &ns)) {
            c->at = start;
            return fail(c, "a number takes %, ns, us, ms or s");
        }
        value = (double)ns;
        scale = 1e9;
    }
    e = node(WL_EXPR_NUMBER, NULL, NULL);
    e->number = value / scale;
    return e;
}

static struct wl_expr *metric(struct cursor *c)
{
    struct wl_expr *e = node(WL_EXPR_METRIC, NULL, NULL);
    const char *start = c->at;
    unsigned m = 0;

    while (c->at < c->end && word_char(*c->at))
        c->at++;
    if (c->at < c->end && *c->at == '.') {
        size_t length = (size_t)(c->at - start);

        if (!length || length >= WL_NAME_SIZE)
            goto bad;
        memcpy(e->variant, start, length);
        start = ++c->at;
        while (c->at < c->end && word_char(*c->at))
            c->at++;
    }
    while (m < WL_METRIC_COUNT &&
           (strlen(wl_metric_words[m]) != (size_t)(c->at - start) ||
            memcmp(wl_metric_words[m], start, (size_t)(c->at - start)) != 0))
        m++;
    if (m == WL_METRIC_COUNT) {
        c->at = start;
        goto bad;
    }
    e->metric = (enum wl_metric)m;
    if (!taken(c, "("))
        goto bad;
    blanks(c);
    start = c->at;
    while (c->at < c->end && *c->at != ')' && *c->at != ' ' && *c->at != '\t')
        c->at++;
    if ((size_t)(c->at - start) >= WL_NAME_SIZE)
        goto bad;
    memcpy(e->name, start, (size_t)(c->at - start));
    if (!e->name[0])
        strcpy(e->name, "*");
    if (taken(c, ")"))
        return e;
bad:
    free(e);
    return fail(c, "expected a number or a metric such as run(hog*); see docs/workloads.md");
}

static struct wl_expr *sum(struct cursor *c);

static struct wl_expr *factor(struct cursor *c)
{
    struct wl_expr *e;

    blanks(c);
    if (c->at == c->end)
        return fail(c, "the claim ends too early");
    if (*c->at >= '0' && *c->at <= '9')
        return number(c);
    if (*c->at != '(')
        return metric(c);
    if (++c->depth > DEPTH_MAX)
        return fail(c, "too many parentheses");
    c->at++;
    e = sum(c);
    c->depth--;
    if (e && taken(c, ")"))
        return e;
    expr_free(e);
    return fail(c, "')' is missing");
}

/* left (op factor)*, for the two levels of precedence; chains lean left and are short. */
static struct wl_expr *chain(struct cursor *c, struct wl_expr *(*part)(struct cursor *),
                             const char *ops, enum wl_expr_kind first)
{
    struct wl_expr *left = part(c);
    int links = 0;

    while (left) {
        enum wl_expr_kind kind;
        struct wl_expr *right;

        blanks(c);
        if (c->at == c->end || (*c->at != ops[0] && *c->at != ops[1]))
            return left;
        if (++links > DEPTH_MAX) {
            expr_free(left);
            return fail(c, "too many terms");
        }
        kind = first + (*c->at == ops[1]);
        c->at++;
        right = part(c);
        if (!right) {
            expr_free(left);
            return NULL;
        }
        left = node(kind, left, right);
    }
    return NULL;
}

static struct wl_expr *product(struct cursor *c)
{
    return chain(c, factor, "*/", WL_EXPR_MUL);
}

static struct wl_expr *sum(struct cursor *c)
{
    return chain(c, product, "+-", WL_EXPR_ADD);
}

static bool time_after(struct cursor *c, uint64_t *ns)
{
    const char *start;

    blanks(c);
    start = c->at;
    while (c->at < c->end && *c->at != ' ' && *c->at != '\t')
        c->at++;
    if (wl_time_parse(start, (size_t)(c->at - start), ns) && *ns)
        return true;
    c->at = start;
    return fail(c, "expected a time such as 1s") != NULL;
}

/* "by share credit2": the policies that make the claim, up to the end. */
static bool policies(struct cursor *c, struct wl_expect *e)
{
    for (;;) {
        const char *start;
        char name[16];
        size_t length;
        enum sched_policy_id id;

        blanks(c);
        if (c->at == c->end && e->by)
            return true;
        start = c->at;
        while (c->at < c->end && word_char(*c->at))
            c->at++;
        length = MIN((size_t)(c->at - start), sizeof(name) - 1);
        memcpy(name, start, length);
        name[length] = 0;
        id = sched_policy_by_name(name);
        if (id == SCHED_POLICY_COUNT) {
            c->at = start;
            return fail(c, "by names policies: share, credit2, rr, edf") != NULL;
        }
        e->by |= 1u << id;
    }
}

static bool tail(struct cursor *c, struct wl_expect *e)
{
    for (;;) {
        blanks(c);
        if (c->at == c->end)
            return !e->step || e->each || fail(c, "step needs each");
        if (taken(c, "each ")) {
            if (!time_after(c, &e->each))
                return false;
        } else if (taken(c, "step ")) {
            if (!time_after(c, &e->step))
                return false;
        } else if (taken(c, "from ")) {
            if (!time_after(c, &e->from))
                return false;
        } else if (taken(c, "to ")) {
            if (!time_after(c, &e->to))
                return false;
        } else if (taken(c, "within ")) {
            const char *start;

            blanks(c);
            start = c->at;
            while (c->at < c->end && *c->at != ' ')
                c->at++;
            if (c->at > start && c->at[-1] == '%') {
                struct cursor part = *c;
                struct wl_expr *n;

                part.at = start;
                part.end = c->at;
                n = *start >= '0' && *start <= '9' ? number(&part) : NULL;
                if (!n || part.at != part.end) {
                    expr_free(n);
                    c->at = start;
                    return fail(c, "within takes a percentage or a time") != NULL;
                }
                e->within = n->number;
                expr_free(n);
            } else {
                c->at = start;
                if (!time_after(c, &e->within_ns))
                    return false;
            }
        } else if (taken(c, "by ")) {
            if (!policies(c, e))
                return false;
        } else {
            return fail(c, "expected within, each, step, from, to or by") != NULL;
        }
    }
}

bool wl_expect_parse(const char *text, size_t length, struct wl_expect *e, char *message,
                     size_t size)
{
    struct cursor c = {.at = text, .end = text + length, .message = message, .size = size};

    e->left = sum(&c);
    if (!e->left)
        return false;
    if (taken(&c, "<="))
        e->relation = WL_LESS_EQUAL;
    else if (taken(&c, ">="))
        e->relation = WL_GREATER_EQUAL;
    else if (taken(&c, "<"))
        e->relation = WL_LESS;
    else if (taken(&c, ">"))
        e->relation = WL_GREATER;
    else if (taken(&c, "="))
        e->relation = WL_EQUAL;
    else
        return fail(&c, "expected <=, >=, <, > or =") != NULL;
    e->right = sum(&c);
    if (!e->right || !tail(&c, e))
        return false;

    char *out = e->text = malloc(length + 1);

    if (!out)
        return fail(&c, "no memory") != NULL;
    for (size_t i = 0; i < length; i++) {
        char ch = text[i] == '\t' ? ' ' : text[i];

        if (ch != ' ' || (out != e->text && out[-1] != ' '))
            *out++ = ch;
    }
    while (out > e->text && out[-1] == ' ')
        out--;
    *out = 0;
    return true;
}

void wl_expect_free(struct wl_expect *e)
{
    free(e->text);
    expr_free(e->left);
    expr_free(e->right);
    e->text = NULL;
    e->left = e->right = NULL;
}

double wl_expr_value(const struct wl_expr *e, wl_metric_fn get, void *context)
{
    double left, right;

    if (e->kind == WL_EXPR_NUMBER)
        return e->number;
    if (e->kind == WL_EXPR_METRIC)
        return get(context, e->variant, e->metric, e->name);
    left = wl_expr_value(e->left, get, context);
    right = wl_expr_value(e->right, get, context);
    switch (e->kind) {
    case WL_EXPR_ADD: return left + right;
    case WL_EXPR_SUB: return left - right;
    case WL_EXPR_MUL: return left * right;
    default: return left / right;
    }
}

bool wl_expect_holds(const struct wl_expect *e, double left, double right)
{
    double slack = fabs(right) * e->within + (double)e->within_ns / 1e9;

    if (isnan(left) || isnan(right))
        return false;
    switch (e->relation) {
    case WL_EQUAL: return fabs(left - right) <= slack + 1e-12;
    case WL_LESS: return left < right + slack;
    case WL_LESS_EQUAL: return left <= right + slack + 1e-12;
    case WL_GREATER: return left > right - slack;
    case WL_GREATER_EQUAL: return left >= right - slack - 1e-12;
    }
    return false;
}
