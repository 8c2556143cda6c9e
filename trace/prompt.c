// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/prompt.c -- how soon CPUs did what the scheduler asked of them, as `verify` sees it.
 *
 * The state machine says when a CPU has to think again, and whom to kick; the trace says when
 * that happened. The difference is the machine's (or the emulator's) and not the scheduler's: a
 * CPU that answers 20 ms late lets its vCPU lead by 20 ms more than the threshold; one
 * that comes 60 ms late for a vCPU that has woken up lets all its siblings lead by so much. So
 * a lead over the threshold is held against the lateness of the very CPU on which that vCPU
 * ran, and of those on which its siblings were.
 *
 * Invariants
 *   - A kick counts from the first that is unanswered.
 * Locking    none: one thread.
 */
#include "trace/prompt.h"

#include <inttypes.h>

#define SLACK_NS 100000ull  // a switch, and rounding

void prompt_init(struct prompt *p)
{
    *p = (struct prompt){.costops = 0};
    for (unsigned i = 0; i < SCHED_CPUS_MAX; i++)
        p->deadline[i] = PLAT_NS_NEVER;
}

void prompt_input(struct prompt *p, const struct sched_input *in,
                  const struct sched_decision *decision, uint64_t now)
{
    uint32_t cpu = in->cpu;

    if (decision->status != VMK_OK || cpu >= SCHED_CPUS_MAX)
        return;
    if (sched_op_switches(in->op)) {
        p->late[cpu] = 0;
        if (p->deadline[cpu] != PLAT_NS_NEVER && now >= p->deadline[cpu]) {
            p->late[cpu] = now - p->deadline[cpu];
            hdr_add(&p->deadlines, p->late[cpu]);
        }
        if (p->kicked[cpu]) {
            uint64_t took = now - MIN(now, p->kicked[cpu]);

            hdr_add(&p->kicks, took);
            p->late[cpu] = MAX(p->late[cpu], took);
            p->kicked[cpu] = 0;
        }
        p->answered[cpu] = now;
    }
    /* One that is over stays so until the CPU switches, whatever else it says before. */
    if (sched_op_switches(in->op) || now < p->deadline[cpu])
        p->deadline[cpu] = decision->deadline;
    for (uint64_t rest = decision->kick; rest; rest &= rest - 1) {
        unsigned target = (unsigned)__builtin_ctzll(rest);

        if (!p->kicked[target])
            p->kicked[target] = now;
    }
}

static uint64_t since(uint64_t when, uint64_t now)
{
    return when && when != PLAT_NS_NEVER && now > when ? now - when : 0;
}

/* How late a CPU was or is for something that it had to do after `from`. */
static uint64_t lateness(const struct prompt *p, uint32_t cpu, uint64_t from, uint64_t now)
{
    uint64_t most = MAX(since(p->kicked[cpu], now), since(p->deadline[cpu], now));

    return p->answered[cpu] >= from ? MAX(most, p->late[cpu]) : most;
}

void prompt_costop(struct prompt *p, const struct sched_machine *m, uint32_t id, uint32_t cpu,
                   uint64_t lead_ns, uint64_t now)
{
    uint64_t allowed = m->tunable[SCHED_TUNABLE_COSTOP] + SLACK_NS;
    const struct sched_entity *e = sched_entity_find(m, id);
    uint64_t worst = 0;

    p->costops++;
    p->most = MAX(p->most, lead_ns);
    if (lead_ns <= allowed || cpu >= SCHED_CPUS_MAX || !e)
        return;
    p->over++;
    if (lead_ns <= allowed + p->late[cpu]) {
        p->own++;
        return;
    }
    list_for_each (link, &e->node.parent->children) {
        const struct sched_node *n = list_entry(link, const struct sched_node, siblings);
        const struct sched_entity *o = container_of(n, const struct sched_entity, node);

        if (!n->is_pool && o != e && o->cpu < SCHED_CPUS_MAX)
            worst = MAX(worst, lateness(p, o->cpu, now - MIN(now, lead_ns), now));
    }
    p->sibling += lead_ns <= allowed + p->late[cpu] + worst;
}

static double us(uint64_t ns)
{
    return (double)ns / 1e3;
}

static void print_hdr(FILE *out, const char *what, const struct hdr *h)
{
    if (h->count)
        fprintf(out, "  %" PRIu64 " %s: p50 %.1f us, p99 %.1f us, at most %.1f us late\n",
                h->count, what, us(hdr_permille(h, 500)), us(hdr_permille(h, 990)), us(h->max));
}

void prompt_print(const struct prompt *p, const struct sched_machine *m, FILE *out)
{
    print_hdr(out, "deadlines", &p->deadlines);
    print_hdr(out, "kicks", &p->kicks);
    if (p->costops)
        fprintf(out,
                "  %" PRIu64 " co-stops, the lead %.1f us at most; %" PRIu64
                " over %.1f us, of these %" PRIu64 " on a CPU that answered so late, %" PRIu64
                " with a sibling on one\n",
                p->costops, us(p->most), p->over,
                us(m->tunable[SCHED_TUNABLE_COSTOP] + SLACK_NS), p->own, p->sibling);
}
