"""The commands of docs/export.md, at micro size, lead from a ranking to an answer about an image file."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from nas_lightning.data import Digits

PAGE = (Path(__file__).parents[2] / "docs/export.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
AT_MICRO_SIZE = {
    "nas-search": ["search.evaluations=20", "search.population=10"],
    "nas-export": ["export.images=300"],
    "nas-standalone": ["standalone.epochs=2"],
}


def test_the_page_goes_from_a_ranking_to_an_image_file():
    programs = [" ".join(line.split()[:2]) for line in COMMANDS]
    assert programs == [
        "python train.py",
        "nas-search checkpoint=RUN/supernet.safetensors",
        "nas-export checkpoint=RUN/supernet.safetensors",
        "nas-standalone start=RUN/export/CODE",
        "python TRAINED/export/CODE/network.py",
    ]


@pytest.mark.slow
def test_the_commands_of_the_page_run_one_after_another(tmp_path: Path, command: Callable, python: Callable):
    names = {"RUN": f"{tmp_path}/run", "TRAINED": f"{tmp_path}/trained", "IMAGE": f"{tmp_path}/digit.png"}
    images = Digits(8, 200).test().images
    enlarged = Image.fromarray(images[0, 0].numpy()).resize((64, 64), Image.Resampling.NEAREST)
    enlarged.save(names["IMAGE"])
    for line in COMMANDS:
        program, *arguments = shlex.split(re.sub(r"RUN|TRAINED|IMAGE|CODE", lambda found: names[found[0]], line))
        if program == "python" and arguments[0] == "train.py":
            arguments[1] = "experiment=micro"
            program = "nas-train"
        if program == "python":
            answered = python(*arguments)
            assert re.fullmatch(rf"{re.escape(names['IMAGE'])}: (\d \d+\.\d%(, )?){{3}}\n", answered.stdout), answered.stderr
            text = tmp_path / "no_image.txt"
            text.write_text("text")
            for wrong in (text, tmp_path / "nowhere.png"):
                refused = python(arguments[0], str(wrong))
                assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
                assert refused.stderr.startswith(f"error: {wrong} is not an image that can be read (")
            continue
        done = command(program.removeprefix("nas-"), *[word for word in arguments if word != "train.py"], *AT_MICRO_SIZE.get(program, []))
        assert done.code == 0, done.err
        if program == "nas-search":
            names["CODE"] = json.loads((tmp_path / "run/search/chosen.json").read_text())[0]["architecture"]
    assert (tmp_path / f"trained/export/{names['CODE']}/card.md").read_text().count("Trained on for 2 epochs") == 1
