"""Fixtures every test shares: the public data beside the project, and reference outputs.

A test that needs ../shared asks for `shared` or `golden`; it skips with a reason without them.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def draw(name: str, entry: dict, salt: str) -> np.ndarray:
    """Draw one float32 tensor as ../shared/golden/README.md says: seeded by its name."""
    digest = hashlib.sha256(f"{salt}/{name}".encode()).digest()
    random = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:8], "little")))
    shape = tuple(entry["shape"])
    x = random.standard_normal(int(np.prod(shape)), dtype=np.float32).reshape(shape)
    x = np.abs(x) if entry.get("abs") else x
    x = np.float32(entry["mean"]) + np.float32(entry["std"]) * x
    return np.clip(x, *entry["clip"]) if entry.get("clip") else x


@dataclass(frozen=True)
class Golden:
    """What a reference network computed, and the weights and inputs it computed that from."""

    case: str
    spec: dict
    folder: Path

    @cached_property
    def weights(self) -> dict[str, np.ndarray]:
        """Checkpoint key -> float32 array, drawn on first use; constants (`kept`) are left out."""
        drawn = {n: e for n, e in self.spec["tensors"].items() if not e.get("kept")}
        return {name: draw(name, entry, self.spec["salt"]) for name, entry in drawn.items()}

    @property
    def kept(self) -> set[str]:
        """Keys of the checkpoint whose value the architecture defines: FIR kernels, counters."""
        return {name for name, entry in self.spec["tensors"].items() if entry.get("kept")}

    @cached_property
    def inputs(self) -> dict[str, np.ndarray]:
        """Input name -> float32 array, clipped where the case says so."""
        salt = self.spec["salt"]
        return {n: draw(f"input/{n}", e, salt) for n, e in self.spec.get("inputs", {}).items()}

    @cached_property
    def outputs(self) -> dict[str, np.ndarray]:
        """Output name -> stored array, [..., ::k, ::k] of the full output (k = `stride(name)`)."""
        with np.load(self.folder / f"{self.case}.npz", allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}

    def stride(self, name: str) -> int:
        """Return the step between the stored pixels of the output `name`."""
        return self.spec["outputs"][name]["stride_hw"]

    def check(self, name: str, ours: object, tolerance: float = 1e-4) -> None:
        """Fail unless |ours - golden| <= tolerance * max(1, max|golden|); `ours` has full shape."""
        ours = np.asarray(ours.detach().cpu() if hasattr(ours, "detach") else ours)
        golden, step = self.outputs[name], self.stride(name)
        assert list(ours.shape) == self.spec["outputs"][name]["shape"], (name, ours.shape)
        ours = ours[..., ::step, ::step] if step > 1 else ours
        error, limit = np.abs(ours - golden).max(), tolerance * max(1.0, np.abs(golden).max())
        assert error <= limit, f"{self.case} {name}: off by {error:.3g}, allowed {limit:.3g}"


@pytest.fixture(scope="session")
def shared() -> Path:
    """../shared beside the project; the test skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the shared data: {SHARED} does not exist")
    return SHARED


@pytest.fixture(scope="session")
def golden(shared: Path) -> Callable[[str], Golden]:
    """`golden("nvidia_generator_64")` reads one case of ../shared/golden; weights are lazy."""
    folder = shared / "golden"

    def read(case: str) -> Golden:
        path = folder / f"{case}.json"
        if not path.is_file():
            pytest.skip(f"needs the golden case: {path} does not exist")
        return Golden(case, json.loads(path.read_text(encoding="utf-8")), folder)

    return read
