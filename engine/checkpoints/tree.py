"""What a foreign file holds, told apart by place: tables of tensors, and everything else."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from engine.checkpoints.container import Contents
from engine.checkpoints.values import Record
from engine.errors import CheckpointError

State = Mapping[str, Tensor]

TF_NETWORK = "dnnlib.tflib.network"
# Keys under which public files keep the weights of one network; in a safetensors file, whose names
# are flat, they are prefixes: g_ema.style.1.weight.
_PLACES = re.compile(r"(g_ema|Gt|g|d|G_ema|G|D|Gs|state_dict)\.(.+)")
_BESIDE = ("latent_avg",)  # lies among the weights of a flat file but is no weight


@dataclass(frozen=True)
class Tree:
    """Tensors by place and name, `states["g_ema"]["input.input"]`; the place "" is the top.

    `values` are the other things at the top: `latent_avg`, `opts`, the records of networks.
    """

    states: Mapping[str, State]
    values: Mapping[str, Any]

    @property
    def opts(self) -> Mapping[str, Any]:
        """Training options that pSp and its kin keep in their files; empty if there are none."""
        opts = self.values.get("opts")
        return opts if isinstance(opts, Mapping) else {}

    def place(self, places: tuple[str, ...], fits: Callable[[State], bool]) -> str | None:
        """The first of `places` that holds tensors which fit, or None."""
        return next((p for p in places if fits(self.states.get(p, {}))), None)

    def latent_avg(self) -> Tensor | None:
        """The file's mean code [L, 512], [1, 512] for one for all layers; None if it has none.

        Raises:
            CheckpointError: it has another shape.
        """
        mean = self.values.get("latent_avg")
        if not isinstance(mean, Tensor):
            return None
        if mean.ndim == 3 and len(mean) == 1:
            mean = mean[0]
        if mean.ndim not in (1, 2) or not mean.numel():
            raise CheckpointError(
                f"latent_avg has the shape {list(mean.shape)}; accepted are [512] and [L, 512]: "
                "the file is damaged or of another kind"
            )
        return mean.reshape(-1, mean.shape[-1])


@dataclass(frozen=True)
class Found:
    """What a reader found: networks and tensors in our names, and what to know about them."""

    parts: Mapping[str, State | Tensor]
    config: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def plant(contents: Contents) -> Tree:
    """Sort the contents of a file by place.

    Raises:
        CheckpointError: the file holds neither tensors by name nor networks.
    """
    data = contents.data
    if contents.format == "safetensors":
        return _plant_flat(data["tensors"], data.get("metadata") or {})
    if isinstance(data, Record):
        data = {"D" if "Discriminator" in data.name else "G_ema": data}
    elif isinstance(data, (list, tuple)) and data and all(isinstance(x, Record) for x in data):
        data = dict(zip(("G", "D", "Gs"), data, strict=False))
    if not isinstance(data, Mapping):
        raise CheckpointError(
            f"the file holds a {type(data).__name__}; weights by name are expected, such as "
            "{'g_ema': {'input.input': ...}}: is this a checkpoint?"
        )
    states, values, top = {}, {}, {}
    for name, value in data.items():
        if isinstance(value, Tensor) and name not in _BESIDE:
            top[str(name)] = value
        elif isinstance(value, Record):
            states[str(name)], values[str(name)] = record_tensors(value), value
        elif table := _tensors(value):
            states[str(name)] = table
        else:
            values[str(name)] = value
    return Tree(states | ({"": top} if top else {}), values)


def record_tensors(record: Record) -> dict[str, Tensor]:
    """All tensors of a pickled network, under the names its own state dict would give them."""
    if record.module == TF_NETWORK:
        return dict(_variables(record, ""))
    return dict(_module_tensors(record, ""))


def records(record: Record) -> Iterator[Record]:
    """The record itself and all the modules in it."""
    yield record
    for child in _dict(record.state, "_modules").values():
        if isinstance(child, Record):
            yield from records(child)


def _plant_flat(tensors: State, metadata: Mapping[str, str]) -> Tree:
    states: dict[str, dict[str, Tensor]] = {}
    values: dict[str, Any] = {name: tensors[name] for name in _BESIDE if name in tensors}
    for name, value in tensors.items():
        if name not in _BESIDE:
            place, rest = m.groups() if (m := _PLACES.fullmatch(name)) else ("", name)
            states.setdefault(place, {})[rest] = value
    if "opts" in metadata:
        try:
            values["opts"] = json.loads(metadata["opts"])
        except (ValueError, RecursionError) as error:
            raise CheckpointError(
                f"the file's metadata 'opts' is not JSON ({error}); write it with json.dumps, or "
                "leave it out and name the kind"
            ) from error
    return Tree(states, values)


def _tensors(value: Any) -> dict[str, Tensor]:
    items = value.items() if isinstance(value, Mapping) else ()
    return {str(name): tensor for name, tensor in items if isinstance(tensor, Tensor)}


def _module_tensors(record: Record, prefix: str) -> Iterator[tuple[str, Tensor]]:
    for table in ("_parameters", "_buffers"):
        for name, value in _tensors(_dict(record.state, table)).items():
            yield prefix + name, value
    for name, child in _dict(record.state, "_modules").items():
        if isinstance(child, Record):
            yield from _module_tensors(child, f"{prefix}{name}.")


def _variables(record: Record, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """TensorFlow variables as component/layer/name, as `dnnlib.tflib.Network` pickles them."""
    variables = record.state.get("variables") if isinstance(record.state, Mapping) else None
    for item in variables or ():
        if isinstance(item, (list, tuple)) and len(item) == 2 and isinstance(item[1], Tensor):
            yield f"{prefix}{item[0]}", item[1]
    for name, component in _dict(record.state, "components").items():
        if isinstance(component, Record):
            yield from _variables(component, f"{prefix}{name}/")


def _dict(state: Any, name: str) -> Mapping[str, Any]:
    value = state.get(name) if isinstance(state, Mapping) else None
    return value if isinstance(value, Mapping) else {}
