"""The commands of docs/networks.md, at a small size, lead from a folder of images to an answer about one of them."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.composing import composed

PAGE = (Path(__file__).parents[1] / "docs/networks.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
SMALL = {
    "nas-train": ["population.count=8", "ranking.fitted_on=30", "ranking.scored=30", "ranking.most_images=8", "loader.batch_size=16"],
    "nas-search": ["search.evaluations=12", "search.population=6", "search.images=8", "search.finalists=1"],
    "nas-export": ["export.images=8"],
    "nas-standalone": ["standalone.epochs=1", "standalone.batch_size=16"],
}


def test_the_page_goes_from_a_network_to_an_image_file_in_nine_commands_at_most():
    programs = [line.split()[0] for line in COMMANDS]
    assert programs == ["nas-train", "nas-train", "nas-search", "nas-export", "nas-standalone", "python", "nas-train"]
    assert len(programs) <= 9


def test_every_call_of_the_table_composes():
    calls = re.findall(r"^\| `(network=[^`]*)` \|", PAGE, re.MULTILINE)
    assert len(calls) == 4
    for call in calls:
        assert composed("config", "run_dir=out", *call.split())["network"]["network"]["_target_"]


def test_every_key_of_the_page_is_one():
    keys = re.findall(r"^\| `(network\.[^`]*)` \|", PAGE, re.MULTILINE)
    assert len(keys) == 5
    for key in keys:
        composed("config", "run_dir=out", "network=resnet18", key)


@pytest.mark.slow
def test_the_table_of_the_page_is_that_of_the_dry_run():
    from nas_lightning.commands.network_table import describe_network
    from nas_lightning.supernet.traced import TracedFamily
    from nas_lightning.supernet.traced.source import NetworkSource

    source = NetworkSource.for_classes({"_target_": "torchvision.models.resnet18"}, "num_classes", 3, [])
    shown = " ".join("\n".join(describe_network(TracedFamily(source, "resnet18", 3, 3, 64))).split())
    assert "single pixel" not in shown
    assert "At 32x32 pixels 3 of its choices make a single pixel" in "".join(describe_network(TracedFamily(source, "resnet18", 3, 3, 32)))
    assert not re.search(r"\(\d+ *(\||$)", "\n".join(describe_network(TracedFamily(source, "resnet18", 3, 3, 64))), re.MULTILINE)
    (block,) = re.findall(r"```\n(resnet18.*?)\.\.\.\n```", PAGE, re.DOTALL)
    for line in block.splitlines():
        assert " ".join(line.replace("-", " ").split()) in shown.replace("-", " "), line


def test_the_class_of_the_page_has_enough_candidates_for_a_predictor():
    from nas_lightning.scoring.predictors import FEWEST
    from nas_lightning.supernet.traced import TracedFamily

    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, type] = {}
    exec(block, names)
    assert TracedFamily(lambda: names["Net"](3), "Net", 3, 3, 24).space.size >= FEWEST


@pytest.mark.slow
def test_the_commands_of_the_page_run_one_after_another(tmp_path: Path, command: Callable, python: Callable):
    rng = np.random.default_rng(0)
    for label, name in enumerate(("ant", "bee", "cow")):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(14):
            pixels = rng.integers(0, 60, (70, 64, 3), dtype=np.uint8)
            pixels[:, :, label] += 150
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number}.png")
    names = {
        "RUN": f"{tmp_path}/run",
        "TRAINED": f"{tmp_path}/trained",
        "IMAGE": f"{tmp_path}/images/ant/0.png",
        "DIR": f"{tmp_path}/images",
    }
    for line in COMMANDS[:-1]:
        program, *arguments = shlex.split(re.sub(r"\b(RUN|TRAINED|IMAGE|CODE|DIR)\b", lambda found: names[found[0]], line))
        if program == "python":
            answered = python(*arguments)
            assert re.fullmatch(rf"{re.escape(names['IMAGE'])}: ((ant|bee|cow) \d+\.\d%(, )?){{3}}\n", answered.stdout), answered.stderr
            continue
        more = (
            [f"data.cache={tmp_path}/cache", "stages.pretrain.max_steps=3", "trainer.log_every_n_steps=1"] if program == "nas-train" else []
        )
        done = command(program.removeprefix("nas-"), *arguments, *SMALL[program], *more)
        assert done.code == 0, done.err
        if program == "nas-search":
            chosen = json.loads((tmp_path / "run/search/chosen.json").read_text())
            assert len(chosen) == 2
            names["CODE"] = chosen[0]["architecture"]
