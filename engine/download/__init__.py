"""Public weights onto this machine: resumed, checked, from the next place where one fails."""

from engine.download.fetching import fetch, is_offline, is_present, weights_folder

__all__ = ["fetch", "is_offline", "is_present", "weights_folder"]
