"""Pickles that execute nothing but claim what is not there, or nest until a reader breaks."""

import struct

import pytest
import torch

from engine.checkpoints.container import read_container
from engine.errors import CheckpointError
from tests.engine.checkpoints import foreign
from tests.engine.checkpoints.foreign import call, snippet, whole


def array(code: str, shape: tuple, data: bytes) -> bytes:
    kind = call("numpy.dtype", code, False, True) + b"(K\x03" + snippet("<") + b"NNNNNNtb"
    state = b"(K\x01" + snippet(shape) + kind + b"\x89" + snippet(data) + b"t"
    return b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n)NtR" + state + b"b"


@pytest.mark.parametrize(
    "instructions, message",
    [
        (array("f4", (10**12,), bytes(8)), "takes 4,000,000,000,000 bytes and has 8"),
        (array("f4", (2, -1), bytes(8)), "shape is not made of whole numbers"),
        (array("f4", (True, 2), bytes(8)), "shape is not made of whole numbers"),
        (array("f4", (1,) * 99, bytes(4)), "shape is not made of whole numbers"),
        (array("V8", (1,), bytes(8)), "elements of type V8"),
        (array("O8", (1,), bytes(8)), "elements of type O8"),
        (array("f4,O", (1,), bytes(8)), "elements of type f4,O"),
    ],
)
def test_arrays_that_claim_what_is_not_there(instructions, message, tmp_path):
    (tmp_path / "x.pkl").write_bytes(whole(instructions))
    with pytest.raises(CheckpointError, match=message):
        read_container(tmp_path / "x.pkl")


@pytest.mark.parametrize(
    "claim, message",
    [
        ((4, (3, 2), (2, 1)), "claims more than the 4 elements"),
        ((4, (4,), (1,), 1), "claims more than the 4 elements"),
        ((4, (2,), (4,)), "claims more than the 4 elements"),
        ((4, (10**6, 10**6), (0, 0)), "claim far more memory than the file has bytes"),
        ((4, (2,), (-1,)), "not made of whole numbers"),
        ((4, (2,), (1,), -1), "not made of whole numbers"),
        ((4, (2, 2), (1,)), "not made of whole numbers"),
        ((4, (2.0,), (1,)), "not made of whole numbers"),
        ((4, (10**400,), (1,)), "not made of whole numbers"),
        ((4, (1,) * 65, (1,) * 65), "at most 16 dimensions"),
        ((10**12, (2,), (1,)), "claims 4,000,000,000,000 bytes and the file has"),
        ((-1, (2,), (1,)), "a storage claims -1 elements"),
        ((2**70, (2,), (1,)), "a storage claims 1180591620717411303424 elements"),
    ],
)
def test_tensors_that_claim_what_is_not_there(claim, message, tmp_path):
    instructions, data = foreign.tensor_snippet(*claim), bytes(16)
    count = claim[0] if -(2**63) <= claim[0] < 2**63 else 4
    old = foreign.legacy_file(instructions, {"0": (count, data)})
    (tmp_path / "old.pt").write_bytes(old)
    foreign.torch_zip(tmp_path / "new.pt", whole(instructions), {"0": data})
    for name in ("old.pt", "new.pt"):
        with pytest.raises(CheckpointError, match=message):
            read_container(tmp_path / name)


def test_a_repeated_row_may_be_saved_as_one(tmp_path):
    """latent_avg.expand(18, 512) has a storage of 512."""
    torch.save({"latent_avg": torch.arange(4.0).expand(3, 4)}, tmp_path / "new.pt")
    found = read_container(tmp_path / "new.pt").data["latent_avg"]
    assert torch.equal(found, torch.arange(4.0).repeat(3, 1))


def test_storages_that_are_not_in_the_file(tmp_path):
    claim = foreign.tensor_snippet(4, (4,), (1,))
    foreign.torch_zip(tmp_path / "new.pt", whole(claim))
    with pytest.raises(CheckpointError, match="entry data/0 is missing"):
        read_container(tmp_path / "new.pt")
    (tmp_path / "old.pt").write_bytes(foreign.legacy_file(claim, {}))
    with pytest.raises(CheckpointError, match="storage is not in the file"):
        read_container(tmp_path / "old.pt")
    (tmp_path / "old.pt").write_bytes(foreign.legacy_file(claim, {"0": (3, bytes(12))}))
    with pytest.raises(CheckpointError, match="storage 0 has 3 elements, not 4"):
        read_container(tmp_path / "old.pt")


