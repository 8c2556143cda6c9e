// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/plot_gp.c -- the .gp files of `orrery-trace plot`.
 *
 * Colours are Okabe and Ito's, which people of every colour vision tell apart; lines differ in
 * dashes too where two kinds cross. The legend stands outside the picture, so that it hides
 * nothing.
 *
 * Invariants
 *   - A script needs only its .dat beside it and `format` (svg, png) from the command line.
 * Locking    none: one thread.
 * Sources    [OKABE-ITO]
 */
#include <inttypes.h>
#include <string.h>

#include "trace/plot.h"
#include "trace/tool.h"

static const char *const colours[PLOT_COLOURS + 2] = {
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9",
    "#D55E00", "#000000", "#F0E442", "#999999", "#F2F2F2",
};

static const struct {
    const char *colour, *name;
} states[PLOT_STATES] = {
    [PLOT_RUN] = {"#009E73", "run"},          [PLOT_READY] = {"#E69F00", "ready"},
    [PLOT_LIMITED] = {"#CC79A7", "limited"},  [PLOT_COSTOP] = {"#D55E00", "co-stop"},
    [PLOT_WAIT_IO] = {"#56B4E9", "wait I/O"}, [PLOT_WAIT] = {"#E8E8E8", "wait, idle"},
};

/* Names come from a trace: nothing in them may end a string or mean something to gnuplot. */
static void put_name(FILE *out, const char *name)
{
    fputc('"', out);
    for (; *name; name++) {
        if (*name == '"' || *name == '\\' || *name == '`' || *name == '$' || *name == '%')
            fputc('?', out);
        else
            fputc(*name, out);
    }
    fputc('"', out);
}

static FILE *begin(const struct plot *p, const char *name, unsigned width, unsigned height)
{
    FILE *out = plot_create(p, name, "gp");

    if (!out)
        return NULL;
    fprintf(out,
            "# gnuplot -e \"format='svg'\" %s.gp\n"
            "if (!exists(\"format\")) format = \"svg\"\n"
            "if (format eq \"png\") {\n"
            "    set terminal pngcairo noenhanced size %u,%u font \"DejaVu Sans,15\" "
            "background \"white\"\n"
            "} else {\n"
            "    set terminal svg noenhanced size %u,%u font \"DejaVu Sans,17\" background "
            "\"white\"\n"
            "}\n"
            "set output \"%s.\" . format\n"
            "set border 3 lc rgb \"#444444\"\n"
            "set tics nomirror out\n"
            "set grid lt 1 lc rgb \"#DDDDDD\" lw 1\n"
            "set key outside right top Left reverse samplen 2 spacing 1.2\n"
            "set tmargin 3.5\n",
            name, width, height, width, height, name);
    return out;
}

static bool end(const struct plot *p, FILE *out, const char *name,
                bool (*made)(const struct plot *p, const char *name))
{
    return plot_close(p, out, name, "gp") && made(p, name);
}

/* A heading at the left edge of the picture or panel that comes next. */
static void heading(FILE *out, const char *text, unsigned size)
{
    fprintf(out, "set label 1 at graph 0, graph 1 offset 0,1.1 left font \",%u\" ", size);
    put_name(out, text);
    fputc('\n', out);
}

/* A line of a world's colour. Yellow on white is too light: it has a dark edge. */
static void line(FILE *out, bool first, const char *data, const char *columns, unsigned colour,
                 const char *title)
{
    const char *join = first ? "plot" : ", \\\n    ";

    if (!strcmp(colours[colour], "#F0E442")) {
        fprintf(out, "%s %s using %s with lines lw 4.5 lc rgb \"#666666\" notitle", join, data,
                columns);
        join = ", \\\n    ";
    }
    fprintf(out, "%s %s using %s with lines lw 2.5 lc rgb \"%s\" ", join, data, columns,
            colours[colour]);
    if (title) {
        fprintf(out, "title ");
        put_name(out, title);
    } else {
        fprintf(out, "notitle");
    }
}

/* A colour's entry in the legend, without data. */
static void legend(FILE *out, const char *colour, const char *name)
{
    fprintf(
        out,
        ", \\\n    NaN with boxes fs solid 1 border lc rgb \"#888888\" fc rgb \"%s\" title ",
        colour);
    put_name(out, name);
}

static void timeline_axes(FILE *out, const struct plot *p, unsigned lanes, const char *label)
{
    fprintf(out,
            "set xlabel \"time since boot (s)\"\n"
            "set ylabel \"%s\"\n"
            "set xrange [%.9f:%.9f]\n"
            "set yrange [%u.5:-0.5] \n"
            "set format x \"%%.2f\"\n"
            "set grid x noy front\n"
            "set border 3\n"
            "set style fill solid 1 noborder\n",
            label, (double)p->line_from / 1e9, (double)p->line_to / 1e9, lanes - 1);
}

