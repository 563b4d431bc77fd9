"""``python -m mlff_distiller`` is the command ``mlffd``."""

from mlff_distiller.cli import main

main()
