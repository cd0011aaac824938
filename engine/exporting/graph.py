"""PyTorch to ONNX, and the smaller variants of a graph.

Opset 18 is read by onnxruntime since 1.14 on CPU, CUDA, CoreML and DirectML, and by browsers. The
batch is free, every other size fixed. The exporter is that of torch.export: graphs of the older one
compute sizes at run time (Shape, Mod, Cast in front of every Pad), which CoreML and DirectML hand
back to the CPU, and it is no longer maintained; what both write computes the same to 1e-5.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from engine.errors import OptionError
from engine.exporting.parts import Part

if TYPE_CHECKING:
    import onnx

OPSET = 18
BATCH = "batch"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
SMALLEST = 4096  # values: shorter weights stay as they are, as in engine.eight_bits


def require_packages() -> None:
    """Raise OptionError unless the packages that exporting needs are installed."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise OptionError(
            f"exporting needs {', '.join(PACKAGES)}; {', '.join(missing)} is missing: "
            f"pip install {' '.join(PACKAGES)}"
        )


def to_onnx(part: Part, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """Export a network in float32, with free batch and `metadata` as its metadata_props."""
    # Two rows: in a batch of one, a free size could not be told from a fixed one.
    example = part.example[:2].clone()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about its own internals
        program = torch.onnx.export(
            part.network,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[part.input],
            output_names=list(part.outputs),
            dynamic_shapes=({0: torch.export.Dim(BATCH)},),
            verbose=False,
        )
    model = program.model_proto
    for node in [*model.graph.node, *model.graph.value_info]:
        del node.metadata_props[:]  # stack traces of this machine
        node.doc_string = ""
    del model.metadata_props[:]
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    return model


def in_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph in float16; inputs and outputs stay float32."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    twin = type(model)()
    twin.CopyFrom(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # small weights become zero
        return convert_float_to_float16(twin, keep_io_types=True)


def with_eight_bit_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with large weights as int8 and a scale per output channel.

    Each is multiplied out by a DequantizeLinear, which onnxruntime computes once when it loads the
    file: a quarter of the size at the speed of float32.
    """
    from onnx import helper, numpy_helper

    twin = type(model)()
    twin.CopyFrom(model)
    axes = dict(_output_axes(twin))
    kept, nodes = [], []
    for tensor in twin.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if tensor.name not in axes or value.size < SMALLEST or value.dtype != np.float32:
            kept.append(tensor)
            continue
        axis = axes[tensor.name]
        others = tuple(i for i in range(value.ndim) if i != axis)
        scale = np.maximum(np.abs(value).max(others), np.finfo(np.float32).tiny) / 127
        shape = [-1 if i == axis else 1 for i in range(value.ndim)]
        small = np.rint(value / scale.reshape(shape)).astype(np.int8)
        names = [f"{tensor.name}_int8", f"{tensor.name}_scale"]
        kept += [numpy_helper.from_array(a, n) for a, n in zip((small, scale), names, strict=True)]
        nodes.append(helper.make_node("DequantizeLinear", names, [tensor.name], axis=axis))
    del twin.graph.initializer[:]
    twin.graph.initializer.extend(kept)
    rest = list(twin.graph.node)
    del twin.graph.node[:]
    twin.graph.node.extend([*nodes, *rest])
    return twin


def _output_axes(model: onnx.ModelProto) -> Iterator[tuple[str, int]]:
    """(Weight, axis of its output channels) of convolutions and linear layers."""
    for node in model.graph.node:
        settings = {a.name: a.i for a in node.attribute}
        if node.op_type == "Conv":
            yield node.input[1], 0
        elif node.op_type == "ConvTranspose":
            yield node.input[1], 1
        elif node.op_type == "Gemm":
            yield node.input[1], 0 if settings.get("transB") else 1


def quantized(file: Path, target: Path, *, examples: Iterator[dict[str, Any]] | None) -> None:
    """Write onnxruntime's int8 of a graph: static with `examples` to calibrate on, else dynamic."""
    from onnxruntime import quantization as q

    class Reader(q.CalibrationDataReader):
        """Hands out one example after the other."""

        def get_next(self) -> dict[str, Any] | None:
            return next(examples, None)

    logging.disable(logging.WARNING)  # advice to those who wrote the graph by hand
    try:
        if examples is None:
            q.quantize_dynamic(file, target, per_channel=True)
        else:
            q.quantize_static(file, target, Reader(), per_channel=True)
    finally:
        logging.disable(logging.NOTSET)