/* Boxes of one colour: columns are lane, colour, from, to. */
static void timeline_boxes(FILE *out, const char *name, unsigned colour, const char *rgb,
                           bool first, double half)
{
    fprintf(out,
            "%s \"%s.dat\" using (($3+$4)/2):($2==%u ? $1 : NaN):3:4:($1-%.2f):($1+%.2f) with "
            "boxxyerror fc rgb \"%s\" notitle",
            first ? "plot" : ", \\\n    ", name, colour, half, half, rgb);
}

static bool timeline_cpu(const struct plot *p,
                         bool (*made)(const struct plot *p, const char *name))
{
    static const char name[] = "timeline-cpu";
    FILE *out = begin(p, name, 1600, 260 + MIN(p->cpus, 32) * 55);

    if (!out)
        return false;
    timeline_axes(out, p, p->cpus, "CPU");
    heading(out, "Who ran on which CPU", 20);
    fprintf(out, "set ytics 1\n");
    for (unsigned i = 0; i < PLOT_COLOURS + 2; i++) {
        if (i < p->colour_count || i >= PLOT_COLOURS)
            timeline_boxes(out, name, i, colours[i], i == 0, 0.4);
    }
    for (unsigned i = 0; i < p->colour_count; i++)
        legend(out, colours[i], p->colours[i].label);
    legend(out, colours[PLOT_COLOURS], "others");
    legend(out, colours[PLOT_COLOURS + 1], "idle");
    fputc('\n', out);
    return end(p, out, name, made);
}

static bool timeline_world(const struct plot *p,
                           bool (*made)(const struct plot *p, const char *name))
{
    static const char name[] = "timeline-world";
    FILE *out = begin(p, name, 1600, 260 + p->lane_count * 36);

    if (!out)
        return false;
    timeline_axes(out, p, p->lane_count, "");
    heading(out, "What each world did", 20);
    fprintf(out, "set ytics (");
    for (unsigned i = 0; i < p->lane_count; i++) {
        fputs(i ? ", " : "", out);
        put_name(out, p->lanes[i].label);
        fprintf(out, " %u", i);
    }
    fprintf(out, ")\n");
    for (unsigned i = 0; i < PLOT_STATES; i++)
        timeline_boxes(out, name, i, states[i].colour, i == 0, 0.36);
    for (unsigned i = 0; i < PLOT_STATES; i++)
        legend(out, states[i].colour, states[i].name);
    fputc('\n', out);
    return end(p, out, name, made);
}

static bool latency(const struct plot *p, bool (*made)(const struct plot *p, const char *name))
{
    static const char name[] = "latency";
    FILE *out = begin(p, name, 1400, 800);
    double right = 10;  // us; a picture has four decades at least

    if (!out)
        return false;
    while (right * 1e3 < (double)p->latency_most)
        right *= 10;
    heading(out, "How long worlds waited for a CPU after they woke", 20);
    fprintf(out,
            "set xlabel \"from wake-up to running (logarithmic)\"\n"
            "set ylabel \"wake-ups that waited no longer (%%)\"\n"
            "set logscale x\nset xrange [0.001:%g]\n"
            "set xtics (\"1 ns\" 0.001, \"10 ns\" 0.01, \"100 ns\" 0.1, \"1 us\" 1, "
            "\"10 us\" 10, \"100 us\" 100, \"1 ms\" 1000, \"10 ms\" 10000, "
            "\"100 ms\" 100000, \"1 s\" 1000000, \"10 s\" 10000000)\n"
            "set yrange [0:102]\nset ytics 10\n"
            "plot \"latency.dat\" index 0 with lines lw 6 lc rgb \"#AAAAAA\" title \"all "
            "worlds\"",
            right);
    for (unsigned i = 0; i < p->colour_count; i++) {
        char data[64];

        if (!p->colours[i].has_latency)
            continue;
        snprintf(data, sizeof(data), "\"latency.dat\" index %u", i + 1);
        line(out, false, data, "1:2", i, p->colours[i].label);
    }
    fputc('\n', out);
    return end(p, out, name, made);
}

