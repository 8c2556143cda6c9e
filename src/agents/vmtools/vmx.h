// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/vmx.h -- what the files of the vmx share.
 */
#pragma once

#include "agents/vmtools/vmtools.h"

/* ---- vmx_log.c: vmware.log ---- */
/* Opens it, after moving older ones to vmware-1.log and so on. "-" is stderr, "" none. */
void vmx_log_open(const char *path);
void vmx_log(const char *format, ...) PRINTF_LIKE(1, 2);
/* The same, and on stderr: why it does not start. */
void vmx_log_error(const char *format, ...) PRINTF_LIKE(1, 2);

/* ---- vmx_rpc.c: the guest's messages ---- */
#define VMX_RPC_RPCI 0x49435052u  // the protocol a channel is opened for
enum vmx_rpc_type {
    VMX_RPC_OPEN,
    VMX_RPC_SEND_SIZE,
    VMX_RPC_SEND_DATA,
    VMX_RPC_RECEIVE_SIZE,
    VMX_RPC_RECEIVE_DATA,
    VMX_RPC_RECEIVE_STATUS,
    VMX_RPC_CLOSE
};
/* A call of VMK_CALL_BACKDOOR: changes `regs` to the answer. */
void vmx_rpc(uint32_t regs[VMK_CALL_REGS]);
/* The machine came out of a reset: no channel is open. */
void vmx_rpc_reset(void);
