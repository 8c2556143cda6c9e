// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/trace_frame.h -- the byte stream that carries a trace out of the image.
 *
 * Written by core/trace_out.c, taken apart by scripts/trace-split.c, which includes this file.
 * Little-endian. Between frames there may be anything that is not a frame's head.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TRACE_FRAME_MAGIC 0x3130435254525205ull  // bytes 05 'R' 'R' 'T' 'R' 'C' '0' '1'
#define TRACE_FRAME_BODY  16384u

enum trace_frame_kind {
    TRACE_FRAME_METADATA = 1,  // text
    TRACE_FRAME_PACKET = 2,    // content of a packet, from its header to content_size
    TRACE_FRAME_INFO = 3,      // text, key=value lines for run.env
    TRACE_FRAME_END = 4,       // struct trace_frame_end, one per stream
};

struct trace_frame {
    uint64_t magic;
    uint32_t kind;
    uint32_t stream;    // PACKET: CPU, or 64 for sys
    uint32_t packet;    // PACKET: its packet_seq_num
    uint32_t offset;    // of this body in the whole
    uint32_t length;    // of this body
    uint32_t total;     // of the whole
    uint32_t number;    // frames before this one
    uint32_t reserved;  // 0
    uint64_t body_sum;
    uint64_t head_sum;  // of these 56 bytes with this word 0
};
_Static_assert(sizeof(struct trace_frame) == 56, "no holes");

struct trace_frame_end {
    uint32_t stream;
    uint32_t first;    // the first packet that was sent
    uint32_t packets;  // packets `first` to `packets` - 1 were sent
    uint32_t reserved;
    uint64_t records;
    uint64_t discarded;
    uint64_t overwritten;
};

/* Sum over 64-bit words, the last one filled up with zero bytes. */
static inline uint64_t trace_frame_sum(const void *bytes, size_t length)
{
    const unsigned char *p = bytes;
    uint64_t sum = 0x2545f4914f6cdd1dull ^ length;

    while (length) {
        uint64_t word = 0;
        size_t n = length < 8 ? length : 8;

        __builtin_memcpy(&word, p, n);
        sum = (sum ^ word) * 0x9e3779b97f4a7c15ull;
        sum ^= sum >> 32;
        p += n;
        length -= n;
    }
    return sum;
}

/*
 * Of a packet's content (a multiple of 8 bytes), its header's own word taken as 0; never 0.
 * Whoever writes a packet to a file puts it there, at TRACE_PACKET_SUM_AT; 0 says that nobody
 * did. Four sums side by side: one alone waits for its multiplications.
 */
#define TRACE_PACKET_HEADER     64u  // bytes before the first record
#define TRACE_PACKET_CONTENT_AT 40u  // in it: content_size, in bits, of header and records
#define TRACE_PACKET_SUM_AT     60u

static inline uint32_t trace_packet_sum(const void *packet, size_t length)
{
    const unsigned char *p = packet;
    uint64_t sum[4] = {length, 1, 2, 3};

    for (size_t at = 0; at + 8 <= length; at += 8) {
        uint64_t word, *lane = &sum[at / 8 % 4];

        __builtin_memcpy(&word, p + at, sizeof(word));
        if (at == TRACE_PACKET_SUM_AT - 4)
            word &= UINT32_MAX;
        *lane = (*lane ^ word) * 0x9e3779b97f4a7c15ull;
        *lane ^= *lane >> 32;
    }
    sum[0] = trace_frame_sum(sum, sizeof(sum));
    return (uint32_t)sum[0] ? (uint32_t)sum[0] : 1;
}
