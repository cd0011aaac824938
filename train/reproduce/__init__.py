"""Small but honest versions of the papers' tables, on the embedded base: python -m train.reproduce.

One module per paper. Each trains with the project's own recipes, measures with its own metrics,
and says which of the paper's orderings hold; nothing is trained or measured here that is not there.
"""