static bool share(const struct plot *p, bool (*made)(const struct plot *p, const char *name))
{
    static const char name[] = "share";
    FILE *out = begin(p, name, 1500, 1000);
    char text[128], columns[64];
    size_t longest = 6;
    double right;

    if (!out)
        return false;
    for (unsigned i = 0; i < p->colour_count; i++)
        longest = MAX(longest, strlen(p->colours[i].label));
    right = 1 - (110 + 13.5 * (double)longest) / 1500;  // what the legend leaves
    fprintf(out,
            "set multiplot layout 2,1 margins 0.07,%.3f,0.08,0.94 spacing 0,0.11\n"
            "set key at screen %.3f,screen 0.94 left top\n"
            "set xrange [%.6f:%.6f]\n"
            "set ylabel \"percent of a CPU\"\nset yrange [0:1<*]\nset format x \"\"\n",
            right, right + 0.015, (double)p->from / 1e9, (double)p->to / 1e9);
    snprintf(text, sizeof(text),
             "CPU that each world had (lines) and was due (dots), over %.3g %s",
             (double)p->window / (p->window < 1000000000 ? 1e6 : 1e9),
             p->window < 1000000000 ? "ms" : "s");
    heading(out, text, 18);
    for (unsigned i = 0; i < p->colour_count; i++) {
        snprintf(columns, sizeof(columns), "1:%u", 2 + 2 * i);
        line(out, i == 0, "\"share.dat\"", columns, i, p->colours[i].label);
    }
    for (unsigned i = 0; i < p->colour_count; i++)
        fprintf(
            out,
            ", \\\n     \"share.dat\" using 1:%u with points pt 7 ps 0.5 lc rgb \"%s\" notitle",
            3 + 2 * i, colours[i]);
    fputc('\n', out);
    heading(out, "Error: had minus due", 18);
    fprintf(out, "set ylabel \"points of a CPU\"\nset yrange [*<-1:1<*]\n"
                 "set format x \"%%g\"\nset xlabel \"time since boot (s)\"\n"
                 "set xzeroaxis lt 1 lc rgb \"#000000\" lw 1.5\n");
    for (unsigned i = 0; i < p->colour_count; i++) {
        snprintf(columns, sizeof(columns), "1:($%u-$%u)", 2 + 2 * i, 3 + 2 * i);
        line(out, i == 0, "\"share.dat\"", columns, i, NULL);
    }
    fprintf(out, "\nunset multiplot\n");
    return end(p, out, name, made);
}

/* One panel: stacked from below in the order of enum plot_state. */
static void states_panel(FILE *out, const struct plot *p, unsigned group, bool bottom)
{
    unsigned first = 2 + group * PLOT_STATES;

    heading(out, p->groups[group].label, 16);
    fprintf(out, bottom ? "set format x \"%%g\"\nset xlabel \"time since boot (s)\"\n"
                        : "set format x \"\"\nunset xlabel\n");
    for (unsigned s = 0; s < PLOT_STATES; s++) {
        fprintf(out, "%s \"states.dat\" using 1:(", s ? ", \\\n    " : "plot");
        for (unsigned below = 0; below < s; below++)
            fprintf(out, "$%u+", first + below);
        /*
         * No number where a group is gone: a plain 0 would close the lowest area over the gap.
         */
        fprintf(out, "0*$%u):(", first);
        for (unsigned below = 0; below <= s; below++)
            fprintf(out, "$%u%s", first + below, below < s ? "+" : "");
        fprintf(out, ") with filledcurves fs solid 1 fc rgb \"%s\" %s", states[s].colour,
                group ? "notitle" : "title ");
        if (!group)
            put_name(out, states[s].name);
    }
    fputc('\n', out);
}

static bool states_over_time(const struct plot *p,
                             bool (*made)(const struct plot *p, const char *name))
{
    static const char name[] = "states";
    unsigned height = 150 + p->group_count * 200;
    FILE *out = begin(p, name, 1500, height);

    if (!out)
        return false;
    fprintf(out,
            "set multiplot layout %u,1 margins 0.08,0.86,%.3f,%.3f spacing 0,%.3f\n"
            "set key at screen 0.875,screen %.3f left top vertical spacing 1 font \",14\"\n"
            "set xrange [%.6f:%.6f]\nset yrange [0:100]\nset ytics 25\n"
            "set ylabel \"%% of time\"\nset grid front\n",
            p->group_count, 80.0 / height, 1 - 50.0 / height, 60.0 / height, 1 - 50.0 / height,
            (double)p->from / 1e9, (double)p->to / 1e9);
    for (unsigned i = 0; i < p->group_count; i++)
        states_panel(out, p, i, i + 1 == p->group_count);
    fprintf(out, "unset multiplot\n");
    return end(p, out, name, made);
}

