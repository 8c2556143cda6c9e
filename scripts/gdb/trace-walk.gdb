# SPDX-License-Identifier: BSD-2-Clause
#
# trace-walk.gdb -- vmk-trace: the last records of every CPU, out of the rings in memory.
#
# Works on a stopped image and in the simulator, also after a panic. The printers of single records are in
# trace.gdb. Records have different sizes, so a packet is walked from its start: a count, then the
# last N.

# vmk-trace-packet ADDRESS END SKIP STREAM: prints the records of a packet but the first SKIP.
define vmk-trace-packet
  set $vmk_at = (unsigned long long *)$arg0
  set $vmk_end = (unsigned long long *)$arg1
  set $vmk_n = 0
  while $vmk_at < $vmk_end
    set $vmk_words = trace_words_of[*$vmk_at & 0xff]
    if $vmk_words == 0
      printf "  damaged: no event %u\n", (unsigned)(*$vmk_at & 0xff)
      set $vmk_at = $vmk_end
    else
      if $vmk_n >= $arg2
        printf "%6llu.%09llu ", *$vmk_at / 256 / 1000000000, *$vmk_at / 256 % 1000000000
        if $arg3 == 64
          printf "sys   "
        else
          printf "cpu%-2u ", $arg3
        end
        vmk-trace-record $vmk_at
        printf "\n"
      end
      set $vmk_n = $vmk_n + 1
      set $vmk_at = $vmk_at + $vmk_words
    end
  end
end

# vmk-trace-stream STREAM N: the last N records, from the packet before the open one if need be.
define vmk-trace-stream
  set $vmk_s = &vmk_host_now->trace->streams[$arg0]
  if $vmk_s->slots != 0
    set $vmk_slots = vmk_host_now->trace->slot_count
    set $vmk_open = 0
    if $vmk_s->at != 0
      set $vmk_open = $vmk_s->records - $vmk_s->opened
    end
    if $vmk_open < $arg1 && $vmk_s->head > 0 && $vmk_slots > 1
      set $vmk_p = &$vmk_s->slots[($vmk_s->head - 1) % $vmk_slots]
      set $vmk_skip = (int)$vmk_s->counts[($vmk_s->head - 1) % $vmk_slots] - ((int)$arg1 - (int)$vmk_open)
      vmk-trace-packet $vmk_p->words (char*)$vmk_p+$vmk_p->content_size/8 $vmk_skip $arg0
    end
    if $vmk_s->at != 0
      set $vmk_p = &$vmk_s->slots[$vmk_s->head % $vmk_slots]
      set $vmk_skip = (int)$vmk_open - (int)$arg1
      vmk-trace-packet $vmk_p->words $vmk_s->at $vmk_skip $arg0
    end
  end
end

define vmk-trace
  set $vmk_want = 10
  if $argc == 1
    set $vmk_want = $arg0
  end
  if vmk_host_now->trace->stream_count == 0
    printf "no recorder: boot with trace=all\n"
  end
  set $vmk_i = 0
  while $vmk_i < vmk_host_now->trace->stream_count
    vmk-trace-stream $vmk_i $vmk_want
    set $vmk_i = $vmk_i + 1
  end
  if vmk_host_now->trace->stream_count != 0
    vmk-trace-stream 64 $vmk_want
  end
end
document vmk-trace
vmk-trace [N]: the last N (10) trace records of each CPU and of `sys`, oldest first.
end
