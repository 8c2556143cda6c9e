// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vmfs_hosts.c -- hosts that share a VMFS volume, of which some die or are held up.
 *
 * Each host has a port to one modelled disk. A port can be cut at any request, which is how a
 * host dies in the middle of an operation; or time passes behind one of its requests, which is
 * how a host is held up. What must hold: a file has one owner; a lock is broken HB_DEAD_NS
 * after its holder's last beat and never before; who was held up for longer writes nothing any
 * more, and is told; what was synced by anybody is there; the check finds nothing.
 */
#include <string.h>

#include "lib/rng.h"
#include "tests/unit/vmfs_fixture.h"

#define SECOND 1000000000ull
#define HOSTS  3u
#define FILES  4u

static struct {
    struct disk_model *disk;
    struct host_port *ports[HOSTS];
    struct vmfs_volume *v[HOSTS];
    unsigned life[HOSTS];
    vmfs_id files[FILES];
} lab;

static void others_live(void)
{
    time_passes(SECOND);
    for (unsigned i = 0; i < HOSTS; i++)
        ck_assert_uint_eq(lab.v[i] ? vmfs_tick(lab.v[i]) : VMK_OK, VMK_OK);
}

static void host_up(unsigned i)
{
    vmfs_wait = others_live;
    lab.ports[i] = host_port_create(lab.disk, "port");
    lab.v[i] = mount_as(host_port_device(lab.ports[i]), 10 * ++lab.life[i] + i, false);
}

static void host_dead(unsigned i)
{
    vmfs_abandon(lab.v[i]);
    lab.v[i] = NULL;
    host_port_destroy(lab.ports[i]);
    lab.ports[i] = NULL;
}

static void lab_up(unsigned hosts)
{
    sim_test_begin();
    memset(&lab, 0, sizeof(lab));
    lab.disk = fresh_disk();
    for (unsigned i = 0; i < hosts; i++)
        host_up(i);
    for (unsigned i = 0; i < FILES; i++) {
        char name[8];

        snprintf(name, sizeof(name), "f%u", i);
        ck_assert_uint_eq(vmfs_create(lab.v[0], vmfs_root(lab.v[0]), name, VMFS_FILE, 0600, 0,
                                      0, NULL, &lab.files[i]),
                          VMK_OK);
    }
    ck_assert_uint_eq(vmfs_tick(lab.v[0]), VMK_OK);
}

static void lab_down(void)
{
    for (unsigned i = 0; i < HOSTS; i++) {
        if (lab.v[i]) {
            ck_assert_uint_eq(vmfs_unmount(lab.v[i]), VMK_OK);
            host_port_destroy(lab.ports[i]);
        }
    }
    disk_model_destroy(lab.disk);
}

/* What host 0 does until something fails: metadata of every kind, and a sync after each. */
static vmk_status history(struct vmfs_volume *v, unsigned *synced)
{
    vmfs_id root = vmfs_root(v);
    vmfs_id dir;
    vmfs_id id;
    vmk_status status = vmfs_open(v, lab.files[0], true);

    for (unsigned i = 0; i < 3 && status == VMK_OK; i++) {
        char text[16];

        snprintf(text, sizeof(text), "synced %u", i);
        status = vmfs_create(v, root, "dir", VMFS_DIRECTORY, 0755, 0, 0, NULL, &dir);
        if (status == VMK_OK)
            status = vmfs_create(v, dir, "new", VMFS_FILE, 0644, 0, 0, NULL, &id);
        if (status == VMK_OK)
            status = vmfs_write(v, id, 0, text, sizeof(text));
        if (status == VMK_OK)
            status = vmfs_write(v, lab.files[0], 0, text, sizeof(text));
        if (status == VMK_OK)
            status = vmfs_sync(v);
        if (status == VMK_OK)
            *synced = i + 1;
        if (status == VMK_OK && i == 1)
            status = vmfs_tick(v);
        if (status == VMK_OK)
            status = vmfs_rename(v, dir, "new", root, "moved");
        if (status == VMK_OK)
            status = vmfs_remove(v, root, "dir", true);
        if (status == VMK_OK)
            status = vmfs_truncate(v, lab.files[1], 5000 * i);
    }
    return status;
}

