// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/user_socket.h -- what the calls on sockets share: numbers of the ABI, names, errors.
 */
#pragma once

#include "fs/socket.h"
#include "user/user_internal.h"

#define AF_UNIX    1u
#define SOL_SOCKET 1u

/* Of a call on a socket: some statuses mean another errno than elsewhere. */
int64_t socket_errno(vmk_status status);
/* Who sends, or connects. */
struct unix_peer socket_peer_of(const struct thread *t);

/* A name out of user memory. */
int64_t socket_name_in(struct thread *t, uint64_t at, uint64_t length, struct unix_name *out);
/* What fits into the caller's room; *length_at gets the whole length. */
int64_t socket_name_out(struct thread *t, uint64_t at, uint64_t length_at,
                        const struct unix_name *name);
