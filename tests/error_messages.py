"""Every message that the sources can show a user, as a template in which "…" stands for what is filled in.

Python is read with `ast`, C++ by its string literals. Nothing is imported or run, so messages of engines and teachers that are
not installed are found as well. `python tests/error_messages.py` prints them all.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHON_FOLDERS = ("core/mlff_distiller", "plugins")
CPP_FOLDERS = ("core/native/src", "plugins/mlff_distiller_lammps/src")

BUILT_IN = {"ValueError", "TypeError", "OSError", "RuntimeError"}  # pydantic's validators among them
CARRIERS = {"atoms": 2, "structures": 2}  # methods of data/validation.py: index of the argument that is shown
CPP_CALL = re.compile(r"\berror->(?:all|one|warning)\(|\bthrow [\w:]+\(|\bfail\(|\brequire\(")
CPP_TOKEN = re.compile(r'"((?:[^"\\\n]|\\.)*)"|//[^\n]*|\'(?:[^\'\\\n]|\\.)+\'|[()]|\s+|[^"()\'\s/]+|.', re.S)


@dataclass(frozen=True)
class Message:
    """A template and where it is made."""

    template: str
    place: str


def normalise(text: str) -> str:
    """One space for any white space, one "…" for any row of placeholders."""
    return re.sub(r"…(?:\s*…)+", "…", re.sub(r"\s+", " ", text)).strip()


def code_span(text: str) -> str:
    """A template as code in Markdown, back quotes in it or not."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def constant_text(template: str) -> str:
    """What is compared: a template without placeholders at its ends."""
    return normalise(template).strip(" …:;,.")


@cache
def all_messages() -> list[Message]:
    """The messages of all sources; those that consist of filled-in text alone are made elsewhere, and left out."""
    python = _messages_in(PYTHON_FOLDERS, (".py",), python_templates)
    cpp = _messages_in(CPP_FOLDERS, (".cpp", ".h"), cpp_templates)
    return [message for message in (*python, *cpp) if re.search(r"[A-Za-z]{2}", message.template)]


def _messages_in(folders, suffixes, read) -> Iterator[Message]:
    for path in sorted(p for folder in folders for p in (ROOT / folder).rglob("*") if p.suffix in suffixes):
        for line, template in read(path.read_text(encoding="utf-8")):
            yield Message(normalise(template), f"{path.relative_to(ROOT)}:{line}")


@cache
def error_classes() -> frozenset[str]:
    """Names of `DistillerError` and all its subclasses, wherever they are defined."""
    bases: dict[str, set[str]] = {}
    for path in (p for folder in PYTHON_FOLDERS for p in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = {base.id for base in node.bases if isinstance(base, ast.Name)}
    known = {"DistillerError"}
    while new := {name for name, parents in bases.items() if parents & known} - known:
        known |= new
    return frozenset(known)


# Python


def python_templates(code: str) -> Iterator[tuple[int, str]]:
    """(line, template) of each message: arguments of errors and of functions that make them, and reasons."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield from _in_function(node)
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "failures":
            yield from ((node.lineno, template) for template in _literals(node.slice))  # counted and shown


def _in_function(function: ast.FunctionDef) -> Iterator[tuple[int, str]]:
    gives_reasons = function.returns is not None and ast.unparse(function.returns) == "str | None"
    for node in _own_nodes(function):
        if isinstance(node, ast.Call):
            for argument in _shown_arguments(node):
                for template in _templates(argument, function):
                    yield node.lineno, f"expected {template}, got …" if _name(node) in CARRIERS else template
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            if _name(node.exc) not in error_classes() | BUILT_IN:  # a function that makes the error
                for argument in node.exc.args:
                    yield from ((node.lineno, template) for template in _literals(argument))
        elif gives_reasons and isinstance(node, ast.Return) and node.value is not None:
            yield from ((node.lineno, template) for template in _literals(node.value))


def _own_nodes(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """The nodes of a function, without those of functions inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop(0)
        yield node
        if not isinstance(node, ast.FunctionDef):
            waiting += ast.iter_child_nodes(node)


def _name(call: ast.Call) -> str:
    return getattr(call.func, "id", getattr(call.func, "attr", ""))


def _shown_arguments(call: ast.Call) -> list[ast.expr]:
    name = _name(call)
    if name in error_classes() | BUILT_IN:
        return call.args[:1]
    if name in CARRIERS and ast.unparse(call.func).startswith("check."):
        named = [keyword.value for keyword in call.keywords if keyword.arg == "expected"]
        return named or call.args[CARRIERS[name] : CARRIERS[name] + 1]
    return []


def _templates(argument: ast.expr, function: ast.FunctionDef) -> Iterator[str]:
    """The templates of an argument; those of all assignments where it is a local name."""
    if not isinstance(argument, ast.Name):
        yield _template(argument)
        return
    for node in _own_nodes(function):
        if isinstance(node, ast.Assign) and any(ast.unparse(t) == argument.id for t in node.targets):
            yield from _literals(node.value)


def _literals(value: ast.expr) -> Iterator[str]:
    """The template of text that is written out here; nothing for what is computed elsewhere."""
    if isinstance(value, ast.IfExp):
        yield from _literals(value.body)
        yield from _literals(value.orelse)
    elif isinstance(value, ast.JoinedStr) or (
        isinstance(value, ast.Constant) and isinstance(value.value, str)
    ):
        yield _template(value)


def _template(value: ast.expr) -> str:
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return value.value
    if isinstance(value, ast.JoinedStr):
        return "".join(_template(part) for part in value.values)
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
        return _template(value.left) + _template(value.right)
    return "…"


# C++


def cpp_templates(code: str) -> Iterator[tuple[int, str]]:
    """(line, template) of each LAMMPS error, thrown exception and failed requirement."""
    for match in CPP_CALL.finditer(code):
        if "//" in code[code.rfind("\n", 0, match.start()) + 1 : match.start()]:
            continue  # a comment
        template = _cpp_template(code, match.end())
        yield code.count("\n", 0, match.start()) + 1, re.sub(r"\{[^{}]*\}", "…", template)


def _cpp_template(code: str, start: int) -> str:
    """Literals of an argument list, "…" for anything between two of them that is no white space."""
    depth, template = 1, ""
    for token in CPP_TOKEN.finditer(code, start):
        text = token.group()
        depth += {"(": 1, ")": -1}.get(text, 0)
        if depth == 0:
            break
        if token.group(1) is not None:
            template += token.group(1).replace('\\"', '"').replace("\\n", " ")
        elif not text.isspace() and not text.startswith("//") and not template.endswith("…"):
            template += "…"
    return template


if __name__ == "__main__":
    for found in all_messages():
        print(f"{found.place}: {found.template}")
