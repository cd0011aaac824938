"""The errors a user can cause.

Each message says what was wrong, the value, what is accepted, the remedy.
"""


class StylizeError(Exception):
    """Base of everything a front end may show to its user word for word."""


class ImageError(StylizeError):
    """A picture that cannot be read or written: broken, too large, unknown format, disk full."""


class MediaError(StylizeError):
    """A video or sound that cannot be read, is refused, or cannot be written."""


class DetectorError(StylizeError):
    """A face detector that cannot run, for example because its weights are missing."""


class PackError(StylizeError):
    """A style pack that is missing, incomplete, altered, or does not fit its card."""


class CheckpointError(StylizeError):
    """Weights that cannot be read safely, or that do not describe a network we know."""


class DownloadError(StylizeError):
    """Public weights that could not be fetched, or that are not what their publisher wrote."""


class OptionError(StylizeError):
    """An option outside of what it accepts."""


class DataError(StylizeError):
    """A training set that cannot be trained on."""


class TrainingError(StylizeError):
    """A training run that cannot start, resume, or go on."""


class KernelError(StylizeError):
    """A GPU kernel that was asked for and cannot be built or run here."""


class OutOfMemory(StylizeError):
    """Memory ran out, on whatever device; the same with less at a time may work."""


class Cancelled(StylizeError):
    """The user stopped the job; nothing half-written is left behind."""
