"""A decoder in a process of its own: what crashes or hangs there is a MediaError here.

The child gets the opened file as its standard input and no name, so there is nothing it could
open in its place, and answers through a pipe that holds about one frame.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from engine.errors import MediaError
from motion.media import pipe
from motion.media.formats import ACCEPTED, HEAD_BYTES, Format, identify
from motion.media.limits import Limits

_ROOT = Path(__file__).resolve().parents[2]
_PIPE_BYTES = 2**20


class Decoder:
    """One running task of motion.media.worker.

    Args:
        task: "probe", "frames" or "join".
        path: the clip.
        request: what else the task needs, as JSON.

    Raises:
        MediaError: a file that cannot be opened, is too large, or is no clip.
    """

    def __init__(self, task: str, path: Path, limits: Limits, **request: Any) -> None:
        self.name, self._limits = path.name, limits
        with _open(path, limits) as file:
            form = _identify(file, path.name)
            request |= {"task": task, "name": path.name, "format": form.name}
            request["limits"] = asdict(limits)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "motion.media.worker", json.dumps(request)],
                **{"stdin": file, "stdout": subprocess.PIPE},
                **{"cwd": _ROOT, "pipesize": _PIPE_BYTES},
                start_new_session=True,  # Ctrl-C is for us, who then stop it
                # The arithmetic in there is small, and every pool costs address space.
                env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
        self._late = False

    def receive(self) -> tuple[dict[str, Any], np.ndarray]:
        """Wait for the next message that is not a sign of life.

        Raises:
            MediaError: what the child reports; or that it died, or gave no sign for too long.
        """
        message: dict[str, Any] = {"kind": "alive"}
        while message["kind"] == "alive":
            timer = threading.Timer(self._limits.timeout_s, self._stop_late)
            timer.start()
            try:  # four bytes a pixel; square pixels can make a frame up to four times as large
                message, payload = pipe.receive(self._process.stdout, 16 * self._limits.pixels)
            except (EOFError, ValueError) as error:
                raise self._lost() from error
            finally:
                timer.cancel()
        if message["kind"] == "error":
            self.close()
            raise MediaError(message["message"])
        return message, payload

    def close(self) -> None:
        """Stop the child, whatever it is doing, and free everything."""
        self._process.kill()
        self._process.stdout.close()
        self._process.wait()

    def _stop_late(self) -> None:
        self._late = True
        self._process.kill()

    def _lost(self) -> MediaError:
        with suppress(subprocess.TimeoutExpired):  # its own exit code, not that of being stopped
            self._process.wait(timeout=1)
        self.close()
        if self._late:
            seconds = self._limits.timeout_s
            return MediaError(
                f"{self.name} kept the decoder busy for over {seconds:g} s with one frame, so it "
                f"was stopped; clips that decode faster are accepted: save it again as MP4"
            )
        return MediaError(
            f"the decoder broke down on {self.name} (exit code {self._process.returncode}); "
            f"intact {ACCEPTED} files are accepted: save it again as MP4 with another program"
        )


def _open(path: Path, limits: Limits) -> BinaryIO:
    if path.exists() and not path.is_file():  # opening a named pipe would wait for its writer
        raise MediaError(
            f"{path.name} is a folder or a device; one {ACCEPTED} file is accepted: name a file"
        )
    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise MediaError(
            f"cannot open {path.name}: {error.strerror}; a readable {ACCEPTED} file is accepted: "
            "check the name and the permissions"
        ) from error
    if (size := os.fstat(file.fileno()).st_size) > limits.bytes:
        file.close()
        raise MediaError(
            f"{path.name} has {size / 2**20:.3g} MB; files of at most "
            f"{limits.bytes / 2**20:.3g} MB are accepted: cut or compress it"
        )
    return file


def _identify(file: BinaryIO, name: str) -> Format:
    form = identify(file.read(HEAD_BYTES), name)
    file.seek(0)
    return form
