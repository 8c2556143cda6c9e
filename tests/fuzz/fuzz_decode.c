// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/fuzz/fuzz_decode.c -- any bytes into the instruction decoder, in all three modes.
 *
 * A result must not depend on bytes past its length, and input that ends right there must do.
 */
#include "vmm/decode.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned modes[] = {16, 32, 64};

    for (unsigned i = 0; i < 3; i++) {
        struct decoded first, again;

        if (!decode(data, size, modes[i], &first))
            continue;
        if (first.length == 0 || first.length > size || first.length > DECODE_LENGTH_MAX)
            abort();
        if (!decode(data, first.length, modes[i], &again) ||
            memcmp(&first, &again, sizeof(first)) != 0)
            abort();
        if (decode(data, first.length - 1u, modes[i], &again) || !again.truncated)
            abort();
    }
    return 0;
}
