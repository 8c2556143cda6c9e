# A thousand and twenty-four worlds on sixty-four CPUs: shares hold between groups, nobody starves,
# CPUs do not idle while worlds wait.
workload crowd
duration 4s
host cpus=64 llc=8 package=16 numa=16 speed=2000MHz
world busy[0..255] shares=1000 start=uniform(0,20ms)
  run exp(5ms) ; loop
world double[0..255] shares=2000 start=uniform(0,20ms)
  run exp(5ms) ; loop
world nibble[0..511] shares=1000 start=uniform(0,20ms)
  run exp(200us) ; block io exp(10ms) ; loop
expect run(double*) = 2 * run(busy*) within 5% from 1s by share credit2 edf
expect cpu(*) >= 6390% from 1s
expect low(busy*) > 0s from 1s
expect wake_p99(nibble*) <= 40ms by share credit2 edf
