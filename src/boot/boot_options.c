// SPDX-License-Identifier: BSD-2-Clause
/*
 * boot/boot_options.c -- the names of all options, so that a misspelt one does not pass in silence.
 *
 * An option is read by the part of the VMkernel it is for, some only when the first VM starts,
 * some never on a given machine: only a list can say which words are wrong.
 * docs/kernel-options.md has their meaning; `lint options` compares that page and this list
 * with what the code reads.
 *
 * Locking    none.
 */
#include "boot/boot_options.h"

#include "core/core.h"
#include "core/log.h"
#include "lib/format.h"
#include "lib/string.h"
#include "plat/plat.h"

static const struct {
    const char *name;
    bool flag;  // a bare word; else NAME=VALUE
} known[] = {
    {"autoPartition", false},
    {"batch", true},
    {"blueScreenTimeout", false},
    {"console", false},
    {"debug", true},
    {"disk-timeout", false},
    {"diskbench", false},
    {"disktest", false},
    {"disktest-mb", false},
    {"disktest-requests", false},
    {"dumpPartition", false},
    {"entry-fault", false},
    {"fault", false},
    {"fault-late", false},
    {"init", false},
    {"log", false},
    {"mem.compress", false},
    {"mem.large", false},
    {"mem.period", false},
    {"mem.salting", false},
    {"mem.sample", false},
    {"mem.share", false},
    {"mem.share.rate", false},
    {"mem.swap.space", false},
    {"mem.user-swap", false},
    {"root", false},
    {"sched", false},
    {"shm", false},
    {"stay", true},
    {"tmp", false},
    {"trace", false},
    {"trace.buffer", false},
    {"trace.lossless", true},
    {"trace.mode", false},
    {"trace.to", false},
    {"tsc-error", false},
    {"var", false},
    {"vcpus", false},
    {"vm.affinity", false},
#define SCHED_TUNABLE(id, name, normal, least, most, what) {"sched." name, false},
#include "sched/tunables.def"
#define MEMSCHED_TUNABLE(id, name, normal, least, most, what) {"mem." name, false},
#include "mem/memsched_tunables.def"
};

/* What is a number, and which. */
static const struct {
    const char *name;
    uint64_t least, most;
} numbers[] = {
#define SCHED_TUNABLE(id, name, normal, least, most, what) {"sched." name, least, most},
#include "sched/tunables.def"
#define MEMSCHED_TUNABLE(id, name, normal, least, most, what) {"mem." name, least, most},
#include "mem/memsched_tunables.def"
};

/* Is the value behind the name, up to `end`, one that it may have? */
static bool in_range(const char *word, size_t name, const char *end)
{
    for (unsigned i = 0; i < ARRAY_COUNT(numbers); i++) {
        const char *stop;
        uint64_t value;

        if (strlen(numbers[i].name) == name && !memcmp(numbers[i].name, word, name))
            return parse_u64(word + name + 1, &stop, &value) && stop == end &&
                   value >= numbers[i].least && value <= numbers[i].most;
    }
    return true;
}

/* Null: nothing is wrong with it. */
static const char *fault_of(const char *word, size_t length)
{
    size_t name = 0;  // its length

    while (name < length && word[name] != '=')
        name++;
    for (unsigned i = 0; i < ARRAY_COUNT(known); i++) {
        if (strlen(known[i].name) != name || memcmp(known[i].name, word, name) != 0)
            continue;
        if (known[i].flag != (name == length))
            return known[i].flag ? "takes no value" : "wants a value: NAME=VALUE";
        if (!known[i].flag && !in_range(word, name, word + length))
            return "is no number in its range (docs/kernel-options.md)";
        return NULL;
    }
    return "is no option of the VMkernel (docs/kernel-options.md lists them)";
}

bool boot_options_check(const char *line, boot_option_tell_fn *tell)
{
    const char *word;
    size_t length;
    bool good = true;

    while (line && core_option_word(&line, &word, &length)) {
        const char *why = fault_of(word, length);

        if (why) {
            tell(word, length, why);
            good = false;
        }
    }
    return good;
}

static void log_one(const char *word, size_t length, const char *why)
{
    vmk_log(VMK_LOG_WARN, "Boot: %.*s %s", (int)length, word, why);
}

void boot_options_log(void)
{
    (void)boot_options_check(plat_command_line(), log_one);
}
