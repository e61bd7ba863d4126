"""``nas-compare`` on runs of ``experiment=micro`` with two seeds."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nas_lightning import agreement


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_two_seeds_are_compared_by_the_command(micro: Path, other_seed: Path, tmp_path: Path, command: Callable):
    first, second = (folder / "ranking/scores.csv" for folder in (micro, other_seed))
    done = command("compare", f"first={first}", f"second={second}", "space=resnet_tiny", "resamples=20", f"run_dir={tmp_path}")
    assert done.code == 0, done.err
    written = json.loads((tmp_path / "agreement.json").read_text())
    losses = [[-float(row["cross_entropy"]) for row in rows(path)] for path in (first, second)]
    assert written["n"] == 24
    assert written["scores"]["negative cross entropy"]["kendall"]["value"] == pytest.approx(agreement.kendall_tau(*losses))
    assert "Agreement of the second ranking's scores with the same scores of the first" in done.out
    assert "\n24 architectures; 95 % intervals from 20 resamples" in done.out


def test_the_space_is_that_of_the_run_unless_another_is_typed(micro: Path, other_seed: Path, command: Callable):
    words = [f"first={micro}/ranking/scores.csv", f"second={other_seed}/ranking/scores.csv", "resamples=20"]
    done = command("compare", *words)
    assert done.code == 0, done.err
    assert "24 architectures" in done.out
    done = command("compare", *words, "space=resnet20_track1")
    assert done.code == 2
    assert "space resnet20_track1 takes 19 or 20" in done.err


def test_two_seeds_are_compared_by_known_accuracies(micro: Path, other_seed: Path, tmp_path: Path, command: Callable):
    tables = [f"first={micro}/ranking/scores.csv", f"second={other_seed}/ranking/scores.csv", "space=resnet_tiny", "resamples=50"]
    known = f"known_accuracies={micro}/standalone/known_accuracies.json"
    done = command("compare", *tables, known, f"run_dir={tmp_path}")
    assert (done.code, done.err) == (0, "")
    assert "% of the\nresamples." in done.out.replace(" resamples.", "\nresamples.")
    assert max(len(line) for line in done.out.splitlines() if str(tmp_path) not in line) <= 80
    written = json.loads((tmp_path / "comparison.json").read_text())
    assert written["n"] == 6
    for better in written["better"]["negative cross entropy"].values():
        assert better["first"] is None or better["first"] + better["second"] == pytest.approx(1)
    own = json.loads((micro / "ranking/agreement.json").read_text())["scores"]["negative cross entropy"]["kendall"]["value"]
    assert written["scores"]["first negative cross entropy"]["kendall"]["value"] == pytest.approx(own)
    assert json.loads((tmp_path / "agreement.json").read_text())["n"] == 24


def test_two_files_in_the_challenges_format_are_compared_even_in_percent(micro: Path, tmp_path: Path, command: Callable):
    known = json.loads((micro / "standalone/known_accuracies.json").read_text())
    (tmp_path / "theirs.json").write_text(json.dumps({name: {**row, "acc": 100 * row["acc"]} for name, row in known.items()}))
    files = [f"first={tmp_path}/theirs.json", f"second={micro}/ranking/submission.json", "space=resnet_tiny", "resamples=20"]
    done = command("compare", *files)
    assert done.code == 0, done.err
    assert "\nAgreement of the second ranking with the first\n" in done.out
    assert "are taken as percent\n" in done.err


def test_a_comparison_of_different_protocols_is_warned_of_in_one_line(micro: Path, tmp_path: Path, command: Callable):
    shutil.copy(micro / "ranking/scores.csv", tmp_path)
    protocol = json.loads((micro / "ranking/protocol.json").read_text())
    (tmp_path / "protocol.json").write_text(json.dumps({**protocol, "batch_size": 10, "checkpoint_sha256": "of another"}))
    tables = [f"first={micro}/ranking/scores.csv", f"second={tmp_path}/scores.csv", "space=resnet_tiny", "resamples=20"]
    done = command("compare", *tables)
    assert (done.code, done.err) == (0, "warning: a comparison of different protocols: batch_size is 300 and 10\n")


@pytest.mark.parametrize("content", [None, "{", '{"a": {"acc": 150, "arch": "4-4-4-4-4-4-4"}}'])
def test_known_accuracies_that_are_none_end_a_comparison_in_one_line(
    content: str | None, micro: Path, other_seed: Path, tmp_path: Path, command: Callable
):
    if content is not None:
        (tmp_path / "known.json").write_text(content)
    tables = [f"first={micro}/ranking/scores.csv", f"second={other_seed}/ranking/scores.csv", "space=resnet_tiny", "resamples=20"]
    done = command("compare", *tables, f"known_accuracies={tmp_path}/known.json", f"run_dir={tmp_path}/out")
    assert (done.code, done.err.count("\n"), done.out) == (2, 1, ""), done.err
    assert "known.json" in done.err
    assert not (tmp_path / "out").exists()


def test_a_table_compared_with_itself_agrees_in_every_score(micro: Path, command: Callable, tmp_path: Path):
    table = f"{micro}/ranking/scores.csv"
    done = command("compare", f"first={table}", f"second={table}", "space=resnet_tiny", "resamples=20", f"run_dir={tmp_path}")
    assert done.code == 0, done.err
    written = json.loads((tmp_path / "agreement.json").read_text())["scores"]
    assert list(written) == ["top-1", "negative cross entropy", "predicted"]
    for score in written.values():
        assert [score[name]["value"] for name in ("pearson", "kendall", "spearman")] == pytest.approx([1, 1, 1])
    cells = [line.split("  ") for line in done.out.splitlines() if line.startswith(("top-1", "negative cross entropy", "predicted"))]
    for cell in cells[:2]:
        assert [part.strip() for part in cell if part.strip()][1:2] == ["1.000 [1.000, 1.000]"]


def test_a_changed_top_1_changes_the_agreement_of_top_1_alone(micro: Path, command: Callable, tmp_path: Path):
    lines = rows(micro / "ranking/scores.csv")
    with (tmp_path / "scores.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows({**row, "top1": 1 - float(row["top1"])} for row in lines)
    tables = [f"first={micro}/ranking/scores.csv", f"second={tmp_path}/scores.csv", "space=resnet_tiny", "resamples=20"]
    assert command("compare", *tables, f"run_dir={tmp_path}/out").code == 0
    written = json.loads((tmp_path / "out/agreement.json").read_text())["scores"]
    assert {name: score["kendall"]["value"] for name, score in written.items()} == pytest.approx(
        {"top-1": -1, "negative cross entropy": 1, "predicted": 1}
    )
