# NUMA: two nodes of four CPUs; worlds keep to the node of their memory unless that costs more than
# it saves, and no node idles while the other has a queue.
workload numa
duration 10s
host cpus=8 llc=4 package=4 numa=4
cost numa=300us remote=30%
world w[0..11] start=uniform(0,50ms)
  run exp(3ms) ; block io exp(1ms) ; loop
world hog[0..3] start=uniform(0,50ms)
  run exp(50ms) ; loop
expect remote(*) <= 15%
expect cpu(*) >= 760% from 1s
expect migrations(hog*) <= 400
