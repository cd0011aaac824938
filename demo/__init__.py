"""Front ends: parse, call the engine, show."""

import engine  # noqa: F401  (sets how threads wait, before torch is loaded)
