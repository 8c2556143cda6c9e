// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/model/host_port.c -- one host's way to a disk that several hosts share.
 *
 * Each host has a port of its own to the same disk. A host dies when its port is cut: the
 * request that is one too many, and all after it, answer NO_DEVICE and do nothing, while the
 * disk goes on for the others. A watcher is called behind each request that was done, in the
 * submitter's context: there a test lets the host be slow.
 *
 * Locking    none: one thread.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim/model/disk.h"

struct host_port {
    struct block_device device;
    struct block_device *disk;
    uint64_t requests, cut_after;
    void (*after)(void *context, const struct block_request *request);
    void *context;
};

static void submit(struct block_device *device, struct block_request *request)
{
    struct host_port *port = device->context;

    if (port->requests >= port->cut_after) {
        request->status = VMK_NO_DEVICE;
        request->done(request);
        return;
    }
    port->requests++;
    port->disk->ops->submit(port->disk, request);
    if (port->after)
        port->after(port->context, request);
}

static const struct block_ops ops = {.submit = submit};

struct host_port *host_port_create(struct disk_model *disk, const char *name)
{
    struct host_port *port = calloc(1, sizeof(*port));

    port->disk = disk_model_device(disk);
    port->device = *port->disk;
    port->device.ops = &ops;
    port->device.context = port;
    port->cut_after = UINT64_MAX;
    snprintf(port->device.name, sizeof(port->device.name), "%s", name);
    return port;
}

void host_port_destroy(struct host_port *port)
{
    free(port);
}

struct block_device *host_port_device(struct host_port *port)
{
    return &port->device;
}

uint64_t host_port_requests(const struct host_port *port)
{
    return port->requests;
}

void host_port_cut_after(struct host_port *port, uint64_t requests)
{
    port->cut_after = port->requests + requests;
}

void host_port_watch(struct host_port *port,
                     void (*after)(void *context, const struct block_request *request),
                     void *context)
{
    port->after = after;
    port->context = context;
}