/* A VM's memory: where its pages are, stacked, and what it uses and should hold as lines. */
static void memory_panel(FILE *out, const struct plot *p, unsigned vm, bool is_last)
{
    static const struct {
        unsigned column;
        const char *colour, *name;
    } parts[] = {{4, "#009E73", "shared"},
                 {3, "#0072B2", "ballooned"},
                 {2, "#D55E00", "swapped"},
                 {1, "#E69F00", "compressed"},
                 {0, "#CFE8F7", "held"}};
    unsigned first = 8 + 8 * vm;

    heading(out, p->vm_names[vm], 16);
    if (is_last)
        fprintf(out, "set format x \"%%g\"\nset xlabel \"time since boot (s)\"\n");
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++)
        fprintf(out, "%s \"memory.dat\" using 1:%u with filledcurves y1=0 lc rgb \"%s\" %s%s%s",
                i ? ", \\\n    " : "plot", first + parts[i].column, parts[i].colour,
                vm ? "notitle" : "title \"", vm ? "" : parts[i].name, vm ? "" : "\"");
    fprintf(out,
            ", \\\n     \"memory.dat\" using 1:%u with lines lw 3 lc rgb \"black\" %s"
            ", \\\n     \"memory.dat\" using 1:%u with lines lw 2.5 dt (8,4) lc rgb "
            "\"black\" %s",
            first + 5, vm ? "notitle" : "title \"active\"", first + 6,
            vm ? "notitle" : "title \"target\"");
    if (p->vms_have_truth)
        fprintf(out,
                ", \\\n     \"memory.dat\" using 1:%u with lines lw 3 dt (2,3) lc rgb "
                "\"#CC79A7\" %s",
                first + 7, vm ? "notitle" : "title \"truly active\"");
    fputc('\n', out);
}

static bool memory(const struct plot *p, bool (*made)(const struct plot *p, const char *name))
{
    static const char name[] = "memory";
    static const struct {
        unsigned column;
        const char *colour, *name;
    } ways[] = {{4, "#0072B2", "ballooned"},
                {5, "#009E73", "shared"},
                {6, "#E69F00", "compressed"},
                {7, "#D55E00", "swapped"}};
    FILE *out = begin(p, name, 1500, 660 + 300 * p->vm_count);

    if (!out)
        return false;
    heading(out, "Free memory of the host, and its level", 16);
    fprintf(
        out,
        "set multiplot layout %u,1 margins screen 0.08,0.80,%.3f,%.3f spacing screen 0,%.3f\n"
        "set xrange [%.6f:%.6f]\nset format x \"\"\n"
        "set ylabel \"MB\"\nset yrange [0:1<*]\nset y2range [-0.2:4.2]\n"
        "set y2tics (\"high\" 0, \"clear\" 1, \"soft\" 2, \"hard\" 3, \"low\" 4)\n"
        "set border 11\n"
        "set key at screen 0.86,graph 1 left top\n"
        "plot \"memory.dat\" using 1:2 with lines lw 3 lc rgb \"#0072B2\" title \"free\", \\\n"
        "     \"memory.dat\" using 1:3 axes x1y2 with steps lw 2 dt 2 lc rgb \"#D55E00\" title "
        "\"level (right)\"\n"
        "set key at screen 0.82,graph 1 left top\n"
        "unset y2tics\nset border 3\n",
        2 + p->vm_count, 100.0 / (660 + 300 * p->vm_count),
        1 - 45.0 / (660 + 300 * p->vm_count), 60.0 / (660 + 300 * p->vm_count),
        (double)p->from / 1e9, (double)p->to / 1e9);
    heading(out, "Memory taken from all VMs, by mechanism", 16);
    for (size_t i = 0; i < ARRAY_COUNT(ways); i++)
        fprintf(
            out,
            "%s \"memory.dat\" using 1:%u with lines lw 3 dt %zu lc rgb \"%s\" title \"%s\"",
            i ? ", \\\n    " : "plot", ways[i].column, i + 1, ways[i].colour, ways[i].name);
    fputc('\n', out);
    for (unsigned i = 0; i < p->vm_count; i++)
        memory_panel(out, p, i, i + 1 == p->vm_count);
    fprintf(out, "unset multiplot\n");
    return end(p, out, name, made);
}

bool plot_write_scripts(const struct plot *p,
                        bool (*made)(const struct plot *p, const char *name))
{
    bool good = true;

    if (p->has_sched)
        good = timeline_cpu(p, made) && timeline_world(p, made) && share(p, made) &&
               states_over_time(p, made);
    if (good && p->has_latency)
        good = latency(p, made);
    if (good && p->has_memory)
        good = memory(p, made);
    return good;
}
