// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/fuzz/fuzz_trace_import.c -- any bytes as a foreign recording: an error or a workload that links.
 *
 * The first byte picks the reader: text, metadata of CTF, a CTF stream under good metadata,
 * PlanetLab or Bitbrains. Files are made in memory; what comes out is printed, parsed again and
 * linked.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/workload/program.h"
#include "trace/import.h"
#include "trace/import_tsdl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char metadata[] =
    "trace { packet.header := struct { integer { size = 32; align = 8; } magic; }; };\n"
    "stream { id = 0; packet.context := struct {\n"
    "  integer { size = 64; align = 8; map = clock.c.value; } timestamp_begin;\n"
    "  integer { size = 32; align = 8; } content_size; integer { size = 32; align = 8; } "
    "packet_size;\n"
    "  integer { size = 8; align = 8; } cpu_id; };\n"
    "  event.header := struct { enum : integer { size = 5; align = 8; } { compact = 0 ... 30, "
    "extended = 31 } id;\n"
    "    variant <id> { struct { integer { size = 27; align = 1; map = clock.c.value; } t; } "
    "compact;\n"
    "    struct { integer { size = 32; align = 8; } id; integer { size = 64; align = 8; map = "
    "clock.c.value; } t; }"
    " extended; } v; }; };\n"
    "event { name = \"sched_switch\"; id = 0; stream_id = 0; fields := struct {\n"
    "  string prev_comm; integer { size = 32; align = 8; signed = true; } prev_tid;\n"
    "  integer { size = 16; align = 8; } prev_state; string next_comm;\n"
    "  integer { size = 32; align = 8; } next_tid; }; };\n"
    "event { name = \"sched_waking\"; id = 1; stream_id = 0; fields := struct {\n"
    "  integer { size = 8; align = 8; encoding = UTF8; } comm[4]; integer { size = 32; align = "
    "8; } tid; }; };\n"
    "event { name = \"x\"; id = 2; stream_id = 0; fields := struct {\n"
    "  integer { size = 8; align = 8; } n; integer { size = 3; align = 1; } list[n]; }; };\n";

static char folder[64];

static const char *file(const char *name, const void *bytes, size_t size)
{
    static char path[128];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
        abort();
    close(fd);
    return path;
}

static void check(const struct workload *w)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    struct workload again;
    struct wl_error error;
    struct program p;

    wl_print(w, out);
    fclose(out);
    if (!wl_parse(text, size, &again, &error)) {
        fprintf(stderr, "%u:%u: %s\n%s", error.line, error.field, error.text, text);
        abort();
    }
    if (program_link(&again, &p, &error))
        program_free(&p);
    wl_free(&again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct demand_options o = {.switch_cost = 1000};
    struct demand *d;
    struct demand_summary s;
    struct workload w;
    unsigned kind;
    bool good;

    if (!folder[0]) {
        strcpy(folder, "/dev/shm/orrery-fuzz-XXXXXX");
        if (!mkdtemp(folder) || !freopen("/dev/null", "w", stderr))
            abort();
    }
    if (!size)
        return 0;
    kind = data[0] % 5;
    data++;
    size--;
    wl_init(&w);
    d = demand_create(&o);
    switch (kind) {
    case 0: good = import_text(file("text", data, size), d); break;
    case 1:
        file("metadata", data, size);
        good = import_ctf(folder, d);
        break;
    case 2:
        file("metadata", metadata, strlen(metadata));
        file("text", "", 0);
        file("stream", data, size);
        good = import_ctf(folder, d);
        break;
    case 3: good = import_planetlab(file("text", data, size), &w, 100000000); break;
    default: good = import_bitbrains(file("text", data, size), &w, 100000000); break;
    }
    if (kind == 2 || kind == 1)
        file("stream", "", 0);
    if (good && kind < 3) {
        demand_finish(d, 0, &w, &s);
        if (s.tasks)
            check(&w);
    } else if (good) {
        check(&w);
    }
    demand_free(d);
    wl_free(&w);
    return 0;
}
