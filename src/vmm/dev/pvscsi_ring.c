// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/pvscsi_ring.c -- the adapter's rings: requests out of guest memory, completions into it.
 *
 * Everything here is read from memory that the guest may change at any time, so each value is
 * read once, checked, and then used from the copy. What a hostile guest can do is harm itself:
 * a request that makes no sense is completed with an error, indices that make no sense stop the
 * adapter until it is set up again, and memory of the host that requests hold is bounded
 * (SEGMENTS_MAX).
 *
 * Invariants
 *   - A request is counted in flight from the time it is taken until it was completed or
 *     dropped.
 *   - The indices that count are ours; what stands in the guest's page is only copied there.
 * Locking    runs in the I/O world; the work lock for `done` and the counts; vm->lock for
 *            registers and interrupts.
 * Start at   pvscsi_run().
 * Sources    [PVSCSI]
 */
#include "core/log.h"
#include "lib/endian.h"
#include "lib/string.h"
#include "vmm/dev/pvscsi_internal.h"
#include "vmm/vm_dma.h"

#define DATA_MAX           (64u << 20)  // bytes of one request
#define ELEMENTS_MAX       2048u        // of one scatter list
#define SEGMENTS_MAX       65536u       // of all requests in flight, unless there is only one

#define FLAG_LIST          0x01u
#define FLAG_CDB_ELSEWHERE 0x02u
#define FLAG_NO_DATA       0x04u
#define ELEMENT_SIZE       16u
#define ELEMENT_CHAIN      1u

enum host_status {
    HOST_OK = 0x00,
    HOST_NO_TARGET = 0x11,
    HOST_BAD_PARAMETER = 0x1a,
    HOST_SENSE_FAILED = 0x1b,
    HOST_NO_RESOURCES = 0x27,
};

/* A request as the guest wrote it, copied out of the ring. */
struct ring_request {
    uint64_t context, data_address, data_size, sense_address;
    uint32_t sense_size, flags;
    uint8_t cdb[16], cdb_size, lun[8], tag, bus, target, vcpu_hint, unused[59];
} packed_layout;
_Static_assert(sizeof(struct ring_request) == PVSCSI_REQUEST_SIZE, "PVSCSIRingReqDesc");

struct ring_completion {
    uint64_t context, data_size;
    uint32_t sense_size;
    uint16_t host_status, scsi_status;
    uint32_t unused[2];
} packed_layout;
_Static_assert(sizeof(struct ring_completion) == PVSCSI_COMPLETION_SIZE, "PVSCSIRingCmpDesc");

struct request {
    struct list link;  // work lock: pvscsi.done
    struct pvscsi *adapter;
    struct scsi_task task;
    uint64_t context, sense_address;
    uint32_t sense_size;
    uint16_t host_status;
    struct vm_scatter list;
    struct block_segment segments[];
};

