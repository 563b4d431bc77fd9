"""The folder of finished parts beside an output file: what makes a run safe to kill.

A part is one ``.npz`` file (zip with a CRC-32 of every array, no pickle) of the arrays of a `Dataset`
and a JSON text of failures. It is written under another name, flushed to the disk, and renamed, so a file
with the right name is whole; its checksums are tested before use all the same, and a part that does not pass
is made anew.
"""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from mlff_distiller.atomic_file import lock_folder, make_folder, replace_file
from mlff_distiller.data.dataset import LAYOUT, Dataset
from mlff_distiller.data.schema import write_dataset
from mlff_distiller.errors import ConfigError, DatasetError, OutputError

_FAILURES = "__failures__"
_NOT_WHOLE = (OSError, EOFError, zipfile.BadZipFile, ValueError, KeyError)  # not there, cut short, or damaged


class PartStore:
    """The parts of one run, beside its output file.

    Attributes:
        output: The file that the run will write.
        folder: Where the parts are, ``<output>.parts``.
        created: Time of the run's first start, ISO 8601 in UTC; a resumed run keeps it.
    """

    def __init__(self, output: Path, run: Mapping[str, str]) -> None:
        """Open the parts of a run, or start with none.

        Args:
            output: The file that the run will write.
            run: Everything that the outcome depends on: settings, inputs, seed.

        Raises:
            ConfigError: The output exists, its parts belong to a run with other settings or inputs, or another process is
                making them.
        """
        self.output = Path(output)
        self.folder = self.output.with_name(self.output.name + ".parts")
        if self.output.exists() and not self.folder.exists():
            raise ConfigError(f"{self.output} exists already. Delete it, or choose another output.")
        make_folder(self.folder)
        self._lock = lock_folder(self.folder)
        try:
            for leftover in self.folder.glob("*.tmp"):  # of a process that was killed
                leftover.unlink()
            self.created = self._open_plan(run)
        except BaseException:  # which may live on, and this object with it
            self.close()
            raise

    def _open_plan(self, run: Mapping[str, str]) -> str:
        """Compare the run with the stored plan, or store it; return the time of the first start."""
        path = self.folder / "plan.json"
        plan = _read_plan(path)
        if plan is None:
            if any(self.folder.glob("*.npz")):
                raise ConfigError(
                    f"{self.folder} has parts but no readable plan. Delete the folder and start again."
                )
            plan = _Plan(datetime.now(UTC).isoformat(timespec="seconds"), dict(run))
            replace_file(path, [json.dumps(dataclasses.asdict(plan), indent=1).encode()])
        if changed := sorted(key for key in {*run, *plan.run} if run.get(key) != plan.run.get(key)):
            raise ConfigError(
                f"{self.folder} belongs to an unfinished run, started {plan.created}, that differs in: "
                f"{', '.join(changed)}. Repeat that command to finish it, choose another output, or delete "
                "the folder."
            )
        return plan.created

    def write(self, fingerprint: str, frames: Dataset, failures: Mapping[str, int]) -> None:
        """Store one part for good: when this returns, a crash cannot lose it.

        Raises:
            OutputError: The disk is full, or the like.
        """
        try:
            replace_file(self._path(fingerprint), [_npz(frames, failures)])
        except OutputError as error:
            raise OutputError(f"{error} {self.how_to_go_on()}") from error

    def read(self, fingerprint: str) -> tuple[Dataset, dict[str, int]] | None:
        """One part and its failures, or None if it is not there or not whole."""
        try:
            content = io.BytesIO(self._path(fingerprint).read_bytes())
            with np.load(content, allow_pickle=False) as arrays:
                failures = json.loads(str(arrays[_FAILURES]))
                values: dict[str, Any] = {name: arrays.get(name) for name in LAYOUT}
            return Dataset(**values, metadata={}), failures
        except _NOT_WHOLE:
            return None

    def stored_counts(self, fingerprints: Sequence[str]) -> dict[str, tuple[int, dict[str, int]]]:
        """For each part that is there and whole: the number of its frames, and its failures."""
        parts = ((fingerprint, self.read(fingerprint)) for fingerprint in fingerprints)
        return {fingerprint: (len(part[0]), part[1]) for fingerprint, part in parts if part is not None}

    def finish(self, fingerprints: Sequence[str], metadata: Mapping[str, str]) -> Dataset:
        """Merge the parts in the given order into the output file, and remove them.

        Raises:
            DatasetError: There are no parts, or one is damaged.
            OutputError: The output cannot be written.
        """
        parts = []
        for fingerprint in fingerprints:
            part = self.read(fingerprint)
            if part is not None:
                parts.append(part[0])
            elif self._path(fingerprint).exists():
                raise DatasetError(
                    f"{self._path(fingerprint)} was damaged after it was written. {self.how_to_go_on()}"
                )
        if not parts:
            raise DatasetError(f"{self.folder} has no finished part to write to {self.output}.")
        merged = dataclasses.replace(
            Dataset.concatenate(parts), metadata={**metadata, "creation": self.created}
        )
        write_dataset(self.output, merged)
        shutil.rmtree(self.folder)
        return merged

    def close(self) -> None:
        """Let other processes in."""
        self._lock.lock.release()

    def discard_if_empty(self) -> None:
        """Leave nothing behind of a run that finished no part: its output is free for another."""
        if not any(self.folder.glob("*.npz")):
            shutil.rmtree(self.folder)

    def how_to_go_on(self) -> str:
        """A sentence for a user whose run has stopped."""
        n_parts = len(list(self.folder.glob("*.npz")))
        return f"{n_parts} finished parts are kept in {self.folder}; the same command goes on from there."

    def _path(self, fingerprint: str) -> Path:
        return self.folder / f"{fingerprint}.npz"


@dataclass(frozen=True)
class _Plan:
    """When a run was started first, and what its outcome depends on."""

    created: str
    run: dict[str, str]


def _read_plan(path: Path) -> _Plan | None:
    try:
        return _Plan(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _npz(frames: Dataset, failures: Mapping[str, int]) -> bytes:
    """The content of a part file."""
    content: dict[str, Any] = {name: getattr(frames, name) for name in LAYOUT}
    content[_FAILURES] = json.dumps(dict(failures))
    buffer = io.BytesIO()
    np.savez(buffer, **{name: value for name, value in content.items() if value is not None})
    return buffer.getvalue()
