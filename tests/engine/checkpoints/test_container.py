"""Every container in which public weights come, read as plain data."""

import argparse
import gzip
import pickle
from collections import OrderedDict, defaultdict
from pathlib import PurePosixPath

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine.checkpoints.container import Record, check_finite, read_container
from engine.errors import CheckpointError
from tests.engine.checkpoints import foreign


def assert_same(ours: object, saved: object) -> None:
    """Fail unless `ours` is `saved` in plain classes: values, types and strides."""
    if isinstance(saved, torch.Tensor):
        assert type(ours) is torch.Tensor and not ours.requires_grad
        assert ours.dtype == saved.dtype and ours.stride() == saved.stride()
        assert torch.equal(ours, saved.detach())
    elif isinstance(saved, argparse.Namespace):
        assert_same(ours, vars(saved))
    elif isinstance(saved, dict):
        assert type(ours) is dict and list(ours) == list(saved)
        for key in saved:
            assert_same(ours[key], saved[key])
    elif isinstance(saved, (list, tuple)):
        assert type(ours) is (list if isinstance(saved, list) else tuple)
        assert len(ours) == len(saved)
        for a, b in zip(ours, saved, strict=True):
            assert_same(a, b)
    else:
        assert type(ours) is type(saved) and ours == saved


def layouts() -> dict[str, dict]:
    network = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3))
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.randn(1, 2, 4, 4)).sum().backward()
    optimizer.step()
    state = network.state_dict()
    opts = {"device": "cuda:0", "learn_in_w": False, "n_styles": 18, "lr": 1e-4, "ckpt": None}
    return {
        "converted": {"g_ema": state, "latent_avg": torch.randn(512)},
        "training": {
            "g": state,
            "g_ema": state,
            "g_optim": optimizer.state_dict(),
            "args": argparse.Namespace(size=256, mixing=0.9, path="set", n=[1, (2, 3)]),
            "ada_aug_p": 0.0,
        },
        "psp": {
            "state_dict": {f"encoder.{k}": v for k, v in state.items()},
            "opts": opts,
            "latent_avg": torch.randn(18, 512),
        },
        "projector": {
            "photo.png": {
                "img": torch.rand(3, 8, 8),
                "latent": torch.randn(1, 512),
                "noise": [torch.randn(1, 1, 4, 4), torch.randn(1, 1, 8, 8)],
            }
        },
        "types": {
            "half": torch.randn(3, 4).half().t(),
            "bfloat": torch.randn(3).bfloat16(),
            "counter": torch.tensor(7),
            "mask": torch.tensor([True, False]),
            "empty": torch.empty(0, 3),
            "slice": torch.arange(20.0).view(4, 5)[1:3, 2:],
            "channels_last": torch.randn(1, 3, 4, 5).to(memory_format=torch.channels_last),
            "parameter": torch.nn.Parameter(torch.randn(2)),
            "unsigned": torch.ones(3, dtype=torch.uint16),
        },
    }


@pytest.mark.parametrize("name", layouts())
@pytest.mark.parametrize("is_zip", [True, False])
def test_torch_files_give_what_was_saved(name, is_zip, tmp_path):
    saved, path = layouts()[name], tmp_path / "weights.pt"
    torch.save(saved, path, _use_new_zipfile_serialization=is_zip)
    contents = read_container(path)
    assert contents.format == "torch"
    assert_same(contents.data, saved)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_any_pickle_protocol(protocol, tmp_path):
    for is_zip in (True, False):
        path = tmp_path / f"{is_zip}.tar"
        data = {"a": torch.arange(3), "text": "ä" * 300, "n": [10**20, -1, 2.5, True, None]}
        torch.save(data, path, pickle_protocol=protocol, _use_new_zipfile_serialization=is_zip)
        contents = read_container(path)
        assert contents.format == "torch"
        assert_same(contents.data, data)


