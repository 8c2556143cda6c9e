// SPDX-License-Identifier: BSD-2-Clause
/*
 * io/disk.h -- what every disk driver shares: queues of commands, splitting and bouncing for DMA,
 * time-outs, retries, resets, and what an error means to whoever asked.
 *
 * A port is what is reset as a whole: an NVMe controller, an AHCI port, an ATA channel, a
 * virtio device. It has one or more queues, each with a fixed number of commands, and disks
 * whose requests go through them. The driver only starts commands and reports how they ended.
 */
#pragma once

#include "core/spinlock.h"
#include "core/timer.h"
#include "io/block.h"
#include "io/storage.h"
#include "world/waitq.h"

#define DISK_EXTENTS_MAX 64u
#define DISK_QUEUES_MAX  16u
#define DISK_UNITS_MAX   16u  // disks of a port
#define DISK_DEPTH_MAX   256u
#define DISK_NAME_SIZE   24u
#define DISK_TRIES_MAX   5u  // of a command, before its request fails
#define DISK_RESETS_MAX                                                                        \
    6u  // in a row that do not help, before the port is given up: more than tries

/* How a command ended. */
enum disk_result {
    DISK_OK,
    DISK_MEDIUM,       // the medium has lost or refused it: trying again is of no use
    DISK_TRANSIENT,    // busy, transfer error, aborted with others: again
    DISK_MISCOMPARE,   // COMPARE_WRITE found something else
    DISK_PROTECTED,    // write-protected
    DISK_RESERVED,     // another initiator's reservation is in the way
    DISK_UNSUPPORTED,  // the device does not know the command
    DISK_GONE,         // there is no device any more
};

struct disk_extent {
    uint64_t address;  // what the device calls it
    uint32_t size;
};

struct disk_command {
    // What the driver reads, from issue() to disk_command_done().
    struct disk *disk;
    unsigned tag;  // (i) 0..depth-1 in its queue
    enum block_op op;
    bool fua;         // WRITE: only if the disk has_fua
    uint64_t offset;  // bytes
    uint32_t size;
    struct disk_extent extents[DISK_EXTENTS_MAX];
    unsigned extent_count;
    void *driver;  // the driver's, for good
    // Theirs who share.
    struct block_request *request;  // null: free
    struct list link;
    plat_ns deadline;
    bool blamed;  // its time is over, or the driver says that it is the culprit
    void *bounce;
    unsigned bounce_order;
};

/* What a disk's hardware takes; commands are cut to it. */
struct disk_limits {
    uint32_t transfer_max;     // bytes per command; 0: no limit
    uint32_t discard_max;      // bytes per discard; 0: no limit
    uint32_t extent_max;       // bytes per extent; 0: no limit
    uint64_t extent_boundary;  // an extent does not cross a multiple of it; 0: it may
    uint32_t align;            // of addresses and sizes of extents; 0: any
    uint32_t inner_align;      // of every border between two extents (NVMe pages); 0: any
    uint64_t address_max;      // 0: any
    unsigned extents;          // 0: DISK_EXTENTS_MAX
    bool has_fua, no_cache;    // no_cache: FLUSH has nothing to do
    bool lone_flush;           // FLUSH and DISCARD only with nothing else in flight
};

struct disk {
    struct block_device block;  // what storage.h and its users see
    struct disk_port *port;
    struct disk_limits limits;
    unsigned index;  // in the port
    unsigned unit;   // the driver's: namespace, drive, LUN
    bool gone;       // (a)
};

struct disk_queue {
    struct spinlock lock;  // rank IO; guards what follows and the driver's queue
    struct disk_port *port;
    unsigned index;
    void *driver;
    struct disk_command *commands;
    unsigned depth, in_flight;
    struct list free;                     // commands
    struct list issued;                   // commands, oldest first
    struct list waiting[DISK_UNITS_MAX];  // requests, by disk
    struct list over;                     // requests whose done() is due
    bool lone;                            // a command that wants to be alone is in flight
    unsigned next;                        // the disk whose turn it is
    unsigned careful;  // so many commands go one at a time: one of them is the culprit
};

