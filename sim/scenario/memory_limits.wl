# A host with plenty of memory: limits hold all the same, of VMs and of a pool, by the balloon first.
workload memory_limits
duration 360s
host cpus=2
variant noballoon mem.balloon=0
variant refusing mem.balloon_refused=100%
variant fast mem.fill_rate=32MB
variant full mem.balloon=0 mem.swap_full=yes mem.swap_rate=0KB
memory size=1GB swap=1GB sample=10 fill_rate=2MB balloon_rate=8MB swap_rate=8MB
pool p
vm a
vm b
vm c pool=p
vm d pool=p
mem p max=100MB
mem a size=160MB max=100MB
mem b size=120MB max=60MB driver=no
mem c size=120MB
mem d size=120MB min=40MB
world a.v vm=a
  touch used=150MB active=20MB ; sleep 300s ; touch active=150MB ; sleep 8s ; touch active=20MB ; until 360s
world b.v vm=b
  touch used=100MB active=10MB ; until 360s
world c.v vm=c
  touch used=90MB active=30MB ; until 360s
world d.v vm=d
  touch used=20MB active=10MB ; sleep 100s ; touch used=90MB active=40MB ; until 360s
# A limit may change while the VM runs: lower, higher, none.
at 150s set a mem.max=60MB
at 210s set a mem.max=120MB
at 270s set a mem.max=0MB
at 270s set p mem.max=160MB
expect mem_over(a) = 0 to 149s
expect mem_over(b) = 0 to 149s
expect mem_over(a) + mem_over(b) = 0 from 175s
expect mem_held(a) <= 100 each 10s to 149s
expect mem_held(a) >= 90 each 10s from 60s to 149s
expect mem_held(a) <= 60 each 10s from 180s to 210s
expect mem_held(a) >= 110 each 10s from 240s to 270s
expect mem_held(a) >= 149 each 10s from 320s
expect mem_swapped(a) + mem_compressed(a) <= 32 each 10s to 149s
expect mem_balloon(a) >= 38 each 10s from 90s to 149s
expect mem_held(b) <= 60 each 10s
expect mem_held(c) + mem_held(d) <= 100 each 1s to 270s
expect mem_held(c) + mem_held(d) >= 140 each 10s from 345s
expect mem_below(d) = 0
expect mem_early(*) = 0
expect mem_wrong(*) = 0
expect mem_lost(*) = 0
# Without a balloon, or one that nobody follows, compression and swapping take the same.
expect noballoon.mem_balloon(*) = 0
expect noballoon.mem_over(a) + noballoon.mem_over(b) = 0 to 149s
expect noballoon.mem_held(c) + noballoon.mem_held(d) <= 100 each 1s to 149s
expect noballoon.mem_held(a) <= 100 each 10s to 149s
expect noballoon.mem_wrong(*) = 0
expect refusing.mem_balloon(*) = 0
expect refusing.mem_over(a) + refusing.mem_over(b) = 0 to 149s
expect refusing.mem_held(a) <= 100 each 10s to 149s
# With neither a VM does not get more; it waits.
expect fast.mem_over(a) + fast.mem_over(b) = 0 to 149s
expect fast.mem_held(a) <= 100 each 10s to 149s
expect full.mem_held(b) <= 60 each 10s
