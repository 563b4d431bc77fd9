"""The distilled potential as an ASE calculator."""
