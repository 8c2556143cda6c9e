// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/compress.h -- one page at a time, packed and unpacked without taking memory on the way.
 */
#pragma once

#include "core/status.h"

struct compressor;

/* All the memory it will ever need: some 50 KB. NO_MEMORY. */
must_check vmk_status compressor_create(struct compressor **out);
void compressor_destroy(struct compressor *c);  // null is fine
/* The packed size, or 0 if it does not fit into `room`. One caller at a time. */
size_t compressor_pack(struct compressor *c, const void *page, void *out, size_t room);
/*
 * False: these are not the bytes of a packed page. One caller at a time, who may be another one
 * than compressor_pack() has at that moment. Any context.
 */
must_check bool compressor_unpack(struct compressor *c, const void *packed, size_t size,
                                  void *page);
