"""Clips in and out: decoding by timestamp in a guarded process, encoding, and the sound."""

from motion.media.clip import Clip, Frame
from motion.media.encode import Writer, keeps_alpha
from motion.media.join import join
from motion.media.limits import Limits
from motion.media.reader import FrameReader, probe, read_frames

__all__ = [
    "Clip",
    "Frame",
    "FrameReader",
    "Limits",
    "Writer",
    "join",
    "keeps_alpha",
    "probe",
    "read_frames",
]
