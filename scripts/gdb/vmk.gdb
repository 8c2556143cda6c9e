# vmk.gdb -- the kernel's structures as commands: worlds, run queues, locks, vCPUs, log.
#
# Written in GDB's own language. Everything starts at `vmk_host_now`, which is a constant in the
# image and the host whose turn it is in the simulator, so each command works on both.

define vmk-help
  printf "vmk-worlds          every world: id, state, CPU, times in us, name\n"
  printf "vmk-runq            each CPU's run queue: current world and who is ready\n"
  printf "vmk-locks           the locks each CPU holds\n"
  printf "vmk-vcpu [VM VCPU]  a virtual CPU's registers and pending events (default 0 0)\n"
  printf "vmk-vmcs [VM VCPU]  its VMCB by field name, or what is cached of its VMCS\n"
  printf "vmk-ept GPA [VM]    walk the nested page table for a guest-physical address\n"
  printf "vmk-log             the log ring\n"
  printf "vmk-trace [N]       the last N trace records of each CPU\n"
  printf "vmk-bt WORLD        the stack of a world that is not running\n"
end
document vmk-help
vmk-help: the list of commands for Orrery's structures.
end

define vmk-worlds
  set $vmk_all = &vmk_host_now->world->all
  set $vmk_node = $vmk_all->next
  set $vmk_at = (unsigned long)&((struct world *)0)->all_link
  echo    world state           cpu       run us     ready us    costop us      wait us  name\n
  while $vmk_node != $vmk_all
    set $vmk_w = (struct world *)((char *)$vmk_node - $vmk_at)
    printf "%8u ", $vmk_w->id.raw
    set $vmk_e = &$vmk_w->sched
    if $vmk_w->id.raw <= 64
      set $vmk_e = &vmk_host_now->sched->machine.cpu[$vmk_w->id.raw - 1].idle
    end
    output (enum sched_world_state)$vmk_e->state
    printf "\t%4u %12llu %12llu %12llu %12llu  %s\n", $vmk_e->cpu, $vmk_e->times.run / 1000, $vmk_e->times.ready / 1000, $vmk_e->times.costop / 1000, $vmk_e->times.wait / 1000, $vmk_w->name
    set $vmk_node = $vmk_node->next
  end
end
document vmk-worlds
vmk-worlds: every world with its state, CPU and times; the times are exact up to its last change.
end

define vmk-runq
  set $vmk_i = 0
  while $vmk_i < 64
    set $vmk_q = &vmk_host_now->sched->local[$vmk_i]
    set $vmk_c = &vmk_host_now->sched->machine.cpu[$vmk_i]
    if $vmk_q->idle != 0
      printf "cpu%u: running %u (%s)", $vmk_i, $vmk_q->current->id.raw, $vmk_q->current->name
      if vmk_host_now->sched->flags[$vmk_i].need_switch
        printf ", switch wanted"
      end
      printf ", %u ready\n", $vmk_c->waiting
    end
    set $vmk_i = $vmk_i + 1
  end
end
document vmk-runq
vmk-runq: what each CPU runs and how many worlds are ready on it.
end

define vmk-locks
  set $vmk_i = 0
  while $vmk_i < 64
    set $vmk_c = &vmk_host_now->core->cpus[$vmk_i]
    set $vmk_j = 0
    while $vmk_j < $vmk_c->held_count
      printf "cpu%u holds %s (rank %u)\n", $vmk_i, $vmk_c->held[$vmk_j]->name, $vmk_c->held[$vmk_j]->rank
      set $vmk_j = $vmk_j + 1
    end
    set $vmk_i = $vmk_i + 1
  end
end
document vmk-locks
vmk-locks: the stack of held locks of every CPU, outermost first. Nothing held prints nothing.
end

define vmk-pick-vcpu
  set $vmk_vm = vmk_host_now->vmm->vms[0]
  set $vmk_v = (struct vcpu *)0
  if $argc >= 1
    set $vmk_vm = vmk_host_now->vmm->vms[$arg0]
  end
  if $vmk_vm == 0
    printf "no such VM\n"
  else
    set $vmk_v = $vmk_vm->vcpus[0]
    if $argc >= 2
      set $vmk_v = $vmk_vm->vcpus[$arg1]
    end
  end
end
document vmk-pick-vcpu
vmk-pick-vcpu [VM VCPU]: sets $vmk_vm and $vmk_v for the other commands.
end

