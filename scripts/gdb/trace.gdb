# SPDX-License-Identifier: BSD-2-Clause
#
# trace.gdb -- the trace rings as commands. Made by scripts/trace-gen.sh from trace/events.def and
# trace/enums.def: change those. scripts/gdb/trace-walk.gdb has what is not made.

define vmk-trace-enum-sched_state
  if $arg0 == 0
    printf "RUN"
  end
  if $arg0 == 1
    printf "READY"
  end
  if $arg0 == 2
    printf "WAIT"
  end
  if $arg0 == 3
    printf "WAIT_IDLE"
  end
  if $arg0 == 4
    printf "WAIT_IO"
  end
  if $arg0 == 5
    printf "WAIT_SWAP"
  end
  if $arg0 == 6
    printf "COSTOP"
  end
  if $arg0 == 7
    printf "MLMTD"
  end
  if $arg0 == 8
    printf "NEW"
  end
  if $arg0 == 9
    printf "ZOMBIE"
  end
end

define vmk-trace-enum-wake_reason
  if $arg0 == 0
    printf "EVENT"
  end
  if $arg0 == 1
    printf "TIMER"
  end
  if $arg0 == 2
    printf "DEVICE"
  end
  if $arg0 == 3
    printf "NEW"
  end
  if $arg0 == 4
    printf "KILL"
  end
end

define vmk-trace-enum-migrate_kind
  if $arg0 == 0
    printf "PUSH"
  end
  if $arg0 == 1
    printf "PULL"
  end
  if $arg0 == 2
    printf "SMT"
  end
  if $arg0 == 3
    printf "LLC"
  end
  if $arg0 == 4
    printf "PACKAGE"
  end
  if $arg0 == 5
    printf "NUMA"
  end
  if $arg0 == 6
    printf "AFFINITY"
  end
end

define vmk-trace-enum-sched_op
  if $arg0 == 0
    printf "CPU_ONLINE"
  end
  if $arg0 == 1
    printf "POOL_ADD"
  end
  if $arg0 == 2
    printf "POOL_REMOVE"
  end
  if $arg0 == 3
    printf "WORLD_ADD"
  end
  if $arg0 == 4
    printf "WORLD_REMOVE"
  end
  if $arg0 == 5
    printf "SET_SHARES"
  end
  if $arg0 == 6
    printf "SET_MIN"
  end
  if $arg0 == 7
    printf "SET_MAX"
  end
  if $arg0 == 8
    printf "SET_AFFINITY"
  end
  if $arg0 == 9
    printf "SET_POOL"
  end
  if $arg0 == 10
    printf "WAKE"
  end
  if $arg0 == 11
    printf "BLOCK"
  end
  if $arg0 == 12
    printf "YIELD"
  end
  if $arg0 == 13
    printf "TIMER"
  end
  if $arg0 == 14
    printf "RESCHED"
  end
  if $arg0 == 15
    printf "EXIT"
  end
  if $arg0 == 16
    printf "SYSTEM_TIME"
  end
  if $arg0 == 17
    printf "TOPOLOGY"
  end
  if $arg0 == 18
    printf "POLICY"
  end
end

define vmk-trace-enum-name_kind
  if $arg0 == 0
    printf "WORLD"
  end
  if $arg0 == 1
    printf "POOL"
  end
  if $arg0 == 2
    printf "VM"
  end
end

define vmk-trace-enum-mem_level
  if $arg0 == 0
    printf "HIGH"
  end
  if $arg0 == 1
    printf "CLEAR"
  end
  if $arg0 == 2
    printf "SOFT"
  end
  if $arg0 == 3
    printf "HARD"
  end
  if $arg0 == 4
    printf "LOW"
  end
end

define vmk-trace-enum-mem_op
  if $arg0 == 0
    printf "HOST"
  end
  if $arg0 == 1
    printf "POOL_ADD"
  end
  if $arg0 == 2
    printf "VM_ADD"
  end
  if $arg0 == 3
    printf "REMOVE"
  end
  if $arg0 == 4
    printf "SET_SHARES"
  end
  if $arg0 == 5
    printf "SET_MIN"
  end
  if $arg0 == 6
    printf "SET_MAX"
  end
  if $arg0 == 7
    printf "USAGE"
  end
  if $arg0 == 8
    printf "SAMPLE"
  end
  if $arg0 == 9
    printf "FREE"
  end
  if $arg0 == 10
    printf "TICK"
  end
  if $arg0 == 11
    printf "TUNE"
  end
