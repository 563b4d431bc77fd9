"""Documents of results as JSON. JSON has no NaN, so what is not finite becomes null."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from mlff_distiller.atomic_file import replace_file


def write_json(path: Path, document: Any) -> None:
    """Write numbers, text, lists and dictionaries; the file is complete or not there.

    Raises:
        OutputError: The file cannot be written.
    """
    text = json.dumps(without_nan(document), indent=1, ensure_ascii=False, allow_nan=False)
    replace_file(path, [text.encode()])


def without_nan(value: Any) -> Any:
    """The same with None for every number that is not finite."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
