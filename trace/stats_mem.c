// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/stats_mem.c -- the memory part of `orrery-trace stats`: a table, CSV, JSON.
 *
 * Means are over time, of the part that --from and --to leave. The table is in MB of 2^20 bytes
 * as esxtop's is; CSV and JSON have pages.
 *
 * Locking    none: one thread.
 */
#include <cjson/cJSON.h>
#include <inttypes.h>

#include "trace/stats.h"

static double megabytes(double pages)
{
    return pages / 256;
}

void stats_memory_table(FILE *out, const struct memory_model *m)
{
    static const enum memory_figure shown[] = {
        MEMORY_granted, MEMORY_held,       MEMORY_active,  MEMORY_target,     MEMORY_balloon,
        MEMORY_shared,  MEMORY_compressed, MEMORY_swapped, MEMORY_true_active};
    static const char *const heads[] = {"granted", "held",   "active",  "target", "balloon",
                                        "shared",  "compr.", "swapped", "true"};

    if (!m->any)
        return;
    fprintf(out,
            "\nMemory in MB, mean over time; at the end behind /. %" PRIu64 " inputs, %" PRIu64
            " refused, %" PRIu64 " targets\n"
            "  host: %.0f managed, %.1f free (now %.1f);",
            m->inputs, m->refused, m->targets, megabytes((double)m->managed),
            megabytes(m->measured > 0 ? m->free_sum / m->measured : (double)m->free),
            megabytes((double)m->free));
    for (unsigned i = 0; i < MEMORY_LEVELS; i++)
        fprintf(out, " %s %.1f %%", memory_level_name(i),
                m->measured > 0 ? 100 * m->level_ns[i] / m->measured : 0);
    fputs("\n    id  name              shares", out);
    for (unsigned k = 0; k < ARRAY_COUNT(shown); k++)
        fprintf(out, " %13s", heads[k]);
    fputs("  blocked\n", out);
    for (unsigned i = 0; i < m->count; i++) {
        const struct memory_vm *vm = &m->vms[i];

        if (vm->is_pool)
            continue;
        fprintf(out, "%6u  %-16.16s %7u", vm->id, vm->name, vm->shares);
        for (unsigned k = 0; k < ARRAY_COUNT(shown); k++) {
            char text[32];

            if (shown[k] == MEMORY_true_active && !vm->has_truth)
                snprintf(text, sizeof(text), "-");
            else
                snprintf(text, sizeof(text), "%.1f/%.0f", megabytes(memory_mean(vm, shown[k])),
                         megabytes(vm->now[shown[k]]));
            fprintf(out, " %13s", text);
        }
        fprintf(out, " %6.1f %%\n", vm->lived > 0 ? 100 * vm->blocked_ns / vm->lived : 0);
    }
}

void stats_memory_csv(FILE *out, const struct memory_model *m)
{
    fputs("id,name,size,shares,min,max,lived_ns,blocked_ns", out);
    for (unsigned f = 0; f < MEMORY_FIGURE_COUNT; f++)
        fprintf(out, ",%s_mean,%s_max,%s_end", memory_figure_names[f], memory_figure_names[f],
                memory_figure_names[f]);
    fputc('\n', out);
    for (unsigned i = 0; i < m->count; i++) {
        const struct memory_vm *vm = &m->vms[i];
        char name[sizeof(vm->name)];
        unsigned k = 0;

        for (; vm->name[k]; k++)
            name[k] = vm->name[k] == ',' || vm->name[k] == '"' ? '_' : vm->name[k];
        name[k] = '\0';
        fprintf(out, "%u,%s,%u,%u,%u,%u,%.0f,%.0f", vm->id, name, vm->size, vm->shares, vm->min,
                vm->max, vm->lived, vm->blocked_ns);
        for (unsigned f = 0; f < MEMORY_FIGURE_COUNT; f++)
            fprintf(out, ",%.1f,%u,%u", memory_mean(vm, (enum memory_figure)f), vm->most[f],
                    vm->now[f]);
        fputc('\n', out);
    }
}

void stats_memory_json(cJSON *root, const struct memory_model *m)
{
    cJSON *memory, *vms;

    if (!m->any)
        return;
    memory = cJSON_AddObjectToObject(root, "memory");
    cJSON_AddNumberToObject(memory, "managed", (double)m->managed);
    cJSON_AddNumberToObject(memory, "free", (double)m->free);
    cJSON_AddStringToObject(memory, "level", memory_level_name(m->level));
    vms = cJSON_AddArrayToObject(memory, "vms");
    for (unsigned i = 0; i < m->count; i++) {
        const struct memory_vm *vm = &m->vms[i];
        cJSON *object = cJSON_CreateObject();

        cJSON_AddItemToArray(vms, object);
        cJSON_AddNumberToObject(object, "id", vm->id);
        cJSON_AddStringToObject(object, "name", vm->name);
        cJSON_AddNumberToObject(object, "size", vm->size);
        cJSON_AddNumberToObject(object, "shares", vm->shares);
        for (unsigned f = 0; f < MEMORY_FIGURE_COUNT; f++) {
            cJSON *figure = cJSON_AddObjectToObject(object, memory_figure_names[f]);

            cJSON_AddNumberToObject(figure, "mean", memory_mean(vm, (enum memory_figure)f));
            cJSON_AddNumberToObject(figure, "max", vm->most[f]);
            cJSON_AddNumberToObject(figure, "end", vm->now[f]);
        }
    }
}
