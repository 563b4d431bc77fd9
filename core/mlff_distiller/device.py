"""Where torch computes when nobody says where, and on how many threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mlff_distiller.errors import ConfigError


def default_device() -> str:
    """The GPU where there is one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def checked_device(device: str | torch.device) -> torch.device:
    """A device that torch can use here.

    Raises:
        ConfigError: It cannot.
    """
    try:
        return torch.zeros(1, device=device).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"the device {str(device)!r} cannot be used here: {reason}") from None


@contextmanager
def torch_threads(n_threads: int | None) -> Iterator[None]:
    """torch's own number of threads, for a while; None leaves it as it is."""
    before = torch.get_num_threads()
    if n_threads is None or n_threads == before:  # setting it costs more than a small evaluation
        yield
        return
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
