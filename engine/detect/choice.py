"""Which detector to use, given what is on this machine and what the user wants."""

from pathlib import Path

from engine.detect.embedded import EmbeddedDetector
from engine.detect.face import Detector
from engine.detect.foreign import FaceAlignmentDetector, YuNetDetector
from engine.models.detector import FaceNetwork


def choose_detector(
    network: FaceNetwork | None = None,
    *,
    yunet: str | Path | None = None,
    device: str = "cpu",
    allow_download: bool = False,
) -> Detector:
    """Pick the backend: YuNet if a file is named, 68 points if they are here, else our own.

    Args:
        network: of a base pack; None reads the embedded one.
        yunet: ONNX file; it is used, or DetectorError raised, if given.
        device: of the 68-point network; ours stays where `network` is.
        allow_download: let face-alignment fetch its weights if they are missing.

    Raises:
        DetectorError: the named file, or the embedded weights, cannot be used.
    """
    if yunet is not None:
        return YuNetDetector(yunet)
    own = EmbeddedDetector.from_file() if network is None else EmbeddedDetector(network)
    wanted = FaceAlignmentDetector.available() or (
        allow_download and FaceAlignmentDetector.installed()
    )
    if not wanted:
        return own
    return FaceAlignmentDetector(own, device=device, allow_download=allow_download)
