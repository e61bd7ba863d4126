"""A network of the user's own, from a folder of images to an answer about a file: every command after another."""

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas_lightning.config.build import IMPORTED
from nas_lightning.supernet.checkpoint import load_supernet
from tests.conftest import run_program

pytestmark = pytest.mark.slow
PLUGINS = "plugins=[tests]"
NETWORK = [
    *("network=custom", "network.network._target_=tests.supernet.traced.grey.Counting", "network.classes_argument=classes"),
    *("network.widths.divisor=1", "network.widths.least=1", PLUGINS),
]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dark, bright and striped images."""
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for split, count in (("train", 40), ("val", 20)):
        for name in ("bright", "dark", "striped"):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 90, (12, 10)) + (160 if name == "bright" else 0)
                pixels[:, ::2] += 160 if name == "striped" else 0
                Image.fromarray(pixels.astype(np.uint8)).save(root / split / name / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def run(images: Path, tmp_path_factory: pytest.TempPathFactory, command: Callable) -> Path:
    folder = tmp_path_factory.mktemp("traced") / "run"
    words = ["experiment=short", *NETWORK, "data=image_folder", f"data.root={images}", "data.resolution=8", "data.channels=1"]
    sizes = [
        "stages.pretrain.epochs=30",
        "loader.batch_size=30",
        "trainer.log_every_n_steps=1",
        "population.count=30",
        "ranking.fitted_on=30",
        "ranking.resamples=100",
    ]
    truth = ["standalone.enabled=true", "standalone.count=4", "standalone.epochs=3"]
    done = command("train", *words, *sizes, *truth, f"run_dir={folder}", pages=True)
    assert done.code == 0, done.err
    assert "plugins=[tests]" in done.out.partition("next, ")[2]
    return folder


@contextmanager
def no_packages() -> Iterator[None]:
    """As in a process of its own, which has named none so far."""
    kept = set(IMPORTED)
    IMPORTED.clear()
    try:
        yield
    finally:
        IMPORTED.update(kept)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_checkpoint_ranks_as_the_run_did_and_as_python_does(run: Path, images: Path, command: Callable, tmp_path: Path):
    listed = f"ranking.list={run}/ranking/submission.json"
    words = [f"checkpoint={run}/supernet.safetensors", f"data.root={images}", listed, "ranking.fitted_on=30"]
    done = command("rank", *words, PLUGINS, f"run_dir={tmp_path}")
    assert done.code == 0, done.err
    own, again = (rows_of(folder / "ranking/scores.csv") for folder in (run, tmp_path))
    for key in ("cross_entropy", "predicted"):
        assert [float(row[key]) for row in again] == pytest.approx([float(row[key]) for row in own], rel=1e-5)
    supernet, header = load_supernet(run / "supernet.safetensors")
    protocols = [json.loads((folder / "ranking/protocol.json").read_text()) for folder in (run, tmp_path)]
    for protocol in protocols:
        assert protocol["ties"] == header["supernet"]["ties"]
        assert protocol["choices"] == dict(zip(supernet.space.names, map(list, supernet.space.choices), strict=True))
        assert "shortcuts" not in protocol
    page = (run / "report.html").read_text()
    assert all(name in page for name in supernet.space.names)
    assert command("compare", f"first={run}/ranking/scores.csv", f"second={tmp_path}/ranking/scores.csv").code == 0


def test_two_processes_give_the_scores_of_one(run: Path, images: Path, command: Callable, tmp_path: Path):
    words = [f"checkpoint={run}/supernet.safetensors", f"data.root={images}", "ranking.count=20", "ranking.prefix_memory=0"]
    last = ["ranking.predictor=none", "ranking.score=cross_entropy", PLUGINS]
    assert command("rank", *words, *last, f"run_dir={tmp_path}/one").code == 0
    two = ["trainer=ddp", "trainer.accelerator=cpu", f"run_dir={tmp_path}/two"]
    done = run_program("-m", "nas_lightning.commands.rank", *words, *last, *two)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "one/ranking/scores.csv").read_bytes() == (tmp_path / "two/ranking/scores.csv").read_bytes()


def test_a_search_under_two_budgets_leads_to_an_answer_about_a_file(run: Path, images: Path, command: Callable, tmp_path: Path):
    supernet, _ = load_supernet(run / "supernet.safetensors")
    checkpoint, root = f"checkpoint={run}/supernet.safetensors", f"data.root={images}"
    sizes = ["search.evaluations=20", "search.population=10", "search.finalists=1"]
    budgets = ["search.budgets={multiply_adds: [40%, 80%]}", "search.costs=[multiply_adds,latency]"]
    done = command("search", checkpoint, root, *budgets, *sizes, PLUGINS, f"run_dir={run}")
    assert done.code == 0, done.err
    chosen = json.loads((run / "search/chosen.json").read_text())
    largest = supernet.structure.cost([supernet.space.largest.widths]).multiply_adds[0]
    assert len({entry["budget"]["multiply_adds"] for entry in chosen}) == 2
    for entry in chosen:
        macs = supernet.structure.cost([supernet.space.parse(entry["architecture"]).widths]).multiply_adds[0]
        assert macs == entry["cost"]["multiply_adds"] <= entry["budget"]["multiply_adds"] < largest
    done = command("export", checkpoint, root, f"chosen={run}/search/chosen.json", PLUGINS, f"run_dir={run}")
    assert done.code == 0, done.err
    assert f"data.root={images} 'plugins=[tests]'" in " ".join(done.out.replace("\\\n", " ").split())
    code = chosen[0]["architecture"]
    words = [f"start={run}/export/{code}", root, "standalone=short", "standalone.epochs=4", f"run_dir={tmp_path}/on"]
    with no_packages():
        refused = command("standalone", *words)
    assert (refused.code, "cannot be read: network._target_: tests." in refused.err) == (2, True)
    done = command("standalone", *words, PLUGINS)
    assert done.code == 0, done.err
    assert "Trained on for 4 epochs" in (tmp_path / f"on/export/{code}/card.md").read_text()
    for place in (run, tmp_path / "on"):
        file = images / "val/dark/3.png"
        program = [sys.executable, f"{place}/export/{code}/network.py", str(file)]
        answer = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)  # where no package of ours is in reach
        assert answer.stdout.startswith(f"{file}: dark "), answer.stderr
    budget = int(chosen[0]["budget"]["multiply_adds"])
    last = ["standalone.epochs=1", PLUGINS, f"run_dir={tmp_path}/winners"]
    done = command("standalone", "choose=search", f"scores={run}/search/chosen.json", f"budget={budget}", "random=1", *last)
    assert done.code == 0, done.err
    trained = rows_of(tmp_path / "winners/standalone/accuracies.csv")
    assert trained[0]["architecture"] == code
    assert all(supernet.structure.cost([supernet.space.parse(row["architecture"]).widths]).multiply_adds[0] <= budget for row in trained)


def test_the_best_are_trained_on_the_network_of_the_run_or_of_the_checkpoint(run: Path, images: Path, command: Callable, tmp_path: Path):
    last = ["count=1", "random=1", "standalone.epochs=1", PLUGINS]
    done = command("standalone", "choose=best", f"scores={run}/ranking/scores.csv", *last, f"run_dir={tmp_path}/a")
    assert done.code == 0, done.err
    elsewhere = tmp_path / "supernet.safetensors"
    elsewhere.write_bytes((run / "supernet.safetensors").read_bytes())
    words = [f"checkpoint={elsewhere}", f"data.root={images}", f"ranking.list={run}/ranking/submission.json", "ranking.fitted_on=30"]
    assert command("rank", *words, PLUGINS, f"run_dir={tmp_path}/ranked").code == 0
    best = ["choose=best", f"scores={tmp_path}/ranked/ranking/scores.csv", "standalone=short", f"run_dir={tmp_path}/b"]
    done = command("standalone", *best, *last)
    assert done.code == 0, done.err
    first, second = (rows_of(tmp_path / place / "standalone/accuracies.csv") for place in ("a", "b"))
    assert [row["architecture"] for row in first] == [row["architecture"] for row in second]
    with no_packages():
        refused = command("standalone", *best, *last[:-1])
    assert refused.code == 2
    assert re.fullmatch(r"error: checkpoint: .* tests.supernet.traced.grey.Counting is not allowed as a network .*\n", refused.err)
