"""The distilled potential in OpenMM."""
