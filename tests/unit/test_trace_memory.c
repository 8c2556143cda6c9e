// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_trace_memory.c -- the memory scheduler recorded, verified, and added up.
 *
 * The real machine under its real recorder, driven by random VMs; a trace has to pass, with one
 * field of one record changed it has to fail there, and its second half has to do without the
 * first.
 */
#include "mem/memsched_record.h"
#include "tests/unit/kernel_test.h"
#include "tests/unit/trace_command.h"
#include "lib/rng.h"
#include "trace/memory.h"

#define S     1000000000ull
#define MB(n) ((uint32_t)((n)*256u))
#define VMS   4u

static struct fx fx;
static struct memsched machine;
static struct memsched_record recorder;
static uint64_t skip_until;  // records before that time are lost, as a flight recorder does

static void put(void *context, plat_ns now, const trace_word *record, size_t words)
{
    (void)context;
    trace_word copy[16];

    ck_assert_uint_le(words, ARRAY_COUNT(copy));
    memcpy(copy, record, words * 8);
    if (now >= skip_until)
        ctf_stream_put(&fx.sys, now, (uint8_t)record[0], copy, (uint32_t)words * 8);
}

static vmk_status in(uint64_t now, struct memsched_input input)
{
    vmk_status status = memsched_record_step(&recorder, now, &input);
    const char *why = memsched_check(&machine);

    ck_assert_msg(!why, "op %u: %s", input.op, why);
    return status;
}

/* A host of 1 GB with four VMs of 512 MB; their memory and its use wander. */
static void record_run(uint64_t seed, unsigned seconds, uint64_t from)
{
    struct rng rng;
    uint32_t touched[VMS] = {0}, balloon[VMS] = {0}, swap[VMS] = {0}, cache[VMS] = {0};
    char name[8];

    skip_until = from;
    rng_init(&rng, seed, "memory", 0);
    memsched_init(&machine);
    memsched_record_init(&recorder, &machine);
    recorder.put = put;
    ck_assert_int_eq(
        in(0, (struct memsched_input){.op = MEMSCHED_HOST, .a = MB(1024), .b = MB(4096)}),
        VMK_OK);
    for (unsigned i = 0; i < VMS; i++) {
        ck_assert_int_eq(in(S / 10, (struct memsched_input){.op = MEMSCHED_VM_ADD,
                                                            .id = 10 + i,
                                                            .a = MEMSCHED_ROOT_ID,
                                                            .b = 1000 * (i + 1),
                                                            .c = MB(64),
                                                            .d = MB(512)}),
                         VMK_OK);
        snprintf(name, sizeof(name), "vm-%u", i);
        memsched_record_name(&recorder, 10 + i, name);
    }
    ck_assert_int_eq(in(S / 5, (struct memsched_input){.op = MEMSCHED_VM_ADD,
                                                       .id = 99,
                                                       .a = MEMSCHED_ROOT_ID,
                                                       .c = MB(2000),
                                                       .d = MB(2000)}),
                     VMK_LIMIT);
    for (unsigned t = 1; t <= seconds; t++) {
        uint64_t held = 0, now = t * S;

        for (unsigned i = 0; i < VMS; i++) {
            const struct memsched_node *n = memsched_find(&machine, 10 + i);
            uint32_t out;

            touched[i] = MIN(MB(512), touched[i] + (uint32_t)rng_below(&rng, MB(24)));
            balloon[i] = MIN(n->target.balloon, balloon[i] + MB(20));
            out = n->target.swap;
            cache[i] = out / 4;
            swap[i] = out - cache[i];
            (void)in(now, (struct memsched_input){.op = MEMSCHED_USAGE,
                                                  .small = 65,
                                                  .id = 10 + i,
                                                  .a = touched[i],
                                                  .b = balloon[i],
                                                  .c = swap[i],
                                                  .e = cache[i]});
            held += memsched_held(n);
            if (t % 5 == 0)
                ck_assert_int_eq(
                    in(now, (struct memsched_input){.op = MEMSCHED_SAMPLE,
                                                    .small = 1,
                                                    .id = 10 + i,
                                                    .a = (uint32_t)rng_below(&rng, 101),
                                                    .b = 100}),
                    VMK_OK);
        }
        (void)in(now,
                 (struct memsched_input){.op = MEMSCHED_FREE,
                                         .a = held < MB(1000) ? MB(1000) - (uint32_t)held : 0});
        if (t % 15 == 0)
            (void)in(now, (struct memsched_input){.op = MEMSCHED_TICK});
        if (t == seconds / 2)
            (void)in(now, (struct memsched_input){.op = MEMSCHED_TUNE,
                                                  .small = MEMSCHED_TUNABLE_IDLE_TAX,
                                                  .a = 50});
    }
}

