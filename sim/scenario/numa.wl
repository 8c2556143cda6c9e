# NUMA: two nodes of four CPUs, work 30 % slower away from home. With half a CPU to spare worlds spend at
# most a fifth of their time away from home (chance: half), though nothing idles while somebody waits, and
# the work done is close to what the CPUs could do at home.
workload numa
duration 10s
host cpus=8 llc=4 package=4 numa=4
cost numa=300us remote=30%
world w[0..5] start=uniform(0,50ms)
  run exp(3ms) ; block io exp(1ms) ; loop
world hog[0..2] start=uniform(0,50ms)
  run exp(50ms) ; loop
expect remote(*) <= 20% from 1s
expect cpu(hog*) >= 290% from 1s by share rr edf
expect cpu(hog*) >= 285% from 1s by credit2
expect cpu(w*) >= 420% from 1s
expect work(*) >= 0.9 * run(*)
