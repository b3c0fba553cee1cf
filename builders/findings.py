"""What the checks of a wheel found, as it is kept with the build and shown: one JSON object."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from buildthrough.builders.facts import BuildFacts


def findings(facts: BuildFacts) -> dict[str, Any]:
    """Return what is known of the wheel itself; what did not come up is left out."""
    found: dict[str, Any] = {}
    if facts.imported is not None:
        found["imported"] = asdict(facts.imported)
    if facts.abi3 is not None:
        found["abi3"] = asdict(facts.abi3)
    if facts.grafted:
        found["grafted"] = [asdict(library) for library in facts.grafted]
    if facts.foreign:
        found["foreign"] = [asdict(file) for file in facts.foreign]
    return found


def findings_text(facts: BuildFacts) -> str | None:
    """Return the findings as JSON, None where there are none."""
    found = findings(facts)
    return json.dumps(found) if found else None
