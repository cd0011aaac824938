"""Find the faces of a photo: our own network, 68 points of face-alignment, or YuNet.

Points and boxes are float32 (x, y) pixels of the photo, origin top-left, centres at integers. The
five landmarks are left eye, right eye, nose, left and right mouth corner as seen in the picture
when the face is upright. A photo without a face gives an empty list, never an exception.
"""

from engine.detect.choice import choose_detector
from engine.detect.embedded import EMBEDDED_WEIGHTS, EmbeddedDetector
from engine.detect.face import Detector, Face, LooksAgain, face_from_points
from engine.detect.foreign import FaceAlignmentDetector, YuNetDetector

__all__ = [
    "EMBEDDED_WEIGHTS",
    "Detector",
    "EmbeddedDetector",
    "Face",
    "FaceAlignmentDetector",
    "LooksAgain",
    "YuNetDetector",
    "choose_detector",
    "face_from_points",
]
