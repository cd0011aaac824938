"""What this machine has and what it could have: `python -m demo.doctor`."""

from demo.doctor.command import main

__all__ = ["main"]
