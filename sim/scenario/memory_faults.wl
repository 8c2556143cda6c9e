# Four VMs of 80 MB on a host of 160 MB while everything that can fails: guests that refuse some pages or all, give them
# back late, lose their driver or reset it while the balloon is large; a swap device with errors; a datastore that is full
# for a while. No guest ever reads a wrong page; a VM whose page is lost is stopped.
workload memory_faults
duration 420s
host cpus=4
variant errors mem.swap_errors=30%
variant rot mem.swap_rot=20000
variant slow mem.swap_rate=512KB mem.balloon_rate=512KB
variant stubborn mem.balloon_refused=100%
variant burst mem.kernel=300KB
memory size=160MB swap=1GB sample=10 fill_rate=8MB balloon_rate=8MB swap_rate=4MB
vm a
vm b
vm c
vm d
mem a size=80MB refuse=60%
mem b size=80MB min=30MB late=20
mem c size=80MB refuse=100% share=30%
mem d size=80MB share=30%
world a.v vm=a
  touch used=75MB active=10MB ; sleep 140s ; touch active=40MB ; sleep 140s ; touch active=5MB base=30MB ; until 420s
world b.v vm=b
  touch used=60MB active=20MB ; sleep 180s ; touch active=30MB ; sleep 100s ; touch active=3MB ; until 420s
world c.v vm=c
  touch used=65MB active=20MB ; sleep 220s ; touch active=50MB ; sleep 60s ; touch active=10MB ; until 420s
world d.v vm=d start=30s
  touch used=75MB active=15MB ; sleep 250s ; touch active=30MB ; until 420s
at 100s set d mem.reset=yes
at 160s set host mem.swap_full=yes
at 200s set host mem.swap_full=no
at 240s set d mem.driver=no
at 300s set d mem.driver=yes
at 320s set d mem.reset=yes
at 330s set host mem.swap_full=yes
at 350s set host mem.swap_full=no
expect mem_wrong(*) = 0
expect mem_lost(*) = 0
expect mem_on(*) >= 3.9
expect mem_early(*) = 0
expect mem_below(*) = 0
expect mem_under(*) = 0
expect mem_balloon(c) = 0
# Nobody stands still for good: in each half minute all get on with their work, whoever has his reservation always.
expect mem_work(*) >= 0.5 each 30s
expect mem_work(b) >= 0.98 each 30s
# Errors and rot stop VMs (30 % of all transfers: three tries fail once in 37); nobody goes on with a page that is lost.
expect errors.mem_wrong(*) = 0
expect errors.mem_below(*) = 0
expect errors.mem_under(*) = 0
expect errors.mem_lost(*) >= 1
expect rot.mem_wrong(*) = 0
expect rot.mem_lost(*) >= 1
# Mechanisms too slow for the demand: level low. Who is above his reservation waits, and nothing else happens.
expect slow.mem_wrong(*) = 0
expect slow.mem_lost(*) = 0
expect slow.mem_below(*) = 0
expect slow.mem_under(*) = 0
expect slow.mem_stalled(*) >= 1000
expect slow.mem_work(*) >= 0.2 each 60s
expect stubborn.mem_balloon(*) = 0
expect stubborn.mem_wrong(*) = 0
expect stubborn.mem_below(*) = 0
expect stubborn.mem_under(*) = 0
# What the VMkernel takes in bursts comes out of what guests leave above the floor.
expect burst.mem_wrong(*) = 0
expect burst.mem_below(*) = 0
expect burst.mem_under(*) = 0
