// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/linux_ipc.h -- numbers and layouts of System V IPC in the Linux x86-64 system-call ABI.
 *
 * Named as its manual pages name them, with L_ in front; every struct here crosses to ring 3.
 *
 * Sources    sysvipc(7), shmctl(2), semctl(2), msgctl(2)
 */
#pragma once

#include "lib/types.h"

#define L_IPC_PRIVATE  0
#define L_IPC_CREAT    01000u
#define L_IPC_EXCL     02000u
#define L_IPC_NOWAIT   04000u

#define L_IPC_RMID     0
#define L_IPC_SET      1
#define L_IPC_STAT     2
#define L_IPC_INFO     3

#define L_SHM_DEST     01000u  // of the mode: goes with its last mapping
#define L_SHM_LOCKED   02000u
#define L_SHM_HUGETLB  04000u
#define L_SHM_RDONLY   010000u
#define L_SHM_RND      020000u
#define L_SHM_REMAP    040000u
#define L_SHM_EXEC     0100000u
#define L_SHM_LOCK     11
#define L_SHM_UNLOCK   12
#define L_SHM_STAT     13
#define L_SHM_INFO     14
#define L_SHM_STAT_ANY 15

#define L_GETPID       11
#define L_GETVAL       12
#define L_GETALL       13
#define L_GETNCNT      14
#define L_GETZCNT      15
#define L_SETVAL       16
#define L_SETALL       17
#define L_SEM_STAT     18
#define L_SEM_INFO     19
#define L_SEM_STAT_ANY 20
#define L_SEM_UNDO     0x1000

#define L_MSG_STAT     11
#define L_MSG_INFO     12
#define L_MSG_STAT_ANY 13
#define L_MSG_NOERROR  010000u
#define L_MSG_EXCEPT   020000u
#define L_MSG_COPY     040000u

struct l_ipc_perm {
    int32_t key;
    uint32_t uid, gid, cuid, cgid, mode;
    uint16_t sequence, pad;
    uint64_t unused[2];
};
struct l_shmid_ds {
    struct l_ipc_perm perm;
    uint64_t segsz;
    int64_t atime, dtime, ctime;
    uint32_t cpid, lpid;
    uint64_t nattch, unused[2];
};
struct l_semid_ds {
    struct l_ipc_perm perm;
    int64_t otime;
    uint64_t unused1;
    int64_t ctime;
    uint64_t unused2, nsems, unused3[2];
};
struct l_msqid_ds {
    struct l_ipc_perm perm;
    int64_t stime, rtime, ctime;
    uint64_t cbytes, qnum, qbytes;
    uint32_t lspid, lrpid;
    uint64_t unused[2];
};
_Static_assert(sizeof(struct l_ipc_perm) == 48, "as the C libraries have it");
_Static_assert(sizeof(struct l_shmid_ds) == 112, "as the C libraries have it");
_Static_assert(sizeof(struct l_semid_ds) == 104, "as the C libraries have it");
_Static_assert(sizeof(struct l_msqid_ds) == 120, "as the C libraries have it");

struct l_shminfo {
    uint64_t shmmax, shmmin, shmmni, shmseg, shmall, unused[4];
};
struct l_shm_info {
    int32_t used_ids;
    uint64_t total, resident, swapped, swap_attempts, swap_successes;
};
struct l_seminfo {
    int32_t semmap, semmni, semmns, semmnu, semmsl, semopm, semume, semusz, semvmx, semaem;
};
struct l_msginfo {
    int32_t msgpool, msgmap, msgmax, msgmnb, msgmni, msgssz, msgtql;
    uint16_t msgseg;
};

struct l_sembuf {
    uint16_t number;
    int16_t by, flags;
};