def test_harmless_leftovers_become_plain_values(tmp_path):
    leftovers = {
        "device": torch.device("cuda", 1),
        "dtype": torch.float16,
        "size": torch.Size([2, 3]),
        "path": PurePosixPath("/data/ffhq"),
        "set": {3},
        "default": defaultdict(list, a=[1]),
        "ordered": OrderedDict(b=2),
        "scalar": np.float32(0.5),
        "array": np.arange(4.0)[::2],
        "bytes": b"abc",
        7: "number as a key",
    }
    plain = {
        "device": "cuda:1",
        "dtype": "torch.float16",
        "size": (2, 3),
        "path": "/data/ffhq",
        "set": [3],
        "default": {"a": [1]},
        "ordered": {"b": 2},
        "scalar": 0.5,
        "bytes": "abc",
        7: "number as a key",
    }
    for protocol in (2, 4, 5):
        torch.save(leftovers, tmp_path / "x.pt", pickle_protocol=protocol)
        data = read_container(tmp_path / "x.pt").data
        assert_same(data.pop("array"), torch.tensor([0.0, 2.0], dtype=torch.float64))
        assert data == plain


def test_cuda_tensors_come_to_the_cpu(tmp_path):
    weights = np.arange(6, dtype=np.float32)
    instructions = foreign.tensor_snippet(6, (2, 3), (3, 1), location="cuda:3")
    foreign.torch_zip(tmp_path / "x.pt", foreign.whole(instructions), {"0": weights.tobytes()})
    tensor = read_container(tmp_path / "x.pt").data
    assert tensor.device.type == "cpu" and torch.equal(tensor, torch.arange(6.0).view(2, 3))


def test_shared_weights_stay_shared_and_the_file_stays_as_it_is(tmp_path):
    weight = torch.zeros(4)
    torch.save({"a": weight, "b": weight, "c": weight[1:]}, tmp_path / "x.pt")
    before = (tmp_path / "x.pt").read_bytes()
    data = read_container(tmp_path / "x.pt").data
    data["a"][1] = 5
    assert data["b"] is data["a"] and data["c"][0] == 5
    assert (tmp_path / "x.pt").read_bytes() == before


def test_nvidia_pickle(tmp_path, monkeypatch):
    data, network = foreign.nvidia_pickle(monkeypatch, tmp_path / "marker")
    (tmp_path / "ffhq.pkl").write_bytes(data)
    contents = read_container(tmp_path / "ffhq.pkl")
    assert contents.format == "pickle" and contents.data["training_set_kwargs"] == {
        "path": "ffhq.zip"
    }
    generator = contents.data["G_ema"]
    assert isinstance(generator, Record)
    assert (generator.module, generator.name) == ("nvidia", "Generator")
    assert generator.state["_init_kwargs"]["synthesis_kwargs"] == {"conv_clamp": 256}
    mapping = generator.state["_modules"]["mapping"]
    assert mapping.name == "MappingNetwork" and type(mapping.state["_buffers"]) is dict
    assert_same(mapping.state["_buffers"]["w_avg"], torch.arange(4.0))
    weight = mapping.state["_modules"]["fc0"].state["_parameters"]["weight"]
    assert_same(weight, network.mapping.fc0.weight)
    assert "module_src" not in str(contents.data)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_tensorflow_pickle(protocol, tmp_path, monkeypatch):
    (tmp_path / "x.pkl").write_bytes(foreign.tensorflow_pickle(monkeypatch, protocol))
    networks = read_container(tmp_path / "x.pkl").data
    assert type(networks) is tuple and len(networks) == 3
    assert (networks[2].module, networks[2].name) == ("dnnlib.tflib.network", "Network")
    (name, weight), lod = networks[2].state["variables"]
    assert name == "Dense0/weight" and lod == ("lod", 0.5)
    assert_same(weight, torch.arange(6.0).view(2, 3))


def test_array_of_python_2(tmp_path):
    data = np.array([[1, 2], [3, 4]], np.float32)
    text = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n"
        b"(I2\nI2\ntcnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nU\x10"
    )
    (tmp_path / "x.pkl").write_bytes(text + data.tobytes() + b"tb.")
    assert_same(read_container(tmp_path / "x.pkl").data, torch.from_numpy(data))


