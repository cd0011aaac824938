"""Containers that lie about sizes, in bounded memory; damage of every kind ends in one error."""

import io
import random
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine.checkpoints.container import read_container
from engine.errors import CheckpointError
from tests.engine.checkpoints import foreign
from tests.engine.checkpoints.foreign import snippet, whole

ROOT = Path(__file__).resolve().parents[3]
MEGABYTE = 1 << 20
# Reads each file named on standard input; prints the growth of the process's memory in bytes.
PROBE = """
import resource, sys
from engine.checkpoints.container import read_container
from engine.errors import CheckpointError
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
for path in sys.stdin.read().split():
    before = peak()
    try:
        read_container(path)
        said = "was accepted"
    except CheckpointError as error:
        said = str(error)
    print(peak() - before, said)
"""


def patched(path: Path, field: str, value: int) -> Path:
    """Overwrite one size of the last entry in the table of contents of a zip archive."""
    content = bytearray(path.read_bytes())
    entry = content.rfind(b"PK\x01\x02")
    offset = {"compress_size": 20, "file_size": 24, "header_offset": 42}[field]
    struct.pack_into("<L", content, entry + offset, value)
    path.write_bytes(content)
    return path


def claiming(path: Path, num_bytes: int) -> Path:
    """A torch zip file whose last entry claims a size that needs zip's 64-bit fields."""
    name = b"archive/data/0"
    extra = struct.pack("<HHQQ", 1, 16, num_bytes, num_bytes)
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 45, 0, 0, 0, 0, 0, *[2**32 - 1] * 2, len(name), 20)
    entry = struct.pack(
        *("<4s6H3L5H2L", b"PK\1\2", 45, 45, 0, 0, 0, 0, 0, *[2**32 - 1] * 2, len(name), 20),
        *(0, 0, 0, 0, 0),
    )
    body, directory = local + name + extra + bytes(16), entry + name + extra
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(directory), len(body), 0)
    path.write_bytes(body + directory + end)
    return path


def test_zip_entry_that_claims_a_terabyte(tmp_path):
    with pytest.raises(
        CheckpointError, match="entry archive/data/0 claims 1,099,511,627,776 bytes, the file has"
    ):
        read_container(claiming(tmp_path / "x.pt", 2**40))


def test_zip_entries_that_lead_out_or_are_packed(tmp_path):
    claim, data = whole(foreign.tensor_snippet(4, (4,), (1,))), {"0": bytes(16)}
    path = foreign.torch_zip(tmp_path / "x.pt", claim, data)
    assert read_container(path).data.tolist() == [0, 0, 0, 0]
    path = foreign.torch_zip(tmp_path / "x.pt", claim, {**data, "../../x": b"1"})
    with pytest.raises(
        CheckpointError, match="entry archive/data/../../x leads out of the archive"
    ):
        read_container(path)
    path = foreign.zip_file(tmp_path / "x.npz", {"a.npy": b""}, zipfile.ZIP_LZMA)
    with pytest.raises(CheckpointError, match="entry a.npy is encrypted or packed in a rare way"):
        read_container(path)
    entries = {"archive/data.pkl": claim, "archive/data/0": bytes(16)}
    path = foreign.zip_file(tmp_path / "x.pt", entries, zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="entry archive/data.pkl is compressed"):
        read_container(path)
    path = foreign.zip_file(tmp_path / "x.pt", {"a/data.pkl": claim, "b/data.pkl": claim})
    with pytest.raises(CheckpointError, match="several data.pkl"):
        read_container(path)


def test_zip_entries_that_lie_elsewhere(tmp_path):
    claim, data = whole(foreign.tensor_snippet(4, (4,), (1,))), {"0": bytes(16)}
    for field, value in (("header_offset", 5), ("file_size", 8), ("file_size", 10**6)):
        path = patched(foreign.torch_zip(tmp_path / "x.pt", claim, data), field, value)
        with pytest.raises(CheckpointError):
            read_container(path)