/* The other tries to own file 0 until it does; not before `earliest`. */
static void take_over(unsigned host, plat_ns earliest)
{
    plat_ns began = plat_time_now();
    vmk_status status;

    do {
        time_passes(SECOND / 2);
        ck_assert_uint_eq(vmfs_tick(lab.v[host]), VMK_OK);
        status = vmfs_open(lab.v[host], lab.files[0], true);
        if (status == VMK_OK)
            ck_assert_msg(plat_time_now() >= earliest, "%llu ns too early",
                          (unsigned long long)(earliest - plat_time_now()));
        else
            ck_assert_uint_eq(status, VMK_CONTENDED);
        ck_assert(plat_time_now() - began < 3 * HB_DEAD_NS);
    } while (status != VMK_OK);
}

static void expect_synced(unsigned host, unsigned synced)
{
    char text[16] = "";
    size_t got;

    ck_assert_uint_eq(vmfs_read(lab.v[host], lab.files[0], 0, text, sizeof(text), &got),
                      VMK_OK);
    if (synced)
        ck_assert_msg(!strncmp(text, "synced ", 7) && text[7] >= '0' + (int)synced - 1,
                      "'%s' after %u", text, synced);
}

START_TEST(test_vmfs_hosts__killed_at_every_request__others_take_over_in_time_and_clean)
{
    bool finished = false;

    for (uint64_t kill = 0; !finished; kill++) {
        unsigned synced = 0;
        bool owned;

        lab_up(2);
        /* A beat on disk: from here the time counts. */
        ck_assert_uint_eq(vmfs_beat(lab.v[0]), VMK_OK);
        plat_ns beat = plat_time_now();

        host_port_cut_after(lab.ports[0], kill);
        finished = history(lab.v[0], &synced) == VMK_OK;
        owned = host_port_requests(lab.ports[0]) && synced;
        host_dead(0);
        take_over(1, owned ? beat + HB_DEAD_NS : 0);
        expect_synced(1, synced);
        vmfs_close(lab.v[1], lab.files[0], true);
        /* Everything the dead host had can be used. */
        for (unsigned i = 0; i < 40; i++) {
            vmfs_id id;
            vmk_status status = vmfs_create(lab.v[1], vmfs_root(lab.v[1]), "mine", VMFS_FILE,
                                            0600, 0, 0, NULL, &id);

            if (status == VMK_OK || status == VMK_EXISTS)
                break;
            ck_assert_uint_eq(status, VMK_CONTENDED);
            ck_assert_uint_lt(i, 39);
            time_passes(SECOND);
            ck_assert_uint_eq(vmfs_tick(lab.v[1]), VMK_OK);
        }
        ck_assert_uint_eq(vmfs_tick(lab.v[1]), VMK_OK);
        ck_assert_msg(problems(lab.v[1]) == 0, "killed at request %llu",
                      (unsigned long long)kill);
        lab_down();
    }
}
END_TEST

/* ---- held up ---- */

static struct {
    uint64_t at;  // behind this request
    plat_ns stall;
    uint64_t requests;
    bool taken;             // the other host owns file 0
    uint64_t writes_after;  // of the one that was held up, after that
} slow;

static void while_slow(void *context, const struct block_request *request)
{
    (void)context;
    if (slow.taken && request->op == BLOCK_WRITE && request->status == VMK_OK)
        slow.writes_after++;
    if (slow.requests++ != slow.at)
        return;
    for (plat_ns t = 0; t < slow.stall; t += SECOND) {
        time_passes(SECOND);
        ck_assert_uint_eq(vmfs_tick(lab.v[1]), VMK_OK);
        if (!slow.taken && vmfs_open(lab.v[1], lab.files[0], true) == VMK_OK) {
            slow.taken = true;
            ck_assert_uint_eq(vmfs_write(lab.v[1], lab.files[0], 0, "other's bytes!!", 16),
                              VMK_OK);
            ck_assert_uint_eq(vmfs_sync(lab.v[1]), VMK_OK);
        }
    }
}

