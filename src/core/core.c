// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/core.c -- bring-up of core/ and the boot command line.
 *
 * Everything here works on an all-zero struct core_state, so that a panic before core_init()
 * still prints; core_init() fills in what zero cannot say.
 *
 * Invariants
 *   - core_init() runs once per host, on CPU 0, before other CPUs start.
 *   - The command line never changes, so options are parsed where they are asked for.
 * Locking    none.
 */
#include "core/core.h"

#include "core/core_internal.h"
#include "lib/format.h"
#include "lib/string.h"
#include "plat/plat.h"

HOST_STATE(core);

void core_init(void)
{
    core_log_init();
    core_heap_init();
    core_timer_init();
}

bool core_option_word(const char **at, const char **word, size_t *length)
{
    const char *p = *at;

    while (*p == ' ')
        p++;
    *word = p;
    while (*p && *p != ' ')
        p++;
    *length = (size_t)(p - *word);
    *at = p;
    return *length != 0;
}

bool core_option(const char *key, char *value, size_t size)
{
    const char *at = plat_command_line();
    size_t key_length = strlen(key);
    const char *word;
    size_t length;

    while (at && core_option_word(&at, &word, &length)) {
        if (length <= key_length || strncmp(word, key, key_length) != 0 ||
            word[key_length] != '=')
            continue;

        size_t room = MIN(length - key_length - 1, size - 1);

        memcpy(value, word + key_length + 1, room);
        value[room] = 0;
        return true;
    }
    return false;
}

bool core_option_flag(const char *flag)
{
    const char *at = plat_command_line();
    size_t flag_length = strlen(flag);
    const char *word;
    size_t length;

    while (at && core_option_word(&at, &word, &length)) {
        if (length == flag_length && !strncmp(word, flag, length))
            return true;
    }
    return false;
}

uint64_t core_option_u64(const char *key, uint64_t otherwise)
{
    char text[32];
    const char *end;
    uint64_t value;

    if (!core_option(key, text, sizeof(text)))
        return otherwise;
    if (!parse_u64(text, &end, &value) || *end) {
        vmk_log(VMK_LOG_WARN, "Core: option %s=%s is no number, using %llu", key, text,
                (unsigned long long)otherwise);
        return otherwise;
    }
    return value;
}

void core_world_id_hook(uint32_t (*current)(void))
{
    this_host()->core->world_id = current;
}
