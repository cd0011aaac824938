"""Packs as ONNX: what a photo goes through, for runtimes and browsers without PyTorch.

`parts.py` says what is exported, `plain.py` writes the generator out of plain operations,
`graph.py` makes ONNX of it and smaller variants, `export.py` measures them and keeps what draws the
same pictures. onnx, onnxscript and onnxruntime are needed for it alone.
"""

from engine.exporting.export import LEAST_PSNR, VARIANTS, Outcome, export_pack

__all__ = ["LEAST_PSNR", "VARIANTS", "Outcome", "export_pack"]
