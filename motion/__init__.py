"""First-order motion and everything about time."""