static uint32_t load(const uint32_t *at)
{
    return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static void store(uint32_t *at, uint32_t value)
{
    __atomic_store_n(at, value, __ATOMIC_RELEASE);
}

/* ---- completions ---- */

/* Any context: the request goes to the I/O world. */
static void request_over(struct request *r)
{
    struct pvscsi *p = r->adapter;
    bool irqs = vm_work_lock(p->vm->work);

    list_add_tail(&p->done, &r->link);
    vm_work_unlock(p->vm->work, irqs);
    vm_job_queue(p->vm->work, &p->job);
}

static void task_done(struct scsi_task *task)
{
    request_over(container_of(task, struct request, task));
}

static void sense_copy(struct pvscsi *p, struct request *r, struct ring_completion *c)
{
    uint32_t size = MIN(r->task.sense_size, r->sense_size);

    if (r->host_status != HOST_OK || !size)
        return;
    if (vm_memory_write(p->vm, gpa_make(r->sense_address), r->task.sense, size) == VMK_OK)
        c->sense_size = size;
    else
        c->host_status = HOST_SENSE_FAILED;
}

/* False: the ring has no room. */
static bool completion_put(struct pvscsi *p, struct request *r)
{
    uint32_t count = p->completion_pages * PVSCSI_COMPLETIONS_PER_PAGE;
    uint32_t at = p->completion_produced & (count - 1);
    struct ring_completion c = {.context = r->context, .host_status = r->host_status};

    if (p->completion_produced - load(&p->state->completion_consumed) >= count)
        return false;
    if (r->host_status == HOST_OK) {
        c.data_size = r->task.transferred;
        c.scsi_status = r->task.status;
        sense_copy(p, r, &c);
    }
    memcpy((uint8_t *)p->completions[at / PVSCSI_COMPLETIONS_PER_PAGE] +
               at % PVSCSI_COMPLETIONS_PER_PAGE * PVSCSI_COMPLETION_SIZE,
           &c, sizeof(c));
    store(&p->state->completion_produced, ++p->completion_produced);
    return true;
}

static struct request *done_first(struct pvscsi *p)
{
    bool irqs = vm_work_lock(p->vm->work);
    struct request *r =
        list_is_empty(&p->done) ? NULL : list_entry(p->done.next, struct request, link);

    vm_work_unlock(p->vm->work, irqs);
    return r;
}

static void request_free(struct pvscsi *p, struct request *r)
{
    bool irqs = vm_work_lock(p->vm->work);

    list_remove(&r->link);
    p->in_flight--;
    p->segments_in_flight -= r->list.room;
    vm_work_unlock(p->vm->work, irqs);
    vm_dma_release(&r->list);
    heap_free(r);
}

static bool is_active(struct pvscsi *p)
{
    bool irqs = spin_lock(&p->vm->lock);
    bool active = p->active;

    spin_unlock(&p->vm->lock, irqs);
    return active;
}

/*
 * Completes what is done, or drops it when the adapter is being reset. True: there was
 * something.
 */
static bool complete_all(struct pvscsi *p)
{
    bool active = is_active(p), posted = false, any = false, room = true;
    struct request *r;
    bool irqs;

    while (room && (r = done_first(p)) != NULL) {
        if (active && !p->broken) {
            room = completion_put(p, r);
            if (!room)
                break;
            posted = true;
        }
        any = true;
        request_free(p, r);
    }
    irqs = spin_lock(&p->vm->lock);
    p->waits_for_room = !room;
    if (posted)
        pvscsi_interrupt(p, PVSCSI_INTR_COMPLETION);
    spin_unlock(&p->vm->lock, irqs);
    return any;
}

/* ---- requests ---- */

/*
 * Walks a scatter list: counts the segments it may need, or adds them. False: it makes no
 * sense.
 */
static bool list_walk(struct pvscsi *p, const struct ring_request *q, struct vm_scatter *out,
                      uint32_t *room)
{
    gpa_t at = gpa_make(q->data_address);
    uint64_t left = q->data_size;

    for (unsigned n = 0; left; n++) {
        uint8_t element[ELEMENT_SIZE];
        uint64_t address, size;

        if (n == ELEMENTS_MAX || vm_memory_read(p->vm, at, element, sizeof(element)) != VMK_OK)
            return false;
        address = le64(element);
        if (le32(element + 12) & ELEMENT_CHAIN) {
            at = gpa_make(address);
            continue;
        }
        at.raw += ELEMENT_SIZE;
        size = MIN(left, (uint64_t)le32(element + 8));
        left -= size;
        if (!out)
            *room += (uint32_t)(size / PAGE_SIZE + 2);
        else if (vm_dma_add(p->vm, out, gpa_make(address), size) != VMK_OK)
            return false;
    }
    return true;
}

static bool data_room(struct pvscsi *p, const struct ring_request *q, uint32_t *room)
{
    *room = 0;
    if ((q->flags & FLAG_NO_DATA) || !q->data_size)
        return true;
    if (q->data_size > DATA_MAX)
        return false;
    if (q->flags & FLAG_LIST)
        return list_walk(p, q, NULL, room);
    *room = (uint32_t)(q->data_size / PAGE_SIZE + 2);
    return true;
}

static bool data_add(struct pvscsi *p, const struct ring_request *q, struct vm_scatter *list)
{
    if (!list->room)
        return true;
    if (q->flags & FLAG_LIST)
        return list_walk(p, q, list, NULL);
    return vm_dma_add(p->vm, list, gpa_make(q->data_address), q->data_size) == VMK_OK;
}

static struct scsi_disk *disk_of(struct pvscsi *p, const struct ring_request *q)
{
    if (q->bus || q->target >= PVSCSI_TARGETS || !p->disks[q->target].block)
        return NULL;
    for (size_t i = 0; i < sizeof(q->lun); i++) {
        if (q->lun[i])
            return NULL;
    }
    return &p->disks[q->target];
}

/* HOST_OK: the task is ready to be started. */
static enum host_status request_fill(struct pvscsi *p, const struct ring_request *q,
                                     struct request *r)
{
    r->task.disk = disk_of(p, q);
    if (!r->task.disk)
        return HOST_NO_TARGET;
    if ((q->flags & FLAG_CDB_ELSEWHERE) || q->cdb_size > SCSI_CDB_SIZE ||
        !data_add(p, q, &r->list))
        return HOST_BAD_PARAMETER;
    memcpy(r->task.cdb, q->cdb, sizeof(q->cdb));
    r->task.cdb_size = q->cdb_size;
    r->task.segments = r->segments;
    r->task.segment_count = r->list.count;
    r->task.done = task_done;
    return HOST_OK;
}

/* Makes the request and starts it. False: there is no memory for it now. */
static bool request_take(struct pvscsi *p, const struct ring_request *q, uint32_t room,
                         bool sensible)
{
    struct request *r = heap_alloc(
        sizeof(*r) + room * (sizeof(r->segments[0]) + sizeof(r->list.pins[0])), MEM_OWNER_VMM);
    bool irqs;

    if (!r)
        return false;
    r->adapter = p;
    r->context = q->context;
    r->sense_address = q->sense_address;
    r->sense_size = q->sense_size;
    r->list = (struct vm_scatter){.segments = r->segments,
                                  .pins = (uint32_t *)(void *)(r->segments + room),
                                  .room = room};
    irqs = vm_work_lock(p->vm->work);
    p->in_flight++;
    p->segments_in_flight += room;
    vm_work_unlock(p->vm->work, irqs);
    r->host_status = (uint16_t)(sensible ? request_fill(p, q, r) : HOST_BAD_PARAMETER);
    if (r->host_status == HOST_OK)
        scsi_disk_start(&r->task);
    else
        request_over(r);
    return true;
}

/* The next request, copied out of the ring. False: there is none. */
static bool request_next(struct pvscsi *p, struct ring_request *q)
{
    uint32_t count = p->request_pages * PVSCSI_REQUESTS_PER_PAGE;
    uint32_t produced = load(&p->state->request_produced);
    uint32_t at = p->request_consumed & (count - 1);

    if (p->broken || produced == p->request_consumed)
        return false;
    if (produced - p->request_consumed > count) {
        p->broken = true;
        vmk_log(VMK_LOG_INFO, "VM: %s: pvscsi: request index %u is past the ring of %u",
                p->vm->config.name, produced - p->request_consumed, count);
        return false;
    }
    memcpy(q,
           (const uint8_t *)p->requests[at / PVSCSI_REQUESTS_PER_PAGE] +
               at % PVSCSI_REQUESTS_PER_PAGE * PVSCSI_REQUEST_SIZE,
           sizeof(*q));
    return true;
}

/* Is there room for a request of so many segments, and one more completion? */
static bool may_take(struct pvscsi *p, uint32_t room)
{
    bool irqs = vm_work_lock(p->vm->work);
    bool may = p->in_flight == 0 ||
               (p->in_flight < p->completion_pages * PVSCSI_COMPLETIONS_PER_PAGE &&
                p->segments_in_flight + room <= SEGMENTS_MAX);

    vm_work_unlock(p->vm->work, irqs);
    return may;
}

/* Takes requests while there are any. True: there was one. */
static bool take_all(struct pvscsi *p)
{
    struct ring_request q;
    bool any = false;

    while (is_active(p) && request_next(p, &q)) {
        uint32_t room;
        bool sensible = data_room(p, &q, &room);

        if (!sensible)
            room = 0;
        if (!may_take(p, room) || !request_take(p, &q, room, sensible))
            break;  // those in flight end and queue the job again
        store(&p->state->request_consumed, ++p->request_consumed);
        any = true;
    }
    return any;
}

void pvscsi_run(struct vm_job *job)
{
    struct pvscsi *p = container_of(job, struct pvscsi, job);

    bool completed, taken;

    do {
        completed = complete_all(p);
        taken = take_all(p);
    } while (completed || taken);
}
