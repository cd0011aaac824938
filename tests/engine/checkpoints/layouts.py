"""Tiny networks of ours, written out as the public programs would store them.

Written from the other side than the reader: by walking our modules, not by translating names.
"""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.checkpoints import Record
from engine.models.discriminator import Discriminator
from engine.models.encoder import FeaturePyramidEncoder
from engine.models.stylegan2 import Generator, SynthesisLayer, ToRGB
from tests.engine.checkpoints.foreign import live_in

CHANNELS = {4: 8, 8: 8, 16: 8, 32: 4}
SIZE, DIM, NUM_WS = 32, 16, 8
_ROW = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
FILTER = torch.outer(_ROW, _ROW)


def randomised(network: nn.Module) -> nn.Module:
    """The network with every tensor drawn anew, so that none can hide behind its initial value."""
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            spread = 0.3 if "noise" in name or "bias" in name or "w_avg" in name else 1.0
            value.copy_(torch.randn_like(value) * spread)
    return network.eval().requires_grad_(False)


def tiny_generator(seed: int = 0, **more: object) -> Generator:
    torch.manual_seed(seed)
    return randomised(
        Generator(SIZE, z_dim=DIM, w_dim=DIM, num_layers=2, channels=CHANNELS, **more)
    )


def tiny_discriminator() -> Discriminator:
    torch.manual_seed(1)
    return randomised(Discriminator(SIZE, channels=CHANNELS))


def tiny_encoder(num_ws: int = NUM_WS, **more: object) -> FeaturePyramidEncoder:
    torch.manual_seed(2)
    sizes = {"input_size": 32, "widths": (4, 4, 6, 8, 12), "units": (1, 2, 1, 1), "style_dim": DIM}
    return jittered(FeaturePyramidEncoder(num_ws, **sizes, **more), more.get("latent_avg"))


def jittered(encoder: nn.Module, latent_avg: Tensor | None = None) -> nn.Module:
    """The encoder with every weight off its initial value, and codes about as large as its mean."""
    for name, value in encoder.state_dict().items():
        if value.is_floating_point() and name != "latent_avg":
            value.add_(torch.randn_like(value) * 0.1)
        if name.endswith("running_var"):
            value.abs_().add_(0.5)
    if latent_avg is not None:
        encoder.latent_avg.copy_(latent_avg)
    return encoder.eval().requires_grad_(False)


def prefixed(prefix: str, state: dict) -> dict:
    return {prefix + name: value for name, value in state.items()}


def save_flat(state: dict[str, Tensor], path: Path, metadata: dict | None = None) -> None:
    """Write a safetensors file, which cannot share memory between tensors."""
    save_file({name: value.clone().contiguous() for name, value in state.items()}, path, metadata)


def rosinality_generator(network: Generator, path: int = 0) -> dict[str, Tensor]:
    """A `g_ema` of one attribute path."""
    synthesis = network.synthesis
    file = _style("style", network)
    file["input.input"] = synthesis.b4.const[None]
    file |= _styled("conv1", synthesis.b4.conv1) | _rgb("to_rgb1", synthesis.b4.torgb)
    noises = [synthesis.b4.conv1.noise_const]
    for k, r in enumerate(synthesis.resolutions[1:]):
        block = synthesis.block(r, path)
        file |= _styled(f"convs.{2 * k}", block.conv0) | _styled(f"convs.{2 * k + 1}", block.conv1)
        file[f"convs.{2 * k}.conv.blur.kernel"] = FILTER * 4
        file |= _rgb(f"to_rgbs.{k}", block.torgb)
        file[f"to_rgbs.{k}.upsample.kernel"] = FILTER * 4
        noises += [block.conv0.noise_const, block.conv1.noise_const]
    return file | {f"noises.noise_{i}": noise[None, None] for i, noise in enumerate(noises)}


def rosinality_discriminator(network: Discriminator) -> dict[str, Tensor]:
    """A `d`."""
    file = {}
    for k, r in enumerate((32, 16, 8), start=1):
        block, name = getattr(network, f"b{r}"), f"convs.{k}."
        if k == 1:
            file["convs.0.0.weight"] = block.fromrgb.weight
            file["convs.0.1.bias"] = block.fromrgb.bias
        file |= {
            name + "conv1.0.weight": block.conv0.weight,
            name + "conv1.1.bias": block.conv0.bias,
        }
        file |= {
            name + "conv2.1.weight": block.conv1.weight,
            name + "conv2.2.bias": block.conv1.bias,
        }
        file |= {name + "skip.1.weight": block.skip.weight, name + "skip.0.kernel": FILTER}
        file[name + "conv2.0.kernel"] = FILTER
    last = network.b4
    file |= {"final_conv.0.weight": last.conv.weight, "final_conv.1.bias": last.conv.bias}
    file |= {"final_linear.0.weight": last.fc.weight, "final_linear.0.bias": last.fc.bias}
    return file | {"final_linear.1.weight": last.out.weight, "final_linear.1.bias": last.out.bias}


