"""A small blind preference study: `python -m demo.study FOLDER...`.

As the papers ran theirs: AgileGAN (Song et al. 2021, section 4.2) lets each participant choose the
best of all methods in 10 questions drawn from a pool of 100; Lu & Zhou (2025, section 4.1) lets
them rate single results from 0 to 5 in quality and fidelity, five per method.
"""
