// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/model/disk.h -- block devices for hosted builds: an image file, and a disk that can fail.
 */
#pragma once

#include "io/block.h"

/*
 * Opens an image file, or makes one of `size` bytes if that is not 0. Requests are answered
 * before submit() returns; COMPARE_WRITE locks the block's bytes against other processes. Null
 * and a message on stderr when it cannot.
 */
struct block_device *disk_file_open(const char *path, uint64_t size, bool read_only);
void disk_file_close(struct block_device *device);

/*
 * A disk in memory that remembers every write until the next flush, so that a power cut can be
 * played: see disk.c for the fault model. Sparse: memory is taken by 64 KiB on first write.
 */
struct disk_model;
struct disk_model *disk_model_create(const char *name, uint64_t size);
void disk_model_destroy(struct disk_model *disk);
/*
 * A second disk with the newest contents of the first, all of it durable. Shares memory with
 * it.
 */
struct disk_model *disk_model_clone(const struct disk_model *disk);
/* The same, but what is not flushed yet can still be lost by disk_model_power_on(). */
struct disk_model *disk_model_fork(const struct disk_model *disk);
/* Called before each block written, with the disk as it is then: a place to fork it. */
void disk_model_watch(struct disk_model *disk,
                      void (*before_write)(void *context, uint64_t offset), void *context);
struct block_device *disk_model_device(struct disk_model *disk);

/* From now on each write is durable when it is done: nothing is kept for a power cut. */
void disk_model_durable(struct disk_model *disk);
/* Writes (sectors count apart) since creation; each is a place where the power can go. */
uint64_t disk_model_writes(const struct disk_model *disk);
/* After that many more blocks written, everything answers NO_DEVICE. UINT64_MAX: never. */
void disk_model_cut_after(struct disk_model *disk, uint64_t blocks);
bool disk_model_is_cut(const struct disk_model *disk);
/*
 * Power comes back. Unflushed blocks survive or not, each by itself, as `seed` says; with seed
 * 0 all survive in order (the cut was between two writes), with seed UINT64_MAX none does.
 */
void disk_model_power_on(struct disk_model *disk, uint64_t seed);
/* The next `count` requests that touch [offset, offset + size) answer IO_ERROR. */
void disk_model_fail(struct disk_model *disk, uint64_t offset, uint64_t size, unsigned count);
/* Flips one bit. */
void disk_model_rot(struct disk_model *disk, uint64_t offset, unsigned bit);
/* Each request takes that long in virtual time (0: answered at once), this many at a time. */
void disk_model_latency(struct disk_model *disk, plat_ns base, plat_ns per_kib, unsigned depth);
/* Writes what is durable now to a file, sparsely. False and errno when it cannot. */
bool disk_model_save(const struct disk_model *disk, const char *path);

/* One host's way to a disk that others use too. */
struct host_port;
struct host_port *host_port_create(struct disk_model *disk, const char *name);
void host_port_destroy(struct host_port *port);
struct block_device *host_port_device(struct host_port *port);
uint64_t host_port_requests(const struct host_port *port);
/* After that many more requests nothing of this host reaches the disk any more. */
void host_port_cut_after(struct host_port *port, uint64_t requests);
/* Called behind each request that was submitted; only for disks without latency. */
void host_port_watch(struct host_port *port,
                     void (*after)(void *context, const struct block_request *request),
                     void *context);