def test_zip_of_other_things(tmp_path):
    path = foreign.zip_file(tmp_path / "x.zip", {"weights/model.pt": b"1"})
    with pytest.raises(CheckpointError, match=r"of other things \(weights/model.pt\): unpack it"):
        read_container(path)
    entries = {"m/data.pkl": b"", "m/constants.pkl": b"", "m/code/net.py": b""}
    with pytest.raises(CheckpointError, match="TorchScript program, that is code"):
        read_container(foreign.zip_file(tmp_path / "x.pt", entries))


def test_big_endian_files(tmp_path):
    entries = {"m/data.pkl": whole(b"N"), "m/byteorder": b"big"}
    with pytest.raises(CheckpointError, match="big-endian"):
        read_container(foreign.zip_file(tmp_path / "x.pt", entries))


@pytest.mark.parametrize("length", [2 << 30, 100_000_001, 2**63])
def test_safetensors_header_beyond_the_file(length, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", length) + b'{"a":' + bytes(99))
    with pytest.raises(CheckpointError, match=f"header claims {length:,} bytes, the file has 112"):
        read_container(tmp_path / "x.safetensors")


def test_safetensors_that_lie(tmp_path):
    for header in (b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,16]}}', b"{]}"):
        content = struct.pack("<Q", len(header)) + header + bytes(16)
        (tmp_path / "x.bin").write_bytes(content)
        with pytest.raises(CheckpointError, match="damaged or incomplete.*Safetensor"):
            read_container(tmp_path / "x.bin")


def test_tar(tmp_path):
    (tmp_path / "x.pth.tar").write_bytes(bytes(257) + b"ustar" + bytes(999))
    with pytest.raises(CheckpointError, match="tar archive. Unpack it"):
        read_container(tmp_path / "x.pth.tar")


def zip_bomb(folder: Path) -> Path:
    header = io.BytesIO()
    shape = {"descr": "|u1", "fortran_order": False, "shape": (300 * MEGABYTE,)}
    np.lib.format.write_array_header_1_0(header, shape)
    with zipfile.ZipFile(
        folder / "bomb.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1
    ) as archive:
        with archive.open("a.npy", "w") as entry:
            entry.write(header.getvalue())
            for _ in range(300):
                entry.write(bytes(MEGABYTE))
    return folder / "bomb.npz"


def understated_zip_bomb(folder: Path) -> Path:
    """The same, but its table of contents says 1,000 bytes."""
    path = folder / "understated.npz"
    path.write_bytes((folder / "bomb.npz").read_bytes())
    return patched(path, "file_size", 1000)


def crowded_zip(folder: Path) -> Path:
    """A table of contents of 400,000 entries without names."""
    entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", *[0] * 16)
    directory = entry * 400_000
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0, 0, len(directory), 4, 0)
    (folder / "crowded.pt").write_bytes(b"PK\3\4" + directory + end)
    return folder / "crowded.pt"


def growing_pickles() -> dict[str, tuple[bytes, str]]:
    """Pickles whose values would fill the memory of an ordinary reader; what ours says."""
    put, again = b"r\xff\xff\xff\x7f", b"j\xfe\xff\xff\x7fj\xff\xff\xff\x7fR"
    put_function = b"r\xfe\xff\xff\x7f"
    text = b"X" + struct.pack("<I", 4 * MEGABYTE) + b"a" * 4 * MEGABYTE
    encode = b"c_codecs\nencode\n" + put_function + text + b"\x85" + put + b"00"
    pairs = b"ccollections\nOrderedDict\n" + put_function
    pairs += snippet(([(str(i), i) for i in range(10_000)],)) + put + b"00"
    count = b"J" + struct.pack("<i", MEGABYTE)
    reference = b"(" + snippet("storage") + b"ctorch\nFloatStorage\n" + snippet("0")
    inner = foreign.LEGACY_HEADER + whole(reference + snippet("cpu") + count + b"NtQ")
    inner += whole(snippet(["0"])) + struct.pack("<q", MEGABYTE) + bytes(4 * MEGABYTE)
    stored = b"ctorch.storage\n_load_from_bytes\n" + put_function + snippet((inner,)) + put
    stored += b"00"
    tensor = again + b"K\x00" + count + b"\x85K\x01\x85\x89NtR"
    laughs = b"".join(b"(" + b"h\x00" * 40 + b"lq\x00" for _ in range(4))
    return {
        "dicts": (b"}" * 20_000_000, "more than 1,000,000 pickle instructions"),
        "texts": (b"(" + encode + again * 200 + b"l", "far more memory"),
        "pairs": (b"(" + pairs + again * 400 + b"l", "far more memory"),
        "storages": (
            b"(" + stored + (b"ctorch._utils\n_rebuild_tensor_v2\n(" + tensor) * 100 + b"l",
            "far more memory",
        ),
        "laughs": (snippet("ha") + laughs, "nested more than 100 deep, or more than 1,000,000"),
        "long": (b"\x8b" + struct.pack("<i", 2**31 - 1) + bytes(99), "not enough data"),
    }


