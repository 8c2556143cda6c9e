// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/fuzz/fuzz_trace.c -- any bytes as a trace: every subcommand ends with a
 * status, never a crash.
 *
 * The first byte says how the rest is used:
 *   bit 0-2  which subcommand reads it
 *   bit 3    the rest is the metadata of a good trace of one record
 *   bit 4    the rest is a stream file as it is, behind a good packet head
 *   else     the rest are records: each an id, a distance in time, a CPU and
 * its bytes; they stand in good packets, so that what reads records has to deal
 * with them
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem/memsched_record.h"
#include "trace/ctf_writer.h"
#include "trace/tool.h"

#define CPUS 3u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[64], out_directory[80];
static const uint8_t uuid[16] = {1, 2, 3};

static void remove_all(void)
{
    char command[256];

    snprintf(command, sizeof(command), "rm -rf %s", directory);
    if (system(command) != 0)
        abort();
}

static void write_file(const char *name, const void *bytes, size_t size)
{
    char path[128];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
        abort();
    close(fd);
}

static void begin(void)
{
    if (directory[0])
        return;
    strcpy(directory, access("/dev/shm", W_OK) == 0 ? "/dev/shm/fuzz-trace-XXXXXX"
                                                    : "/tmp/fuzz-trace-XXXXXX");
    if (!mkdtemp(directory))
        abort();
    snprintf(out_directory, sizeof(out_directory), "%s/out", directory);
    atexit(remove_all);
    /* What subcommands say is not of interest; libFuzzer has its own copy of
   * stderr. */
    if (!freopen("/dev/null", "w", stdout))
        abort();
}

static void good_metadata(void)
{
    static char text[65536];
    static size_t n;

    if (!n) {
        n = (size_t)snprintf(text, sizeof(text),
                             "/* CTF 1.8 */\n"
                             "typealias integer { size = 8; align = 8; signed = "
                             "false; } := uint8_t;\n"
                             "typealias integer { size = 16; align = 8; signed = "
                             "false; } := uint16_t;\n"
                             "typealias integer { size = 32; align = 8; signed = "
                             "false; } := uint32_t;\n"
                             "typealias integer { size = 64; align = 8; signed = "
                             "false; } := uint64_t;\n"
                             "trace { major = 1; minor = 8; byte_order = le;\n"
                             "uuid = \"01020300-0000-0000-0000-000000000000\"; };\n"
                             "env { policy = \"share\"; };\n"
                             "clock { name = c; freq = 1000000000; };\n");
        for (unsigned id = 0; id < 256; id++) {
            const struct trace_event *e = trace_event_of(id);

            for (unsigned stream = 0; e && stream < 2; stream++) {
                n += (size_t)snprintf(
                    text + n, sizeof(text) - n,
                    "event { name = \"%s\"; id = %u; stream_id = %u; fields := "
                    "struct {\n",
                    e->name, id, stream);
                for (unsigned i = 0; i < e->field_count; i++)
                    n += (size_t)snprintf(text + n, sizeof(text) - n, "uint8_t %s[%u];\n",
                                          e->fields[i].name, e->fields[i].size);
                n += (size_t)snprintf(text + n, sizeof(text) - n, "}; };\n");
            }
        }
        if (n >= sizeof(text))
            abort();
    }
    write_file("metadata", text, n);
}

/* A stream of which the fuzzer has everything but the magic, the uuid and the
 * packet's size. */
static void raw_stream(const uint8_t *data, size_t size)
{
    static uint8_t packet[PACKET_HEADER + 65536];
    struct packet_header h = {.magic = PACKET_MAGIC};
    size_t body = MIN(size, 4096) & ~7ull;

    memcpy(h.uuid, uuid, sizeof(uuid));
    h.content_size = h.packet_size = (uint32_t)(PACKET_HEADER + body) * 8;
    h.timestamp_end = ~0ull >> 8;
    memcpy(packet, &h, sizeof(h));
    if (size > body && body)
        memcpy(packet + 20, data, MIN(size - body, 44));
    memcpy(packet + PACKET_HEADER, data, body);
    write_file("pcpu0", packet, PACKET_HEADER + body);
    write_file("sys", packet, PACKET_HEADER + size / 3 % (body + 1));
}

