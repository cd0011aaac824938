"""Inference engine: generators, encoders, detection, alignment, styles, the pipeline."""

import os

# Large tensors are given back to Linux and come anew; in pages of 2 MB that costs a third of the
# time it does in pages of 4 kB. torch asks once, at its first tensor, so here, before its import.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
# Threads that wait for each other sleep. By default they keep their processors busy for it: alone
# on a machine that is a tenth faster, beside a browser, an indexer or a second job each of some
# hundred waits lasts until the scheduler takes turns, and a photo takes ten times as long. OpenMP
# reads it when torch is loaded: so every package beside this one imports this one first.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
