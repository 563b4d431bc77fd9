"""docs/troubleshooting.md explains every message of the sources, and none that is gone."""

from __future__ import annotations

import re

from tests.error_messages import (
    ROOT,
    all_messages,
    code_span,
    constant_text,
    cpp_templates,
    normalise,
    python_templates,
)

PAGE = ROOT / "docs" / "troubleshooting.md"
TERM = re.compile(r"^(`+)(?: )?(.+?)(?: )?\1$")  # a line that is one code span
NOT_MESSAGES = "## When there is no error, but something is wrong"  # symptoms in the user's words


def entries() -> dict[str, str]:
    """The explanation of each message on the page; messages that share one follow each other."""
    found: dict[str, str] = {}
    terms: list[str] = []
    text = PAGE.read_text(encoding="utf-8")
    symptoms = text.index(NOT_MESSAGES)
    text = text[:symptoms] + text[text.index("\n## ", symptoms + 1) :]
    for block in re.split(r"\n(?=:   )|\n\n", text):
        lines = block.strip().splitlines()
        if lines and lines[0].startswith(":   "):
            found |= dict.fromkeys(terms, block)
            terms = []
        elif lines and all(TERM.match(line) for line in lines):
            assert not terms, f"{terms[0]!r} has no explanation: add a line that begins with ':   '"
            terms = [TERM.sub(r"\2", line) for line in lines]
    return found


def test_every_message_is_explained() -> None:
    known = {constant_text(entry) for entry in entries()}
    missing = {m.template: m.place for m in all_messages() if constant_text(m.template) not in known}
    advice = "\n".join(
        f"{code_span(template)}\n:   Why it comes. **Cure:** what to do.      ({place})"
        for template, place in missing.items()
    )
    assert not missing, f"add to docs/troubleshooting.md, where users will look:\n{advice}"


def test_no_entry_is_out_of_date() -> None:
    made = {constant_text(message.template) for message in all_messages()}
    gone = [entry for entry in entries() if constant_text(entry) not in made]
    assert not gone, f"take out of docs/troubleshooting.md what the sources no longer say: {gone}"


def test_every_entry_names_a_cure() -> None:
    without = [entry for entry, explanation in entries().items() if "**Cure:** " not in explanation]
    assert not without, f"say in docs/troubleshooting.md what to do about: {without}"


PYTHON = """
def check(n):
    if n < 1:
        raise ConfigError(f"expected {what(n)} or more, got {n}" + more)
    message = "a" if n else f"b {n}"
    raise DatasetError(message) from None

def refusal(n) -> str | None:
    return f"not {n}" if n else None

def teacher():
    raise self._error(atoms, f"{name} is wrong")
    raise unknown(name)
    failures["fell apart"] += 1
    print("no message")
"""


def test_messages_of_python() -> None:
    found = {normalise(template) for _, template in python_templates(PYTHON)}
    assert found == {"expected … or more, got …", "a", "b …", "not …", "… is wrong", "fell apart"}


CPP = r"""
// throw Error("in a comment") is none
if (n < 0) throw StructureError("atom " + std::to_string(n) + // why
                               " is \"bad\"; " "look");
error->all(FLERR, "Pair style: got '{}' at {:.2f}", name, value);
require(n > 0, "expected some");
"""


def test_messages_of_cpp() -> None:
    found = {constant_text(template) for _, template in cpp_templates(CPP)}
    assert {'atom … is "bad"; look', "Pair style: got '…' at", "expected some"} == found