START_TEST(test_verify__a_recorded_run__equal__all)
{
    fx_begin(&fx, 1);
    record_run((uint64_t)_i, 600, 0);
    fx_close(&fx);
    ck_assert_msg(command(verify_main, fx.directory, NULL, NULL) == TOOL_OK, "%s", output);
    ck_assert_msg(strncmp(output, "memory: equal: ", 15) == 0, "%s", output);
    ck_assert_ptr_nonnull(strstr(output, "mem_target"));
    ck_assert_ptr_nonnull(strstr(output, "mem_refused "));
    ck_assert_int_eq(command(verify_main, fx.directory, "--only", "memory"), TOOL_OK);
    ck_assert_int_eq(command(verify_main, fx.directory, "--only", "cpu"), TOOL_BAD);
    fx_end(&fx);
}
END_TEST

/* The sample's level of confidence: the whole of what a flight recorder keeps, and less. */
START_TEST(test_verify__the_beginning_is_gone__from_the_next_state_on__all)
{
    fx_begin(&fx, 1);
    record_run(7, 900, (uint64_t)_i * 97 * S);
    fx_close(&fx);
    ck_assert_msg(command(verify_main, fx.directory, "--only", "memory") == TOOL_OK, "%s",
                  output);
    if (_i)
        ck_assert_msg(!strstr(output, "from input 0 on"), "%s", output);
    fx_end(&fx);
}
END_TEST

static const struct changed_field changes[] = {
    {RECORD_mem_target, offsetof(struct record_mem_target, entitlement),
     "mem_target: entitlement is"},
    {RECORD_mem_target, offsetof(struct record_mem_target, swap_target),
     "mem_target: swap_target is"},
    {RECORD_mem_target, offsetof(struct record_mem_target, price), "mem_target: price is"},
    {RECORD_mem_sample, offsetof(struct record_mem_sample, est_active),
     "mem_sample: est_active is"},
    {RECORD_mem_state, offsetof(struct record_mem_state, level), "mem_state: level is"},
    {RECORD_mem_state, offsetof(struct record_mem_state, host_free), "mem_state: host_free is"},
};

START_TEST(test_verify__one_field_changed__found_there__all)
{
    fx_begin(&fx, 1);
    record_run(3, 300, 0);
    fx_close(&fx);
    field_changed_is_found(&fx, &changes[_i], 3);
    fx_end(&fx);
}
END_TEST

START_TEST(test_verify__an_input_is_missing__refused)
{
    const char *stream;
    long at;

    fx_begin(&fx, 1);
    record_run(3, 100, 0);
    fx_close(&fx);
    at = find_record(&fx, RECORD_mem_input, 40, &stream);
    // Of the same size, and nobody's here.
    ck_assert_uint_eq(trace_event_of(RECORD_mem_input)->size, sizeof(struct record_mem_input));
    fx_patch(&fx, stream, at + (long)offsetof(struct record_mem_input, seq), &(uint32_t){4711},
             4);
    ck_assert_int_eq(command(verify_main, fx.directory, NULL, NULL), TOOL_BAD);
    ck_assert_msg(strstr(output, "input 4711 of the memory scheduler follows input"), "%s",
                  output);
    fx_end(&fx);
}
END_TEST

/* Whatever the bytes say, the tool ends with a status. */
START_TEST(test_verify__any_byte_changed__a_status__all)
{
    struct rng rng;
    char path[256];
    struct stat st;

    rng_init(&rng, (uint64_t)_i, "damage", 0);
    for (unsigned round = 0; round < 40; round++) {
        int status;

        fx_begin(&fx, 1);
        record_run(9, 40, 0);
        fx_close(&fx);
        fx_path(&fx, "sys", path);
        ck_assert_int_eq(stat(path, &st), 0);
        for (unsigned i = 0; i < 1 + round % 4; i++) {
            uint8_t byte = (uint8_t)rng_below(&rng, 256);

            // Most of it is in front: the state.
            fx_patch(&fx, "sys",
                     64 + (long)rng_below(&rng, i % 2 ? (uint64_t)st.st_size - 64 : 700), &byte,
                     1);
        }
        status = command(verify_main, fx.directory, NULL, NULL);
        ck_assert_int_le(status, TOOL_BAD);
        ck_assert_int_ne(status, TOOL_USAGE);
        ck_assert_int_le(command(stats_main, fx.directory, "--memory", NULL), TOOL_BAD);
        fx_end(&fx);
    }
}
END_TEST