end

define vmk-trace-enum-vm_exit
  if $arg0 == 0
    printf "INTERRUPT"
  end
  if $arg0 == 1
    printf "NMI"
  end
  if $arg0 == 2
    printf "EXCEPTION"
  end
  if $arg0 == 3
    printf "TRIPLE_FAULT"
  end
  if $arg0 == 4
    printf "IRQ_WINDOW"
  end
  if $arg0 == 5
    printf "NMI_WINDOW"
  end
  if $arg0 == 6
    printf "TASK_SWITCH"
  end
  if $arg0 == 7
    printf "CPUID"
  end
  if $arg0 == 8
    printf "HLT"
  end
  if $arg0 == 9
    printf "INVD"
  end
  if $arg0 == 10
    printf "INVLPG"
  end
  if $arg0 == 11
    printf "RDPMC"
  end
  if $arg0 == 12
    printf "RDTSC"
  end
  if $arg0 == 13
    printf "CALL"
  end
  if $arg0 == 14
    printf "VIRT_INSN"
  end
  if $arg0 == 15
    printf "CR_ACCESS"
  end
  if $arg0 == 16
    printf "DR_ACCESS"
  end
  if $arg0 == 17
    printf "IO"
  end
  if $arg0 == 18
    printf "MSR_READ"
  end
  if $arg0 == 19
    printf "MSR_WRITE"
  end
  if $arg0 == 20
    printf "XSETBV"
  end
  if $arg0 == 21
    printf "MONITOR"
  end
  if $arg0 == 22
    printf "PAUSE"
  end
  if $arg0 == 23
    printf "NESTED_FAULT"
  end
  if $arg0 == 24
    printf "TIMER"
  end
  if $arg0 == 25
    printf "ENTRY_FAILED"
  end
  if $arg0 == 26
    printf "UNKNOWN"
  end
end

define vmk-trace-enum-timer_kind
  if $arg0 == 0
    printf "TIMERS"
  end
  if $arg0 == 1
    printf "QUANTUM"
  end
end

define vmk-trace-enum-ipi_kind
  if $arg0 == 0
    printf "RESCHED"
  end
  if $arg0 == 1
    printf "VCPU"
  end
end

