// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/whatif_mem_plot.c -- pictures of memory under other settings: each VM over time, recorded and modelled.
 *
 * A row for each VM: what it holds on the left, with what was recorded as a black line, what
 * balloons and swapping have of it on the right; one colour for each variant, told apart
 * without colours by dashes.
 *
 * Locking    none: one thread.
 */
#include "trace/whatif_mem_plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trace/tool.h"

#define FIGURES  3u  // of a variant: held, balloon, out
#define VMS_MOST 8u  // rows of the picture
#define ROW      240u
#define BELOW    60u  // pixels: the x axis of the last row
#define TITLE    40u  // and the title of the first
#define KEY_LINE 20u

/* Okabe and Ito's colours but yellow, which is weak on white. */
static const char *const colours[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                      "#E69F00", "#56B4E9", "#7F7F7F", "#000000"};

static float *at(const struct whatif_series *s, unsigned variant, unsigned column, unsigned vm)
{
    return &s->values[(((size_t)variant * s->columns + column) * s->vms + vm) * (FIGURES + 1)];
}

bool whatif_series_init(struct whatif_series *s, unsigned variants, unsigned columns,
                        unsigned vms, double from, double step)
{
    const size_t count = (size_t)variants * columns * vms * (FIGURES + 1);

    *s = (struct whatif_series){
        .variants = variants, .columns = columns, .vms = vms, .from = from, .step = step};
    s->values = malloc(count * sizeof(*s->values));
    for (size_t i = 0; s->values && i < count; i++)
        s->values[i] = NAN;
    return s->values != NULL;
}

void whatif_series_free(struct whatif_series *s)
{
    free(s->values);
    s->values = NULL;
}

void whatif_series_put(const struct whatif_series *s, unsigned variant, unsigned column,
                       unsigned vm, const double figures[4])
{
    float *to = at(s, variant, column, vm);

    for (unsigned i = 0; i < FIGURES + 1; i++)
        to[i] = (float)(figures[i] / 256);
}

static bool is_shown(const struct whatif_series *s, unsigned vm)
{
    for (unsigned c = 0; c < s->columns; c++) {
        if (!isnan(*at(s, 0, c, vm)))
            return true;
    }
    return false;
}

/* The VMs that have a row; how many. */
static unsigned shown(const struct whatif_series *s, unsigned list[VMS_MOST])
{
    unsigned count = 0;

    for (unsigned vm = 0; vm < s->vms && count < VMS_MOST; vm++) {
        if (is_shown(s, vm))
            list[count++] = vm;
    }
    return count;
}

static void data_write(const struct whatif_series *s, const unsigned *list, unsigned count,
                       FILE *out)
{
    fputs(
        "# s; for each VM: recorded held, then for each variant held, balloon, compressed and "
        "swapped; MB\n",
        out);
    for (unsigned c = 0; c < s->columns; c++) {
        fprintf(out, "%.3f", s->from + c * s->step);
        for (unsigned v = 0; v < count; v++) {
            fprintf(out, " %.3f", (double)at(s, 0, c, list[v])[FIGURES]);
            for (unsigned k = 0; k < s->variants; k++) {
                for (unsigned i = 0; i < FIGURES; i++)
                    fprintf(out, " %.3f", (double)at(s, k, c, list[v])[i]);
            }
        }
        fputc('\n', out);
    }
}

/* A text in gnuplot's single quotes; enhanced text is off. */
static void quoted(FILE *out, const char *text)
{
    fputc('\'', out);
    for (; *text; text++)
        fprintf(out, *text == '\'' ? "''" : "%c", *text);
    fputc('\'', out);
}

