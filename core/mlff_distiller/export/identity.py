"""Which artifact a measurement belongs to."""

from __future__ import annotations

import hashlib
from pathlib import Path


def artifact_identity(path: Path) -> dict[str, str]:
    """What every measurement of an artifact records about it: the name of its file, and the SHA-256 of its bytes."""
    with path.open("rb") as stream:
        return {"file": path.name, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}
