"""Inference engine: generators, encoders, detection, alignment, styles, the pipeline."""

import os

# Large tensors are given back to Linux and come anew; in pages of 2 MB that costs a third of the
# time it does in pages of 4 kB. torch asks once, at its first tensor, so here, before its import.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
