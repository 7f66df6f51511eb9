"""The documentation is true: specs compile, commands print what it says, Python runs, links lead somewhere.

How the blocks are marked stands in `pages.py`.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import archscope
from archscope import config
from archscope.checks.rules import RULES
from archscope.cli import cli
from archscope.cli.commands import COMMAND_NAMES, find_command
from archscope.cost import FORMULAS
from archscope.errors import SpecError
from archscope.machine import MachineLoad
from archscope.profiling.roofline import Ceilings
from archscope.spec.parse import BLOCK_KEYS, FILE_KEYS
from archscope.spec.parse_data import CHECK_KEYS, FORMS, MODIFIERS, PRESERVES, RESERVED
from tests.docs import package_map, picture
from tests.docs.pages import (
    ALL,
    LINK,
    LIST,
    PAGES,
    ROOT,
    RULE_PAGES,
    Block,
    agrees,
    anchors,
    blocks,
    lay_out,
    listed,
    lists,
    of_language,
    played,
    prose,
    rewritten,
    slug,
    spec_text,
    turns,
)
from tests.test_house import LAYERS, sources

LANGUAGES = {"yaml", "python", "console", "sh", "text", "json", "jsonc", "lua", "make", "toml", "yml"}
PINNED = dict(re.findall(r"^(\w+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))
README, LANGUAGE, HOUSE, CLI, COST = (
    ROOT / name for name in ("README.md", "docs/language.md", "docs/house.md", "docs/cli.md", "docs/cost.md")
)

RULES_INDEX = ROOT / "docs/rules/README.md"


def words_of(page: Path) -> set[str]:
    """The texts in backticks in a page's prose."""
    return set(re.findall(r"`([^`\n]+)`", prose(page.read_text(encoding="utf-8"))))


def each(found: list[Block]) -> Any:
    return pytest.mark.parametrize("block", found, ids=lambda block: block.id)


@pytest.fixture
def folder(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory with the specs and the page's files so far; the CPU is the only device."""
    lay_out(tmp_path, block)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return tmp_path


# ------------------------------------------------------------ what the blocks say
def found_in(path: Path) -> dict[str, list[str]]:
    """What is found in a spec: level → messages, but for notes; a library of blocks is read."""
    target = path.relative_to(Path.cwd()).as_posix()
    if archscope.load(target).root.layers is None:
        return {}
    found: dict[str, list[str]] = {}
    for finding in (finding for checked in archscope.check(target) for finding in checked.findings):
        found.setdefault(finding.level, []).append(finding.message)
    found.pop("note", None)
    return found


@each(of_language("yaml"))
def test_a_spec_is_as_it_is_marked(block: Block, folder: Path) -> None:
    path = folder / (block.file or "page.yaml")
    path.write_text(spec_text(block), encoding="utf-8")
    try:
        found = found_in(path)
    except SpecError as error:
        found = {"error": [str(error)]}
    marks = {"bad": "error", "warns": "warning"}
    assert found.keys() == {level for mark, level in marks.items() if block.is_marked(mark)}, found


@each([block for block in of_language("yaml") if block.is_marked("bad") or block.is_marked("warns")])
def test_what_is_wrong_with_a_spec_is_shown(block: Block) -> None:
    following = next((other for other in blocks(block.page) if other.line > block.line), None)
    assert following is not None
    assert following.language == "console"
    assert block.file
    assert block.file in following.text


@pytest.mark.moves_rng
@each(of_language("console"))
def test_a_command_prints_what_is_shown(block: Block, folder: Path) -> None:
    for said, done in zip(turns(block.text), played(block.text), strict=True):
        assert agrees(said.output, done.output), f"$ {done.command}\n{done.output}"


@pytest.mark.moves_rng
@each([block for block in of_language("python") if not block.file])
def test_python_runs(block: Block, folder: Path) -> None:
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(block.text, block.id, "exec"), names)
    for name in [name for name in names if name.startswith("test_")]:
        names[name]()


@each(of_language("toml"))
def test_a_configuration_is_one(block: Block) -> None:
    assert config.parse_config(block.text, "pyproject.toml") != config.Config(file="pyproject.toml")


@each(of_language("yml"))
def test_a_workflow_is_yaml(block: Block) -> None:
    assert isinstance(yaml.safe_load(block.text), dict)


def test_every_block_has_a_known_language() -> None:
    assert {block.language for block in ALL} <= LANGUAGES
    fences = sum(page.read_text(encoding="utf-8").count("```") for page in PAGES)
    assert fences == 2 * len(ALL), "a fence is not closed, or has no language"


