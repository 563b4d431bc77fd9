"""Where torch computes when nobody says where, and on how many threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def default_device() -> str:
    """The GPU where there is one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


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
