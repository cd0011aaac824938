"""The kernels and the recording of graphs on a GPU; skipped where there is none."""

import threading

import pytest
import torch

from engine.errors import KernelError
from engine.models.stylegan2 import Generator
from engine.ops import custom
from engine.ops.dispatch import PAYS_FROM, forced, uses_kernel
from engine.ops.graphs import Recording, replayed
from engine.ops.launch import CPP_NAMES, Epilogue

from . import test_ops_custom, test_ops_kernels

DEVICE = "cuda"
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
LAYOUTS = [torch.channels_last, torch.contiguous_format]


def on_gpu(x):
    """Tensors of an operator's arguments on the GPU, everything else as it is."""
    return x.detach().to(DEVICE).requires_grad_(x.requires_grad) if torch.is_tensor(x) else x


@pytest.fixture
def generator(monkeypatch):
    """A small generator, all of its parameters drawn; convolutions in full float32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    torch.manual_seed(0)
    channels = dict.fromkeys((4, 8, 16, 32, 64), 48)
    G = Generator(64, z_dim=16, w_dim=16, num_layers=2, channels=channels)
    for parameter in G.eval().requires_grad_(False).parameters():
        parameter.normal_()
    return G.to(DEVICE)


@pytest.mark.parametrize("case", test_ops_kernels.CASES)
def test_kernel_follows_the_reference(case):
    name, arguments = test_ops_kernels.CASES[case]
    found = getattr(custom, name)(*map(on_gpu, arguments)).cpu()
    expected = getattr(custom, name)(*arguments)
    tolerance = 2 * test_ops_kernels.ROUNDING[found.dtype]
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    assert found.stride() == expected.stride()


@pytest.mark.parametrize("case", test_ops_custom.CASES)
def test_derivatives_of_the_kernels(case):
    op, arguments = test_ops_custom.CASES[case]
    arguments = [*map(on_gpu, arguments)]
    assert torch.autograd.gradcheck(op, arguments)
    assert torch.autograd.gradgradcheck(op, arguments)
    torch.library.opcheck(op, arguments)


@pytest.mark.parametrize("op", PAYS_FROM)
@pytest.mark.parametrize("dtype", CPP_NAMES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_auto_has_every_kernel(op, dtype, layout):
    x = torch.ones(1, 64, 128, 128, dtype=dtype, device=DEVICE).contiguous(memory_format=layout)
    assert custom.disagreement(op, x) == ""
    assert uses_kernel(op, "auto", x)


def test_a_fresh_thread_can_launch():
    x = torch.ones(1, 8, 64, 64, device=DEVICE)
    custom.act(x, Epilogue())
    found = []
    thread = threading.Thread(target=lambda: found.append(custom.act(x, Epilogue(gain=3.0))))
    thread.start()
    thread.join()
    assert torch.equal(found[0], 3 * x)


def test_formats_without_a_kernel_are_refused():
    with pytest.raises(KernelError, match="kernels take float16"):
        uses_kernel("bias_act", "cuda", torch.ones(1, 1, 1, 1, dtype=torch.int32, device=DEVICE))


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("batch", [1, 3])
def test_generator_draws_the_same_with_kernels(generator, dtype, batch):
    ws = torch.randn(batch, generator.num_ws, 16, device=DEVICE)
    generator.synthesis.dtype = dtype
    pictures = []
    for impl in ("ref", "cuda"):
        with forced(impl):
            pictures.append(generator.synthesis(ws))
    scale = pictures[0].abs().max()
    assert (pictures[0] - pictures[1]).abs().max() <= scale * (
        1e-4 if dtype.itemsize == 4 else 0.02
    )


@torch.inference_mode()
def test_graph_draws_the_same(generator):
    codes = [torch.randn(1, generator.num_ws, 16, device=DEVICE) for _ in range(6)]
    drawn = [replayed(generator.synthesis, ws) for ws in codes]
    for picture, ws in zip(drawn, codes, strict=True):
        assert torch.allclose(picture, generator.synthesis(ws), rtol=1e-3, atol=1e-2)
    recording = Recording(generator.synthesis, (codes[0],))
    assert torch.allclose(recording.replay((codes[1],)), drawn[1], rtol=1e-3, atol=1e-2)
