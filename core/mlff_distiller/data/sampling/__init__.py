"""Sampling: from molecules and structures to labelled frames."""

from mlff_distiller.data.runs import RunReport
from mlff_distiller.data.sampling.config import SamplingConfig
from mlff_distiller.data.sampling.liquid import molecular_liquid
from mlff_distiller.data.sampling.runs import sample_molecules, sample_structures

__all__ = ["RunReport", "SamplingConfig", "molecular_liquid", "sample_molecules", "sample_structures"]