static void held_up(plat_ns stall, bool may_lose)
{
    bool reached = true;
    unsigned lost = 0;

    for (uint64_t at = 0; reached; at++) {
        unsigned synced = 0;
        vmk_status status;

        lab_up(2);
        memset(&slow, 0, sizeof(slow));
        slow.at = at;
        slow.stall = stall;
        ck_assert_uint_eq(vmfs_open(lab.v[0], lab.files[0], true), VMK_OK);
        ck_assert_uint_eq(vmfs_tick(lab.v[0]), VMK_OK);
        host_port_watch(lab.ports[0], while_slow, NULL);
        status = history(lab.v[0], &synced);
        host_port_watch(lab.ports[0], NULL, NULL);
        reached = slow.requests > at;
        ck_assert_msg(slow.writes_after == 0, "wrote %llu times after its lock was broken",
                      (unsigned long long)slow.writes_after);
        if (slow.taken) {
            ck_assert(may_lose);
            lost++;
            /* It is told, at the latest when it asks for something. */
            if (status == VMK_OK)
                status = vmfs_write(lab.v[0], lab.files[0], 0, "late", 4);
            ck_assert_uint_eq(status, VMK_FENCED);
            ck_assert_uint_eq(vmfs_sync(lab.v[0]), VMK_FENCED);
            host_dead(0);

            char text[16];
            size_t got;

            ck_assert_uint_eq(vmfs_read(lab.v[1], lab.files[0], 0, text, sizeof(text), &got),
                              VMK_OK);
            ck_assert_str_eq(text, "other's bytes!!");
            vmfs_close(lab.v[1], lab.files[0], true);
        } else {
            ck_assert_uint_eq(status, VMK_OK);
            expect_synced(0, synced);
            vmfs_close(lab.v[0], lab.files[0], true);
            vmfs_close(lab.v[0], lab.files[0], true);
            ck_assert_uint_eq(vmfs_tick(lab.v[0]), VMK_OK);
        }
        ck_assert_uint_eq(vmfs_tick(lab.v[1]), VMK_OK);
        ck_assert_msg(problems(lab.v[1]) == 0, "held up behind request %llu",
                      (unsigned long long)at);
        lab_down();
    }
    ck_assert(may_lose == (lost > 0));
}

START_TEST(test_vmfs_hosts__held_up_too_long_at_every_request__fenced_and_writes_nothing)
{
    held_up(40 * SECOND, true);
}
END_TEST

START_TEST(test_vmfs_hosts__held_up_for_less_at_every_request__loses_nothing)
{
    held_up(HB_DEAD_NS - 3 * SECOND, false);
}
END_TEST

/* ---- three hosts at random, of which any may die at any request and come back ---- */

