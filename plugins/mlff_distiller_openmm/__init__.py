"""The distilled potential in OpenMM.

from mlff_distiller_openmm import create_force

system.addForce(create_force(topology, "tiny"))

Importing this package imports neither OpenMM nor openmm-torch; its functions do.
"""

from mlff_distiller_openmm.dynamics import run_openmm_nve
from mlff_distiller_openmm.force import create_force
from mlff_distiller_openmm.single_point import openmm_results
from mlff_distiller_openmm.torchforce import save_torchforce_module

__all__ = ["create_force", "openmm_results", "run_openmm_nve", "save_torchforce_module"]
