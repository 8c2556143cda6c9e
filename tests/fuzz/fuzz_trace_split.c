// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/fuzz/fuzz_trace_split.c -- any bytes as the image's trace stream, through the real splitter.
 *
 * Half of the inputs are taken as they are; the other half as heads of frames without their
 * sums, which are then put right, or nothing behind them would ever be reached. What is written
 * must be whole packets with their magic.
 */
#define _GNU_SOURCE  // for the splitter
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

static FILE *quiet;  // where its messages go
static jmp_buf ended;
static _Noreturn void leave(int status)
{
    longjmp(ended, status + 1);
}

int trace_split_main(int argc, char **argv);
#define main    trace_split_main
#define exit(s) leave(s)
#undef stderr
#define stderr quiet
#include "scripts/trace-split.c"
#undef main
#undef exit

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[64], stream[96], out[96];

static void clean(void)
{
    char command[96];

    snprintf(command, sizeof(command), "rm -rf %s", folder);
    if (system(command))
        abort();
}

static void put_frames(FILE *file, const uint8_t *data, size_t size)
{
    struct trace_frame f;
    uint32_t number = 0;

    while (size >= sizeof(f)) {
        memcpy(&f, data, sizeof(f));
        data += sizeof(f);
        size -= sizeof(f);
        f.magic = TRACE_FRAME_MAGIC;
        f.kind &= 7;
        f.stream &= 0x7f;
        if (f.reserved & 1)
            f.number = number++;
        if (f.length > size)
            f.length = (uint32_t)size;
        f.body_sum = trace_frame_sum(data, f.length);
        f.head_sum = 0;
        f.head_sum = trace_frame_sum(&f, sizeof(f));
        fwrite(&f, sizeof(f), 1, file);
        fwrite(data, 1, f.length, file);
        data += f.length;
        size -= f.length;
    }
}

static void check_packets(const char *name)
{
    unsigned char packet[PACKET];
    char path[128];
    size_t n;

    snprintf(path, sizeof(path), "%s/%s", out, name);

    FILE *file = fopen(path, "rb");

    while (file && (n = fread(packet, 1, sizeof(packet), file)) > 0) {
        if (n != sizeof(packet) || word_at(packet, 0) != CTF_MAGIC ||
            word_at(packet, 40) > PACKET * 8 || word_at(packet, 40) < PACKET_HEAD * 8)
            abort();
    }
    if (file)
        fclose(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *arguments[] = {stream, stream, out, NULL};

    if (!size)
        return 0;
    if (!folder[0]) {
        strcpy(folder, "/tmp/orrery-fuzz-XXXXXX");
        if (!mkdtemp(folder))
            abort();
        atexit(clean);
        quiet = fopen("/dev/null", "w");
        snprintf(stream, sizeof(stream), "%s/stream", folder);
        snprintf(out, sizeof(out), "%s/out", folder);
    }

    FILE *file = fopen(stream, "wb");

    if (!file)
        abort();
    if (data[0] & 1)
        put_frames(file, data + 1, size - 1);
    else
        fwrite(data + 1, 1, size - 1, file);
    fclose(file);

    memset(&in, 0, sizeof(in));
    if (!setjmp(ended))
        (void)trace_split_main(3, arguments);
    for (unsigned i = 0; i < STREAMS; i++) {
        char name[16];

        if (!in.streams[i].any)
            continue;
        if (in.streams[i].file)
            fflush(in.streams[i].file);
        snprintf(name, sizeof(name), i == SYS ? "sys" : "pcpu%u", i);
        check_packets(name);
    }
    free(in.text[0]);
    free(in.text[1]);
    if (in.fd > 2)
        close(in.fd);
    return 0;
}