def terabyte_files(folder: Path) -> list[Path]:
    """Files of a few bytes that claim a terabyte, or two gigabytes."""
    claim = foreign.legacy_file(foreign.tensor_snippet(2**38, (4,), (1,)), {"0": (2**38, b"1")})
    array = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": (2**38,)}
    np.lib.format.write_array_header_1_0(array, header)
    contents = {
        "old.pt": claim,
        "x.npy": array.getvalue(),
        "x.safetensors": struct.pack("<Q", 2 << 30) + b"{" + bytes(99),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [claiming(folder / "new.pt", 2**40), *(folder / name for name in contents)]


def test_memory_stays_bounded(tmp_path):
    torch.save({"g_ema": {"w": torch.empty(300 * MEGABYTE // 4)}}, tmp_path / "large.pt")
    # The tensors of a sound file lie on top of it: reading it takes no memory of its size.
    expected = {tmp_path / "large.pt": "was accepted"}
    expected[zip_bomb(tmp_path)] = "claims to unpack from"
    expected[understated_zip_bomb(tmp_path)] = "damaged or incomplete"
    expected[crowded_zip(tmp_path)] = "its table of contents claims"
    expected |= dict.fromkeys(terabyte_files(tmp_path), "the file")
    for name, (instructions, message) in growing_pickles().items():
        (tmp_path / f"{name}.pkl").write_bytes(whole(instructions))
        expected[tmp_path / f"{name}.pkl"] = message
    command, listed = [sys.executable, "-c", PROBE], "\n".join(map(str, expected))
    done = subprocess.run(command, input=listed, cwd=ROOT, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    for (path, message), line in zip(expected.items(), done.stdout.splitlines(), strict=True):
        growth, said = line.split(" ", 1)
        assert message in said, f"{path.name}: {said}"
        assert int(growth) < 200 * MEGABYTE, f"{path.name} took {growth} bytes: {said}"


@pytest.fixture(scope="module")
def sound_files(tmp_path_factory):
    """One small file of each container."""
    folder = tmp_path_factory.mktemp("sound")
    data = {"g_ema": {"w": torch.randn(4, 4)}, "opts": {"lr": 0.1, "names": ["a", "b"]}}
    torch.save(data, folder / "new.pt")
    torch.save(data, folder / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.MonkeyPatch.context() as monkeypatch:
        content, _ = foreign.nvidia_pickle(monkeypatch, folder / "marker")
        (folder / "nvidia.pkl").write_bytes(content)
        (folder / "tf.pkl").write_bytes(foreign.tensorflow_pickle(monkeypatch))
    np.save(folder / "codes.npy", {"a": np.ones((2, 3))})
    np.savez_compressed(folder / "x.npz", a=np.ones((2, 3)), b=np.zeros(9))
    save_file(data["g_ema"], folder / "x.safetensors")
    return sorted(folder.iterdir())


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_bytes_raise_nothing_else(sound_files, tmp_path):
    source, num_refused = random.Random(0), 0
    for path in sound_files:
        content, target = path.read_bytes(), tmp_path / path.name
        assert read_container(path).data is not None
        for _ in range(150):
            damaged = bytearray(content)
            for _ in range(source.choice((1, 4, 16))):
                damaged[source.randrange(len(damaged))] = source.randrange(256)
            start = source.randrange(len(damaged))
            if source.random() < 0.3:
                del damaged[start : start + source.randrange(64)]
            target.unlink(missing_ok=True)
            target.write_bytes(damaged)
            try:
                read_container(target)
            except CheckpointError as error:
                num_refused += 1
                assert len(str(error)) < 700
    assert num_refused > 100
