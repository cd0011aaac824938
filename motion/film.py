"""The film of a job while it grows: segments in the job's folder, then one file with the sound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from engine.errors import StylizeError
from motion.job_folder import JobFolder, State
from motion.media import Frame, Writer, join


@dataclass(frozen=True)
class Cut:
    """Between two frames: a segment ends, and this is the state of the stabilizer there."""

    stabilizer: Mapping[str, Any]


class Film:
    """Writes frames to segments, and at the end the result.

    Args:
        folder, state: the opened folder of the job, and where it stands.
        source: the clip, for its sound from `start` to `end` seconds.
        result: the file to write; not touched before `finish`.
        lossless, alpha: what the segments keep, as of `Writer`.

    Attributes:
        num_frames, untouched: of all frames written; (first, last) numbers of those without a face.
        notes: plain-words warnings about the sound, once it is finished.
    """

    def __init__(
        self,
        folder: JobFolder,
        state: State,
        source: Path,
        result: Path,
        *,
        start: float = 0.0,
        end: float | None = None,
        lossless: bool = False,
        alpha: bool = False,
    ) -> None:
        self.folder, self.state, self.source, self.result = folder, state, source, result
        self._span, self._format = (start, end), {"lossless": lossless, "alpha": alpha}
        self.notes: tuple[str, ...] = ()
        self._writer: Writer | None = None
        self._cut: Cut | None = None
        self._end = Fraction(state.end)
        self.num_frames, self.untouched = state.written, list(state.untouched)

    def cut(self, cut: Cut) -> None:
        """End the segment as soon as it is known when the next frame begins."""
        self._cut = cut

    def write(self, frame: Frame, *, is_untouched: bool) -> None:
        """Append a frame; raises MediaError (disk full, another size than the first one)."""
        if self._cut:
            self._close_segment(self._cut, frame.time)
        if self._writer is None:
            path, (height, width) = self.folder.segment(self.state.segments), frame.rgb.shape[:2]
            self._writer = Writer(path, width, height, **self._format)
        self._writer.write(frame)
        if is_untouched:
            self.untouched = _with_frame(self.untouched, self.num_frames)
        self.num_frames += 1
        self._end = frame.time + frame.duration

    def finish(self, *, is_complete: bool, keep_folder: bool = False) -> None:
        """Put the result in its place: all frames written, and the sound that belongs to them.

        A folder is kept while there is something to go on with. Raises MediaError.
        """
        count = self.state.segments
        if self._writer is not None:
            self._writer.close()
            count += 1
        if count:
            start, end = self._span
            span = (start, end if is_complete else self._end)
            self.notes = join(self.folder.segments(count), self.source, self.result, *span)
        if not keep_folder and (is_complete or not self.state.segments):
            self.folder.remove()

    def rescue(self, error: StylizeError) -> StylizeError:
        """Save what is done after `error`; return that error with where it is and how to go on."""
        if not self.num_frames:
            self.folder.remove()
            return type(error)(str(error))
        again = "run again to go on" if self.state.segments else "run again"
        try:
            self.finish(is_complete=False)
            saved = f"the first {self.num_frames} frames are in {self.result}"
        except StylizeError:
            self.abandon()
            saved = f"finished parts are kept in {self.folder.folder}"
        return type(error)(f"{error}; {saved}: {again}")

    def abandon(self) -> None:
        """Drop the segment that is being written; finished ones stay."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.abort()

    def _close_segment(self, cut: Cut, end: Fraction) -> None:
        self._writer.close(end)
        state = State(
            segments=self.state.segments + 1,
            written=self.num_frames,
            end=float(end),
            untouched=tuple(self.untouched),
            stabilizer=cut.stabilizer,
        )
        self.folder.save(state)
        self.state, self._writer, self._cut = state, None, None


def _with_frame(ranges: list[tuple[int, int]], index: int) -> list[tuple[int, int]]:
    """Add a number, higher than those before, to ranges (first, last)."""
    if ranges and ranges[-1][1] == index - 1:
        return [*ranges[:-1], (ranges[-1][0], index)]
    return [*ranges, (index, index)]
