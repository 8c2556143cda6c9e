# A host of 192 MB that three VMs fill. At 60 s a fourth boots and works with 40 MB. It pays more for its few pages than they
# do for their many, so those with too many give for it, and it has what it needs soon: no page of its own goes meanwhile.
workload memory_boot
duration 240s
host cpus=2
variant noballoon mem.balloon=0
variant faulty mem.swap_errors=10% mem.balloon_refused=50%
variant slow mem.swap_rate=2MB mem.balloon_rate=1MB
memory size=192MB swap=1GB sample=10 fill_rate=32MB balloon_rate=2MB swap_rate=8MB
vm web
vm mail
vm build
vm late
mem web size=80MB
mem mail size=80MB
mem build size=80MB driver=no min=30MB
mem late size=80MB on=60s
world web.v vm=web
  touch used=75MB active=10MB ; until 240s
world mail.v vm=mail
  touch used=75MB active=5MB ; until 240s
world build.v vm=build
  touch used=60MB active=30MB ; until 240s
world late.v vm=late start=60s
  touch used=40MB active=40MB ; until 240s
expect mem_held(late) >= 38 each 5s from 75s to 240s
expect mem_faults(late) = 0
expect mem_work(late) >= 0.9 each 5s from 75s
expect mem_work(*) >= 0.9 each 30s from 120s
expect mem_below(*) = 0
expect mem_under(*) = 0
expect mem_early(*) = 0
expect mem_wrong(*) = 0
expect noballoon.mem_held(late) >= 38 each 5s from 75s to 240s
expect noballoon.mem_wrong(*) = 0
expect faulty.mem_wrong(*) = 0
expect faulty.mem_below(*) = 0
expect faulty.mem_under(*) = 0
expect slow.mem_held(late) >= 38 each 10s from 120s
expect slow.mem_under(*) = 0
expect slow.mem_below(*) = 0
