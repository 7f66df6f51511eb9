"""The map of the package for docs/house.md, drawn from its imports: layer, package, and what it imports.

    5  conflicts       → report ops spec trace …

Of the packages that one imports, those are left out that it also reaches through another, so the map shows the ways.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tests.test_house import LAYERS, imported, package_of, sources

PAGE = Path(__file__).resolve().parents[2] / "docs" / "house.md"
MAP = re.compile(r"(<!-- map -->\n```text\n)(.*?)(```\n<!-- end -->)", re.DOTALL)


def imported_packages() -> Mapping[str, frozenset[str]]:
    """Return the packages and top-level modules that each one imports, without one that goes up (for type checkers
    only)."""
    found: dict[str, set[str]] = {source.package: set() for source in sources()}
    for source in sources():
        names = {name for _, imported_name in imported(source.tree) if (name := package_of(imported_name)) is not None}
        found[source.package] |= {name for name in names if LAYERS[name] <= LAYERS[source.package]} - {source.package}
    return {name: frozenset(packages) for name, packages in found.items()}


def reachable(package: str, imports: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Return the packages that a package reaches through others, itself not included."""
    found: set[str] = set()
    waiting = [*imports[package]]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += imports[name]
    return frozenset(found)


def package_map() -> str:
    """Return the map, the highest layer first, with a line or more for each package."""
    imports = imported_packages()
    drawn = ""
    for layer in sorted({LAYERS[name] for name in imports}, reverse=True):
        mark = f"{layer:2}"
        for name in sorted(name for name in imports if LAYERS[name] == layer):
            through = frozenset[str]().union(*(reachable(one, imports) for one in imports[name]))
            direct = sorted(imports[name] - through, key=lambda one: (-LAYERS[one], one))
            drawn += f"{mark}  {name:16}{'→ ' + ' '.join(direct) if direct else ''}".rstrip() + "\n"
            mark = "  "
    return drawn


def main() -> None:
    """Write the map into the page."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(MAP.sub(lambda match: match[1] + package_map() + match[3], text), encoding="utf-8")


if __name__ == "__main__":
    main()
