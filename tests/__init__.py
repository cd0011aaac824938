"""Tests; ../shared beside the project holds the data some of them need."""

import engine  # noqa: F401  (sets how threads wait, before torch is loaded)
