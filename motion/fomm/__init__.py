"""First order motion model: keypoints without labels, dense motion, a generator that fills in."""

from motion.fomm.dense_motion import DenseMotion, Flow
from motion.fomm.generator import Generator, Looked, Prediction
from motion.fomm.keypoints import KeypointDetector, Keypoints
from motion.fomm.weights import generator_from_state, keypoints_from_state

__all__ = [
    "DenseMotion",
    "Flow",
    "Generator",
    "KeypointDetector",
    "Keypoints",
    "Looked",
    "Prediction",
    "generator_from_state",
    "keypoints_from_state",
]
