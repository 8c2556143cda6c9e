# A storm: every 10 ms one broadcast wakes sixty-four worlds that each want 200 us, on eight CPUs
# with four hogs. All are served before the next storm, and the hogs keep what is left.
workload wake_storm
duration 10s
host cpus=8 llc=4
event storm
world drum
  align 10ms ; broadcast storm ; loop
world w[0..63] start=uniform(0,9ms)
  wait storm ; run exp(200us) ; count ; loop
world hog[0..3] start=uniform(0,5ms)
  run exp(20ms) ; loop
expect ops(w*) >= 63000
expect wake_p99(w*) <= 10ms
expect wake_p99(drum) <= 2ms
# In a storm all eight CPUs work for 1.6 ms and more, and the hogs lose half of theirs to it.
expect cpu(*) >= 460% from 1s
