// SPDX-License-Identifier: BSD-2-Clause
/*
 * io/ioshares.h -- a disk's throughput among those who use it, by shares.
 *
 * A block device that stands on another. block_request.client says who pays; each client has
 * shares (1000 unless told otherwise, as a VM's disk has), and while several have requests
 * waiting each gets its part of the disk. Alone, a client has all of it: nothing is held back
 * that could be served.
 */
#pragma once

#include "io/block.h"

#define IOSHARES_LOW     500u
#define IOSHARES_NORMAL  1000u
#define IOSHARES_HIGH    2000u
#define IOSHARES_MAX     4000u
#define IOSHARES_CLIENTS 64u  // with shares of their own; the rest pay together

struct ioshares;

/*
 * `depth` requests are with the disk at most: enough to keep it busy, few enough that order is
 * still ours to choose (32 suits SSDs and NCQ disks). The disk must stay open longer. Null: no
 * memory.
 */
struct ioshares *ioshares_create(struct block_device *disk, unsigned depth);
struct block_device *ioshares_device(struct ioshares *shares);
/* Nothing is in flight or comes any more. */
void ioshares_destroy(struct ioshares *shares);
/* What a request is worth: the data, and a fixed part. Divided by shares it moves a tag. */
uint64_t ioshares_cost(const struct block_request *request);
/* 1..IOSHARES_MAX. BAD_PARAM, LIMIT (too many clients; those in use stay). Any context. */
must_check vmk_status ioshares_set(struct ioshares *shares, uint32_t client, uint32_t value);
/* The client is gone: its slot is free. It has nothing waiting. Any context. */
void ioshares_forget(struct ioshares *shares, uint32_t client);
