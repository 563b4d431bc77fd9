"""Any other ASE calculator as a teacher, by a function that makes it: `ase:package.module:factory`."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from importlib.metadata import metadata, packages_distributions
from typing import Any

from ase.calculators.calculator import Calculator

from mlff_distiller.data.teachers.base import Teacher
from mlff_distiller.errors import ConfigError, TeacherError


def custom_teacher(name: str, **options: Any) -> Teacher:
    """The teacher around `factory(**options)`.

    Args:
        name: "ase:package.module:factory"; the module must be importable, the factory gives an ASE
            calculator.
        options: Handed to the factory.

    Raises:
        TeacherError: The name is malformed, the module cannot be imported, it has no such attribute, or what
            the factory returns is no ASE calculator.
        ConfigError: The factory does not take these options.
    """
    module_name, factory = _factory(name)
    try:
        inspect.signature(factory).bind(**options)
    except TypeError as error:
        raise ConfigError(f"Teacher {name!r}: its factory does not take these options: {error}.") from error
    calculator = factory(**options)
    if not isinstance(calculator, Calculator):
        raise TeacherError(
            f"Teacher {name!r}: the factory returned {type(calculator).__name__}; "
            "expected an ase.calculators.calculator.Calculator."
        )
    package, licence = _provenance(module_name)
    free_energy = "free_energy" in calculator.implemented_properties  # then the forces are its gradient
    return Teacher(
        name=name,
        version=package,
        method=f"ASE calculator {type(calculator).__module__}.{type(calculator).__qualname__}",
        licence=licence,
        calculator=calculator,
        energy_property="free_energy" if free_energy else "energy",
        settings=options,
    )


def _factory(name: str) -> tuple[str, Callable[..., Any]]:
    """The module's name and the factory that "ase:package.module:factory" stands for."""
    parts = name.split(":")
    if len(parts) != 3 or not all(parts):
        raise TeacherError(f"Teacher {name!r}: expected the form ase:package.module:factory.")
    _, module_name, attribute = parts
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise TeacherError(
            f"Teacher {name!r}: the module {module_name!r} cannot be imported ({error}); "
            "install it, or put its folder on PYTHONPATH."
        ) from error
    factory = getattr(module, attribute, None)
    if not callable(factory):
        raise TeacherError(f"Teacher {name!r}: the module {module_name!r} has no callable {attribute!r}.")
    return module_name, factory


def _provenance(module_name: str) -> tuple[str, str]:
    """Name with version, and licence, of the installed distribution that a module belongs to."""
    distributions = packages_distributions().get(module_name.split(".")[0])
    if not distributions:
        return f"{module_name} (not an installed package)", "unknown"
    about = metadata(distributions[0]).json
    return f"{about['name']} {about['version']}", str(about.get("license_expression", "unknown"))
