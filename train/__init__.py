"""Training recipes (run as `python -m train.NAME`) and the parts they share."""
