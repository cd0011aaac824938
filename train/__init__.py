"""Training recipes (run as `python -m train.NAME`) and the parts they share."""

import engine  # noqa: F401  (sets how threads wait, before torch is loaded)