# vmk-trace-record ADDRESS: one record, without its time.
define vmk-trace-record
  set $vmk_b = (unsigned char *)$arg0
  if $vmk_b[0] == 1
    printf "sched_switch"
    printf " prev_tid=%u", *(unsigned int *)($vmk_b + 8)
    printf " next_tid=%u", *(unsigned int *)($vmk_b + 12)
    printf " prev_state="
    set $vmk_v = *(unsigned short *)($vmk_b + 16)
    vmk-trace-enum-sched_state $vmk_v
    printf " cost=%u", *(unsigned short *)($vmk_b + 18)
    printf " ran_us=%u", *(unsigned int *)($vmk_b + 20)
  end
  if $vmk_b[0] == 2
    printf "sched_waking"
    printf " tid=%u", *(unsigned int *)($vmk_b + 8)
    printf " waker=%u", *(unsigned int *)($vmk_b + 12)
    printf " target_cpu=%u", *(unsigned short *)($vmk_b + 16)
    printf " reason="
    set $vmk_v = *(unsigned short *)($vmk_b + 18)
    vmk-trace-enum-wake_reason $vmk_v
  end
  if $vmk_b[0] == 3
    printf "sched_migrate"
    printf " tid=%u", *(unsigned int *)($vmk_b + 8)
    printf " src=%u", *(unsigned short *)($vmk_b + 12)
    printf " dst=%u", *(unsigned short *)($vmk_b + 14)
    printf " kind="
    set $vmk_v = *(unsigned short *)($vmk_b + 16)
    vmk-trace-enum-migrate_kind $vmk_v
    printf " cost=%u", *(unsigned int *)($vmk_b + 20)
  end
  if $vmk_b[0] == 4
    printf "sched_state"
    printf " tid=%u", *(unsigned int *)($vmk_b + 8)
    printf " state="
    set $vmk_v = *(unsigned short *)($vmk_b + 12)
    vmk-trace-enum-sched_state $vmk_v
    printf " sub=%u", *(unsigned short *)($vmk_b + 14)
  end
  if $vmk_b[0] == 5
    printf "sched_costop"
    printf " tid=%u", *(unsigned int *)($vmk_b + 8)
    printf " skew_us=%u", *(unsigned int *)($vmk_b + 12)
  end
  if $vmk_b[0] == 6
    printf "sched_costart"
    printf " tid=%u", *(unsigned int *)($vmk_b + 8)
    printf " skew_us=%u", *(unsigned int *)($vmk_b + 12)
  end
  if $vmk_b[0] == 7
    printf "sched_vtime"
    printf " tid=%u", *(unsigned int *)($vmk_b + 8)
    printf " vtime=%llu", *(unsigned long long *)($vmk_b + 16)
  end
  if $vmk_b[0] == 8
    printf "sched_config"
    printf " id=%u", *(unsigned int *)($vmk_b + 8)
    printf " shares=%u", *(unsigned int *)($vmk_b + 12)
    printf " min_mhz=%u", *(unsigned int *)($vmk_b + 16)
    printf " max_mhz=%u", *(unsigned int *)($vmk_b + 20)
    printf " parent=%u", *(unsigned int *)($vmk_b + 24)
    printf " vm=%u", *(unsigned int *)($vmk_b + 28)
  end
  if $vmk_b[0] == 9
    printf "timer_fire"
    printf " timers=%u", *(unsigned int *)($vmk_b + 8)
    printf " kind="
    set $vmk_v = *(unsigned short *)($vmk_b + 12)
    vmk-trace-enum-timer_kind $vmk_v
  end
  if $vmk_b[0] == 10
    printf "ipi"
    printf " target=%u", *(unsigned int *)($vmk_b + 8)
    printf " kind="
    set $vmk_v = *(unsigned short *)($vmk_b + 12)
    vmk-trace-enum-ipi_kind $vmk_v
  end
  if $vmk_b[0] == 11
    printf "sched_input"
    printf " seq=%u", *(unsigned int *)($vmk_b + 8)
    printf " op="
    set $vmk_v = *(unsigned short *)($vmk_b + 12)
    vmk-trace-enum-sched_op $vmk_v
    printf " small=%u", *(unsigned short *)($vmk_b + 14)
    printf " id=%u", *(unsigned int *)($vmk_b + 16)
    printf " arg=%u", *(unsigned int *)($vmk_b + 20)
  end
  if $vmk_b[0] == 12
    printf "sched_input_wide"
    printf " seq=%u", *(unsigned int *)($vmk_b + 8)
    printf " op="
    set $vmk_v = *(unsigned short *)($vmk_b + 12)
    vmk-trace-enum-sched_op $vmk_v
    printf " small=%u", *(unsigned short *)($vmk_b + 14)
    printf " id=%u", *(unsigned int *)($vmk_b + 16)
    printf " arg=%u", *(unsigned int *)($vmk_b + 20)
    printf " value=0x%llx", *(unsigned long long *)($vmk_b + 24)
  end
  if $vmk_b[0] == 13
    printf "world_name"
    printf " id=%u", *(unsigned int *)($vmk_b + 8)
    printf " kind="
    set $vmk_v = *(unsigned short *)($vmk_b + 12)
    vmk-trace-enum-name_kind $vmk_v
    printf " vm=%u", *(unsigned int *)($vmk_b + 16)
    printf " pool=%u", *(unsigned int *)($vmk_b + 20)
    printf " name=\""
    set $vmk_c = 0
    while $vmk_c < 16 && ($vmk_b + 24)[$vmk_c] != 0
      printf "%c", ($vmk_b + 24)[$vmk_c]
      set $vmk_c = $vmk_c + 1
    end
    printf "\""
  end
  if $vmk_b[0] == 16
    printf "vm_exit"
    printf " tid=%u", *(unsigned int *)($vmk_b + 8)
    printf " reason="
    set $vmk_v = *(unsigned short *)($vmk_b + 12)
    vmk-trace-enum-vm_exit $vmk_v
    printf " length=%u", *(unsigned short *)($vmk_b + 14)
    printf " qualification=0x%llx", *(unsigned long long *)($vmk_b + 16)
    printf " ns=%u", *(unsigned int *)($vmk_b + 24)
  end
  if $vmk_b[0] == 17
    printf "vm_entry"
    printf " tid=%u", *(unsigned int *)($vmk_b + 8)
    printf " injected=%u", *(unsigned int *)($vmk_b + 12)
  end
  if $vmk_b[0] == 18
    printf "ept_fault"
    printf " tid=%u", *(unsigned int *)($vmk_b + 8)
    printf " flags=%u", *(unsigned int *)($vmk_b + 12)
    printf " ppn=0x%llx", *(unsigned long long *)($vmk_b + 16)
  end
  if $vmk_b[0] == 32
    printf "mem_state"
    printf " host_free=%llu", *(unsigned long long *)($vmk_b + 8)
    printf " level="
    set $vmk_v = *(unsigned short *)($vmk_b + 16)
    vmk-trace-enum-mem_level $vmk_v
  end
  if $vmk_b[0] == 33
    printf "mem_sample"
    printf " vm=%u", *(unsigned int *)($vmk_b + 8)
    printf " est_active=%u", *(unsigned int *)($vmk_b + 12)
    printf " slow=%u", *(unsigned int *)($vmk_b + 16)
    printf " fast=%u", *(unsigned int *)($vmk_b + 20)
  end
  if $vmk_b[0] == 34
    printf "mem_target"
    printf " vm=%u", *(unsigned int *)($vmk_b + 8)
    printf " entitlement=%u", *(unsigned int *)($vmk_b + 12)
    printf " balloon_target=%u", *(unsigned int *)($vmk_b + 16)
    printf " swap_target=%u", *(unsigned int *)($vmk_b + 20)
    printf " price=%u", *(unsigned int *)($vmk_b + 24)
    printf " blocked=%u", *(unsigned short *)($vmk_b + 28)
    printf " cap=%u", *(unsigned int *)($vmk_b + 32)
    printf " due=%u", *(unsigned int *)($vmk_b + 36)
  end
  if $vmk_b[0] == 35
    printf "balloon"
    printf " vm=%u", *(unsigned int *)($vmk_b + 8)
    printf " delta=%d", *(int *)($vmk_b + 12)
    printf " current=%u", *(unsigned int *)($vmk_b + 16)
    printf " latency_us=%u", *(unsigned int *)($vmk_b + 20)
  end
  if $vmk_b[0] == 36
    printf "share_merge"
    printf " vm=%u", *(unsigned int *)($vmk_b + 8)
    printf " ppn=%u", *(unsigned int *)($vmk_b + 12)
    printf " mpn=%u", *(unsigned int *)($vmk_b + 16)
    printf " refs=%u", *(unsigned int *)($vmk_b + 20)
  end
  if $vmk_b[0] == 37
    printf "share_break"
    printf " vm=%u", *(unsigned int *)($vmk_b + 8)
    printf " ppn=%u", *(unsigned int *)($vmk_b + 12)
    printf " mpn=%u", *(unsigned int *)($vmk_b + 16)
    printf " refs=%u", *(unsigned int *)($vmk_b + 20)
  end
  if $vmk_b[0] == 38
    printf "compress"
    printf " vm=%u", *(unsigned int *)($vmk_b + 8)
    printf " ppn=%u", *(unsigned int *)($vmk_b + 12)
    printf " bytes_out=%u", *(unsigned int *)($vmk_b + 16)
    printf " ns=%u", *(unsigned int *)($vmk_b + 20)
  end
  if $vmk_b[0] == 39
    printf "decompress"
    printf " vm=%u", *(unsigned int *)($vmk_b + 8)
    printf " ppn=%u", *(unsigned int *)($vmk_b + 12)
    printf " bytes_out=%u", *(unsigned int *)($vmk_b + 16)
    printf " ns=%u", *(unsigned int *)($vmk_b + 20)
  end
  if $vmk_b[0] == 40
    printf "swap_out"
    printf " vm=%u", *(unsigned int *)($vmk_b + 8)
    printf " ppn=%u", *(unsigned int *)($vmk_b + 12)
    printf " slot=%u", *(unsigned int *)($vmk_b + 16)
    printf " latency_us=%u", *(unsigned int *)($vmk_b + 20)
  end
  if $vmk_b[0] == 41
    printf "swap_in"
    printf " vm=%u", *(unsigned int *)($vmk_b + 8)
    printf " ppn=%u", *(unsigned int *)($vmk_b + 12)
    printf " slot=%u", *(unsigned int *)($vmk_b + 16)
    printf " latency_us=%u", *(unsigned int *)($vmk_b + 20)
  end
  if $vmk_b[0] == 42
    printf "refault"
    printf " vm=%u", *(unsigned int *)($vmk_b + 8)
    printf " ppn=%u", *(unsigned int *)($vmk_b + 12)
    printf " distance=%u", *(unsigned int *)($vmk_b + 16)
    printf " cause=%u", *(unsigned int *)($vmk_b + 20)
  end
  if $vmk_b[0] == 43
    printf "mem_input"
    printf " seq=%u", *(unsigned int *)($vmk_b + 8)
    printf " op="
    set $vmk_v = *(unsigned short *)($vmk_b + 12)
    vmk-trace-enum-mem_op $vmk_v
    printf " small=%u", *(unsigned short *)($vmk_b + 14)
    printf " id=%u", *(unsigned int *)($vmk_b + 16)
    printf " a=%u", *(unsigned int *)($vmk_b + 20)
    printf " b=%u", *(unsigned int *)($vmk_b + 24)
    printf " c=%u", *(unsigned int *)($vmk_b + 28)
    printf " d=%u", *(unsigned int *)($vmk_b + 32)
    printf " e=%u", *(unsigned int *)($vmk_b + 36)
  end
  if $vmk_b[0] == 44
    printf "mem_refused"
    printf " id=%u", *(unsigned int *)($vmk_b + 8)
    printf " status=%u", *(unsigned short *)($vmk_b + 12)
    printf " of_swap=%u", *(unsigned short *)($vmk_b + 14)
    printf " wanted=%u", *(unsigned int *)($vmk_b + 16)
    printf " left=%u", *(unsigned int *)($vmk_b + 20)
  end
  if $vmk_b[0] == 45
    printf "mem_checkpoint"
    printf " seq=%u", *(unsigned int *)($vmk_b + 8)
    printf " level="
    set $vmk_v = *(unsigned short *)($vmk_b + 12)
    vmk-trace-enum-mem_level $vmk_v
    printf " nodes=%u", *(unsigned short *)($vmk_b + 14)
    printf " managed=%llu", *(unsigned long long *)($vmk_b + 16)
    printf " swap=%llu", *(unsigned long long *)($vmk_b + 24)
    printf " min_free=%llu", *(unsigned long long *)($vmk_b + 32)
    printf " free=%llu", *(unsigned long long *)($vmk_b + 40)
    printf " free_then=%llu", *(unsigned long long *)($vmk_b + 48)
  end
  if $vmk_b[0] == 46
    printf "mem_tunable"
    printf " tunable=%u", *(unsigned int *)($vmk_b + 8)
    printf " value=%u", *(unsigned int *)($vmk_b + 12)
  end
  if $vmk_b[0] == 47
    printf "mem_node"
    printf " id=%u", *(unsigned int *)($vmk_b + 8)
    printf " slot=%u", *(unsigned short *)($vmk_b + 12)
    printf " parent=%u", *(unsigned short *)($vmk_b + 14)
    printf " flags=%u", *(unsigned short *)($vmk_b + 16)
    printf " depth=%u", *(unsigned short *)($vmk_b + 18)
    printf " shares=%u", *(unsigned int *)($vmk_b + 20)
    printf " min=%u", *(unsigned int *)($vmk_b + 24)
    printf " max=%u", *(unsigned int *)($vmk_b + 28)
    printf " overhead=%u", *(unsigned int *)($vmk_b + 32)
    printf " size=%u", *(unsigned int *)($vmk_b + 36)
    printf " touched=%u", *(unsigned int *)($vmk_b + 40)
    printf " ballooned=%u", *(unsigned int *)($vmk_b + 44)
    printf " swapped=%u", *(unsigned int *)($vmk_b + 48)
    printf " compressed=%u", *(unsigned int *)($vmk_b + 52)
    printf " saved=%u", *(unsigned int *)($vmk_b + 56)
    printf " balloon_max=%u", *(unsigned int *)($vmk_b + 60)
    printf " slow=%u", *(unsigned int *)($vmk_b + 64)
    printf " fast=%u", *(unsigned int *)($vmk_b + 68)
    printf " partial=%u", *(unsigned int *)($vmk_b + 72)
    printf " entitlement=%u", *(unsigned int *)($vmk_b + 76)
    printf " balloon_target=%u", *(unsigned int *)($vmk_b + 80)
    printf " swap_target=%u", *(unsigned int *)($vmk_b + 84)
    printf " price=%u", *(unsigned int *)($vmk_b + 88)
    printf " cap=%u", *(unsigned int *)($vmk_b + 92)
    printf " due=%u", *(unsigned int *)($vmk_b + 96)
    printf " reserved=%llu", *(unsigned long long *)($vmk_b + 104)
    printf " name=\""
    set $vmk_c = 0
    while $vmk_c < 16 && ($vmk_b + 112)[$vmk_c] != 0
      printf "%c", ($vmk_b + 112)[$vmk_c]
      set $vmk_c = $vmk_c + 1
    end
    printf "\""
  end
  if $vmk_b[0] == 48
    printf "io_submit"
    printf " vm=%u", *(unsigned int *)($vmk_b + 8)
    printf " length=%u", *(unsigned int *)($vmk_b + 12)
    printf " lba=%llu", *(unsigned long long *)($vmk_b + 16)
    printf " device=%u", *(unsigned int *)($vmk_b + 24)
    printf " op=%u", *(unsigned int *)($vmk_b + 28)
  end
  if $vmk_b[0] == 49
    printf "io_done"
    printf " vm=%u", *(unsigned int *)($vmk_b + 8)
    printf " length=%u", *(unsigned int *)($vmk_b + 12)
    printf " lba=%llu", *(unsigned long long *)($vmk_b + 16)
    printf " latency_us=%u", *(unsigned int *)($vmk_b + 24)
    printf " status=%u", *(unsigned int *)($vmk_b + 28)
  end
  if $vmk_b[0] == 64
    printf "sys_enter"
    printf " tid=%u", *(unsigned int *)($vmk_b + 8)
    printf " number=%u", *(unsigned int *)($vmk_b + 12)
    printf " arg0=0x%llx", *(unsigned long long *)($vmk_b + 16)
  end
  if $vmk_b[0] == 65
    printf "sys_exit"
    printf " tid=%u", *(unsigned int *)($vmk_b + 8)
    printf " number=%u", *(unsigned int *)($vmk_b + 12)
    printf " result=%llu", *(unsigned long long *)($vmk_b + 16)
  end
  if $vmk_b[0] == 80
    printf "mem_truth"
    printf " vm=%u", *(unsigned int *)($vmk_b + 8)
    printf " active=%u", *(unsigned int *)($vmk_b + 12)
    printf " missing=%u", *(unsigned int *)($vmk_b + 16)
    printf " faults=%u", *(unsigned int *)($vmk_b + 20)
  end
  if $vmk_b[0] == 250
    printf "checkpoint"
    printf " records=%llu", *(unsigned long long *)($vmk_b + 8)
    printf " hash=0x%llx", *(unsigned long long *)($vmk_b + 16)
  end
  if $vmk_b[0] == 251
    printf "lab_todo"
    printf " id=%u", *(unsigned int *)($vmk_b + 8)
    printf " arg=%u", *(unsigned int *)($vmk_b + 12)
  end
  if $vmk_b[0] == 252
    printf "assert"
    printf " id=%u", *(unsigned int *)($vmk_b + 8)
    printf " arg=%u", *(unsigned int *)($vmk_b + 12)
  end
  if $vmk_b[0] == 253
    printf "lost"
    printf " count=%u", *(unsigned int *)($vmk_b + 8)
    printf " total=%u", *(unsigned int *)($vmk_b + 12)
  end
end