struct disk_driver {
    const char *name;
    /* Queue lock held. Hands it to the hardware, which may wait for ring() with starting. */
    void (*issue)(struct disk_queue *queue, struct disk_command *command);
    /* Queue lock held: what was issued since the last time is to start. May be null. */
    void (*ring)(struct disk_queue *queue);
    /* Queue lock held: takes what has ended, as the interrupt handler does. */
    void (*poll)(struct disk_queue *queue);
    /*
     * World context, nothing locked. True: the command is not with the device any more (it is
     * tried again by others). May be null: a reset is the only way.
     */
    bool (*abort)(struct disk_queue *queue, struct disk_command *command);
    /*
     * World context, nothing locked, nothing is issued and no interrupt handled until it
     * returns.
     * OK: the device works and has no command. It may have ended some by disk_command_done().
     * NO_DEVICE: it is gone for good.
     */
    vmk_status (*reset)(struct disk_port *port);
    /* The port is given up: the device must not touch memory any more. World context. */
    void (*silence)(struct disk_port *port);
};

struct disk_port {
    char name[DISK_NAME_SIZE];  // for the log: vmhba1 or vmhba1:2
    const struct disk_driver *ops;
    void *driver;
    struct disk_queue *queues;
    unsigned queue_count;
    struct disk *disks[DISK_UNITS_MAX];
    unsigned disk_count;
    plat_ns timeout;
    // Recovery.
    struct wait_queue work;  // its lock guards the next two
    bool asked, failed;      // something is to be looked at; the driver wants a reset
    bool stopped;            // (a) nothing is issued, handlers keep off
    bool dead;               // (a)
    unsigned futile;         // resets in a row after which nothing ended well
    struct timer timer;
    bool timer_armed;  // (a)
    bool panicking;    // the panicking CPU has it; nobody else runs
};

/*
 * Makes a port's queues and its recovery world. Time-outs after
 * `disk-timeout=` milliseconds (boot option; 10000). NO_MEMORY, LIMIT. [block]
 */
must_check vmk_status disk_port_init(struct disk_port *port, const char *name,
                                     const struct disk_driver *ops, void *driver,
                                     unsigned queue_count, unsigned depth);
/*
 * A disk of the port: fills block's ops and context; the caller has filled its sizes and
 * limits, and names it by storage_device_add() afterwards. NO_SPACE.
 */
must_check vmk_status disk_add(struct disk_port *port, struct disk *disk);
/*
 * What an interrupt means: polls the driver, starts what can start, tells who waits. False: the
 * port is being reset, and the driver may quiet its device, nothing more.
 */
bool disk_queue_interrupt(struct disk_queue *queue);
/* The halves of it. Takes the lock if the port is not being reset. */
must_check bool disk_queue_enter(struct disk_queue *queue, bool *irqs);
/* Starts what can start, lets go, and calls done() of what is over. Irqs off until the end. */
void disk_queue_leave(struct disk_queue *queue, bool irqs);
/* Queue lock held. The command is free again. */
void disk_command_done(struct disk_queue *queue, struct disk_command *command,
                       enum disk_result result);
/* The command that has that tag, or null if none is in flight under it: hardware says tags. */
struct disk_command *disk_command_of(struct disk_queue *queue, unsigned tag);
/* The driver saw something that only a reset mends. Any context, queue lock held or not. */
void disk_port_fail(struct disk_port *port);
/* The device does not answer any more (registers read as ones): no more tries. Any context. */
void disk_port_gone(struct disk_port *port);
/* Sleeps, for waits inside attach and reset. World context. [switch] */
void disk_pause(plat_ns duration);

/* ---- names ---- */

/* "t10.ATA_____<model, 40>_<serial, 20>": blanks become underscores. */
void disk_name_t10(char *out, size_t room, const char *vendor8, const char *model,
                   const char *serial);
/* ATA's IDENTIFY strings: two characters per word, the first in the high byte; trimmed. */
void disk_ata_text(char *out, size_t room, const void *words, unsigned bytes);
