"""Documentation as data: Markdown → fenced blocks → what each must do; also links, anchors and generated lists.

    ```yaml                          a complete spec: it compiles, its expectations hold, nothing is found
    ```yaml file=net.yaml            the same, under a name that later blocks of the page use
    ```yaml steps [N, 64, 8, 8] a=1  a list of steps for an input of that shape and those params
    ```yaml bad                      a spec with errors, or `warns`: with warnings; a console block shows them
    ```python                        runs alone; its functions test_* are called; `file=net.py` only writes it down
    ```console                       `$ archscope …` and what it prints at 80 columns; `…` alone stands for any lines
    <!-- list: name --> … <!-- end --> words that a table of the package holds

`python -m tests.docs.update` writes the outputs and the lists anew.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click.testing

ROOT = Path(__file__).resolve().parents[2]
RULE_PAGES = tuple(sorted((ROOT / "docs" / "rules").rglob("*.md")))
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *RULE_PAGES)
FENCE = re.compile(r"^```(\w+)([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LIST = re.compile(r"(<!-- list: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
SHAPE = re.compile(r"steps (\[[^]]*\])(.*)")
ELISION = "…"
WIDTH = 80


@dataclass(frozen=True)
class Block:
    """One fenced block: its page, first line, language, the words after the language, and its text."""

    page: Path
    line: int
    language: str
    info: str
    text: str

    @property
    def id(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def file(self) -> str | None:
        """The name under which the block is written down for later blocks."""
        found = re.search(r"\bfile=(\S+)", self.info)
        return found[1] if found else None

    def is_marked(self, word: str) -> bool:
        return word in self.info.split()


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, match.start()) + 1, match[1], match[2].strip(), match[3])
        for match in FENCE.finditer(text)
    ]


ALL = tuple(block for page in PAGES for block in blocks(page))


def of_language(*languages: str) -> list[Block]:
    return [block for block in ALL if block.language in languages]


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", text)


# ------------------------------------------------------------ folders
def lay_out(folder: Path, before: Block) -> None:
    """The folder that a block runs in: the repository's specs, and the files of the page so far."""
    os.symlink(ROOT / "specs", folder / "specs")
    for block in blocks(before.page):
        if block.file and block.line <= before.line:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")


def spec_text(block: Block) -> str:
    """The block as a file of its own; a list of steps gets the input and the params that its mark names."""
    found = SHAPE.match(block.info)
    if not found:
        return block.text
    params = [f"  {name}: {value}" for name, value in re.findall(r"(\w+)=(\S+)", found[2])]
    head = [f"input: {found[1]}", *(["params:", *params] if params else []), "layers:"]
    return "\n".join(head) + "\n" + block.text


# ------------------------------------------------------------ console
@dataclass(frozen=True)
class Turn:
    """A command of a console block and what it prints."""

    command: str
    output: str


def turns(text: str) -> Iterator[Turn]:
    for part in re.split(r"^(?=\$ )", text, flags=re.MULTILINE):
        if part:
            command, _, output = part.partition("\n")
            yield Turn(command.removeprefix("$ "), output.rstrip("\n"))


def played(text: str) -> list[Turn]:
    """Every command of a console block, run in this process, with what it printed."""
    from archscope.cli import cli

    runner, code, done = click.testing.CliRunner(env={"COLUMNS": str(WIDTH)}), 0, []
    for turn in turns(text):
        program, *arguments = shlex.split(turn.command)
        if turn.command == "echo $?":
            done.append(Turn(turn.command, str(code)))
            continue
        assert program == "archscope", f"only archscope runs in a console block, not {program}"
        result = runner.invoke(cli, arguments, prog_name="archscope")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        code = result.exit_code
        done.append(Turn(turn.command, result.output.rstrip("\n")))
    return done


def agrees(said: str, printed: str) -> bool:
    """Whether the text is what is printed; a line `…` stands for any lines."""
    pattern = "\n".join(".*?" if line == ELISION else re.escape(line) for line in said.split("\n"))
    return re.fullmatch(pattern, printed, re.DOTALL) is not None


def rewritten(text: str) -> str:
    """A console block with its outputs as they are now; what agrees stays as it is."""
    pairs = zip(turns(text), played(text), strict=True)
    kept = [old if agrees(old.output, new.output) else new for old, new in pairs]
    return "".join(f"$ {turn.command}\n" + (f"{turn.output}\n" if turn.output else "") for turn in kept)


# ------------------------------------------------------------ links and lists
def slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    text = re.sub(r"[`*]", "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(heading) for heading in HEADING.findall(prose(page.read_text(encoding="utf-8")))}


def lists() -> Mapping[str, Iterable[str]]:
    """The words of every generated list."""
    from archscope.compile.functions import language_dtypes, language_functions, language_methods
    from archscope.spec import standard_names
    from archscope.spec.bounded_math import NUMBER_FUNCTIONS
    from archscope.torch_layers.signatures import torch_layers

    return {
        "functions": sorted(language_functions()),
        "methods": sorted(language_methods()),
        "numbers": NUMBER_FUNCTIONS,
        "dtypes": language_dtypes(),
        "layers": sorted(torch_layers()),
        "library": standard_names(),
    }


def listed(words: Iterable[str]) -> str:
    """Words as code, in lines of at most 118 characters."""
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) + 3 > 118:
            lines.append("")
        lines[-1] += f"{' ' * bool(lines[-1])}`{word}`"
    return "\n".join(lines) + "\n"
