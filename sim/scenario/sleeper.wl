# A sleeper stores no credit: after a second of sleep it gets its share from then on, not the second
# it slept. And it is served soon after each wake-up, without taking from its equals.
workload sleeper
duration 20s
host cpus=1
world sleeper start=uniform(0,10ms)
  run 500ms ; align 2s ; loop
world hog[0..1] start=uniform(0,10ms)
  run exp(20ms) ; loop
world nibbler start=uniform(0,10ms)
  run 200us ; sleep exp(20ms) ; loop
expect run(sleeper) <= 340ms within 30ms each 1s from 2s
expect run(sleeper) = 500ms within 10% each 2s from 2s
expect wake_p99(nibbler) <= 10ms by share credit2 edf
expect wake_p50(nibbler) <= 5ms by share credit2 edf
expect jain(hog*) >= 0.99 from 1s
