"""Tests of files and imports: which are found, which are refused, and that no file outside the allowed
folder is read.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import archscope
from archscope.errors import Problem, SpecError
from archscope.spec import load, standard_names
from archscope.spec.load import MAX_FILES, MAX_IMPORT_DEPTH
from archscope.spec.yaml_reader import MAX_BYTES

BLOCKS = "blocks:\n  Twice: [ReLU]\n"


def net(imports: str) -> str:
    return f"input: [N, 8]\nimport:\n  {imports}\nlayers: [ReLU]\n"


def problems(path: Path | str) -> tuple[Problem, ...]:
    with pytest.raises(SpecError) as caught:
        load(str(path))
    return caught.value.problems


def only(path: Path | str) -> Problem:
    (problem,) = problems(path)
    return problem


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a directory that has another one beside it."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "blocks.yaml").write_text(BLOCKS)
    home = tmp_path / "home"
    (home / "nets").mkdir(parents=True)
    monkeypatch.chdir(home)
    return home


def test_a_library_holds_every_file(home: Path):
    (home / "nets" / "net.yaml").write_text(net("../parts/a.yaml: [A]"))
    (home / "parts").mkdir()
    (home / "parts" / "a.yaml").write_text("import: {b.yaml: [B], std/conv: [ConvBNAct]}\nblocks: {A: [B]}\n")
    (home / "parts" / "b.yaml").write_text("blocks: {B: [ReLU]}\n")
    library = load("nets/net.yaml")
    assert library.root is library.files["nets/net.yaml"]
    assert sorted(library.files) == ["nets/net.yaml", "parts/a.yaml", "parts/b.yaml", "std/conv.yaml"]
    assert sorted(library.sources) == sorted(library.files)
    assert [one.file for one in library.root.imports] == ["parts/a.yaml"]
    assert [one.file for one in library.files["parts/a.yaml"].imports] == ["parts/b.yaml", "std/conv.yaml"]
    assert str(library.files["parts/b.yaml"].blocks[0].span) == "parts/b.yaml:1:10"


def test_a_file_imported_twice_is_read_once(home: Path):
    (home / "a.yaml").write_text("import: {c.yaml: [C]}\nblocks: {A: [C]}\n")
    (home / "b.yaml").write_text("import: {./nets/../c.yaml: [C]}\nblocks: {B: [C]}\n")
    (home / "c.yaml").write_text("blocks: {C: [ReLU]}\n")
    (home / "net.yaml").write_text(net("{a.yaml: [A], b.yaml: [B]}"))
    library = load("net.yaml")
    assert sorted(library.files) == ["a.yaml", "b.yaml", "c.yaml", "net.yaml"]
    assert {one.file for name in ("a.yaml", "b.yaml") for one in library.files[name].imports} == {"c.yaml"}


def test_a_net_is_importable_by_its_name(home: Path):
    (home / "inner.yaml").write_text("name: Inner\ninput: [N, 8]\nlayers: [ReLU]\n")
    (home / "net.yaml").write_text(net("inner.yaml: {Inner: Core}"))
    assert load("net.yaml").files["inner.yaml"].name == "Inner"


def test_text_stands_in_for_the_file(home: Path):
    library = load("nets/new.yaml", text="input: [N]\nlayers: [ReLU]\n")
    assert library.root.file == "nets/new.yaml"
    assert library.root.name == "new"


@pytest.mark.parametrize("name", standard_names())
def test_every_standard_library_is_importable(name: str):
    folder = Path(archscope.__file__).parent
    block = load(str(folder / f"{name}.yaml")).root.blocks[0].name
    library = load("net.yaml", text=net(f"{name}: [{block}]"))
    assert library.root.imports[0].file == f"{name}.yaml"


def test_names_in_messages_are_as_given(home: Path):
    (home / "nets" / "bad.yaml").write_text("layer: [ReLU]\n")
    for given in ("nets/bad.yaml", "./nets/bad.yaml", str(home / "nets" / "bad.yaml")):
        assert only(given).span.file == given


REFUSED = (
    ("../outside/blocks.yaml", "leaves the directory of the spec"),
    ("nets/../../outside/blocks.yaml", "leaves the directory of the spec"),
    ("/etc/hostname.yaml", "is an absolute path"),
    ("blocks", "is not a .yaml file"),
    ("blocks.yml", "is not a .yaml file"),
    ("~/blocks.yaml", "there is no file '~/blocks.yaml'"),
    ("std/nothing", "there is no library 'std/nothing'"),
    ("std/../resnet", "there is no library 'std/../resnet'"),
    ("missing.yaml", "there is no file 'missing.yaml'"),
    ("nets.yaml", "'nets.yaml' is a directory"),
    ("link.yaml", "leaves the directory of the spec"),
    ("linked/blocks.yaml", "leaves the directory of the spec"),
    ("pipe.yaml", "is not a plain file"),
    ("http://example.org/blocks.yaml", "there is no file"),
)


@pytest.mark.parametrize(("source", "message"), REFUSED, ids=[source for source, _ in REFUSED])
def test_an_import_that_is_refused(home: Path, source: str, message: str):
    (home / "nets.yaml").mkdir()
    (home / "link.yaml").symlink_to(home.parent / "outside" / "blocks.yaml")
    (home / "linked").symlink_to(home.parent / "outside")
    os.mkfifo(home / "pipe.yaml")
    (home / "net.yaml").write_text(net(f'"{source}": [Twice]'))
    problem = only("net.yaml")
    assert message in problem.message
    assert (problem.span.line, problem.span.column) == (3, 3)
    assert problem.help


def test_the_tree_is_the_files_directory_when_the_current_one_is_elsewhere(home: Path, monkeypatch: pytest.MonkeyPatch):
    (home / "blocks.yaml").write_text(BLOCKS)
    (home / "nets" / "net.yaml").write_text(net("../blocks.yaml: [Twice]"))
    assert "blocks.yaml" in load("nets/net.yaml").files
    monkeypatch.chdir(home.parent / "outside")
    assert "leaves the directory" in only(home / "nets" / "net.yaml").message


def test_a_link_inside_the_tree_is_followed(home: Path):
    (home / "blocks.yaml").write_text(BLOCKS)
    (home / "nets" / "link.yaml").symlink_to(home / "blocks.yaml")
    (home / "net.yaml").write_text(net("nets/link.yaml: [Twice]"))
    assert len(load("net.yaml").files) == 2


def test_a_sibling_directory_with_the_same_beginning_is_outside(home: Path):
    (home.parent / "home2").mkdir()
    (home.parent / "home2" / "blocks.yaml").write_text(BLOCKS)
    (home / "net.yaml").write_text(net("../home2/blocks.yaml: [Twice]"))
    assert "leaves the directory" in only("net.yaml").message


def test_cycles_are_named(home: Path):
    for name, other in ("AB", "BC", "CA"):
        text = f"import: {{{other.lower()}.yaml: [{other}]}}\nblocks: {{{name}: [ReLU]}}\n"
        (home / f"{name.lower()}.yaml").write_text(text)
    problem = only("a.yaml")
    assert problem.message == "import cycle: a.yaml → b.yaml → c.yaml → a.yaml"
    assert str(problem.span) == "c.yaml:1:10"


def test_imports_too_deep(home: Path):
    for number in range(MAX_IMPORT_DEPTH + 2):
        text = f"import: {{f{number + 1}.yaml: [B{number + 1}]}}\nblocks: {{B{number}: [ReLU]}}\n"
        (home / f"f{number}.yaml").write_text(text)
    assert only("f0.yaml").message == f"imports nested more than {MAX_IMPORT_DEPTH} files deep"


def test_too_many_imports(home: Path):
    for number in range(MAX_FILES + 3):
        (home / f"f{number}.yaml").write_text(f"blocks: {{B{number}: [ReLU]}}\n")
    (home / "net.yaml").write_text(net("\n  ".join(f"f{number}.yaml: [B{number}]" for number in range(MAX_FILES))))
    assert only("net.yaml").message == f"more than {MAX_FILES} files are imported"


def test_problems_of_all_files_are_raised_together(home: Path):
    (home / "a.yaml").write_text("blocks: {A: [ReLU +]}\n")
    (home / "net.yaml").write_text(net("a.yaml: [B]\n  b.yaml: [C]").replace("[ReLU]", "[x y]"))
    assert [str(one.span) for one in problems("net.yaml")] == ["a.yaml:1:20", "net.yaml:4:3", "net.yaml:5:12"]


FILES: tuple[tuple[str, bytes, str], ...] = (
    ("empty", b"", "the file is empty"),
    ("latin-1", "note: größe\n".encode("latin-1"), "is not UTF-8: byte 0xf6 on line 1"),
    ("utf-16", "a: 1\n".encode("utf-16"), "is not UTF-8: byte 0xff on line 1"),
    ("null bytes", b"a: \0\0\n", "character U+0000 does not belong in a text file"),
    ("large", b"# " + b"x" * (10 * MAX_BYTES), f"is larger than {MAX_BYTES:,} bytes"),
    ("scalar", b"ReLU", "a spec is a mapping (key: value), not 'ReLU'"),
    ("binary", bytes(range(256)), "is not UTF-8"),
)


@pytest.mark.parametrize(("content", "message"), [case[1:] for case in FILES], ids=[case[0] for case in FILES])
def test_a_file_that_is_no_spec(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "net.yaml"
    path.write_bytes(content)
    problem = only(path)
    assert message in problem.message
    assert problem.span.file == str(path)
    assert problem.help


def test_a_file_with_a_byte_order_mark(tmp_path: Path):
    path = tmp_path / "net.yaml"
    path.write_bytes(b"\xef\xbb\xbfinput: [N]\r\nlayers: [ReLU]\r\n")
    assert load(str(path)).root.inputs[0].name == "x"


def test_paths_that_are_no_file(home: Path):
    assert only("nets").message == "'nets' is a directory"
    assert only("").message == "there is no file ''"
    assert only("nothing/net.yaml").message == "there is no file 'nothing/net.yaml'"
    assert "cannot read" in only("a\0b.yaml").message
    (home / "net.yaml").write_text(BLOCKS)
    assert only("nett.yaml").help == "did you mean 'net.yaml'?"
    assert only("net.yaml/x.yaml").message == "there is no file 'net.yaml/x.yaml'"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission(home: Path):
    path = home / "net.yaml"
    path.write_text(BLOCKS)
    path.chmod(0)
    assert only("net.yaml").message == "cannot read 'net.yaml': Permission denied"


def test_sources_make_excerpts(home: Path):
    (home / "net.yaml").write_text("input: [N]\nlayers:\n  - x y\n")
    with pytest.raises(SpecError) as caught:
        load("net.yaml")
    assert "net.yaml:3:7: 'y' does not fit here: 'x y'\n    - x y\n        ^\n  help: " in str(caught.value)
