# Two VMs of 128 MB on a host that has 180 for them, one idle and one at work: the idle one pays.
workload idle_tax
duration 400s
host cpus=2
variant untaxed mem.idle-tax=0
memory size=192MB swap=1GB sample=10 fill_rate=8MB balloon_rate=8MB swap_rate=4MB
vm idle
vm busy
mem idle size=128MB
mem busy size=128MB
world idle.v vm=idle
  touch used=128MB active=4MB ; sleep 1s ; loop
world busy.v vm=busy
  touch used=125MB active=125MB ; sleep 1s ; loop
# Without the tax equal shares hold equal memory; with 75 % the idle VM gives most of its idle pages.
expect mem_held(busy) >= 122 each 60s from 160s
expect mem_held(idle) <= 60 each 60s from 160s
expect untaxed.mem_held(idle) = untaxed.mem_held(busy) within 5% from 180s
expect mem_swing(*) <= 8 from 300s
expect mem_early(*) = 0
expect mem_wrong(*) = 0
