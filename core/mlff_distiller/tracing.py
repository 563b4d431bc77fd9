"""Tracing of a function and the gradient inside it into one graph of plain operations, for any size of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch.fx import GraphModule
from torch.fx.experimental import _config as fx_config
from torch.fx.experimental.proxy_tensor import make_fx


def trace(
    function: Callable[..., Any], *inputs: Any, decompositions: Mapping[Any, Callable[..., Any]] | None = None
) -> GraphModule:
    """The graph of ``function(*inputs)``, free in every dimension.

    Args:
        function: May call ``torch.autograd.grad``; no branches on data.
        inputs: Examples; tensors or lists of tensors.
        decompositions: Operators to express by simpler ones.
    """
    patch = getattr(fx_config, "patch")  # noqa: B009 (made at run time, so type checkers do not see it)
    with patch(use_duck_shape=False):  # or dimensions that are equal by chance count as one
        tracer = make_fx(
            function, dict(decompositions or {}), tracing_mode="symbolic", _allow_non_fake_inputs=True
        )
        return tracer(*inputs)
