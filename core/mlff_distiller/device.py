"""Where torch computes when nobody says where."""

from __future__ import annotations

import torch


def default_device() -> str:
    """The GPU where there is one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"
