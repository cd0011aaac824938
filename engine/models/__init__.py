"""Networks, one file per family. No file access here: weights come in as state dicts."""