def two_paths(network: Generator, low: int) -> dict[str, Tensor]:
    """AgileGAN's `g_ema` of a generator with two paths in its first `low` blocks above 4 px."""
    file = {}
    for path, letter in enumerate("AB"):
        for name, value in rosinality_generator(network, path).items():
            group, _, rest = name.partition(".")
            if group in ("convs", "to_rgbs"):
                index, _, leaf = rest.partition(".")
                first_shared = low * (2 if group == "convs" else 1)
                own = int(index) < first_shared
                number = int(index) - (0 if own else first_shared)
                name = f"{group}{letter if own else 'C'}.{number}.{leaf}"
            file[name] = value
    return file


def openmmlab_generator(network: Generator) -> dict[str, Tensor]:
    """mmgeneration's names, of a generator that draws BGR."""
    file = {}
    for name, value in rosinality_generator(network).items():
        name = name.replace("input.input", "constant_input.input").replace(
            "noises.noise_", "injected_noise_"
        )
        if name.startswith("style."):
            name = "style_mapping." + name.removeprefix("style.").replace(
                "weight", "linear.weight_orig"
            )
        name = name.replace("modulation.weight", "modulation.linear.weight_orig")
        name = name.replace("modulation", "style_modulation")
        name = name.replace("conv.weight", "conv.weight_orig")
        name = name.replace("noise.weight", "noise_injector.weight")
        if name.startswith("to_rgb") and name.endswith((".bias", "conv.weight_orig")):
            value = value if "modulation" in name else value.flip(1)  # [1, 3, ...]
        file[name] = value
    return file


def openmmlab_discriminator(network: Discriminator) -> dict[str, Tensor]:
    """mmgeneration's names, of a discriminator that reads BGR."""
    file = {}
    for name, value in rosinality_discriminator(network).items():
        value = value.flip(1) if name == "convs.0.0.weight" else value
        kind = "linear" if "linear" in name else "conv"
        file[name.replace(".weight", f".{kind}.weight_orig")] = value
    return file


def nvidia_state(network: nn.Module) -> dict[str, Tensor]:
    """A state dict of stylegan2-ada-pytorch, with some of its filters."""
    convs = [n.removesuffix("weight") for n in network.state_dict() if n.endswith("conv1.weight")]
    return network.state_dict() | {f"{conv}resample_filter": FILTER for conv in convs}


def nvidia_record(network: nn.Module, name: str, kwargs: dict, clamp: float | None) -> Record:
    """What `read_container` makes of a network in a pickle of stylegan2-ada-pytorch."""
    children = dict(network.named_children())
    state = {
        "_parameters": dict(network.named_parameters(recurse=False)),
        "_buffers": dict(network.named_buffers(recurse=False)),
        "_modules": {n: nvidia_record(c, type(c).__name__, {}, clamp) for n, c in children.items()},
        "_init_kwargs": kwargs,
    }
    clamped = {"conv_clamp": clamp} if name in ("SynthesisLayer", "ToRGB", "ConvLayer") else {}
    return Record("nvidia", name, state | clamped)


def tensorflow_variables(network: Generator | Discriminator) -> dict[str, Tensor]:
    """TensorFlow's variables: kernels as height, width, in, out, modulation biases without 1."""
    if isinstance(network, Discriminator):
        return _tensorflow_discriminator(network)
    file = {f"mapping/{k}": v for k, v in _tensorflow_mapping(network).items()}
    file |= {"dlatent_avg": network.mapping.w_avg, "lod": torch.zeros(())}
    synthesis = network.synthesis
    file["synthesis/4x4/Const/const"] = synthesis.b4.const[None]
    number = 0
    for r in synthesis.resolutions:
        block, place = synthesis.block(r), f"synthesis/{r}x{r}/"
        convs = ["conv0", "conv1"] if r > 4 else ["conv1"]
        for conv in convs:
            layer = getattr(block, conv)
            name = place + ("Conv" if r == 4 else "Conv0_up" if conv == "conv0" else "Conv1")
            weight = layer.weight.flip(2, 3) if conv == "conv0" else layer.weight
            file |= _tensorflow_layer(name, layer, weight)
            file[f"{name}/noise_strength"] = layer.noise_strength
            file[f"synthesis/noise{number}"] = layer.noise_const[None, None]
            number += 1
        file |= _tensorflow_layer(place + "ToRGB", block.torgb, block.torgb.weight)
    return file


