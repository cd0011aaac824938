"""Pickles that try to run something: each is refused by name, and leaves no marker file."""

import pickle
from pathlib import Path

import pytest
import torch

from engine.checkpoints.container import read_container
from engine.checkpoints.names import NAMES
from engine.errors import CheckpointError
from tests.engine.checkpoints import foreign
from tests.engine.checkpoints.foreign import call, snippet, whole

HUB = "def model():\n    pass\n\nopen({marker!r}, 'w').close()\n"


def getattr_chain(marker: Path) -> bytes:
    """getattr(__import__("os"), "system")("touch marker")."""
    imported = call("builtins.__import__", "os")
    function = b"cbuiltins\ngetattr\n(" + imported + snippet("system") + b"tR"
    return function + snippet((f"touch {marker}",)) + b"R"


def dotted_name(marker: Path) -> bytes:
    """STACK_GLOBAL "torch" "os.system": Python follows the dots of protocol 4."""
    arguments = snippet((f"touch {marker}",))
    return snippet("torch") + snippet("os.system") + b"\x93" + arguments + b"R"


def inst(marker: Path) -> bytes:
    """The INST instruction of protocol 0 names and calls at once."""
    return b"(" + snippet(f"touch {marker}") + b"ios\nsystem\n"


def hidden_in_a_storage(marker: Path) -> bytes:
    """A whole file in the place of a tensor's bytes: torch unpickles it freely."""
    inner = foreign.LEGACY_HEADER + whole(call("os.system", f"touch {marker}"))
    return call("torch.storage._load_from_bytes", inner)


def hidden_in_a_header(marker: Path) -> bytes:
    """The same, where torch's magic number should be."""
    return call("torch.storage._load_from_bytes", whole(call("os.system", f"touch {marker}")))


PAYLOADS = {
    "system": lambda m: call("os.system", f"touch {m}"),
    "posix": lambda m: call("posix.system", f"touch {m}"),
    "popen": lambda m: call("subprocess.check_call", ["touch", str(m)]),
    "eval": lambda m: call("builtins.eval", f"open({str(m)!r}, 'w').close()"),
    "exec": lambda m: call("builtins.exec", f"open({str(m)!r}, 'w').close()"),
    "python2": lambda m: call("__builtin__.eval", f"open({str(m)!r}, 'w').close()"),
    "open": lambda m: call("io.open", str(m), "w"),
    "touch": lambda m: call("os.mkdir", str(m)),
    "runpy": lambda m: call("runpy.run_path", str(m.with_name("hubconf.py"))),
    "timeit": lambda m: call("timeit.timeit", "pass", f"open({str(m)!r}, 'w').close()"),
    "torch.hub": lambda m: call("torch.hub._load_local", str(m.parent), "model"),
    "torch.utils": lambda m: call("torch.utils.collect_env.run", f"touch {m}"),
    "getattr": getattr_chain,
    "dotted": dotted_name,
    "inst": inst,
    "storage": hidden_in_a_storage,
    "header": hidden_in_a_header,
}
PLACES = {
    "top": lambda payload: payload,
    "nested": lambda payload: b"}" + snippet("g_ema") + b"](" + payload + b"es",
    "opts": lambda payload: (
        b"}"
        + snippet("opts")
        + b"cargparse\nNamespace\n)\x81}"
        + snippet("device")
        + payload
        + b"sbs"
    ),
    "key": lambda payload: b"}" + payload + b"Ns",
}


def containers(payload: bytes, folder: Path) -> dict[str, Path]:
    """The payload in every kind of file that holds a pickle."""
    contents = {
        "old.pt": foreign.LEGACY_HEADER + whole(payload, 4),
        "network.pkl": whole(payload, 4),
        "codes.npy": foreign.npy_of_objects(whole(payload, 4)),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    npz = foreign.zip_file(folder / "codes.npz", {"a.npy": contents["codes.npy"]})
    new = foreign.torch_zip(folder / "new.pt", whole(payload, 4))
    return {"npz": npz, "new": new, **{name: folder / name for name in contents}}


@pytest.fixture
def marker(tmp_path):
    path = tmp_path / "marker"
    (tmp_path / "hubconf.py").write_text(HUB.format(marker=str(path)))
    return path


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_is_executed(payload, marker, tmp_path):
    for place, wrap in PLACES.items():
        for name, path in containers(wrap(PAYLOADS[payload](marker)), tmp_path).items():
            with pytest.raises(CheckpointError) as caught:
                read_container(path)
            assert not marker.exists(), (payload, place, name)
            assert "nothing was executed" in str(caught.value) or payload == "inst"


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.filterwarnings("ignore")
def test_python_would_have_executed_it(payload, marker):
    # What makes the test above mean something: an ordinary reader does run these (harmless) ones.
    try:
        pickle.loads(whole(PAYLOADS[payload](marker), 4 if payload == "dotted" else 2))
    except (TypeError, RuntimeError, AttributeError, EOFError):
        pass  # after it ran
    assert marker.exists()


def test_the_message_names_what_was_asked_for(marker, tmp_path):
    (tmp_path / "x.pkl").write_bytes(whole(call("os.system", f"touch {marker}")))
    with pytest.raises(
        CheckpointError, match="x.pkl: it asks for os.system.*nothing was executed.*state_dict"
    ):
        read_container(tmp_path / "x.pkl")
    (tmp_path / "x.pkl").write_bytes(b"\x80\x02c" + b"a" * 10**6 + b"\nb\n.")
    with pytest.raises(CheckpointError) as caught:
        read_container(tmp_path / "x.pkl")
    assert len(str(caught.value)) < 500


def test_whole_models_are_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="torch.nn.modules.linear.Linear.*state_dict"):
        read_container(tmp_path / "model.pt")


