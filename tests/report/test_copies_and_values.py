"""A report counts architectures: neither copies under other names nor an ``acc`` of 0, which is unknown."""

import csv
import json
from pathlib import Path

import pytest
from example_run import LAYERS, change_json, write_example, write_scores, write_text

from nas_lightning.errors import InputError
from nas_lightning.report.markdown import as_markdown
from nas_lightning.report.run import read_run
from nas_lightning.report.write import make_parts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_example(tmp_path / "example")


def text_of(folder: Path) -> str:
    return as_markdown("run", make_parts(read_run(folder), points=3000), "report").replace("\\", "")


def rows_of(folder: Path) -> list[list[str]]:
    with (folder / "ranking/scores.csv").open(newline="") as file:
        return list(csv.reader(file))[1:]


def copied(folder: Path) -> None:
    """Every candidate a second time, with another last entry, which no layer reads."""
    rows = rows_of(folder)
    twins = [[f"{name} again", f"{code.rsplit('-', 1)[0]}-12", *values] for name, code, *values in rows]
    write_scores(folder, [*twins, *rows])


def test_copies_are_counted_once_and_named_as_such(folder: Path):
    alone = read_run(folder)
    copied(folder)
    change_json(folder / "ranking/agreement.json", copies=40)
    run = read_run(folder)
    assert len(run.ranking.known) == len(alone.ranking.known) == 40
    best, best_alone = ([one.ranking.table.population[row].architecture for row in one.ranking.order[:10]] for one in (run, alone))
    assert best == best_alone
    text = text_of(folder)
    assert "60 architectures under 120 names are ranked by negative cross entropy" in text
    assert "40 known accuracies (40 more names are copies of these architectures)" in text
    assert "for 40 candidates" in text


def test_the_protocol_tells_which_entries_are_read_where_no_config_does(folder: Path):
    copied(folder)
    write_text(folder / "config.yaml", "ranking: {score: cross_entropy}\n")
    assert "60 architectures" not in text_of(folder)  # the last entry counts
    (folder / "ranking/agreement.json").unlink()
    change_json(folder / "ranking/protocol.json", layers=LAYERS)
    assert "60 architectures under 120 names" in text_of(folder)


def test_an_accuracy_of_0_is_unknown(folder: Path):
    path = folder / "ranking/known_accuracies.json"
    known = json.loads(path.read_text())
    for name in list(known)[:15]:
        known[name]["acc"] = 0
    path.write_text(json.dumps(known))
    assert len(read_run(folder).ranking.known) == 25


CODE, OTHER = "-".join(["4"] * LAYERS + ["8"]), "-".join(["4"] * LAYERS + ["12"])
SCORES = "name,architecture,top1,top5,cross_entropy,macs,parameters\n"
WRONG = {
    "two scores": (f"a,{CODE},0.5,0.9,2.0,100,10\nb,{OTHER},0.5,0.9,2.1,100,10\n", "line 3: 4-4-4-4-4-12 stands above with other values"),
    "top-1 of -3": (f"a,{CODE},-3,0.9,2.0,100,10\n", "line 2: top1 and top5 must be fractions from 0 to 1"),
    "percent": (f"a,{CODE},50,0.9,2.0,100,10\n", "line 2: top1 and top5 must be fractions from 0 to 1"),
    "20 digits": (
        f"a,{CODE},0.5,0.9,2.0,100,{10**20}\n",
        f"line 2: macs and parameters must be whole numbers from 0 to {2**63 - 1}, not '{10**20}'",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_scores_that_cannot_be_are_one_line(case: str, folder: Path):
    rows, says = WRONG[case]
    write_text(folder / "ranking/scores.csv", SCORES + rows)
    with pytest.raises(InputError) as refused:
        read_run(folder)
    assert says in str(refused.value)


def test_two_accuracies_of_one_architecture_and_one_above_1_are_one_line(folder: Path):
    write_text(folder / "ranking/known_accuracies.json", json.dumps({"a": {"acc": 0.5, "arch": CODE}, "b": {"acc": 0.6, "arch": OTHER}}))
    with pytest.raises(InputError, match=r"known_accuracies\.json: b: 4-4-4-4-4-12 has two accuracies, 0\.5 and 0\.6"):
        read_run(folder)
    (folder / "ranking/known_accuracies.json").unlink()
    write_text(folder / "standalone/accuracies.csv", f"name,architecture,seed,accuracy\na,{CODE},0,1.5\n")
    with pytest.raises(InputError, match=r"accuracies\.csv: line 2: accuracy: '1\.5' must be from 0 to 1"):
        read_run(folder)
