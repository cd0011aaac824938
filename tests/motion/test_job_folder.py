"""What a job leaves on disk: the state comes back exactly, another job is refused."""

import errno
import json
import os
import subprocess
import sys

import pytest
import torch

from engine.errors import MediaError, OptionError
from motion.job_folder import JobFolder, State, file_sha256

JOB = {"source": "a" * 64, "options": {"strength": 0.8, "color": "keep"}, "end": None}


@pytest.fixture
def folder(tmp_path):
    return JobFolder(tmp_path / "out.mp4.job", ".mp4")


def test_a_state_comes_back_exactly(folder):
    assert folder.open(JOB) == State()
    kept = {
        "points": torch.randn(5, 2, dtype=torch.float64),
        "picture": torch.arange(24, dtype=torch.uint8).reshape(2, 4, 3).transpose(0, 1),
        "empty": torch.zeros(0),
        "persons.0.sightings": [1, 2, 5],
        "name": None,
    }
    state = State(3, 60, 2.4, ((4, 9), (20, 20)), kept)
    folder.save(state)
    found = folder.open(JOB)
    assert (found.segments, found.written, found.end) == (3, 60, 2.4)
    assert found.untouched == ((4, 9), (20, 20))
    assert set(found.stabilizer) == set(kept)
    for name in ("points", "picture", "empty"):
        assert found.stabilizer[name].dtype == kept[name].dtype
        assert torch.equal(found.stabilizer[name], kept[name])
    assert found.stabilizer["persons.0.sightings"] == [1, 2, 5] and not found.stabilizer["name"]
    assert list(folder.folder.rglob("*.part")) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"options": {"strength": 1.0, "color": "keep"}}, "strength 0.8 (now 1.0)"),
        ({"source": "b" * 64}, "source aaaaaaaaaaaa... (now bbbbbbbbbbbb...)"),
        ({"end": 3.0}, "end None (now 3.0)"),
    ],
)
def test_another_job_is_refused(folder, change, expected):
    folder.open(JOB)
    with pytest.raises(OptionError) as error:
        folder.open({**JOB, **change})
    assert expected in str(error.value) and "--no-resume" in str(error.value)
    assert json.loads((folder.folder / "job.json").read_text()) == JOB


def test_a_full_disk_leaves_the_last_state(folder, monkeypatch):
    folder.open(JOB)
    folder.save(State(segments=1))

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(MediaError, match="No space left on device; make room"):
        folder.save(State(segments=2))
    assert folder.open(JOB).segments == 1 and list(folder.folder.glob("*.part")) == []


@pytest.mark.parametrize("name", ["state.safetensors", "job.json"])
def test_a_broken_folder_is_told(folder, name):
    folder.open(JOB)
    (folder.folder / name).write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{broken}")
    with pytest.raises(MediaError, match=name):
        folder.open(JOB)


def test_a_folder_in_use_is_told_and_left_alone(folder):
    other = JobFolder(folder.folder, folder.suffix)
    with folder.locked():
        folder.open(JOB)
        with pytest.raises(OptionError, match="is in use: the same film is being made"):
            with other.locked():
                raise AssertionError("two at once")
        assert folder.open(JOB) == State()
    with other.locked():
        assert other.open(JOB) == State(), "free again, and the parts are still there"


def test_nothing_is_left_of_a_folder_that_is_done(folder):
    with folder.locked():
        folder.open(JOB)
        folder.remove()
    assert not folder.folder.exists()


def test_a_killed_process_frees_its_folder(folder):
    script = (
        "import sys\nfrom pathlib import Path\nfrom motion.job_folder import JobFolder\n"
        f"with JobFolder(Path({str(folder.folder)!r}), '.mp4').locked():\n"
        "    print('locked', flush=True)\n    sys.stdin.read()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script], **pipes) as process:
        assert process.stdout.readline() == b"locked\n"
        with pytest.raises(OptionError, match="in use"), folder.locked():
            pass
        process.kill()
        process.wait()
        with folder.locked():
            assert folder.folder.exists()


def test_hashes_of_files(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a").startswith("ba7816bf8f01cfea")
    with pytest.raises(MediaError, match="cannot read"):
        file_sha256(tmp_path / "none")
