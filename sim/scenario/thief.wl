# Yield before the tick: a world that computes for 9.5 ms of each 10 ms and gives up the CPU just
# before a tick would charge it, against an honest one. Where time is charged by tick it takes
# all; here every nanosecond is charged, and it gains less than 1 %.
workload thief
duration 20s
host cpus=1
world thief start=uniform(0,10ms)
  run 9.5ms ; align 10ms ; loop
world shy start=uniform(0,10ms)
  run 9.9ms ; yield ; loop
world honest start=uniform(0,10ms)
  run exp(30ms) ; loop
expect run(thief) <= 1.01 * run(honest) from 1s by share credit2 rr
expect run(shy) <= 1.01 * run(honest) from 1s by share credit2 rr
expect share(thief) <= 1/3 within 10ms each 1s from 1s