def test_a_module_of_nvidia_runs_neither_its_source_nor_what_hides_in_its_state(
    marker, tmp_path, monkeypatch
):
    class Payload:
        def __reduce__(self):
            return eval, (f"open({str(marker)!r}, 'w').close()",)

    data, _ = foreign.nvidia_pickle(monkeypatch, marker, hostile=Payload())
    (tmp_path / "ffhq.pkl").write_bytes(data)
    with pytest.raises(CheckpointError, match="asks for builtins.eval"):
        read_container(tmp_path / "ffhq.pkl")
    assert not marker.exists()


@pytest.mark.parametrize(
    "instructions, message",
    [
        (b"\x82\x01", "its pickle uses EXT1"),
        (b"Pos.system\n", "its pickle uses PERSID"),
        (b"(cbuiltins\ndict\no", "its pickle uses OBJ"),
        (b"cbuiltins\ndict\n)}\x92", "its pickle uses NEWOBJ_EX"),
        (b"\x97", "its pickle uses NEXT_BUFFER"),
        (snippet(("storage", 1)) + b"Q", "refers to data outside"),
        # a state on our own functions, on a class's stand-in, on plain values
        (b"ccollections\nOrderedDict\n}b", "sets a state on a Function"),
        (b"ccollections\nOrderedDict\nN}" + snippet("call") + b"Nsb", "sets a state on a"),
        (b"ccollections\nOrderedDict\nN}\x86b", "sets a state on a Function"),
        (b"ctorch\nFloatStorage\n}b", "sets a state on a ElementType"),
        (b"cnumpy\nndarray\n}b", "sets a state on a str"),
        (b"]}b", "sets a state on a list"),
        # calls of things that are no functions, with things that are no arguments
        (b"cnumpy\nndarray\n)R", "calls a str"),
        (b"ccollections\nOrderedDict\n]R", "calls a Function with a list"),
        (b"ctorch._tensor\n_rebuild_from_type_v2\n(NNNNtR", "calls a NoneType"),
        (b"ccollections\nOrderedDict\n", "holds a bare Function"),
        (b"NNs", "damaged"),
        (b"NK\x01K\x01s", "sets items of a NoneType"),
        (b")Na", "appends to a tuple, not a list"),
        (b"})Ns", "a dict key is a tuple"),
        (b"}]Ns", "a dict key is a list"),
        (b"h\x07", "damaged"),
        (b"0", "damaged"),
        (b"t", "damaged"),
        (b"c_codecs\nencode\n" + snippet(("a", "rot13")) + b"R", "encodes text by rot13"),
        (b"cpathlib\nPosixPath\n" + snippet((1,)) + b"R", "holds a path that is none"),
        (b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n}\x85R", "damaged"),
        (b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01)NNNtb", "a NoneType for its type"),
    ],
)
def test_instructions_that_weights_do_not_need(instructions, message, tmp_path):
    (tmp_path / "x.pkl").write_bytes(whole(instructions, 4))
    with pytest.raises(CheckpointError, match=message):
        read_container(tmp_path / "x.pkl")


def test_attributes_of_an_object_are_only_data(tmp_path):
    names = dict(NAMES)
    state = {"__class__": "x", "__dict__": {"a": 1}, "__setstate__": 2, "__reduce__": None}
    instructions = b"cargparse\nNamespace\n)\x81" + snippet(state) + b"b"
    (tmp_path / "x.pkl").write_bytes(whole(instructions))
    assert read_container(tmp_path / "x.pkl").data == state
    assert names == NAMES
