"""Typed configuration: YAML files and ``key.path=value`` overrides, validated into frozen dataclasses by pydantic.

An unknown key, a value of the wrong type or out of range is an error that names the key. The dataclasses themselves live with
the code that they configure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from mlff_distiller.errors import ConfigError

STRICT = ConfigDict(extra="forbid")  # for @pydantic.dataclasses.dataclass(frozen=True, config=STRICT)

T = TypeVar("T")


def parse_config(cls: type[T], values: Any, source: str = "configuration") -> T:
    """Validate plain values into a configuration dataclass.

    Args:
        cls: A pydantic dataclass.
        values: A mapping, possibly nested.
        source: Where the values come from, for the message.

    Raises:
        ConfigError: Lists every key at fault, what was expected and what came.
    """
    try:
        return TypeAdapter(cls).validate_python({} if values is None else values)
    except ValidationError as error:
        lines = [f"  {_key_path(e['loc'])}: {_explain(e)}" for e in error.errors()]
        raise ConfigError(f"{source} is not valid:\n" + "\n".join(lines)) from None


def load_config(
    cls: type[T],
    path: Path | None = None,
    overrides: Iterable[str] = (),
    base: Mapping[str, Any] | None = None,
) -> T:
    """A configuration from a YAML file or base values, with overrides such as ``training.epochs=20``.

    Raises:
        ConfigError: The file is missing or no YAML mapping, or its values are not valid.
    """
    values: dict[str, Any] = dict(base or {})
    if path is not None:
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigError(f"{path} is no text; expected a configuration in YAML") from None
        loaded = _parse_yaml(text, str(path))
        if loaded is not None and not isinstance(loaded, dict):
            raise ConfigError(f"{path} must hold a mapping of keys to values, not a {type(loaded).__name__}")
        values = loaded or {}
    for override in overrides:
        _apply_override(values, override)
    return parse_config(cls, values, source=str(path) if path is not None else "the configuration")


def to_plain(config: Any) -> dict[str, Any]:
    """A configuration as nested dicts, lists, numbers and strings: for JSON, YAML and checkpoints."""
    return TypeAdapter(type(config)).dump_python(config, mode="json") if config is not None else {}


def _apply_override(values: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"expected an override of the form key.path=value, got {override!r}")
    *parents, leaf = key.split(".")
    for parent in parents:
        child = values.setdefault(parent, {})
        if not isinstance(child, dict):
            raise ConfigError(f"{override!r}: {parent!r} is a value, not a section; it has no keys")
        values = child
    values[leaf] = _parse_yaml(text, repr(override))


def _parse_yaml(text: str, source: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{source} is not valid YAML: {error}") from None


def _key_path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "(top level)"


def _explain(error: Any) -> str:
    if error["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return "unknown key"
    return f"{error['msg']}, got {error['input']!r}"
