"""The networks that come with the package: by name from any folder, listed, and left as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import archscope
from archscope.cli import cli
from archscope.cli.fix_files import write_file
from archscope.errors import SpecError, UsageError
from archscope.spec import bundled_networks
from archscope.spec.folders import expand_folders

SPECS = Path(__file__).resolve().parents[1] / "specs"


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(cli, arguments, prog_name="archscope")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# ------------------------------------------------------------ names
def test_every_spec_of_the_repository_comes_with_the_package() -> None:
    files = [path.relative_to(SPECS).with_suffix("").as_posix() for path in SPECS.rglob("*.yaml")]
    assert sorted(bundled_networks.network_names()) == sorted(files)


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("specs:resnet:resnet50", ("specs:resnet.yaml", "resnet50")),
        ("specs:resnet.yaml:resnet50", ("specs:resnet.yaml", "resnet50")),
        ("specs:unet", ("specs:unet.yaml", None)),
        ("specs:tutorials/lenet", ("specs:tutorials/lenet.yaml", None)),
        ("specs:lenet", ("specs:tutorials/lenet.yaml", None)),
        ("specs:nonsense", ("specs:nonsense.yaml", None)),
        ("net.yaml:resnet50", None),
    ],
)
def test_a_target_names_a_file_and_a_variant(target: str, parts: tuple[str, str | None] | None) -> None:
    assert bundled_networks.split_target(target) == parts


@pytest.mark.parametrize("file", ["specs.py", "specs/__init__.py"])
def test_a_module_called_specs_is_a_python_target_still(file: str) -> None:
    Path(file).parent.mkdir(exist_ok=True)
    Path(file).write_text("", encoding="utf-8")
    assert bundled_networks.split_target("specs:factory") is None
    assert bundled_networks.split_target("specs:resnet") == ("specs:resnet.yaml", None)


def test_a_network_is_summarized_by_its_name() -> None:
    report = archscope.summarize("specs:resnet:resnet18", device="meta")
    assert (report.total.params, report.total.macs) == (11_689_512, 1_814_073_344)
    assert report.target == "specs:resnet:resnet18"


def test_a_network_finds_what_it_imports() -> None:
    library = archscope.load("specs:llama3")
    assert set(library.files) == {"specs:llama3.yaml", "specs:llama_block.yaml"}


def test_variants_of_a_network_are_targets() -> None:
    direct, bottleneck = archscope.variants("specs:bottleneck_1x1")
    assert direct == "specs:tutorials/bottleneck_1x1:direct"
    assert archscope.summarize(bottleneck, device="meta").total.params == 15_872


def test_all_networks_together_are_a_target() -> None:
    assert list(expand_folders(["specs:", "net.yaml"])) == [
        *(f"specs:{name}.yaml" for name in bundled_networks.network_names()),
        "net.yaml",
    ]
    tutorials = [f"specs:{name}.yaml" for name in bundled_networks.network_names() if name.startswith("tutorials/")]
    assert list(expand_folders(["specs:tutorials"])) == list(expand_folders(["specs:tutorials/"])) == tutorials != []


@pytest.mark.parametrize(
    ("name", "help"),
    [
        ("reznet", "did you mean 'resnet'?"),
        ("xyz", "`archscope list` shows the networks"),
        ("resnet50", "specs:resnet:resnet50 comes with archscope"),
    ],
)
def test_a_name_that_no_network_has(name: str, help: str) -> None:
    with pytest.raises(SpecError) as caught:
        archscope.summarize(f"specs:{name}")
    assert f"no network called '{name}' comes with archscope" in str(caught.value)
    assert help in str(caught.value)
    assert run("summary", f"specs:{name}").exit_code == 2


@pytest.mark.parametrize(
    ("target", "help"),
    [
        ("resnet", "specs:resnet comes with archscope"),
        ("ResNet50", "specs:resnet:resnet50 comes with archscope"),
        ("lenet", "specs:tutorials/lenet comes with archscope"),
        ("nonsense", "or a network that `archscope list` shows"),
        ("specs/resnet.yaml", "specs:resnet comes with archscope"),
        ("specs/tutorials/lenet.yaml:x", "specs:tutorials/lenet comes with archscope"),
        ("specs/nonsense.yaml", "check the path"),
    ],
)
def test_what_is_not_there_but_comes_with_the_package(target: str, help: str) -> None:
    result = run("summary", target)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].endswith(help)


def test_a_network_of_the_package_is_not_changed() -> None:
    with pytest.raises(UsageError, match="comes with archscope and is not changed"):
        write_file("specs:resnet.yaml", "before", "after")


# ------------------------------------------------------------ lists
def test_the_list_names_every_network_and_what_it_is() -> None:
    output = run("list").stdout
    lines = output.splitlines()
    assert lines[0].split() == ["network", "variants", "what", "it", "is"]
    assert [line.split()[0] for line in lines[1:] if line[0] != " "] == [
        f"specs:{name}" for name in bundled_networks.network_names()
    ]
    assert max(map(len, lines)) <= 80
    assert "ConvNeXt (Liu et al. 2022), with the" in output


def test_the_list_of_a_file_has_its_variants() -> None:
    output = run("list", "specs:resnet").stdout
    names = [variant.rpartition(":")[2] for variant in archscope.variants("specs:resnet")]
    assert all(f"specs:resnet:{name} " in output for name in names)
    assert "block=Bottleneck, blocks_per_stage=[3, 4, 6," in output


NET = """\
# A small net. It has two sizes.
input: [N, 4]
params: {width: 2}
variants: {small: {width: 4}, large: {width: 8}}
layers: [Linear(width)]
"""


def test_the_list_of_files_and_folders() -> None:
    Path("nets").mkdir()
    Path("nets/net.yaml").write_text(NET, encoding="utf-8")
    Path("nets/blocks.yaml").write_text("blocks:\n  Twice(n): [Linear(n), Linear(n)]\n", encoding="utf-8")
    Path("nets/wrong.yaml").write_text("layrs: []\n", encoding="utf-8")
    one = run("list", "nets/net.yaml").stdout
    assert one.splitlines()[0] == "nets/net.yaml: A small net"
    assert [line.split() for line in one.splitlines()[3:]] == [
        ["nets/net.yaml:small", "width=4"],
        ["nets/net.yaml:large", "width=8"],
    ]
    several = run("list", "nets").stdout.splitlines()
    assert several[1].split(maxsplit=1) == ["nets/blocks.yaml", "a library of blocks: Twice"]
    assert several[2].split(maxsplit=2) == ["nets/net.yaml", "2", "A small net"]
    assert several[3].split(maxsplit=1)[1].startswith("cannot be read: `archscope check")


def test_the_list_as_json() -> None:
    Path("nets").mkdir()
    Path("nets/net.yaml").write_text(NET, encoding="utf-8")
    Path("nets/wrong.yaml").write_text("layrs: []\n", encoding="utf-8")
    document = json.loads(run("list", "nets", "--format", "json").stdout)
    assert document["schema"] == "archscope.list/1"
    net, wrong = document["networks"]
    assert (net["target"], net["about"]) == ("nets/net.yaml", "A small net")
    assert net["variants"][1] == {"target": "nets/net.yaml:large", "set": {"width": 8}}
    assert wrong == {"target": "nets/wrong.yaml", "about": None, "variants": []}
    [resnet] = json.loads(run("list", "specs:resnet", "--format", "json").stdout)["networks"]
    assert resnet["variants"][2]["set"] == {"block": "Bottleneck", "blocks_per_stage": [3, 4, 6, 3]}


@pytest.mark.parametrize(
    ("target", "message"), [("net.py:Net", "is not a spec, so it has no variants"), ("none.yaml", "there is no file")]
)
def test_what_cannot_be_listed(target: str, message: str) -> None:
    result = run("list", target)
    assert (result.exit_code, message in result.stderr) == (2, True)