define vmk-vcpu
  if $argc == 2
    vmk-pick-vcpu $arg0 $arg1
  else
    vmk-pick-vcpu 0 0
  end
  if $vmk_v != 0
    printf "%s vCPU %u, world %u, ", $vmk_vm->config.name, $vmk_v->index, $vmk_v->world.raw
    output $vmk_v->state
    if $vmk_v->on_cpu != 0
      printf ", in the guest on cpu%u\n", $vmk_v->on_cpu - 1
    else
      printf ", not in the guest\n"
    end
    printf "rax %016llx rcx %016llx rdx %016llx rbx %016llx\n", $vmk_v->regs.gpr[0], $vmk_v->regs.gpr[1], $vmk_v->regs.gpr[2], $vmk_v->regs.gpr[3]
    printf "rbp %016llx rsi %016llx rdi %016llx r8  %016llx\n", $vmk_v->regs.gpr[5], $vmk_v->regs.gpr[6], $vmk_v->regs.gpr[7], $vmk_v->regs.gpr[8]
    printf "r9  %016llx r10 %016llx r11 %016llx r12 %016llx\n", $vmk_v->regs.gpr[9], $vmk_v->regs.gpr[10], $vmk_v->regs.gpr[11], $vmk_v->regs.gpr[12]
    printf "r13 %016llx r14 %016llx r15 %016llx cr2 %016llx\n", $vmk_v->regs.gpr[13], $vmk_v->regs.gpr[14], $vmk_v->regs.gpr[15], $vmk_v->regs.cr2
    printf "to inject: valid %u type %u vector %u; nmi %u init %u sipi %d\n", $vmk_v->inject.valid, $vmk_v->inject.type, $vmk_v->inject.vector, $vmk_v->nmi_pending, $vmk_v->init_pending, $vmk_v->sipi_vector
    set $vmk_i = 0
    while $vmk_i < VM_EXIT_KIND_COUNT
      if $vmk_v->exit_counts[$vmk_i] != 0
        printf "%10llu  ", $vmk_v->exit_counts[$vmk_i]
        output (enum vm_exit_kind)$vmk_i
        printf "\n"
      end
      set $vmk_i = $vmk_i + 1
    end
  end
end
document vmk-vcpu
vmk-vcpu [VM VCPU]: general registers, pending events and exit counts of a virtual CPU.
end

define vmk-vmcs
  if $argc == 2
    vmk-pick-vcpu $arg0 $arg1
  else
    vmk-pick-vcpu 0 0
  end
  if $vmk_v != 0
    if $vmk_vm->nested.format->name[0] == 'e'
      print/x *(struct guest_cpu *)$vmk_v->backend
    else
      if vmk_host_now->vmm->svm_cpus[0] != 0
        print/x *((struct svm_vcpu *)$vmk_v->backend)->vmcb
      else
        print/x *(struct vtx_vcpu *)$vmk_v->backend
      end
    end
  end
end
document vmk-vmcs
vmk-vmcs [VM VCPU]: the VMCB by field name. A VMCS is only readable by VMREAD on its CPU: there
the command prints what the back end caches, and `call vtx_dump(V)` logs all fields. Nor has the
simulation's engine one: it prints what the engine's back end keeps.
end

define vmk-ept
  set $vmk_vm = vmk_host_now->vmm->vms[0]
  if $argc >= 2
    set $vmk_vm = vmk_host_now->vmm->vms[$arg1]
  end
  set $vmk_gpa = (unsigned long)$arg0
  set $vmk_level = 0
  if $vmk_vm == 0
    printf "no such VM\n"
  else
    set $vmk_table = $vmk_vm->nested.root.raw
    set $vmk_level = 4
    printf "%s root %#lx\n", $vmk_vm->nested.format->name, $vmk_table << 12
  end
  while $vmk_level > 0
    set $vmk_index = ($vmk_gpa >> (12 + 9 * ($vmk_level - 1))) & 511
    set $vmk_entry = ((unsigned long *)(vmk_direct_map + ($vmk_table << 12)))[$vmk_index]
    printf "level %u index %3u entry %016lx", $vmk_level, $vmk_index, $vmk_entry
    if ($vmk_entry & $vmk_vm->nested.format->present_mask) == 0
      printf "  not present\n"
      set $vmk_level = 0
    else
      if $vmk_level == 1 || ($vmk_level == 2 && ($vmk_entry & 0x80))
        set $vmk_mpn = ($vmk_entry & 0xffffffffff000) >> 12
        if $vmk_level == 2
          printf "  maps 2 MB from MPN %#lx: ", $vmk_mpn & ~511ul
          set $vmk_mpn = ($vmk_mpn & ~511ul) | (($vmk_gpa >> 12) & 511)
          printf "GPA %#lx is MPN %#lx\n", $vmk_gpa, $vmk_mpn
        else
          printf "  maps MPN %#lx\n", $vmk_mpn
        end
        set $vmk_level = 0
      else
        printf "  table\n"
        set $vmk_table = ($vmk_entry & 0xffffffffff000) >> 12
        set $vmk_level = $vmk_level - 1
      end
    end
  end
