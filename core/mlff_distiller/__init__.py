"""Distil a slow teacher of energies and forces into a compact PaiNN student, and run it anywhere.

import mlff_distiller

potential = mlff_distiller.load("tiny")
energy, forces, *_ = potential.predict(atomic_numbers, positions)
"""

from importlib.metadata import version

from mlff_distiller.errors import DistillerError
from mlff_distiller.model.potential import Prediction, StudentForceField
from mlff_distiller.model.presets import PRESETS, build_student
from mlff_distiller.registry import list_models, load, load_student

__version__ = version("mlff-distiller")

__all__ = [
    "PRESETS",
    "DistillerError",
    "Prediction",
    "StudentForceField",
    "build_student",
    "list_models",
    "load",
    "load_student",
]
