"""The card of a student: what its artifact and its measurements say, as Markdown, and nothing else.

The part that comes from the artifact depends on the file alone, so a card that is older than its artifact is found out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlff_distiller.data.dataset import NOT_RECORDED
from mlff_distiller.evaluation.evidence import Evidence
from mlff_distiller.evaluation.markdown import decimals, markdown_table
from mlff_distiller.evaluation.model_card_evidence import evidence_sections
from mlff_distiller.evaluation.training_regime import has_unseen_test, recorded_max_stretch
from mlff_distiller.export.artifact import Metadata, read_metadata
from mlff_distiller.export.identity import artifact_identity
from mlff_distiller.units import MEV

WORST = 2  # elements that are named as the least accurate
FORCE_HEADINGS = ("atoms", "MAE, meV/Å", "RMSE, meV/Å", "R²", "RMS of the labels, eV/Å")


def model_card(path: Path, evidence: Evidence) -> str:
    """The card of an artifact.

    Args:
        path: The artifact.
        evidence: Measurements of this very file, from `mlff_distiller.evaluation.evidence.read_evidence`.

    Raises:
        ArtifactError: The file is missing or damaged.
    """
    metadata, identity = read_metadata(path), artifact_identity(path)
    sections = [
        f"# {metadata.name}",
        "Written by `mlffd card` from the artifact and its measurements. Do not edit: write it again.",
        "## The file",
        _identity(metadata, identity),
        "## Teacher and data",
        _teacher(metadata),
        _data(metadata),
        "## Training",
        _training(metadata),
        "## Accuracy on held-out frames",
        *_accuracy(metadata),
        *evidence_sections(evidence, metadata, identity["sha256"]),
        "## What it is for",
        _intended_use(metadata),
        "## What it is not for",
        _limits(metadata),
    ]
    return "\n\n".join(sections) + "\n"


def _identity(metadata: Metadata, identity: Mapping[str, str]) -> str:
    rows = {
        "file": f"`{identity['file']}`",
        "SHA-256": f"`{identity['sha256']}`",
        "format, package": f"{metadata.format_version}, mlff-distiller {metadata.package_version}",
        "elements": " ".join(metadata.elements),
        "parameters": _parameters(metadata),
        "features, message passes": f"{metadata.architecture['n_features']}, {metadata.n_message_passes}",
        "cutoff, receptive field": f"{metadata.cutoff:g} Å, {metadata.receptive_field:g} Å",
        "precision": f"{metadata.dtype}; reference energies and sums in float64",
    }
    return markdown_table(["", "value"], [[name, value] for name, value in rows.items()])


def _parameters(metadata: Metadata) -> str:
    total = f"{metadata.n_parameters:,}"
    return total if metadata.n_members == 1 else f"{total} in all, of {metadata.n_members} members"


def _teacher(metadata: Metadata) -> str:
    teacher = metadata.provenance.teacher
    keys = {
        "teacher": "teacher",
        "method": "teacher_method",
        "version": "teacher_version",
        "licence": "teacher_licence",
        "settings": "teacher_settings",
    }
    rows = [[name, str(teacher.get(key) or NOT_RECORDED)] for name, key in keys.items()]
    return markdown_table(["", "value"], rows)


def _data(metadata: Metadata) -> str:
    parts = metadata.provenance.dataset.get("parts", {})
    if not parts:
        return f"Training data: {NOT_RECORDED} in the artifact."
    rows = [
        [
            name,
            f"{part['structures']:,}",
            f"{part['atoms']:,}",
            f"{part['molecules']:,}" if "molecules" in part else NOT_RECORDED,
            f"`{part['sha256'][:16]}…`",
        ]
        for name, part in parts.items()
    ]
    return markdown_table(["part", "frames", "atoms", "molecules", "SHA-256 of the data"], rows)


def _training(metadata: Metadata) -> str:
    training = metadata.provenance.training
    if not training:
        return f"Training: {NOT_RECORDED} in the artifact."
    config = training.get("config", {})
    run = config.get("training", {})
    rows = {
        "started from": (config["init"] or "random weights") if "init" in config else NOT_RECORDED,
        "epochs, batch": f"{run.get('epochs', NOT_RECORDED)}, {run.get('batch_size', NOT_RECORDED)} structures",
        "optimiser": _optimizer(run.get("optimizer", {})),
        "seed": f"{config.get('seed', NOT_RECORDED)}",
        "epoch kept": f"{training['best']['epoch']:.0f}" if "best" in training else NOT_RECORDED,
        "wall time of this run": f"{training['seconds'] / 60:.0f} min"
        if "seconds" in training
        else NOT_RECORDED,
    }
    return markdown_table(["", "value"], [[name, str(value)] for name, value in rows.items()])


def _optimizer(settings: Mapping[str, Any]) -> str:
    if "learning_rate" not in settings:
        return NOT_RECORDED
    name = (
        "AdamW" if settings.get("kind", "adamw") == "adamw" else "Muon and AdamW"
    )  # before there was a choice: AdamW
    decay = f", weight decay {settings['weight_decay']:g}" if "weight_decay" in settings else ""
    return f"{name}, learning rate {settings['learning_rate']:g}{decay}"


def _accuracy(metadata: Metadata) -> list[str]:
    test = metadata.provenance.accuracy.get("test")
    if not test:
        return ["Not measured. Train with `mlffd distill` or `mlffd train`, which test each student."]
    energy, by_element = test["energy"], test["forces_by_element"]
    return [
        _held_out_sentence(metadata),
        _force_table("frames", {"all": test["forces"], **_sorted_regimes(test["forces_by_regime"])}),
        _force_table("element", {s: by_element[s] for s in metadata.elements if s in by_element}),
        _energy_sentence(energy),
    ]


def _held_out_sentence(metadata: Metadata) -> str:
    if has_unseen_test(metadata):
        return "Frames that neither training nor the choice of weights saw. Forces by component."
    return (
        "Other frames, but of molecules that were, or may have been, trained on: the errors promise nothing for other "
        "molecules. "
        "Forces by component."
    )


def _energy_sentence(energy: Mapping[str, Any]) -> str:
    within = energy["mae_shifted"]
    return (
        f"Energy: MAE {MEV * energy['mae']:.2f}, RMSE {MEV * energy['rmse']:.2f} meV/atom"
        + ("" if within is None else f"; MAE within a molecule {MEV * within:.2f} meV/atom")
        + f" ({energy['n_structures']:,} frames)."
    )


def _sorted_regimes(regimes: Mapping[str, Any]) -> dict[str, Any]:
    """By kind and then by temperature: md-300K before md-1000K."""
    return {name: regimes[name] for name in sorted(regimes, key=lambda n: (n.split("-")[0], len(n), n))}


def _force_table(first: str, groups: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        [
            name,
            f"{errors['n_atoms']:,}",
            f"{MEV * errors['mae']:.1f}",
            f"{MEV * errors['rmse']:.1f}",
            decimals(errors["r2"], 4),
            f"{errors['label_rms']:.3f}",
        ]
        for name, errors in groups.items()
    ]
    return markdown_table([first, *FORCE_HEADINGS], rows)


def _intended_use(metadata: Metadata) -> str:
    teacher = metadata.provenance.teacher.get("teacher", "its teacher")
    lines = [
        f"- Relaxation and molecular dynamics of structures made of {', '.join(metadata.elements)}, "
        f"in place of {teacher}.",
        *_tested_regimes(metadata),
        "- Check it where you use it: `mlffd audit` labels frames of your own trajectory with the teacher.",
    ]
    return "\n".join(lines)


def _tested_regimes(metadata: Metadata) -> list[str]:
    test = metadata.provenance.accuracy.get("test")
    if not test:
        return []
    return [
        f"- Kinds of frames that it was tested on: {', '.join(_sorted_regimes(test['forces_by_regime']))}."
    ]


def _limits(metadata: Metadata) -> str:
    """Each line follows from the architecture, from the record of its data, or from the recorded errors."""
    train = metadata.provenance.dataset.get("parts", {}).get("train", {})
    test = metadata.provenance.accuracy.get("test")
    lines = [
        "- Other elements: refused with an error.",
        "- Ions and radicals: it has no input for charge or spin.",
        f"- Long-range electrostatics: nothing further than {metadata.receptive_field:g} Å from an atom acts on it.",
    ]
    stretch = recorded_max_stretch(metadata)
    if stretch is not None:
        lines.append(
            f"- Reactions: frames of dynamics with a bond stretched by more than {stretch:g} Å were left out of its data."
        )
    if "max_force" in train:
        lines.append(f"- Forces above {train['max_force']:.0f} eV/Å: not in its data.")
    if "min_distance" in train:
        lines.append(f"- Distances below {train['min_distance']:.2f} Å: not in its data.")
    if test and not any(name.startswith("periodic") for name in test["forces_by_regime"]):
        lines.append(
            "- Crystals and liquids: no periodic frame is in its test, so its error there is not known."
        )
    if test:
        by_element = test["forces_by_element"]
        worst = sorted(by_element, key=lambda symbol: -by_element[symbol]["rmse"])[:WORST]
        named = " and ".join(f"{symbol} ({MEV * by_element[symbol]['rmse']:.0f} meV/Å)" for symbol in worst)
        lines.append(f"- Elements with the largest force RMSE: {named}.")
    return "\n".join(lines)
