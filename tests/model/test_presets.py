"""The sizes of the presets, counted rather than believed."""

from __future__ import annotations

import pytest

from mlff_distiller.errors import ConfigError
from mlff_distiller.model.presets import ORGANIC_ELEMENTS, PRESETS, build_student

BUDGETS = {"original": 427_292, "tiny": 77_203, "ultra-tiny": 21_459}


@pytest.mark.parametrize("preset", BUDGETS)
def test_presets_are_within_their_budgets(preset: str) -> None:
    student = build_student(preset)
    counted = sum(p.numel() for p in student.parameters() if p.requires_grad)
    assert counted == student.n_parameters() <= BUDGETS[preset] == PRESETS[preset].max_parameters
    assert counted > 0.85 * BUDGETS[preset]  # and they use what they may
    assert student.elements == sorted(ORGANIC_ELEMENTS)


def test_every_parameter_gets_a_gradient() -> None:
    """A parameter without gradient would be paid for and never learn."""
    import torch
    from tests.conftest import ethanol, tensors

    from mlff_distiller.graph import checked_graph
    from mlff_distiller.training.compiled import EnergyForces

    student = build_student("ultra-tiny")
    inputs = tensors(ethanol())
    graph = checked_graph(
        inputs["atomic_numbers"], inputs["positions"], None, inputs["cell"], inputs["pbc"], 5.0
    )
    species = student.species(graph.atomic_numbers)
    energy, forces = EnergyForces(student)(
        species, graph.edge_index, graph.edge_vec.float(), graph.batch, torch.tensor([9.0])
    )
    (energy.sum() + (forces**2).sum()).backward()
    without = [name for name, p in student.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_unknown_preset() -> None:
    with pytest.raises(ConfigError, match="original, tiny, ultra-tiny"):
        build_student("huge")
