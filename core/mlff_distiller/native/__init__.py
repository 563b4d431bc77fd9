"""The native CPU engine: students at the speed of classical force fields. See ``docs/native_engine.md``."""

from mlff_distiller.native.library import is_built
from mlff_distiller.native.potential import SKIN, NativePotential

__all__ = ["SKIN", "NativePotential", "is_built"]
