"""The sections of a card that come from measurements; what was not measured says so, with the command that measures it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlff_distiller.evaluation.evidence import Evidence
from mlff_distiller.evaluation.markdown import decimals, markdown_table, three_digits
from mlff_distiller.export.artifact import Metadata
from mlff_distiller.units import MEV

Document = Mapping[str, Any]


def evidence_sections(evidence: Evidence, metadata: Metadata, sha256: str) -> list[str]:
    """Headings and texts.

    Args:
        evidence: Measurements of the artifact.
        metadata: Of the artifact.
        sha256: Of the artifact.
    """
    name = metadata.name
    return [
        "## Energy conservation",
        _conservation(evidence.conservation)
        or f"Not measured. `mlffd nve {name} structure.xyz --engine ase -o nve`",
        "## Agreement of backends and engines",
        _agreement(evidence.agreement) or f"Not measured. `mlffd verify {name} --json verify.json`",
        "## Its own dynamics, labelled by the teacher",
        _audits(evidence.audits) or f"Not measured. `mlffd audit trajectory.xyz --model {name} -o audit`",
        "## Speed",
        _speed(evidence.speed, sha256) or f"Not measured. `mlffd benchmark {name} -o benchmark`",
    ]


def _conservation(runs: Sequence[Document]) -> str:
    if not runs:
        return ""
    headings = (
        *("structure", "engine", "length, ps", "step, fs", "temperature, K", "drift, meV/atom/ns"),
        *("RMS fluctuation, meV/atom", "order in the step", "largest change of a bond, Å", "bonds", "grade"),
    )
    rows = []
    for run in runs:
        drift, order = run["drift_mev_per_atom_per_ns"], run["order_in_time_step"]
        rows.append(
            [
                f"{run['structure']['formula']}",
                run["engine"],
                f"{run['picoseconds']:g}",
                f"{run['settings']['time_step']:g}",
                f"{run['temperature']:.0f}",
                f"{drift['slope']:+.3f} ± {drift['standard_error']:.3f}",
                f"{drift['rms_fluctuation']:.3f}",
                "" if order is None else f"{order:.2f}",
                f"{run['max_bond_deviation']:.2f}",
                "intact" if run["bonds_intact"] else "broken",
                run["grade"],
            ]
        )
    return f"By `mlffd nve`, velocity Verlet.\n\n{markdown_table(headings, rows)}"


def _agreement(documents: Sequence[Document]) -> str:
    headings = (
        "",
        "structures",
        "max abs ΔE, eV/atom",
        "max abs ΔF, eV/Å",
        "max abs Δstress, eV/Å³",
        "verdict",
    )
    rows = []
    for document in documents:
        for row in document["agreement"]:
            if row["missing"] is not None:
                rows.append([row["name"], "", "", "", "", "not installed"])
            elif row["failed"] is not None:
                rows.append([row["name"], "", "", "", "", "failed"])
            else:
                stress = "" if row["stress"] is None else f"{row['stress']:.1e}"
                verdict = "agrees" if row["acceptable"] else "disagrees"
                numbers = [f"{row['energy']:.1e}", f"{row['forces']:.1e}", stress]
                rows.append([row["name"], str(row["n_structures"]), *numbers, verdict])
    if not rows:
        return ""
    different = [
        name for document in documents for name in document.get("structures_with_different_edges", [])
    ]
    edges = f" **Neighbour searches disagree on: {', '.join(different)}.**" if different else ""
    return (
        f"By `mlffd verify`, against the live student in float64.{edges}\n\n{markdown_table(headings, rows)}"
    )


def _audits(audits: Sequence[Document]) -> str:
    if not audits:
        return ""
    headings = (
        "trajectory",
        "teacher",
        "frames",
        "force MAE, meV/Å",
        "RMSE, meV/Å",
        "R²",
        "energy MAE, meV/atom",
        "flagged",
    )
    rows = [
        [
            audit["trajectory"]["formula"],
            audit["teacher"]["teacher"],
            f"{audit['frames_labelled']} of {audit['trajectory']['frames']}",
            f"{MEV * audit['forces']['mae']:.1f}",
            f"{MEV * audit['forces']['rmse']:.1f}",
            decimals(audit["forces"]["r2"], 4),
            f"{MEV * audit['energy_mae_per_atom']:.2f}",
            f"{audit['frames_flagged']}",
        ]
        for audit in audits
    ]
    return f"By `mlffd audit`; energies relative to their mean.\n\n{markdown_table(headings, rows)}"


def _speed(documents: Sequence[Document], sha256: str) -> str:
    """The rows of this artifact; one benchmark may have measured several."""
    headings = (
        *("structure", "atoms", "batch", "format", "device", "threads", "µs/atom, median (quartiles)"),
        *("structures/s", "times the teacher's speed"),
    )
    rows = []
    for document in documents:
        names = {name for name, artifact in document["artifacts"].items() if artifact["sha256"] == sha256}
        for row in document["benchmark"]:
            if row["student"] not in names:
                continue
            per_atom = 1e6 / (row["n_atoms"] * row["batch"])
            median, q25, q75 = (f"{per_atom * row[key]:.1f}" for key in ("median", "q25", "q75"))
            rows.append(
                [
                    row["system"],
                    str(row["n_atoms"]),
                    str(row["batch"]),
                    row["format"],
                    row["device"],
                    str(row["threads"]),
                    f"{median} ({q25} to {q75})",
                    f"{row['batch'] / row['median']:.0f}",
                    "" if row["speed_up"] is None else three_digits(row["speed_up"]),
                ]
            )
    if not rows:
        return ""
    processors = {str(document["environment"].get("processor", "not recorded")) for document in documents}
    return f"By `mlffd benchmark`, on: {', '.join(sorted(processors))}.\n\n{markdown_table(headings, rows)}"
