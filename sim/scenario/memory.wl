# Four VMs of 80 MB on a host of 160 MB: working sets that change, reservations, faulty mechanisms.
workload memory
duration 600s
host cpus=4
variant faulty mem.swap_errors=20% mem.balloon_refused=30%
variant noballoon mem.balloon=0
variant quick mem.slow-shift=1
memory size=160MB swap=1GB sample=10 fill_rate=8MB balloon_rate=8MB swap_rate=4MB
vm a
vm b
vm c
vm d
mem a size=80MB
mem b size=80MB min=30MB
mem c size=80MB driver=no share=30%
mem d size=80MB share=30%
world a.v vm=a
  touch used=75MB active=10MB ; sleep 200s ; touch active=40MB ; sleep 200s ; touch active=5MB base=30MB ; until 600s
world b.v vm=b
  touch used=50MB active=30MB ; sleep 300s ; touch active=3MB ; until 600s
world c.v vm=c
  touch used=45MB active=20MB ; until 600s
world d.v vm=d start=30s
  touch used=70MB active=15MB ; sleep 250s ; touch active=30MB ; until 600s
# Three periods of sampling (10 s each) after a rise, and the one that was under way, the estimate is within 15 % of what was
# touched. It falls slowly by design, in eleven periods; without the slow average it falls in three as well.
expect mem_error(a) <= 0.15 from 240s to 400s
expect mem_error(a) <= 0.15 from 510s to 600s
expect mem_error(b) <= 0.15 from 110s to 300s
expect mem_error(c) <= 0.15 from 150s to 600s
expect mem_error(d) <= 0.15 from 320s to 600s
expect quick.mem_error(a) <= 0.15 from 240s to 400s
expect quick.mem_error(a) <= 0.15 from 440s
expect quick.mem_error(b) <= 0.15 from 110s to 195s
expect quick.mem_error(b) <= 0.15 from 340s
# Steady demand: targets come to rest.
expect mem_swing(*) <= 8 from 150s to 200s
expect mem_swing(*) <= 16 from 560s to 600s
# Mechanisms in their order, reservations and the host's floor, and no page is ever wrong.
expect mem_early(*) = 0
expect mem_below(b) = 0
expect mem_under(*) = 0
expect mem_free(*) >= 1.5
expect mem_wrong(*) = 0
expect mem_work(*) >= 0.95 from 150s to 200s
expect faulty.mem_wrong(*) = 0
expect faulty.mem_below(b) = 0
expect faulty.mem_under(*) = 0
expect noballoon.mem_balloon(*) = 0
expect noballoon.mem_wrong(*) = 0
expect noballoon.mem_under(*) = 0