/* A good state of the memory scheduler, so that inputs behind it are taken. */
static void state_put(void *context, plat_ns now, const trace_word *record, size_t words)
{
    trace_word copy[16];

    memcpy(copy, record, words * 8);
    ctf_stream_put(context, now, (uint8_t)record[0], copy, (uint32_t)words * 8);
}

static void memory_begin(struct ctf_stream *sys)
{
    static struct memsched machine;
    struct memsched_record r;

    memsched_init(&machine);
    memsched_record_init(&r, &machine);
    r.put = state_put;
    r.context = sys;
    memsched_record_state(&r);
}

static void records(const uint8_t *data, size_t size)
{
    struct ctf_stream s[CPUS + 1];
    uint64_t time = 0;
    uint32_t seq = 0, memory_seq = 0;

    for (unsigned i = 0; i <= CPUS; i++) {
        char name[16];

        snprintf(name, sizeof(name), i < CPUS ? "pcpu%u" : "sys", i);
        if (!ctf_stream_create(&s[i], directory, name, i == CPUS, i % CPUS, uuid))
            abort();
        s[i].packet_bytes = 1024;
    }
    if (size && data[0] & 1)
        memory_begin(&s[CPUS]);
    while (size >= 3) {
        const struct trace_event *e = trace_event_of(data[0]);
        uint8_t record[256] = {0};
        unsigned cpu = data[1] % (CPUS + 1);

        time += (uint64_t)(data[1] >> 2) << (data[2] % 32);
        data += 3;
        size -= 3;
        if (!e)
            continue;

        size_t n = MIN(size, (size_t)e->size - 8);

        memcpy(record + 8, data, n);
        data += n;
        size -= n;
        /* Inputs are numbered, or none would ever be read. */
        if (e->id == RECORD_sched_input || e->id == RECORD_sched_input_wide) {
            cpu %= CPUS;
            memcpy(record + offsetof(struct record_sched_input, seq), &seq, 4);
            seq++;
        }
        if (e->id == RECORD_mem_input) {
            cpu = CPUS;
            memcpy(record + offsetof(struct record_mem_input, seq), &memory_seq, 4);
            memory_seq++;
        }
        ctf_stream_put(&s[cpu], time, e->id, record, e->size);
    }
    for (unsigned i = 0; i <= CPUS; i++)
        ctf_stream_close(&s[i]);
}

static void run(unsigned which)
{
    static const struct {
        int (*run)(int, char **);
        const char *name, *arg1, *arg2, *arg3;
    } commands[8] = {
        {stats_main, "stats", NULL, NULL, NULL},
        {stats_main, "stats", "--json", "--window", "1ms"},
        {print_main, "print", NULL, NULL, NULL},
        {verify_main, "verify", NULL, NULL, NULL},
        {export_main, "export", "--perfetto", "/dev/null", NULL},
        {export_main, "export", "--ftrace", "/dev/null", NULL},
        {export_main, "export", "--lttng", out_directory, NULL},
        {plot_main, "plot", "--format=none", "--out", out_directory},
    };
    char *argv[8];
    int argc = 0, status;
    const char *words[] = {commands[which].name, directory, commands[which].arg1,
                           commands[which].arg2, commands[which].arg3};

    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        if (words[i])
            argv[argc++] = (char *)words[i];
    }
    argv[argc] = NULL;
    status = commands[which].run(argc, argv);
    if (status != TOOL_OK && status != TOOL_NO && status != TOOL_BAD)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t how;

    if (!size)
        return 0;
    begin();
    how = *data++;
    size--;
    good_metadata();
    if (how & 8) {
        static const uint8_t record[3] = {RECORD_lab_todo, 4, 0};

        records(record, sizeof(record));
        write_file("metadata", data, size);
    } else if (how & 16) {
        raw_stream(data, size);
        for (unsigned i = 1; i < CPUS; i++) {
            char path[128];

            snprintf(path, sizeof(path), "%s/pcpu%u", directory, i);
            unlink(path);
        }
    } else {
        records(data, size);
    }
    run(how & 7);
    return 0;
}