# ------------------------------------------------------------ links and paths
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page.read_text(encoding="utf-8"))):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_path_of_a_machine(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"(?<![\w.])/(?:work|tmp|home|root|Users|mnt|opt|var)/\S*", text)
    assert str(ROOT) not in text


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.name)
def test_every_page_is_reached_from_the_readme(page: Path) -> None:
    """The pages of the rules and of the causes from their index, the index of the causes from that of the rules."""
    index = page.with_name("README.md") if page in RULE_PAGES and page != RULES_INDEX else README
    index = RULES_INDEX if page == index else index
    links = [link.partition("#")[0] for link in LINK.findall(index.read_text(encoding="utf-8"))]
    assert page.relative_to(index.parent).as_posix() in links


# ------------------------------------------------------------ words for users
FOR_DEVELOPERS = {"contributing.md", "house.md", "measurements.md"}
JARGON = re.compile(
    r"\b(?:house(?!\.md)|doors?|rooms?|wish(?:es|ed)?|witness(?:es)?|mend(?:ed|s|ing)?|struck|yardstick|hopeless"
    r"|would go with)\b",
    re.IGNORECASE,
)
"""Words that are no terms of the field, and say nothing to a new reader."""
PRICES = re.compile(r"\b(?:un)?pric(?:ed?|es|ing)\b", re.IGNORECASE)
"""What docs/cost.md defines; the README does without."""


def words_for_readers(page: Path) -> str:
    """A page without its blocks and without what stands as code in it."""
    return re.sub(r"`[^`\n]+`", "", prose(page.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in FOR_DEVELOPERS], ids=lambda page: page.name
)
def test_a_user_needs_no_words_of_ours(page: Path) -> None:
    assert JARGON.findall(words_for_readers(page)) == []
    assert page != README or PRICES.findall(words_for_readers(page)) == []


def test_the_readme_installs_early_and_shows_one_picture() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    commands = [number for number, line in enumerate(lines, 1) if line.startswith("pip install ")]
    assert commands[0] < 40
    assert any(line.startswith(".venv\\Scripts\\activate") for line in lines[:40])
    assert [line for line in lines if line.startswith("![")] == [lines[6]]
    assert f"({picture.PICTURE.relative_to(ROOT).as_posix()})" in lines[6]


@pytest.mark.moves_rng
def test_the_picture_is_what_check_prints() -> None:
    """`python -m tests.docs.update` draws it anew."""
    assert picture.PICTURE.read_text(encoding="utf-8") == picture.current()


def test_texts_for_developers_stand_apart() -> None:
    text = README.read_text(encoding="utf-8")
    apart = text.partition("## For developers of archscope")[2]
    assert all(f"(docs/{name})" in apart for name in FOR_DEVELOPERS)
    assert {name for name in FOR_DEVELOPERS if f"(docs/{name})" in text.removesuffix(apart)} == set()


# ------------------------------------------------------------ nothing is left out
@pytest.mark.parametrize("command", ["", *COMMAND_NAMES])
def test_every_command_and_option_is_explained(command: str) -> None:
    text = CLI.read_text(encoding="utf-8")
    program = f"archscope {command}".rstrip()
    assert f"\n$ {program} --help\n" in text
    options = [name for param in ((find_command(command) or cli) if command else cli).params for name in param.opts]
    explained = {word.split()[0] for word in words_of(CLI) if word.strip()}
    assert [name for name in options if name.startswith("-") and name not in explained] == []


def keys(document: Any) -> set[str]:
    if isinstance(document, list):
        return {key for item in document for key in keys(item)}
    return set(document).union(*map(keys, document.values())) if isinstance(document, dict) else set()


UNFIT = "input: [N, 4, 8, 8]\nlayers:\n  - residual: Conv2d(8, 1)\n"


def test_every_json_key_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from archscope.render.json_csv import findings_document, flops_document
    from archscope.report import Fix, finding_json
    from archscope.report.document import fix_json

    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(UNFIT, encoding="utf-8")
    report = archscope.summarize("net.yaml", device="cpu")
    checked = archscope.check("net.yaml", device="cpu")
    documents = [report.to_dict(), flops_document(report), findings_document(checked)]
    documents += [archscope.compare("net.yaml", device="cpu").to_dict(), finding_json(report.findings[0])]
    documents += [fix_json(Fix("")), {"unpriced": [{"kernel": "", "rows": []}]}]
    documents += [timing.to_dict() for timing in timings()]
    assert json.dumps(documents)
    assert sorted(keys(documents) - words_of(CLI)) == []


def timings() -> list[Any]:
    """A training step with ceilings that nobody measured, and a grid."""
    how: dict[str, Any] = {"device": "cpu", "seconds": 0.01}
    one = archscope.time(str(ROOT / "specs/tutorials/mlp.yaml"), train=True, roofline=False, **how)
    ceilings = Ceilings(one.measurement.machine, (("float32", 1e9),), ((1024, 1e9),), 1e-6, "", MachineLoad())
    grid = archscope.time_grid(str(ROOT / "specs/tutorials/mlp.yaml"), batch=(1, 2), roofline=False, **how)
    return [replace(one, ceilings=ceilings), grid, ceilings]


