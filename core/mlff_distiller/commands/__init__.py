"""What the commands of ``mlffd`` do, callable from Python: one module for each of the command line's."""
