"""Accuracies of candidates trained alone stand with their recipe, and those of two recipes are not compared."""

from pathlib import Path

import pytest
import yaml
from example_run import write_example, write_json, write_text

from nas_lightning.report.markdown import as_markdown
from nas_lightning.report.run import read_run
from nas_lightning.report.winners import gain_in_words
from nas_lightning.report.write import make_parts

OPTIMIZER = {"_target_": "torch.optim.SGD", "lr": 0.1}
ALONE = {"epochs": 5, "batch_size": 64, "optimizer": OPTIMIZER, "seeds": [0, 1], "count": 40, "enabled": True}


def text_of(folder: Path) -> str:
    return as_markdown("run", make_parts(read_run(folder), 3000), "report").replace("\\", "")


def configured(path: Path, **changes: object) -> None:
    """Gives a config the recipe, with changes."""
    config = yaml.safe_load(path.read_text()) if path.is_file() else {}
    data = {"_target_": "nas_lightning.data.Digits", "resolution": changes.pop("resolution", 8), "root": str(path)}
    write_text(path, yaml.safe_dump({**config, "data": data, "standalone": {**ALONE, **changes}}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run, its known accuracies by its own recipe; the two best trained again as winners."""
    folder = write_example(tmp_path / "run")
    configured(folder / "config.yaml")
    ranking = read_run(folder).ranking
    assert ranking is not None
    rows = [f"a,{ranking.table.population[int(row)].text},0,0.9" for row in ranking.order[:2]]
    write_text(folder / "winners/standalone/accuracies.csv", "\n".join(["name,architecture,seed,accuracy", *rows]))
    configured(folder / "winners/standalone/config.yaml")
    return folder


def test_the_known_accuracies_are_told_with_their_recipe(folder: Path):
    said = "**Known accuracies.** 5 epochs of Digits at 8x8 pixels in batches of 64 by SGD with lr 0.1 (each the mean of 2 seeds)."
    assert said in text_of(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "The known accuracies have the same one."),
        ({"seeds": [7], "count": 3, "choose": "best"}, "The known accuracies have the same one."),  # no part of a recipe
        ({"epochs": 300}, "The known accuracies have another one (epochs 300 instead of 5): do not compare the two columns."),
        ({"resolution": 24}, "(data.resolution 24 instead of 8)"),
        ({"optimizer": {**OPTIMIZER, "_target_": "torch.optim.AdamW"}}, "(optimizer AdamW instead of SGD)"),
    ],
)
def test_winners_by_another_recipe_are_not_compared_with_the_known(folder: Path, changes: dict[str, object], said: str):
    configured(folder / "winners/standalone/config.yaml", **changes)
    part = text_of(folder).split("## The best by score")[1].split("\n## ")[0]
    assert said in part
    assert "| winners, trained alone, % |" in part  # a column of their own


def test_a_file_of_known_accuracies_has_the_recipe_that_lies_next_to_it(folder: Path, tmp_path: Path):
    there = tmp_path / "other/standalone"
    write_json(there / "known_accuracies.json", {})
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["ranking"]["known_accuracies"] = str(there / "known_accuracies.json")
    write_text(folder / "config.yaml", yaml.safe_dump(config))
    assert "That of the known accuracies is not recorded here: do not compare the two columns." in text_of(folder)
    configured(there / "config.yaml", epochs=300)
    text = text_of(folder)
    assert "**Known accuracies.** 300 epochs of Digits" in text
    assert "(epochs 5 instead of 300)" in text


def test_the_table_of_a_search_keeps_both_trainings_apart(folder: Path):
    code = (folder / "winners/standalone/accuracies.csv").read_text().splitlines()[1].split(",")[1]
    write_text(folder / "standalone/accuracies.csv", f"name,architecture,seed,accuracy\na,{code},0,0.5\n")
    score = {"images": 10, "top1": 0.5, "top5": 0.9, "cross_entropy": 1.0}
    entry = {"architecture": code, "place": 1, "budget": {"parameters": 1e4}, "cost": {"parameters": 9e3}}
    entry |= {"share_of_largest": {"parameters": 0.4}, "searched": score, "all_images": score}
    protocol = {"objective": "cross_entropy", "costs": ["parameters"], "start": "spread", "algorithm": "nsga2"}
    for name, content in (("chosen", [entry]), ("protocol", protocol)):
        write_json(folder / f"search/{name}.json", content)
    row = f"generation,architecture,cross_entropy,top1,parameters\n0,{code},1.0,0.5,9000\n"
    for name in ("evaluated", "front"):
        write_text(folder / f"search/{name}.csv", row)
    write_text(folder / "search/hypervolume.csv", "run,evaluated,hypervolume\nsearch,1,0.5\n")
    part = text_of(folder).split("## The best under budgets")[1].split("\n## ")[0]
    assert "on all 10 test images" in part  # both scores are of the same
    assert "no other images were left to score it on" in part
    assert "is what to compare" not in part
    head, line = (next(line for line in part.splitlines() if word in line).split(" | ") for word in ("trained alone, %", code))
    shown = dict(zip(head, line, strict=True))
    assert shown["trained alone, %"].strip("| ") == "50.00"  # not 70.00, the mean of two recipes
    assert shown["winners, trained alone, %"].strip("| ") == "90.00"


@pytest.mark.parametrize(
    ("low", "high", "count", "verdict"),
    [
        (0.02, 0.1, 10, "Choosing by predicted pays."),
        (-0.1, -0.02, 10, "Choosing by predicted does harm."),
        (-0.02, 0.1, 10, "Whether it pays to choose by predicted is open."),
        (0.02, 0.1, 4, "Whether it pays to choose by predicted is open."),
        (None, None, 10, "Whether it pays to choose by predicted is open."),
    ],
)
def test_the_verdict_on_the_winners_follows_the_interval(low: float | None, high: float | None, count: int, verdict: str):
    kinds = {kind: {"n": count, "mean": mean} for kind, mean in (("best", 0.6), ("random", 0.55))}
    difference = {"value": 0.05, **({} if low is None else {"low": low, "high": high})}
    text = gain_in_words({"ordered_by": "predicted", "budget": None, "difference": difference, **kinds})
    assert text.startswith(f"{verdict} Trained alone, the best reach 60.00 % (n = {count}), random ones of the same list 55.00 %")
    assert ("95 % interval" in text) == (low is not None and count == 10)