START_TEST(test_stats__at_the_end__what_the_machine_has)
{
    char error[TRACE_ERROR];
    struct memory_model model;
    struct trace_record r;
    struct trace_reader *reader;

    fx_begin(&fx, 1);
    record_run(5, 400, 0);
    fx_close(&fx);
    reader = trace_open(fx.directory, error);
    ck_assert_ptr_nonnull(reader);
    memory_init(&model);
    while (trace_next(reader, &r) == 1)
        ck_assert(memory_feed(&model, &r));
    memory_settle(&model, trace_info(reader)->last_time);
    ck_assert_uint_eq(model.count, VMS);
    ck_assert_uint_eq(model.free, machine.free);
    ck_assert_uint_eq(model.level, machine.level);
    for (unsigned i = 0; i < VMS; i++) {
        const struct memory_vm *vm = &model.vms[i];
        const struct memsched_node *n = memsched_find(&machine, 10 + i);

        ck_assert_uint_eq(vm->id, 10 + i);
        ck_assert_int_eq(vm->name[3], (int)('0' + i));
        ck_assert_uint_eq(vm->now[MEMORY_granted], n->touched);
        ck_assert_uint_eq(vm->now[MEMORY_held], memsched_held(n));
        ck_assert_uint_eq(vm->now[MEMORY_active], memsched_active_pages(n));
        ck_assert_uint_eq(vm->now[MEMORY_target], n->target.entitlement);
        ck_assert_uint_eq(vm->now[MEMORY_balloon_target], n->target.balloon);
        ck_assert_uint_eq(vm->now[MEMORY_compressed], n->compressed);
        ck_assert_uint_eq(vm->now[MEMORY_swapped], n->swapped);
        ck_assert(memory_mean(vm, MEMORY_granted) > 0);
        ck_assert(memory_mean(vm, MEMORY_granted) <= vm->most[MEMORY_granted]);
    }
    memory_free(&model);
    trace_close(reader);
    ck_assert_int_eq(command(stats_main, fx.directory, "--memory", NULL), TOOL_OK);
    ck_assert_ptr_nonnull(strstr(output, "vm-2,131072,3000,16384"));
    ck_assert_int_eq(command(stats_main, fx.directory, NULL, NULL), TOOL_OK);
    ck_assert_ptr_nonnull(strstr(output, "Memory in MB"));
    fx_end(&fx);
}
END_TEST

START_TEST(test_diff__another_seed__differs_in_a_memory_record)
{
    struct fx second;

    fx_begin(&fx, 1);
    record_run(1, 60, 0);
    fx_close(&fx);
    second = fx;
    fx_begin(&fx, 1);
    record_run(1, 60, 0);
    fx_close(&fx);
    ck_assert_int_eq(command(diff_main, fx.directory, second.directory, NULL), TOOL_OK);
    fx_end(&fx);
    fx_begin(&fx, 1);
    record_run(2, 60, 0);
    fx_close(&fx);
    ck_assert_int_eq(command(diff_main, fx.directory, second.directory, NULL), TOOL_NO);
    ck_assert_msg(strstr(output, "mem_input: field a is "), "%s", output);
    fx_end(&fx);
    fx_end(&second);
}
END_TEST

/* What says nothing new is not written: an idle host's recorder stays small. */
START_TEST(test_record__the_same_usage_again__no_record)
{
    const struct memsched_input usage = {
        .op = MEMSCHED_USAGE, .small = 65, .id = 10, .a = MB(100)};
    uint32_t seq;

    fx_begin(&fx, 1);
    record_run(1, 10, 0);
    (void)in(11 * S, usage);
    (void)in(11 * S, (struct memsched_input){.op = MEMSCHED_FREE, .a = MB(500)});
    seq = recorder.seq;
    ck_assert_int_eq(in(12 * S, usage), VMK_OK);
    ck_assert_int_eq(in(12 * S, (struct memsched_input){.op = MEMSCHED_FREE, .a = MB(500)}),
                     VMK_OK);
    ck_assert_uint_eq(recorder.seq, seq);
    // A setting may have moved the levels: then the same amount is news.
    (void)in(13 * S, (struct memsched_input){
                         .op = MEMSCHED_TUNE, .small = MEMSCHED_TUNABLE_SOFT_BELOW, .a = 400});
    (void)in(13 * S, (struct memsched_input){
                         .op = MEMSCHED_TUNE, .small = MEMSCHED_TUNABLE_HARD_BELOW, .a = 400});
    ck_assert_int_eq(in(14 * S, (struct memsched_input){.op = MEMSCHED_FREE, .a = MB(500)}),
                     VMK_OK);
    ck_assert_uint_eq(recorder.seq, seq + 3);
    fx_end(&fx);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trace_memory");
    TCase *tcase = tcase_create("trace_memory");

    tcase_add_loop_test(tcase, test_verify__a_recorded_run__equal__all, 1, 5);
    tcase_add_loop_test(tcase, test_verify__the_beginning_is_gone__from_the_next_state_on__all,
                        0, 5);
    tcase_add_loop_test(tcase, test_verify__one_field_changed__found_there__all, 0,
                        ARRAY_COUNT(changes));
    tcase_add_test(tcase, test_verify__an_input_is_missing__refused);
    tcase_add_loop_test(tcase, test_verify__any_byte_changed__a_status__all, 1, 3);
    tcase_add_test(tcase, test_stats__at_the_end__what_the_machine_has);
    tcase_add_test(tcase, test_diff__another_seed__differs_in_a_memory_record);
    tcase_add_test(tcase, test_record__the_same_usage_again__no_record);
    tcase_set_timeout(tcase, 120);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
