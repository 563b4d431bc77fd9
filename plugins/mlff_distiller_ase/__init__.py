"""The distilled potential as an ASE calculator.

from mlff_distiller_ase import DistilledCalculator

atoms.calc = DistilledCalculator("tiny")
"""

from mlff_distiller_ase.calculator import DistilledCalculator, SpreadWarning

__all__ = ["DistilledCalculator", "SpreadWarning"]