def test_numpy_files(tmp_path):
    codes = {f"{i}.jpg": np.random.default_rng(i).normal(size=(1, 18, 512)) for i in range(2)}
    np.save(tmp_path / "codes.npy", codes)
    contents = read_container(tmp_path / "codes.npy")
    assert contents.format == "numpy"
    assert_same(contents.data, {k: torch.from_numpy(v) for k, v in codes.items()})

    big_endian = np.arange(6, dtype=">f4").reshape(2, 3).T
    np.save(tmp_path / "plain.npy", big_endian)
    assert_same(
        read_container(tmp_path / "plain.npy").data, torch.arange(6.0).view(2, 3).T.contiguous()
    )

    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "x.npz", weight=np.ones((2, 2), np.float16), names=np.array(["a", "b"]))
        data = read_container(tmp_path / "x.npz").data
        assert_same(data, {"weight": torch.ones(2, 2).half(), "names": ["a", "b"]})


def test_safetensors_by_content_not_by_name(tmp_path):
    tensors = {"w": torch.randn(3, 2), "b": torch.ones(2, dtype=torch.bfloat16)}
    save_file(tensors, tmp_path / "weights.bin", metadata={"licence": "MIT"})
    contents = read_container(tmp_path / "weights.bin")
    assert contents.format == "safetensors"
    assert contents.data["metadata"] == {"licence": "MIT"}
    assert torch.equal(contents.data["tensors"]["w"], tensors["w"])
    assert torch.equal(contents.data["tensors"]["b"], tensors["b"])


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "it is empty or no file.*get the file again"),
        (
            b"\n <!DOCTYPE html><title>Google Drive - Quota exceeded</title>",
            "web page, not weights.*Drive's quota.*download again",
        ),
        (b"<html><body>404</body></html>", "web page, not weights: probably an error or login"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "web page, not weights"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00",
            "Git LFS pointer.*git lfs pull",
        ),
        (gzip.compress(b"weights", mtime=0), "packed by gzip: unpack it first"),
        (
            b"\x89PNG\r\n\x1a\n" + bytes(99),
            "no file of weights: it starts with b'.x89PNG.*safetensors",
        ),
        (b"(these are notes, not a pickle)", "damaged or incomplete"),
    ],
)
def test_what_is_no_checkpoint_says_what_it_is(content, message, tmp_path):
    (tmp_path / "weights.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=f"weights.pt.*{message}"):
        read_container(tmp_path / "weights.pt")


def test_paths_that_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(CheckpointError, match="it is a folder"):
        read_container(tmp_path)
    with pytest.raises(CheckpointError, match="no such file"):
        read_container(str(tmp_path / "missing.pt"))

    def denied(*args):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "x.pt").write_bytes(b"x")
    monkeypatch.setattr("pathlib.Path.open", denied)
    with pytest.raises(CheckpointError, match="x.pt cannot be read: Permission denied"):
        read_container(tmp_path / "x.pt")


@pytest.mark.parametrize("share", [0.0005, 0.3, 0.9, 0.999])
def test_truncated_files(share, tmp_path, monkeypatch):
    tensors = {"g_ema": {"w": torch.randn(64, 64)}}
    torch.save(tensors, tmp_path / "new.pt")
    torch.save(tensors, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "nvidia.pkl").write_bytes(foreign.nvidia_pickle(monkeypatch, tmp_path)[0])
    np.save(tmp_path / "a.npy", np.ones((64, 64)))
    np.savez(tmp_path / "a.npz", a=np.ones((64, 64)))
    save_file(tensors["g_ema"], tmp_path / "a.safetensors")
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        path.write_bytes(content[: max(4, int(share * len(content)))])
        with pytest.raises(CheckpointError, match="again|incomplete"):
            read_container(path)


def test_finite_check_names_the_tensor():
    tensors = {"fine": torch.ones(3), "counter": torch.ones(2).long(), "empty": torch.empty(0)}
    check_finite(tensors)
    weight = torch.ones(5_000_000, dtype=torch.float16)
    weight[7], weight[-1], weight[-2] = float("nan"), float("inf"), float("-inf")
    with pytest.raises(CheckpointError, match="^w holds 1 NaN and 2 infinite of 5,000,000"):
        check_finite({**tensors, "w": weight})
    with pytest.raises(CheckpointError, match="^b holds 0 NaN and 1 infinite of 1 values"):
        check_finite({"b": torch.tensor(float("-inf"), dtype=torch.bfloat16)})


def test_plain_pickle_of_arrays(tmp_path):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"a": np.ones((2, 2), np.int64)}, 4))
    contents = read_container(tmp_path / "x.pkl")
    assert contents.format == "pickle"
    assert_same(contents.data, {"a": torch.ones(2, 2).long()})