def tensorflow_record(variables: dict[str, Tensor], components: dict | None = None) -> Record:
    """What `read_container` makes of one network in a pickle of the TensorFlow code."""
    state = {"version": 4, "static_kwargs": {"resample_kernel": [1, 3, 3, 1]}}
    state |= {"variables": list(variables.items()), "components": components or {}}
    return Record("dnnlib.tflib.network", "Network", state)


def pickled(monkeypatch: pytest.MonkeyPatch, data: object) -> bytes:
    """A pickle with objects of NVIDIA's classes in the place of the records of them."""

    def _reconstruct_persistent_obj(meta: dict) -> None:
        raise AssertionError("only its name is used")

    class Network:
        def __init__(self, state: dict) -> None:
            self.__dict__ = state

    class Persistent:
        def __init__(self, name: str, state: dict) -> None:
            self.meta = {"type": "class", "version": 6, "module_src": "raise SystemExit"}
            self.meta |= {"class_name": name, "state": state}

        def __reduce__(self) -> tuple:
            return _reconstruct_persistent_obj, (self.meta,)

    live_in(monkeypatch, "torch_utils.persistence", _reconstruct_persistent_obj)
    live_in(monkeypatch, "dnnlib.tflib.network", Network)

    def theirs(value: object) -> object:
        if isinstance(value, Record):
            state = theirs(value.state)
            return Network(state) if "tflib" in value.module else Persistent(value.name, state)
        if isinstance(value, dict):
            return {name: theirs(inner) for name, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(map(theirs, value))
        return value

    return pickle.dumps(theirs(data), protocol=4)


def _tensorflow_mapping(network: Generator) -> dict[str, Tensor]:
    layers = [getattr(network.mapping, f"fc{i}") for i in range(network.mapping.num_layers)]
    weights = {f"Dense{i}/weight": layer.weight.T for i, layer in enumerate(layers)}
    return weights | {f"Dense{i}/bias": layer.bias for i, layer in enumerate(layers)}


def _tensorflow_layer(name: str, layer: SynthesisLayer | ToRGB, weight: Tensor) -> dict:
    return {
        f"{name}/weight": weight.permute(2, 3, 1, 0),
        f"{name}/bias": layer.bias,
        f"{name}/mod_weight": layer.affine.weight.T,
        f"{name}/mod_bias": layer.affine.bias - 1,
    }


def _tensorflow_discriminator(network: Discriminator) -> dict[str, Tensor]:
    names = {"fromrgb": "FromRGB", "conv0": "Conv0", "conv1": "Conv1_down", "skip": "Skip"}
    names |= {"conv": "Conv", "fc": "Dense0"}
    file = {}
    for name, value in network.state_dict().items():
        block, layer, leaf = name.split(".")
        size = block.removeprefix("b")
        place = "Output" if layer == "out" else f"{size}x{size}/{names[layer]}"
        value = (
            value.permute(2, 3, 1, 0) if value.ndim == 4 else value.T if value.ndim == 2 else value
        )
        file[f"{place}/{leaf}"] = value
    return file


def _style(name: str, network: Generator) -> dict[str, Tensor]:
    layers = [getattr(network.mapping, f"fc{i}") for i in range(network.mapping.num_layers)]
    weights = {f"{name}.{i}.weight": layer.weight for i, layer in enumerate(layers, start=1)}
    return weights | {f"{name}.{i}.bias": layer.bias for i, layer in enumerate(layers, start=1)}


def _styled(name: str, layer: SynthesisLayer) -> dict[str, Tensor]:
    return {
        f"{name}.conv.weight": layer.weight[None],
        f"{name}.conv.modulation.weight": layer.affine.weight,
        f"{name}.conv.modulation.bias": layer.affine.bias,
        f"{name}.noise.weight": layer.noise_strength.reshape(1),
        f"{name}.activate.bias": layer.bias,
    }


def _rgb(name: str, layer: ToRGB) -> dict[str, Tensor]:
    return {
        f"{name}.bias": layer.bias.reshape(1, 3, 1, 1),
        f"{name}.conv.weight": layer.weight[None],
        f"{name}.conv.modulation.weight": layer.affine.weight,
        f"{name}.conv.modulation.bias": layer.affine.bias,
    }
