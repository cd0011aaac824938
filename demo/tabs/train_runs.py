"""The trainings of this machine: one at a time, each a process of its own in a folder of its own.

    $STYLIZE_HOME/training/NAME/order.json   what was asked for
                                data, photos the pictures, prepared
                                run          the run folder of train.RECIPE
                                log.txt      what the process said
                          /lock              held by the process as long as it lives

The lock belongs to the open file, which the process inherits: however it ends, the system lets go
of it, and however the page ends, it is still held. So any page on this machine knows what runs.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from demo.tabs.train_state import PRESETS, Order, State, read_state, statistics_of
from engine.errors import DataError, TrainingError
from engine.runtime import data_home
from train.dataset import write_whole

ROOT = Path(__file__).parents[2]
NICENESS = 10  # the page comes first
GRIDS = 24  # of samples, until the end
# Pictures a second of the preset cpu on two cores, busy and idle, where nothing was measured yet.
USUAL_SPEED = {"transfer": (0.4, 0.7), "texture": (1.5, 4.5)}
LEAST = 200  # pictures seen before a speed is believed: at first, samples take most of the time
LOCAL = ("127.0.0.1", "localhost", "::1")
FREER = {"transfer": {"sim_weight": 0.5}, "texture": {"sim_weight": 0.1}}  # as the doctor says


class Trainings:
    """What is trained, and was, below `folder`; finished styles go to `packs`.

    Args:
        device: where the networks are trained, as `STYLIZE_DEVICE` names it.
    """

    def __init__(self, folder: Path, packs: Path, device: str) -> None:
        self.folder, self.packs, self.device = folder, packs, device
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = ""
        self._guard = threading.Lock()

    def names(self) -> list[str]:
        """Return the names of all trainings, the one started last first."""
        orders = sorted(self.folder.glob("*/order.json"), key=lambda p: -p.stat().st_mtime)
        return [order.parent.name for order in orders]

    def running(self) -> str:
        """Return the name of the training that runs, "" if there is none."""
        with self._guard:
            if self._process is not None and self._process.poll() is not None:
                self._process = None
            return self._holder()["name"]

    def begin(self, order: Order, folders: dict[str, Path]) -> None:
        """Start a new training; its prepared pictures, by folder, move into it.

        Raises:
            TrainingError: the name is taken, or another training runs.
            DataError: the pictures are gone.
        """
        self._refuse_second()
        home = self.folder / order.name
        if home.exists():
            raise TrainingError(f"a training called {order.title} exists: choose another name")
        missing = [flag for flag, folder in folders.items() if not folder.is_dir()]
        if missing:
            raise DataError("the pictures were put away after an hour: choose them again")
        home.mkdir(parents=True, mode=0o700)
        for flag, folder in folders.items():
            shutil.move(folder, home / flag)
        write_whole(home / "order.json", json.dumps(asdict(order), indent=2).encode())
        self.go_on(order.name)

    def go_on(self, name: str) -> None:
        """Start the process of a training; one that was stopped goes on where it stopped.

        Raises:
            TrainingError: a training runs already, or the process cannot be started.
        """
        import fcntl  # not on Windows, where training is switched off

        home, order = self.folder / name, self.order(name)
        with self._guard, (self.folder / "lock").open("a+b") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with (home / "log.txt").open("wb") as log:
                    self._process = subprocess.Popen(
                        self._command(order),
                        cwd=ROOT,
                        env={**os.environ, "STYLIZE_DEVICE": self.device},
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        pass_fds=[lock.fileno()],
                        start_new_session=True,  # Ctrl+C in the terminal is for the page
                    )
            except BlockingIOError as error:
                raise TrainingError(self._busy()) from error
            except OSError as error:
                raise TrainingError(f"the training cannot be started: {error.strerror}") from error
            os.setpriority(os.PRIO_PROCESS, self._process.pid, NICENESS)
            lock.truncate(0)
            lock.write(json.dumps({"name": name, "pid": self._process.pid}).encode())
            self._stopping = ""

    def stop(self, name: str) -> None:
        """Ask a training to save and end, within a step; nothing happens where it does not run."""
        with self._guard:
            holder = self._holder()
            if holder["name"] == name:
                self._stopping = name
                os.kill(holder["pid"], signal.SIGTERM)

    def stop_and_wait(self, seconds: float = 60) -> None:
        """Stop what this page has started, when the page itself ends: nothing of ours stays."""
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()  # the state saved last is whole

    def forget(self, name: str) -> None:
        """Delete pictures and state of a training; its finished style stays.

        Raises:
            TrainingError: it runs, or there is none of that name.
        """
        known = self.order(name).name
        if self.running() == known:
            raise TrainingError("a training that runs cannot be deleted: stop it first")
        shutil.rmtree(self.folder / known, ignore_errors=True)

    def order(self, name: str) -> Order:
        """Read what was asked for; raises TrainingError.

        Only of what `names` lists: a visitor must not make it open a path of their choice.
        """
        file = self.folder / name / "order.json"
        try:
            if name not in self.names():
                raise FileNotFoundError(name)
            return Order(**json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise TrainingError(f"there is no training {name} here any more") from error

    def state(self, name: str) -> State:
        """Read where a training stands; raises TrainingError."""
        active = ""
        if self.running() == name:
            active = "stopping" if self._stopping == name else "running"
        return read_state(self.order(name), self.folder / name, self.pack(name), active)

    def pack(self, name: str) -> Path:
        """Return the folder of a training's style, whether it is there already or not."""
        return self.packs / name

    def seconds(
        self, preset: str, iterations: float | None = None, recipe: str = "transfer"
    ) -> tuple[float, float] | None:
        """Return how long a training will take at least and at most; None: never measured here.

        Measured is what earlier trainings with this preset did in the median.
        """
        settings = PRESETS[recipe][preset]
        images = max(1, int(iterations or settings.iterations)) * settings.batch
        for name in self.names():
            order, rows = self.order(name), statistics_of(self.folder / name)
            speeds = [r["img_per_s"] for r in rows if r.get("img_per_s") and r["cur_nimg"] >= LEAST]
            if speeds and (order.recipe, order.preset) == (recipe, preset):
                return (images / median(speeds),) * 2
        if preset == "cpu" and self.device == "cpu":
            busy, idle = USUAL_SPEED[recipe]
            return images / idle, images / busy
        return None

    def _command(self, order: Order) -> list[str]:
        home, preset = self.folder / order.name, PRESETS[order.recipe][order.preset]
        flags = {
            **order.flags,
            "out": home / "run",
            "pack": self.pack(order.name),
            "title": order.title,
            "iterations": order.iterations,
            "sample_every": max(1, min(preset.sample_every, order.iterations // GRIDS)),
        }
        if order.recipe != "oneshot":
            flags["data"] = home / "data"
            flags["choose_every"] = max(1, min(preset.choose_every, order.iterations // 2))
        else:
            flags["reference"] = next((home / "data").iterdir())
        if (home / "photos").is_dir():
            flags["photos"] = home / "photos"
        given = [f"--{flag.replace('_', '-')}={value}" for flag, value in flags.items()]
        program = [sys.executable, "-m", f"train.{order.recipe}"]
        return [*program, f"--preset={order.preset}", *given]

    def _refuse_second(self) -> None:
        if self.running():
            raise TrainingError(self._busy())

    def _busy(self) -> str:
        return "a training runs on this machine, and only one can: stop it, or wait for its end"

    def _holder(self) -> dict[str, Any]:
        """Who holds the lock: name and process id; an empty name if nobody does."""
        import fcntl

        nobody = {"name": "", "pid": 0}
        if not (self.folder / "lock").exists():
            return nobody
        with (self.folder / "lock").open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return {**nobody, **json.loads(lock.read() or b"{}")}
            return nobody


def open_trainings(device: str, host: str, wanted: bool | None) -> Trainings | None:
    """Return the trainings of this machine, None where the page must not train.

    Without a wish it may where only this computer reaches the page, and never on a Space.
    """
    if sys.platform == "win32":
        return None
    if wanted is None:
        wanted = host in LOCAL and "SPACE_ID" not in os.environ
    return Trainings(training_folder(), data_home() / "packs", device) if wanted else None


def training_folder() -> Path:
    """Return where trainings lie: `$STYLIZE_HOME/training`."""
    return data_home() / "training"
