"""Measurements of an artifact, read back: what `mlffd nve`, `verify --json`, `audit` and `benchmark` have written.

Each carries the SHA-256 of the artifact that it was measured with, and counts for no other file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlff_distiller.errors import ConfigError

# The key by which each kind of document is known.
KINDS = {
    "drift_mev_per_atom_per_ns": "conservation",
    "agreement": "agreement",
    "frames_audited": "audits",
    "benchmark": "speed",
}


@dataclass(frozen=True)
class Evidence:
    """Documents by kind; each list is empty where nothing was measured.

    Attributes:
        conservation: Runs at constant energy, by `mlffd nve`.
        agreement: Of backends and engines, by `mlffd verify`.
        audits: Against the teacher along a trajectory, by `mlffd audit`.
        speed: By `mlffd benchmark`.
    """

    conservation: list[dict[str, Any]] = field(default_factory=list)
    agreement: list[dict[str, Any]] = field(default_factory=list)
    audits: list[dict[str, Any]] = field(default_factory=list)
    speed: list[dict[str, Any]] = field(default_factory=list)


def read_evidence(paths: Iterable[Path], sha256: str) -> Evidence:
    """Read the measurements of one artifact.

    Args:
        paths: JSON files, and folders of them (searched to any depth).
        sha256: Of the artifact.

    Raises:
        ConfigError: No such file, no measurement of a known kind, or one of another artifact.
    """
    evidence = Evidence()
    for path in _files(paths):
        document = _document(path)
        kind = next((kind for key, kind in KINDS.items() if key in document), None)
        if kind is None:
            raise ConfigError(
                f"{path} is no measurement of a student: expected what `mlffd nve`, `mlffd verify --json`, `mlffd audit` or "
                "`mlffd benchmark` writes"
            )
        measured = _hashes(document)
        if sha256 not in measured:
            raise ConfigError(
                f"{path} was measured with {_named(measured)}, not with this one (SHA-256 {sha256[:12]}…). "
                "Measure again, or leave it out"
            )
        getattr(evidence, kind).append(document)
    return evidence


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """Files in a fixed order, so that the same evidence gives the same card."""
    for path in paths:
        if not path.exists():
            raise ConfigError(f"there is no evidence {path}: expected a JSON file or a folder of them")
        yield from sorted(path.rglob("*.json")) if path.is_dir() else [path]


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as JSON: {error}") from None
    return document if isinstance(document, dict) else {}


def _hashes(document: dict[str, Any]) -> set[str]:
    """SHA-256 of every artifact that a document was measured with."""
    artifacts = document.get("artifacts") or [document.get("artifact")]
    artifacts = artifacts.values() if isinstance(artifacts, dict) else artifacts
    return {entry["sha256"] for entry in artifacts if isinstance(entry, dict) and "sha256" in entry}


def _named(hashes: set[str]) -> str:
    if not hashes:
        return "an artifact that it does not name"
    return "another artifact (SHA-256 " + ", ".join(f"{value[:12]}…" for value in sorted(hashes)) + ")"
