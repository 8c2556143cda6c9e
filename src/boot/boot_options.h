// SPDX-License-Identifier: BSD-2-Clause
/*
 * boot/boot_options.h -- which words a command line of the VMkernel may have.
 */
#pragma once

#include "lib/types.h"

/* `word` is `length` bytes of the line, without an end; `why` reads on behind it. */
typedef void boot_option_tell_fn(const char *word, size_t length, const char *why);

/*
 * Tells of each word of `line` (null: none) that no part of the VMkernel reads: an unknown
 * name, a value too many or too few. Values are looked at where they are used. True: there is
 * none. Any context.
 */
bool boot_options_check(const char *line, boot_option_tell_fn *tell);
/* The same of this host's command line, in the log. */
void boot_options_log(void);
