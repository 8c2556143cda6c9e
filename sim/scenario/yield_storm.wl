# Worlds that yield in a tight loop get no more than their share, and keep nobody from his. Beside two hogs on
# one CPU a yielder gets less: it gives its CPU away for a whole slice of theirs each time. What a hog
# got so it pays back when it comes to stand beside other worlds: a lead of at most 8 quanta, 80 ms.
workload yield_storm
duration 5s
host cpus=2
world yielder[0..3] start=uniform(0,5ms)
  run exp(50us) ; yield ; loop
world hog[0..1] start=uniform(0,5ms)
  run exp(20ms) ; loop
expect share(yielder*) <= 2/3 within 1%
expect share(hog*) >= 1/3 within 1%
expect share(hog*) >= 1/3 - 80ms each 1s from 1s
expect share(yielder*) >= 40% each 1s from 1s by share credit2