end
document vmk-ept
vmk-ept GPA [VM]: walks EPT or NPT for a guest-physical address and prints every level.
end

define vmk-log
  set $vmk_ring = &vmk_host_now->core->log
  set $vmk_size = sizeof($vmk_ring->bytes)
  set $vmk_from = $vmk_ring->written > $vmk_size ? $vmk_ring->written - $vmk_size : 0
  if $argc == 1
    if $vmk_ring->written > $arg0
      set $vmk_from = $vmk_ring->written - $arg0
    end
  end
  while $vmk_from < $vmk_ring->written
    if $vmk_ring->bytes[$vmk_from % $vmk_size] > 4
      printf "%c", $vmk_ring->bytes[$vmk_from % $vmk_size]
    end
    set $vmk_from = $vmk_from + 1
  end
end
document vmk-log
vmk-log [BYTES]: the log ring, oldest first (or its last BYTES bytes).
end

define vmk-bt
  set $vmk_found = 0
  set $vmk_all = &vmk_host_now->world->all
  set $vmk_node = $vmk_all->next
  set $vmk_at = (unsigned long)&((struct world *)0)->all_link
  while $vmk_node != $vmk_all
    set $vmk_w = (struct world *)((char *)$vmk_node - $vmk_at)
    if $vmk_w->id.raw == $arg0
      set $vmk_found = 1
      if $vmk_w->sched.state == SCHED_STATE_RUN
        printf "world %u is running: use `bt` on its CPU's thread\n", $arg0
      else
        if (unsigned long)vmk_direct_map == 0xffff800000000000
          vmk-stack $vmk_w->context
        else
          vmk-stack-sim $vmk_w->context
        end
      end
    end
    set $vmk_node = $vmk_node->next
  end
  if !$vmk_found
    printf "no world %u\n", $arg0
  end
end
document vmk-bt
vmk-bt WORLD: the call chain of a world that is not running, by its frame pointers.
end

# A saved context holds the stack pointer; above it lie r15 r14 r13 r12 rbx rbp and the return
# address (arch/x86/entry.S, plat_context_switch).
define vmk-stack
  set $vmk_sp = (unsigned long *)$arg0.opaque[0]
  set $vmk_fp = (unsigned long *)$vmk_sp[5]
  printf "  "
  info symbol $vmk_sp[6]
  while $vmk_fp != 0
    if $vmk_fp[1] == 0
      set $vmk_fp = (unsigned long *)0
    else
      printf "  "
      info symbol $vmk_fp[1]
      set $vmk_fp = (unsigned long *)$vmk_fp[0]
    end
  end
end
document vmk-stack
vmk-stack CONTEXT: what vmk-bt does for a struct plat_context of the image.
end

# The simulator's contexts are coroutines: a saved ucontext_t with RBP at index 10, RIP at 16.
define vmk-stack-sim
  set $vmk_stack = &((struct fiber *)$arg0.opaque[0])->context.uc_stack
  set $vmk_low = (unsigned long)$vmk_stack->ss_sp
  set $vmk_high = $vmk_low + $vmk_stack->ss_size
  set $vmk_regs = ((struct fiber *)$arg0.opaque[0])->context.uc_mcontext.gregs
  set $vmk_fp = (unsigned long *)$vmk_regs[10]
  printf "  "
  info symbol $vmk_regs[16]
  while $vmk_fp != 0
    if (unsigned long)$vmk_fp < $vmk_low || (unsigned long)$vmk_fp >= $vmk_high - 16
      set $vmk_fp = (unsigned long *)0
    else
      if $vmk_fp[1] == 0
        set $vmk_fp = (unsigned long *)0
      else
        printf "  "
        info symbol $vmk_fp[1]
        set $vmk_fp = (unsigned long *)$vmk_fp[0]
      end
    end
  end
end
document vmk-stack-sim
vmk-stack-sim CONTEXT: what vmk-bt does for a context of the simulator.
end
