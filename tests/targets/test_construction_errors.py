"""Tests of errors in constructors: which call failed, with which values, on which path, and which help is given."""

from __future__ import annotations

import sys
import textwrap
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

import archscope
from archscope.cli import cli
from archscope.errors import UsageError

HEAD = "import torch\nfrom torch import nn\n"
NET = """
class Net(nn.Module):
    def __init__(self, {arguments}):
        super().__init__()
        {body}
"""
UNITS = """
class Unit(nn.Module):
    def __init__(self, cin, cout, groups, stride):
        super().__init__()
        branch = cout - cin if stride == 2 else cout
        mid = branch // 4
        self.first = nn.Conv2d(cin, mid, 1)
        self.last = nn.Conv2d(mid, branch, 1, groups=groups)

class Net(nn.Module):
    def __init__(self, groups=3):
        super().__init__()
        units, cin = [], 24
        for cout, count in ((384, 2), (768, 2)):
            for i in range(count):
                units.append(Unit(cin, cout, groups, 2 if i == 0 else 1))
                cin = cout
        self.units = nn.Sequential(*units)
"""
ATTENTION = """
class Attention(nn.Module):
    def __init__(self, dim, num_heads=8):
        super().__init__()
        assert dim % num_heads == 0
"""


def said_of(folder: Path, text: str, *, name: str = "Net", **arguments: object) -> UsageError:
    """Return the error for a class of a file that cannot be made."""
    (folder / "net.py").write_text(HEAD + textwrap.dedent(text), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        archscope.summarize(f"net.py:{name}", input=(1, 3, 8, 8), set=arguments)
    assert caught.value.__cause__ is not None
    return caught.value


def in_net(body: str, arguments: str = "dim=64") -> str:
    return NET.format(body=body, arguments=arguments)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_groups_deep_in_a_net_are_told_with_the_way_and_their_values(folder: Path) -> None:
    """jaxony/ShuffleNet#5: which layer failed, and where does its number of channels come from?"""
    error = said_of(folder, UNITS, groups=8)
    assert error.message.splitlines() == [
        "net.py:Net cannot be made: Conv2d: groups=8 does not divide in_channels=90 (net.py:10)",
        "  in Net(groups=8), net.py:18: Unit(cin, cout, groups, 2 if i == 0 else 1) where cout = 384, count = 2, i = 0",
        "  in Unit(cin=24, cout=384, groups=8, stride=2), net.py:10: nn.Conv2d(mid, branch, 1, groups=groups)",
        "  that is Conv2d(90, 360, 1, groups=8)",
        "  mid = branch // 4 = 90",
        "  branch = cout - cin if stride == 2 else cout = 360",
        "  PyTorch says ValueError: in_channels must be divisible by groups",
    ]
    assert error.help == "groups must divide in_channels=90 and out_channels=360: 9 and 10 are the nearest to 8 that do"


def test_one_of_several_like_calls_is_told_by_its_arguments(folder: Path) -> None:
    """Seunggu0305/VLCounter#6: five decoders; the last one has fewer channels than its norm has groups."""
    text = """
    class Decoder(nn.Module):
        def __init__(self, cin, cout, flag=True):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(cin, cout, 3), nn.GroupNorm(8, cout)
    class Net(nn.Module):
        def __init__(self, dim=64):
            super().__init__()
            self.decoder = nn.ModuleList([Decoder(dim + 1, dim), Decoder(dim, dim), Decoder(dim, 1, flag=False)])
    """
    error = said_of(folder, text)
    assert "GroupNorm: num_groups=8 does not divide num_channels=1" in error.message
    assert "  in Decoder(cin=64, cout=1, flag=False), net.py:7: nn.GroupNorm(8, cout)" in error.message
    assert error.help == "num_groups must divide num_channels=1: only 1 does"


def test_every_command_says_it_with_exit_code_2(folder: Path) -> None:
    (folder / "net.py").write_text(HEAD + UNITS, encoding="utf-8")
    for command in ("check", "summary", "flops", "time"):
        result = CliRunner().invoke(cli, [command, "net.py:Net", "--arg", "groups=8", "--input", "1x24x8x8"])
        assert result.exit_code == 2
        assert "groups=8 does not divide in_channels=90" in result.stderr
        assert "--arg name=value" not in result.stderr


def test_a_spec_says_the_same_words(folder: Path) -> None:
    error = said_of(folder, in_net("self.a = nn.Conv2d(90, 360, 1, groups=8)"))
    text = "input: [N, 90, 8, 8]\nlayers:\n  - Conv2d(360, 1, groups=8)\n"
    (folder / "net.yaml").write_text(text, encoding="utf-8")
    finding = archscope.check("net.yaml")[0].findings[0]
    assert finding.message in error.message
    assert finding.help == error.help


@pytest.mark.parametrize(
    ("body", "fact", "help_text"),
    [
        ("nn.MultiheadAttention(100, 8)", "MultiheadAttention: num_heads=8 does not divide embed_dim=100", "5 and 10"),
        ("nn.GroupNorm(32, 80)", "GroupNorm: num_groups=32 does not divide num_channels=80", "20 and 40"),
        ("nn.Conv2d(9, 7, 3, groups=3)", "Conv2d: groups=3 does not divide out_channels=7", "only 1 does"),
        ("nn.TransformerEncoderLayer(100, 8)", "TransformerEncoderLayer: nhead=8 does not divide d_model=100", "5 and"),
        ("nn.Transformer(d_model=100)", "Transformer: nhead=8 does not divide d_model=100", "5 and 10"),
        ("nn.Linear(dim / 2, 10)", "Linear: in_features takes a whole number, not 32.0", "dim // 2 is 32"),
        ("nn.BatchNorm2d(dim / 2)", "BatchNorm2d: num_features takes a whole number, not 32.0", "dim // 2 is 32"),
        ("nn.LayerNorm(dim / 2)", "LayerNorm: normalized_shape takes a whole number, not 32.0", "dim // 2 is 32"),
        ("nn.LSTM(8, dim * 0.5)", "LSTM: hidden_size takes a whole number, not 32.0", "// divides whole numbers"),
        ("nn.Linear(None, 8)", "Linear: in_features takes a whole number, not None", "give it a number"),
        ("nn.Conv2d(3, dim - 65, 3)", "Conv2d: out_channels is -1; it must be 1 or more", "a number above 0"),
        ("nn.Conv2d(3, 8, 3, groups=0)", "Conv2d: groups is 0; it must be 1 or more", "a number above 0"),
        ("nn.Conv2d(3, 8, 3, padding_mode='mirror')", "='mirror' is not a valid value", "padding_mode is 'zeros' or"),
        ("nn.Conv2d(3, 8, 3, padding='sam')", "padding='sam' is not a valid value", "did you mean 'same'"),
        ("nn.ConvTranspose2d(3, 8, 3, padding_mode='reflect')", "='reflect' is not a valid value", "is 'zeros'"),
        ("nn.Conv2d(3, 8, 5, stride=2, padding='same')", "padding='same' keeps the size", "padding=2 gives"),
        ("nn.Dropout2d(50)", "Dropout2d: p=50 is not a probability", "50 % is 0.5"),
        ("nn.Dropout(-0.5)", "Dropout: p=-0.5 is not a probability", "give it 0 to 1"),
        ("nn.Embedding(dim, 8, padding_idx=dim)", "64 is not an index of num_embeddings=64", "from 0 to 63"),
        ("nn.LSTM(4, 8, proj_size=8)", "proj_size=8 is not smaller than hidden_size=8", "1 to 7, or 0"),
        ("nn.GRU(4, 8, proj_size=2)", "GRU: proj_size=2, which only an LSTM has", "leave proj_size out"),
        ("nn.RNN(4, 8, 1, 'relu', proj_size=2)", "that is RNN(4, 8, 1, 'relu', proj_size=2)", "leave proj_size out"),
        ("nn.RNN(4, 8, nonlinearity='gelu')", "nonlinearity='gelu' is not a valid value", "did you mean 'relu'"),
        ("nn.Sequential([nn.ReLU()])", "Sequential takes modules one by one, not a list of 1", "nn.Sequential(*"),
        ("nn.ModuleList([nn.ReLU])", "ModuleList holds modules, and ReLU is a class", "ReLU(…) makes a module"),
    ],
)
def test_what_a_constructor_of_torch_refuses_is_told_with_what_it_takes(
    folder: Path, body: str, fact: str, help_text: str
) -> None:
    error = said_of(folder, in_net(f"self.a = {body}"))
    assert fact in error.message
    assert help_text in error.help
    assert "PyTorch says" in error.message


def test_two_faults_of_one_layer_are_both_told_and_what_is_allowed_is_not(folder: Path) -> None:
    error = said_of(folder, in_net("self.a = nn.LSTM(dim / 2, dim / 4, dropout=0.5)"))
    assert (
        "input_size takes a whole number, not 32.0; LSTM: hidden_size takes a whole number, not 16.0" in error.message
    )
    harmless = said_of(folder, in_net("self.a = nn.GroupNorm(32, 80, eps=None)"))
    assert "eps" not in harmless.help


def test_a_fault_that_no_value_explains_keeps_the_words_of_torch(folder: Path) -> None:
    """With a stride of 0 the layer can be made, so the stride is not the cause."""
    error = said_of(folder, in_net("self.a = nn.Conv2d(3, 8, 3, stride=0, dtype='half')"))
    assert "cannot be made: TypeError: " in error.message
    assert "stride is 0" not in error.message
    assert error.help == ""


@pytest.mark.parametrize(
    ("text", "message", "help_text"),
    [
        (in_net("self.a = {64: 2}[dim + 1]"), "KeyError: 65", ""),
        (in_net("w = {64: 2, 96: 3}\n        w[dim + 1]"), "KeyError: 65", "w has 64, 96"),
        (in_net("w = {'small': 2}\n        w['smal']"), "KeyError: 'smal'", "did you mean 'small'"),
        pytest.param(
            in_net("w = [1, 2]\n        [w[i + 1] for i in range(2)]"),
            "where i = 1",
            "w has 2 items, from 0 to 1",
            marks=pytest.mark.skipif(
                sys.version_info >= (3, 12), reason="Python 3.12 clears the variables of a comprehension that raised"
            ),
        ),
        (in_net("nn.Linear(self.dim, 2)\n        self.dim = dim"), "no attribute 'dim'", "self.dim is set in line 8"),
        (in_net("self.width = dim\n        nn.Linear(self.widht, 2)"), "no attribute 'widht'", "did you mean 'width'"),
        (NET.format(arguments="d=1", body="pass").replace("super().__init__()", "self.a = nn.ReLU()"), "before", "sup"),
        (ATTENTION + in_net("self.a = Attention(heads=2)"), "unexpected keyword", "it is Attention(dim, num_heads=8)"),
        (ATTENTION + in_net("self.a = Attention()"), "missing 1 required", "it is Attention(dim, num_heads=8)"),
        (ATTENTION + in_net("self.a = Attention(dim + 4)"), "Attention(dim=68, num_heads=8)", "2 and 4 are"),
        (in_net("self.a = dim // (dim - 64)"), "ZeroDivisionError", ""),
        (in_net("raise SystemExit(3)"), "SystemExit: 3", ""),
        (in_net("raise BaseException(3)"), "BaseException: 3", ""),
        (in_net("raise GeneratorExit"), "GeneratorExit", ""),
    ],
)
def test_errors_of_the_authors_own_code_have_the_way_and_help_where_it_is_certain(
    folder: Path, text: str, message: str, help_text: str
) -> None:
    error = said_of(folder, text)
    assert message in error.message
    assert help_text in error.help if help_text else error.help == ""


def test_an_exception_that_another_was_raised_from_is_followed(folder: Path) -> None:
    body = """
        try:
            self.a = Attention(100)
        except AssertionError as error:
            raise RuntimeError("no net") from error
    """
    error = said_of(folder, ATTENTION + in_net(body.strip()))
    assert "RuntimeError: no net, from AssertionError (net.py:7)" in error.message
    assert "num_heads=8 does not divide dim=100" in error.help


def test_factories_subclasses_methods_and_containers_are_links_of_the_way(folder: Path) -> None:
    text = """
    class Own(nn.Conv2d):
        def __init__(self, cin, cout):
            super().__init__(cin, cout, 3, groups=4)
    def stage(width):
        return nn.Sequential(*(Own(width, width) for _ in range(2)))
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stages = nn.ModuleList(self.made(width) for width in (64, 30))
        def made(self, width):
            return stage(width)
    """
    lines = said_of(folder, text).message.splitlines()
    assert [line.split(", net.py")[0] for line in lines[1:4]] == [
        "  in Net().made",
        "  in stage(width=30)",
        "  in Own(cin=30, cout=30)",
    ]
    assert lines[4] == "  that is Conv2d(30, 30, 3, groups=4)"


def test_a_name_that_was_bound_twice_is_told_by_its_value_alone(folder: Path) -> None:
    body = (
        "mid = dim // 2\n        mid = mid + 1\n        groups = mid - 1\n        nn.Conv2d(mid, mid, 1, groups=groups)"
    )
    message = said_of(folder, in_net(body)).message
    assert "  mid = 33" in message.splitlines()
    assert "dim // 2" not in message
    assert "mid - 1" not in message


def test_long_ways_and_large_or_broken_values_stay_short(folder: Path) -> None:
    text = """
    class Broken:
        def __repr__(self):
            raise RuntimeError("no repr")
    class Inner(nn.Module):
        def __init__(self, broken, tensor, many, table):
            super().__init__()
            self.a = nn.Linear(many[0] / 2, 3)
    class Net(nn.Module):
        def __init__(self, depth=0):
            super().__init__()
            if depth < 60:
                self.inner = Net(depth + 1)
            else:
                self.inner = Inner(Broken(), torch.zeros(3, 4), list(range(10**6)), {"a": Broken()})
    """
    start = time.perf_counter()
    message = said_of(folder, text).message
    assert time.perf_counter() - start < 10
    assert len(message.splitlines()) < 16
    assert max(map(len, message.splitlines())) < 240
    assert "  … 54 more" in message
    assert "broken=<Broken>, tensor=<tensor (3, 4)>, many=[0, 1, 2, 3, … 999996 more]" in message


def test_an_instance_at_the_top_of_a_file_is_told_too(folder: Path) -> None:
    error = said_of(folder, UNITS + "\nnet = Net(8)\n", name="net")
    assert "net.py cannot be imported: Conv2d: groups=8 does not divide in_channels=90" in error.message
    assert "  in the file, net.py:22: net = Net(8)" in error.message


def test_nothing_is_left_of_a_torch_layer_that_was_tried_on_meta(folder: Path) -> None:
    import torch

    before = torch.random.get_rng_state()
    said_of(folder, in_net("self.a = nn.GroupNorm(32, 80)"))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.empty(1).device.type == "cpu"


def test_arguments_are_asked_for_only_where_the_target_itself_lacks_them(folder: Path) -> None:
    lacking = said_of_missing(folder)
    assert 'set={"width": …}' in lacking.help
    assert "--arg" not in said_of(folder, in_net("raise ValueError('no')")).help


def said_of_missing(folder: Path) -> UsageError:
    (folder / "net.py").write_text(HEAD + NET.format(arguments="width", body="pass"), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        archscope.summarize("net.py:Net", input=(1, 3))
    return caught.value


@pytest.mark.parametrize(
    ("operation", "argument", "names"),
    [
        ("STORE_FAST", "a", ["a"]),
        ("STORE_DEREF", "a", ["a"]),
        ("STORE_FAST_STORE_FAST", ("a", "b"), ["a", "b"]),
        ("STORE_FAST_LOAD_FAST", ("a", "b"), ["a"]),
        ("LOAD_FAST_LOAD_FAST", ("a", "b"), []),
        ("STORE_ATTR", "a", []),
    ],
)
def test_an_instruction_of_python_3_13_binds_two_names(operation: str, argument: object, names: list[str]) -> None:
    from archscope.targets.construction_steps import stored_names

    assert stored_names(operation, argument) == names
