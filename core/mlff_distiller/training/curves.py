"""Learning curves of a run as CSV, PNG and TensorBoard events."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from mlff_distiller.atomic_file import replace_file
from mlff_distiller.evaluation.plots import new_figure, save_figure
from mlff_distiller.units import MEV


class LearningCurves:
    """One row per validation, written anew each time, so that a resumed run leaves the files of an uninterrupted one.

    Args:
        folder: Where ``curves.csv``, ``curves.png`` and ``tensorboard/`` go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[dict[str, float]] = []
        self._writer = None

    def restore(self, rows: Sequence[dict[str, float]]) -> None:
        """Take over the rows of an earlier session of the same run."""
        self.rows = [dict(row) for row in rows]

    def append(self, row: dict[str, float]) -> None:
        """Add a validation and update the files."""
        self._log(row)
        self.rows.append(row)
        self._write_csv()
        draw_curves(self.rows, self.folder / "curves.png")

    def close(self) -> None:
        """End the thread that writes TensorBoard events."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _log(self, row: dict[str, float]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        if self._writer is None:  # purge what a killed session logged after its last checkpoint
            self._writer = SummaryWriter(self.folder / "tensorboard", purge_step=int(row["step"]))
        for name, value in row.items():
            if name != "step":
                self._writer.add_scalar(name, value, int(row["step"]))
        self._writer.flush()

    def _write_csv(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(self.rows[0]))
        writer.writeheader()
        writer.writerows(self.rows)
        replace_file(self.folder / "curves.csv", [text.getvalue().encode()])


def draw_curves(rows: Sequence[dict[str, float]], path: Path) -> None:
    """Loss, force and energy errors against the epoch."""
    epochs = [row["epoch"] for row in rows]
    figure = new_figure(10, 3)
    loss, force, energy = figure.subplots(1, 3)
    loss.plot(epochs, [row["train_loss"] for row in rows], label="training")
    loss.plot(epochs, [row["valid_loss"] for row in rows], label="validation (averaged weights)")
    loss.set_ylabel("loss")
    loss.legend(fontsize=8)
    force.plot(epochs, [MEV * row["valid_force_mae"] for row in rows])
    force.set_ylabel("validation force MAE (meV/Å)")
    energy.plot(epochs, [MEV * row["valid_energy_mae"] for row in rows])
    energy.set_ylabel("validation energy MAE (meV/atom)")
    for axes in (loss, force, energy):
        axes.set_xlabel("epoch")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.tick_params(which="minor", labelsize=7)
        axes.grid(alpha=0.3)
    save_figure(figure, path)
