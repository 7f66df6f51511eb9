"""The page of the truth names every model that the tests hold, and none of them disagrees."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from tests.truth.cases import ALL
from tests.truth.test_tutorials import NETWORKS

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "truth.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| ([^|]+) \| [\d,]+ \| (?:≥ )?[\d,]+ \| [\d,·. ]+ \| (\S+) \|$", re.MULTILINE)


def test_every_model_is_on_the_page_and_agrees() -> None:
    with (HERE / "torchvision_published.csv").open(encoding="utf-8", newline="") as file:
        published = [row["model"] for row in csv.DictReader(file)]
    timm = (HERE / "timm_models.txt").read_text(encoding="utf-8").split()
    rows = ROW.findall(PAGE)
    assert [name for name, _ in rows] == [*published, *NETWORKS, *timm, *(case.name for case in ALL)]
    assert {answer for _, answer in rows} == {"yes"}
