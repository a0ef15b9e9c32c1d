"""What results look like in Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def describe_machine(facts: dict[str, Any]) -> str:
    """Return a line on machine and versions."""
    where = [facts["gpu"]] if facts.get("gpu") else []
    where += [facts["processor"], f"{facts['cores']} cores", *facts["instructions"][-1:]]
    if facts.get("threads"):
        where.append(f"{facts['threads']} threads")
    packages = [f"{name} {version}" for name, version in facts["packages"].items()]
    return (
        f"{', '.join(where)}; Python {facts['python']}, {', '.join(packages)}; commit"
        f" {facts['commit']}."
    )


def markdown(header: list[str], rows: Iterable[list[str]]) -> str:
    """Return a Markdown table, numbers to the right."""
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, rule, *rows])