NESTED = 150_000


@pytest.mark.parametrize(
    "instructions",
    [
        b"]" * NESTED + b"a" * (NESTED - 1),
        b")" + b"\x85" * NESTED,
        b"}" + (b"X\x01\0\0\0a}") * 50_000 + b"s" * 50_000,
        b"]q\x00h\x00a",
        (b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n}(" + snippet("class_name"))
        + (snippet("a") + snippet("state"))
        + b"]q\x01h\x01au\x85R",
    ],
    ids=["lists", "tuples", "dicts", "cycle", "record"],
)
def test_deep_nesting(instructions, tmp_path):
    (tmp_path / "x.pkl").write_bytes(whole(instructions))
    with pytest.raises(CheckpointError, match="nested more than 100 deep"):
        read_container(tmp_path / "x.pkl")


def test_a_deep_tuple_is_never_hashed(tmp_path):
    # Hashing it overflows the C stack, which ends the process.
    (tmp_path / "x.pkl").write_bytes(whole(b"})" + b"\x85" * NESTED + b"Ns"))
    with pytest.raises(CheckpointError, match="a dict key is a tuple"):
        read_container(tmp_path / "x.pkl")


def test_declared_lengths_beyond_the_file(tmp_path):
    for opcode in (b"X" + struct.pack("<I", 2**32 - 1), b"\x8e" + struct.pack("<Q", 2**40)):
        for data in (whole(opcode), foreign.LEGACY_HEADER + whole(opcode)):
            (tmp_path / "x.pkl").write_bytes(data)
            with pytest.raises(CheckpointError, match="damaged or incomplete"):
                read_container(tmp_path / "x.pkl")


LAUGHS = b"(" + b"K\x01" * 9 + b"lq\x000" + (b"(" + b"h\x00" * 9 + b"lq\x000") * 30 + b"h\x00"


@pytest.mark.parametrize(
    "instructions",
    [
        b"ctorch\ndevice\n(" + snippet("cuda") + LAUGHS + b"tR",
        b"c_codecs\nencode\n(" + snippet("a") + LAUGHS + b"tR",
        b"cbuiltins\nbytearray\n(" + LAUGHS + b"tR",
        b"cbuiltins\nbytes\n" + snippet((2**45,)) + b"R",
        b"cnumpy\ndtype\n(" + LAUGHS + b"tR",
        b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(" + LAUGHS + b"tRNtR",
        array("f4", (1,), b"1234").replace(snippet((1,)), LAUGHS),
        foreign.tensor_snippet(4, (7,), (1,)).replace(snippet((7,)), LAUGHS),
        b"("
        + snippet("storage")
        + b"ctorch\nFloatStorage\n"
        + snippet("0")
        + b"N"
        + LAUGHS
        + b"tQ",
        b"(" + LAUGHS + b"ctorch\nFloatStorage\nNNNtQ",
        b"}" + LAUGHS + b"Ns",
        LAUGHS + snippet("x") + b"\x93",
    ],
)
def test_messages_never_spell_out_what_grows(instructions, tmp_path):
    # 9 ** 31 numbers in 31 lists.
    contents = foreign.LEGACY_HEADER + whole(instructions) + whole(b"]")
    (tmp_path / "x.pt").write_bytes(contents)
    with pytest.raises(CheckpointError) as caught:
        read_container(tmp_path / "x.pt")
    assert len(str(caught.value)) < 500 and "MemoryError" not in str(caught.value)


def test_keys_of_storages_are_text(tmp_path):
    deep = b"(" + b")" + b"\x85" * NESTED + b"l"
    claim = whole(foreign.tensor_snippet(4, (4,), (1,)))
    (tmp_path / "x.pt").write_bytes(foreign.LEGACY_HEADER + claim + whole(deep) + bytes(99))
    with pytest.raises(CheckpointError, match="lists a storage a tuple that no tensor uses"):
        read_container(tmp_path / "x.pt")
