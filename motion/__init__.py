"""First-order motion and everything about time."""

import engine  # noqa: F401  (sets how threads wait, before torch is loaded)