@pytest.mark.parametrize(
    "words",
    [FILE_KEYS, BLOCK_KEYS, MODIFIERS, RESERVED, FORMS, CHECK_KEYS, PRESERVES],
    ids=["file", "block", "modifiers", "reserved", "forms", "checks", "preserves"],
)
def test_every_word_of_the_language_is_explained(words: tuple[str, ...]) -> None:
    said = {part for code in words_of(LANGUAGE) for part in re.findall(r"\w+", code)}
    assert [word for word in words if word not in said] == []


def test_every_rule_and_key_of_a_project_is_explained() -> None:
    assert [rule.code for rule in RULES if rule.code not in words_of(CLI)] == []
    assert [key for key in config.KEY_PARSERS if f"\n{key} = " not in (ROOT / "docs/ci.md").read_text("utf-8")] == []


def test_every_formula_is_explained() -> None:
    assert [name for name in FORMULAS if name.removeprefix("aten.") not in words_of(COST)] == []


def test_the_table_of_layers_is_complete() -> None:
    """The table of layers in docs/house.md has the packages and layers of tests/test_house.py."""
    rows = re.findall(r"^\| (\d+) \| (.+?) \|", HOUSE.read_text(encoding="utf-8"), re.MULTILINE)
    written = {name.removesuffix(".py").strip("/"): int(layer) for layer, names in rows for name in code(names)}
    paths = (ROOT / "archscope").iterdir()
    there = {path.stem for path in paths if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert written == {name: LAYERS[name] for name in there}


def test_every_data_type_is_in_the_package_that_is_named() -> None:
    """The table of data types in docs/house.md names the package in which each class or alias is defined."""
    defined: dict[str, set[str]] = {}
    for source in sources():
        classes = [node.name for node in source.tree.body if isinstance(node, ast.ClassDef)]
        assigned = [node.targets[0] for node in source.tree.body if isinstance(node, ast.Assign)]
        for name in (*classes, *(target.id for target in assigned if isinstance(target, ast.Name))):
            defined.setdefault(name, set()).add(source.package)
    text = HOUSE.read_text(encoding="utf-8").partition("## Data types")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.+?) \| .+ \| (`.+?) \|$", text, re.MULTILINE)
    assert len(rows) > 50
    wrong = [
        name for names, packages in rows for name in code(names) if not defined.get(name, set()) & {*code(packages)}
    ]
    assert wrong == []


def test_the_map_of_the_packages_is_current() -> None:
    """`python -m tests.docs.package_map` draws it anew."""
    assert [match[2] for match in package_map.MAP.finditer(HOUSE.read_text(encoding="utf-8"))] == [
        package_map.package_map()
    ]


def code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


@pytest.mark.skipif(
    torch.__version__.partition("+")[0] != PINNED["torch"], reason="torch's functions are listed for the pinned version"
)
def test_lists_are_current() -> None:
    """`python -m tests.docs.update` writes them anew."""
    written = {match[2]: match[3] for page in PAGES for match in LIST.finditer(page.read_text(encoding="utf-8"))}
    assert written == {name: listed(words) for name, words in lists().items()}


# ------------------------------------------------------------ the checks can complain
@pytest.mark.parametrize(
    ("said", "printed", "same"),
    [
        ("a\nb", "a\nb", True),
        ("a\nb", "a\nc", False),
        ("a\n…\nd", "a\nb\nc\nd", True),
        ("a\n…\nd", "b\nc\nd", False),
        ("a …", "a b", False),
        ("a.c", "abc", False),
        ("", "a", False),
    ],
)
def test_outputs_agree(said: str, printed: str, same: bool) -> None:
    assert agrees(said, printed) is same


def test_a_console_block_is_written_anew() -> None:
    text = rewritten("$ archscope list none.yaml\nold\n$ archscope schema --nothing\n$ echo $?\n3\n")
    answer = r"\$ archscope list none.yaml\nnone.yaml:1:1: there is no file .*\n.*\n"
    assert re.match(answer + r"\$ archscope schema --nothing\nUsage", text)
    assert text.endswith("$ echo $?\n2\n")


def test_steps_become_a_spec() -> None:
    block = Block(README, 1, "yaml", "steps [N, 4] width=8 act=ReLU", "- Linear(width)\n- act\n")
    assert spec_text(block) == "input: [N, 4]\nparams:\n  width: 8\n  act: ReLU\nlayers:\n- Linear(width)\n- act\n"


@pytest.mark.parametrize(
    ("heading", "anchor"), [("3. What `--by` does", "3-what---by-does"), ("MACs, FLOPs", "macs-flops")]
)
def test_anchors_are_githubs(heading: str, anchor: str) -> None:
    assert slug(heading) == anchor