static void lines(FILE *out, const struct whatif_series *s, const char *const *variants,
                  unsigned first, unsigned figure, bool titles)
{
    for (unsigned k = 0; k < s->variants; k++) {
        fprintf(out, "%s 'whatif-memory.dat' using 1:%u with lines lw 2.5 dt %u lc rgb '%s' ",
                k || figure == 0 ? ", \\\n    " : "plot", first + 1 + FIGURES * k + figure,
                k + 1, colours[k % ARRAY_COUNT(colours)]);
        if (titles) {
            char title[64];

            snprintf(title, sizeof(title), k ? "%.48s" : "%.48s, modelled", variants[k]);
            fputs("title ", out);
            quoted(out, title);
        } else {
            fputs("notitle", out);
        }
    }
}

static void panel(FILE *out, const struct whatif_series *s, const char *const *variants,
                  const char *name, unsigned row, bool last)
{
    static const char *const what[] = {" holds", " has in its balloon",
                                       " has compressed or swapped"};
    const unsigned first = 2 + row * (1 + FIGURES * s->variants);

    fprintf(out, last ? "set xlabel 'time since boot (s)'\n" : "unset xlabel\n");
    for (unsigned figure = 0; figure < FIGURES; figure++) {
        char title[64];

        snprintf(title, sizeof(title), "%.24s%s", name, what[figure]);
        fputs("set title ", out);
        quoted(out, title);
        fputc('\n', out);
        if (figure == 0)
            fprintf(out,
                    "plot 'whatif-memory.dat' using 1:%u with lines lw 4 lc rgb 'black' %s",
                    first, row ? "notitle" : "title 'as recorded'");
        lines(out, s, variants, first, figure, row == 0 && figure == 0);
        fputc('\n', out);
    }
}

static void script_write(FILE *out, const struct whatif_series *s, const char *const *variants,
                         char (*names)[24], const unsigned *list, unsigned count)
{
    static const struct {
        const char *terminal, *extension;
    } formats[] = {{"pngcairo", "png"}, {"svg", "svg"}};
    const unsigned top = TITLE + KEY_LINE * (s->variants + 1);
    const unsigned height = top + BELOW + ROW * count;

    fputs("# run in this directory: gnuplot whatif-memory.gp\n", out);
    for (size_t f = 0; f < ARRAY_COUNT(formats); f++) {
        fprintf(out,
                "set terminal %s size 1500,%u font 'sans,11' noenhanced\n"
                "set output 'whatif-memory.%s'\n"
                "set multiplot layout %u,3 margins 0.06,0.98,%.4f,%.4f spacing 0.05,%.4f\n"
                "set grid lc rgb '#dddddd'\nset border 3\nset tics nomirror\n"
                "set xrange [%.3f:%.3f]\nset yrange [0:1<*]\nset ylabel 'MB' offset 1\n"
                "set key at screen 0.06,screen %.4f left top Left reverse spacing 1.1\n",
                formats[f].terminal, height, formats[f].extension, count,
                (double)BELOW / height, 1 - (double)top / height, 70.0 / height, s->from,
                s->from + s->step * fmax(1, s->columns - 1.0), 1 - 5.0 / height);
        for (unsigned row = 0; row < count; row++)
            panel(out, s, variants, names[list[row]], row, row + 1 == count);
        fputs("unset multiplot\nunset output\n", out);
    }
}

bool whatif_series_draw(const struct whatif_series *s, const char *directory,
                        const char *const *variants, char (*names)[24])
{
    unsigned list[VMS_MOST], count = shown(s, list);
    char path[4096];
    FILE *out;

    if (!tool_mkdir(directory))
        return false;
    snprintf(path, sizeof(path), "%s/whatif-memory.dat", directory);
    out = tool_create(path);
    if (!out)
        return false;
    data_write(s, list, count, out);
    if (!tool_finish(out, path))
        return false;
    snprintf(path, sizeof(path), "%s/whatif-memory.gp", directory);
    out = tool_create(path);
    if (!out)
        return false;
    script_write(out, s, variants, names, list, count);
    return tool_finish(out, path) && tool_gnuplot(directory, "whatif-memory.gp");
}