START_TEST(test_vmfs_hosts__three_hosts_at_random__one_owner_per_file)
{
    bool own[HOSTS][FILES] = {{false}};
    uint8_t value[FILES] = {0};  // what the owner wrote last and synced
    struct rng rng;
    unsigned kills = 0;
    unsigned opens = 0;

    rng_init(&rng, (uint64_t)_i, "hosts", 0);
    lab_up(HOSTS);
    for (unsigned i = 0; i < 500; i++) {
        unsigned host = (unsigned)rng_below(&rng, HOSTS);
        unsigned f = (unsigned)rng_below(&rng, FILES);
        vmk_status status = VMK_OK;
        uint8_t byte = (uint8_t)(1 + rng_below(&rng, 255));
        bool dying;

        time_passes(SECOND / 4);
        for (unsigned k = 0; i % 8 == 0 && k < HOSTS; k++)
            ck_assert_uint_eq(lab.v[k] ? vmfs_tick(lab.v[k]) : VMK_OK, VMK_OK);
        if (!lab.v[host]) {
            if (rng_below(&rng, 8) == 0)
                host_up(host);
            continue;
        }
        dying = rng_below(&rng, 40) == 0;
        if (dying)
            host_port_cut_after(lab.ports[host], rng_below(&rng, 30));
        if (!own[host][f]) {
            status = vmfs_open(lab.v[host], lab.files[f], true);
            if (status == VMK_OK) {
                size_t got;
                uint8_t found = 0;

                for (unsigned k = 0; k < HOSTS; k++)
                    ck_assert_msg(!own[k][f], "hosts %u and %u own file %u at %u", k, host, f,
                                  i);
                own[host][f] = true;
                opens++;
                status = vmfs_read(lab.v[host], lab.files[f], 7, &found, 1, &got);
                if (status == VMK_OK && value[f])
                    ck_assert_uint_eq(found, value[f]);
            }
        } else if (rng_below(&rng, 3)) {
            uint8_t before = value[f];

            value[f] = 0;  // unknown until it is synced
            status = vmfs_write(lab.v[host], lab.files[f], 7, &byte, 1);
            if (status == VMK_OK)
                status = vmfs_sync(lab.v[host]);
            if (status == VMK_OK)
                value[f] = byte;
            else if (status == VMK_CONTENDED)
                value[f] = before;
        } else {
            vmfs_close(lab.v[host], lab.files[f], true);
            own[host][f] = false;
            status = vmfs_tick(lab.v[host]);
        }
        if (!dying) {
            if (status != VMK_CONTENDED)
                ck_assert_msg(status == VMK_OK, "%s", vmk_status_text(status));
            continue;
        }
        kills++;
        host_dead(host);
        memset(own[host], 0, sizeof(own[host]));
    }
    for (unsigned k = 0; k < HOSTS; k++) {
        if (!lab.v[k])
            host_up(k);
        for (unsigned f = 0; f < FILES; f++) {
            if (own[k][f])
                vmfs_close(lab.v[k], lab.files[f], true);
        }
        ck_assert_uint_eq(vmfs_tick(lab.v[k]), VMK_OK);
    }
    /* The last dead are buried by whoever wants something of theirs. */
    for (unsigned i = 0; i < 44; i++) {
        time_passes(SECOND);
        for (unsigned k = 0; k < HOSTS; k++) {
            for (unsigned f = 0; f < FILES; f++) {
                if (vmfs_open(lab.v[k], lab.files[f], true) == VMK_OK)
                    vmfs_close(lab.v[k], lab.files[f], true);
            }
            ck_assert_uint_eq(vmfs_tick(lab.v[k]), VMK_OK);
        }
    }
    ck_assert_uint_gt(kills, 2);
    ck_assert_uint_gt(opens, 20);
    for (unsigned k = 0; k < HOSTS; k++) {
        ck_assert_uint_eq(vmfs_unmount(lab.v[k]), VMK_OK);
        lab.v[k] = NULL;
        host_port_destroy(lab.ports[k]);
    }
    /*
     * An offline tool buries the dead of whom nobody wanted anything, and finds all in order.
     */
    const struct vmfs_mount tool = {.host = host_uuid(99), .break_stale = true};
    struct block_device *device = disk_model_device(lab.disk);
    struct vmfs_volume *v;

    ck_assert_uint_eq(vmfs_mount(&device, 1, &tool, &v), VMK_OK);
    ck_assert_uint_eq(problems(v), 0);
    ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
    lab_down();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vmfs_hosts");
    TCase *tcase = tcase_create("vmfs_hosts");

    tcase_set_timeout(tcase, 600);
    tcase_add_test(
        tcase, test_vmfs_hosts__killed_at_every_request__others_take_over_in_time_and_clean);
    tcase_add_test(
        tcase, test_vmfs_hosts__held_up_too_long_at_every_request__fenced_and_writes_nothing);
    tcase_add_test(tcase, test_vmfs_hosts__held_up_for_less_at_every_request__loses_nothing);
    tcase_add_loop_test(tcase, test_vmfs_hosts__three_hosts_at_random__one_owner_per_file, 0,
                        6);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
