// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/trace/determinism.c -- prints the hash of workloads for many seeds; built in several ways.
 *
 * usage: determinism SEEDS FILE.wl...
 *
 * tests/trace/determinism.sh compiles this with the scheduler, the recorder and the engine, by
 * each compiler at each level of optimisation, and compares the output. What the recorder would
 * ask of a host or a platform is not reached here, and ends the program if it is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plat/plat.h"
#include "sim/workload/replay.h"

/* What the recorder asks of a platform: there is but one thread, and nothing interrupts it. */
unsigned plat_cpu_self(void)
{
    return 0;
}

bool plat_irq_save(void)
{
    return false;
}

void plat_irq_restore(bool was_on)
{
    (void)was_on;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    for (int i = 2; i < argc; i++) {
        struct workload w;
        struct program p;
        struct wl_error error;

        if (!wl_parse_file(argv[i], &w, &error) || !program_link(&w, &p, &error)) {
            fprintf(stderr, "%s:%u: %s\n", argv[i], error.line, error.text);
            return 3;
        }
        for (uint64_t seed = 1; seed <= strtoull(argv[1], NULL, 10); seed++) {
            const struct engine_options o = {.seed = seed, .duration = 300000000};
            struct engine_result r;
            struct replay_trace t;

            if (!replay_recorded(&p, &o, NULL, &r, &t)) {
                fprintf(stderr, "%s: %s\n", argv[i], r.error);
                return 3;
            }
            printf("%s %llu %016llx %llu\n", argv[i], (unsigned long long)seed,
                   (unsigned long long)t.hash, (unsigned long long)t.records);
            engine_result_free(&r);
        }
        program_free(&p);
        wl_free(&w);
    }
    return 0;
}
