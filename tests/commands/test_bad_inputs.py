"""Bad input of every kind, given to the commands beside a finished run: exit code 2, one line on stderr, and the run as it was."""

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from nas_lightning.space import SearchSpace
from nas_lightning.supernet import Supernet
from nas_lightning.supernet.checkpoint import make_header, save_supernet

CODE = "8-8-8-12-12-16-16"
"""Legal in micro's space."""


class Bomb:
    """A pickle that writes a file when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch exploded",)


@dataclass(frozen=True)
class Bad:
    """One mistake. In arguments and contents RUN is the finished run, HERE an empty folder with the files."""

    name: str
    command: str
    arguments: list[str]
    holds: list[str]
    """What the line must hold: place, value, rule."""
    files: dict[str, str | bytes | Callable[[Path], object]] = field(default_factory=dict)
    """Written before, by their names below HERE or RUN: a text, bytes, or what makes it."""
    shell: bool = False
    """Whether it runs as a process of its own."""


def listed(**rows: Any) -> str:
    return json.dumps(rows)


def bad_list(name: str, content: str | bytes | Callable[[Path], object], holds: list[str], *more: str, shell: bool = False) -> Bad:
    arguments = ["experiment=micro", "run_dir=RUN", "ranking.list=HERE/list.json", *more]
    return Bad(name, "train", arguments, ["list.json", *holds], {"list.json": content}, shell)


def bad_accuracies(name: str, acc: Any, holds: list[str]) -> Bad:
    files = {"known.json": json.dumps({"a": {"acc": acc, "arch": CODE}})}
    return Bad(
        name, "train", ["experiment=micro", "run_dir=RUN", "ranking.known_accuracies=HERE/known.json"], ["known.json", "a: ", *holds], files
    )


def bad_checkpoint(name: str, make: bytes | Callable[[Path], object], holds: list[str], suffix: str = "ckpt", shell: bool = False) -> Bad:
    arguments = [f"checkpoint=HERE/bad.{suffix}", "ranking.list=HERE/list.json", "run_dir=HERE/rank"]
    files = {f"bad.{suffix}": make, "list.json": listed(a={"acc": 0, "arch": CODE})}
    return Bad(name, "rank", arguments, [f"bad.{suffix}", *holds], files, shell)


def train(name: str, arguments: list[str], holds: list[str], files: dict[str, Any] | None = None, shell: bool = False) -> Bad:
    return Bad(name, "train", ["experiment=micro", "run_dir=RUN", *arguments], holds, files or {}, shell)


def other_space(path: Path) -> None:
    supernet = Supernet(SearchSpace("other", (1, 1, 1), (8, 12, 20), 2, 8), classes=10, channels=1)
    save_supernet(path, supernet, make_header(supernet, {"name": "digits", "arguments": {}, "mean": [0.5], "std": [0.25]}))


def cut_short(path: Path) -> None:
    torch.save({"state_dict": {"supernet.x": torch.zeros(1000)}}, path)
    path.write_bytes(path.read_bytes()[:-1500])


def earlier_version(path: Path) -> None:
    torch.save({"state_dict": {}, "nas_lightning": {"format": 0}}, path)


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(80 * 2**20)


def not_a_number(path: Path) -> None:
    other_space(path)
    from safetensors.torch import load_file, save_file

    weights = load_file(path)
    name = next(iter(weights))
    weights[name] = torch.full_like(weights[name], float("nan"))
    supernet = Supernet(SearchSpace("other", (1, 1, 1), (8, 12, 20), 2, 8), classes=10, channels=1)
    header = make_header(supernet, {"name": "digits", "arguments": {}, "mean": [0.5], "std": [0.25]})
    save_file(weights, path, metadata={"nas_lightning": json.dumps(header)})


def stages_as_a_number(path: Path) -> None:
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "stages": 0.5}))


def cifar_with_a_wrong_sha1(path: Path) -> None:
    with path.open("wb") as file:  # sparse: no bytes are written
        file.truncate({"train.bin": 50_000, "test.bin": 10_000}[path.name] * 3074)


LAUGHS = "x0: &x0 [1, 1]\n" + "".join(f"x{number + 1}: &x{number + 1} [{f'*x{number}, ' * 9}]\n" for number in range(12))
EXPERIMENT = "# @package _global_\ndefaults: [micro, _self_]\n"
CIFAR = ["experiment=track1_cpu", "run_dir=HERE/new", "data.download=false"]

BAD = [
    # Lists of candidates.
    bad_list("malformed JSON", '{"a": {"acc": 0, "arch": ', ["is not JSON", "line 1"], shell=True),
    bad_list("an array", "[]", ["must be a JSON object"]),
    bad_list("no entries", "{}", ["one or more entries"]),
    bad_list("a missing key", listed(a={"acc": 0}), ["a: ", "arch"]),
    bad_list("a duplicate key", f'{{"a": {{"arch": "{CODE}"}}, "a": {{"arch": "{CODE}"}}}}', ["'a'", "twice"]),
    bad_list("a wrong length", listed(a={"acc": 0, "arch": CODE + "-4"}), ["a: ", "has 8 entries", "takes 7"]),
    bad_list("an illegal width", listed(a={"acc": 0, "arch": "9" + CODE[1:]}), ["a: entry 1", "width 9", "2, 4, 6, 8"]),
    bad_list("a width that is no integer", listed(a={"acc": 0, "arch": CODE + ".5"}), ["a: ", "'16.5'", "integer"]),
    bad_list("a code that is a number", listed(a={"acc": 0, "arch": 8}), ["a: ", "arch"]),
    bad_list("digits of another script", listed(a={"acc": 0, "arch": "٨" + CODE[1:]}), ["a: ", "integer"]),
    bad_list("an endless integer", '{"a": {"acc": 0, "arch": ' + "9" * 5000 + "}}", ["is not JSON"]),
    bad_list("brackets without end", "[" * 100_000, ["is not JSON"]),
    bad_list("a list over the limit", lambda path: os.truncate(path.touch() or path, 2**27), ["128.0 MiB", "may have 64 MiB"]),
    bad_list("no UTF-8", b'{"a": "\xff"}', ["UTF-8", "byte 7"], shell=True),
    bad_list("a line break in a name", json.dumps({"a\nb\x1b[31m": {"arch": CODE}}), [r"name 'a\nb\x1b[31m'", "cannot be printed"]),
    bad_list("half a character in a name", r'{"\ud800": {"arch": "' + CODE + '"}}', [r"name '\ud800'", "cannot be printed"]),
    bad_list("a code that moves the cursor", json.dumps({"a": {"arch": "\x1b[31m"}}), [r"'\x1b[31m' is not an integer"]),
    bad_list("a FIFO", os.mkfifo, ["cannot be read (not a regular file)"]),
    bad_list("a device", lambda path: path.symlink_to("/dev/zero"), ["cannot be read (not a regular file)"]),
    bad_list("a file of /proc", lambda path: path.symlink_to("/proc/self/maps"), ["is not JSON"]),
    bad_list("a long name", listed(**{"x" * 10**6: {"arch": "1"}}), ["list.json: xxx", "takes 7"]),
    train("more candidates than there are", ["ranking.count=500"], ["500", "has 24"]),
    train("a list that is a folder", ["population.file=HERE"], ["population.file: HERE is a folder; give a file in it"]),
    # Known accuracies.
    bad_accuracies("more than 100 percent", 163.2, ["acc 163.2", "fraction", "percent"]),
    train(
        "fractions and percents",
        ["ranking.known_accuracies=HERE/known.json"],
        ["known.json: mixes fractions and percents: b has 0.632, but a has 41.57"],
        {"known.json": listed(a={"acc": 41.57, "arch": CODE}, b={"acc": 0.632, "arch": "2-2-2-2-2-2-2"})},
    ),
    bad_accuracies("a negative accuracy", -0.1, ["acc -0.1", "fraction"]),
    bad_accuracies("nan for an accuracy", float("nan"), ["acc nan", "fraction"]),
    bad_accuracies("text for an accuracy", "0.5", ["acc '0.5'", "fraction"]),
    train(
        "two accuracies of one candidate",
        ["ranking.known_accuracies=HERE/known.json"],
        ["known.json", "b: ", "0.5 and 0.6"],
        {"known.json": listed(a={"acc": 0.5, "arch": CODE}, b={"acc": 0.6, "arch": CODE})},
    ),
    train(
        "accuracies of other candidates",
        ["ranking.known_accuracies=HERE/known.json"],
        ["known.json", "at least 3"],
        {"known.json": listed(a={"acc": 0.5, "arch": CODE})},
    ),
    # Checkpoints.
    bad_checkpoint("a truncated checkpoint", cut_short, ["is not a whole checkpoint"]),
    bad_checkpoint("an empty checkpoint", b"", ["is not a whole"], "safetensors"),
    bad_checkpoint("a pickle bomb", lambda path: path.write_bytes(pickle.dumps(Bomb())), ["is not a whole checkpoint"], shell=True),
    bad_checkpoint("a pickle bomb inside", lambda path: torch.save({"state_dict": {}, "x": Bomb()}, path), ["is not a whole checkpoint"]),
    bad_checkpoint("an earlier version", earlier_version, ["format 0", "expected 1"]),
    bad_checkpoint("weights that are not numbers", not_a_number, ["not finite", "in 1 tensors"], "safetensors"),
    train(
        "a checkpoint of another space",
        ["initial_checkpoint=HERE/other.safetensors"],
        ["initial_checkpoint", "'other'", "'resnet_tiny'"],
        {"other.safetensors": other_space},
    ),
    # The command line and experiments.
    train("a misspelt key", ["stages.pretrain.epoch=3"], ["stages.pretrain.epoch", "did you mean epochs?"], shell=True),
    train("a misspelt key with +", ["+loader.batchsize=3"], ["loader.batchsize", "did you mean batch_size?"]),
    Bad(
        "a misspelt key in an experiment",
        "train",
        ["--config-dir", "HERE", "experiment=mine", "run_dir=RUN"],
        ["seeed", "did you mean seed?"],
        {"experiment/mine.yaml": EXPERIMENT + "seeed: 3\n"},
    ),
    Bad(
        "an experiment that is no YAML",
        "train",
        ["--config-dir", "HERE", "experiment=mine", "run_dir=RUN"],
        ["mine"],
        {"experiment/mine.yaml": EXPERIMENT + "seed: [3\n"},
    ),
    Bad(
        "an experiment that is no UTF-8",
        "train",
        ["--config-dir", "HERE", "experiment=mine", "run_dir=RUN"],
        ["utf-8"],
        {"experiment/mine.yaml": EXPERIMENT.encode() + b"# \xff\n"},
    ),
    train("a class that runs programs", ["stages.pretrain.objective._target_=os.system"], ["_target_", "os.system", "nas_lightning"]),
    train("a class by a detour", ["stages.pretrain.objective._target_=torch.os.system"], ["_target_", "torch.os.system"]),
    train("a function that runs pickles", ["stages.pretrain.objective._target_=torch.load"], ["torch.load is not allowed as an objective"]),
    train("a plugin without a name", ["plugins=['']"], ["plugins: ''"]),
    train("a plugin that is relative", ["plugins=[.x]"], ["plugins: '.x'"]),
    train("a plugin that is not there", ["plugins=[nowhere]"], ["plugins", "nowhere"]),
    train("nan for a number", ["stages.pretrain.optimizer.lr=nan"], ["stages.pretrain.optimizer.lr", "nan", "finite"]),
    train("a number that no one needs", ["loader.batch_size=1e30"], ["loader.batch_size", "1e+30", "integer"]),
    train("more images than there are", ["ranking.images=2000"], ["ranking.images: 2000", "1597"]),
    train("contradictory options", ["ranking.predictor=none"], ["ranking.score: predicted", "needs a ranking.predictor"]),
    train("contradictory spaces", ["space.resolution=16", "data.resolution=8"], ["space.resolution: 16", "8"]),
    train("a path with spaces and quotes", ["population.file=\"HERE/it's here/no \\\"file\\\".json\""], ["it's here/no \"file\".json"]),
    # Data.
    Bad("a missing data folder", "train", [*CIFAR, "data.root=HERE/nowhere"], ["data.root", "nowhere", "train.bin", "md5"]),
    Bad(
        "a wrong sha1",
        "train",
        [*CIFAR, "data.root=HERE"],
        ["train.bin", "sha1", "expected"],
        {"train.bin": cifar_with_a_wrong_sha1, "test.bin": cifar_with_a_wrong_sha1},
    ),
    Bad("a file of a wrong size", "train", [*CIFAR, "data.root=HERE"], ["4 bytes", "expected"], {"train.bin": "four", "test.bin": ""}),
    # Run folders.
    train("another config", ["seed=7"], ["seed was 0, is 7", "another run_dir"]),
    Bad("a file for a run folder", "train", ["experiment=micro", "run_dir=HERE/file/run"], ["file", "cannot be written"], {"file": ""}),
    Bad("an unwritable run folder", "train", ["experiment=micro", "run_dir=/proc/run"], ["/proc/run", "cannot be written"], shell=True),
    train("a config that is none", [], ["config.yaml", "is not a config"], {"RUN/config.yaml": "seed: ["}),
    train("a config that is a bomb", [], ["config.yaml", "is not a config", "an alias"], {"RUN/config.yaml": LAUGHS}),
    train(
        "a config that asks for the environment",
        [],
        ["another config", "seed was '${oc.env:HOME}', is 0"],
        {"RUN/config.yaml": lambda path: path.write_text(path.read_text().replace("seed: 0", "seed: ${oc.env:HOME}", 1))},
    ),
    train(
        "a config whose value is long",
        [],
        ["another config", "seed was 'xxx", "..., is 0"],
        {"RUN/config.yaml": lambda path: path.write_text(path.read_text().replace("seed: 0", f"seed: {'x' * 10**5}", 1))},
    ),
    train("a config whose stages are a number", [], ["another config", "stages"], {"RUN/config.yaml": stages_as_a_number}),
    train("an environment that is none", [], ["environment.json", "JSON"], {"RUN/environment.json": "{"}),
    train("an environment larger than any", [], ["environment.json", "80.0 MiB"], {"RUN/environment.json": sparse}),
    train("a last checkpoint cut short", [], ["last.ckpt", "is not a whole checkpoint"], {"RUN/stages/distill_1/last.ckpt": cut_short}),
    train(
        "a table of truth that is none",
        [],
        ["accuracies.csv", "line 2"],
        {"RUN/standalone/accuracies.csv": "name,architecture,seed,accuracy\na,x,0,0.5\n"},
    ),
    train("another protocol", ["ranking.images=200"], ["ranking", "images", "300", "200"]),
    train("a protocol that is none", [], ["protocol.json", "JSON"], {"RUN/ranking/protocol.json": "nothing"}),
    train(
        "a part of a ranking that is none",
        ["ranking.resamples=11"],
        ["9000-9001.csv: line 2"],
        {"RUN/ranking/parts/9000-9001.csv": "architecture,top1,top5,cross_entropy\nx,1,2,3\n"},
    ),
    # Other commands.
    Bad(
        "nan in a table of scores",
        "compare",
        ["first=HERE/a.csv", "second=HERE/a.csv", "space=resnet_tiny"],
        ["a.csv: line 2", "finite"],
        {"a.csv": f"name,architecture,top1,top5,cross_entropy,macs,parameters\na,{CODE},nan,1,1,1,1\n"},
    ),
    Bad("a report of no run", "report", ["run_dir=HERE"], ["HERE"]),
    Bad(
        "accuracies that are all zero",
        "standalone",
        ["data=digits", "space=resnet_tiny", "standalone=short", "standalone.count=1", "standalone.choose=accuracy", "run_dir=HERE/run",
         "population.file=HERE/list.json"],
        ["standalone.choose", "list.json", "none"],
        {"list.json": listed(a={"acc": 0, "arch": CODE})},
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def finished(micro: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder that the mistakes are made in; each must leave it as it was."""
    folder = tmp_path_factory.mktemp("bad") / "run"
    shutil.copytree(micro, folder)
    return folder


@pytest.mark.parametrize("bad", [pytest.param(bad, marks=pytest.mark.slow if bad.shell else (), id=bad.name) for bad in BAD])
def test_a_bad_input_ends_in_one_line_and_leaves_what_was_there(
    bad: Bad, finished: Path, tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    damaged = {}

    def placed(text: str) -> str:
        return text.replace("RUN", str(finished)).replace("HERE", str(tmp_path))

    for name, content in bad.files.items():
        path = Path(placed(name)) if name.startswith("RUN") else tmp_path / name
        if path.exists():
            damaged[path] = path.read_bytes()
        path.parent.mkdir(parents=True, exist_ok=True)
        content(path) if callable(content) else path.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = {**contents(finished), **contents(tmp_path)}
    try:
        arguments = [placed(argument) for argument in bad.arguments]
        code, err, out = in_a_shell(bad.command, arguments) if bad.shell else in_this_process(command, bad.command, arguments)
        after = {**contents(finished), **contents(tmp_path)}
    finally:
        for name in bad.files:
            if name.startswith("RUN"):
                Path(placed(name)).unlink()
        for path, content in damaged.items():
            path.write_bytes(content)
    assert (code, err.count("\n")) == (2, 1), err
    assert err.startswith("error: ")
    assert "Traceback" not in out + err
    assert "\x1b" not in err
    for part in bad.holds:
        assert placed(part) in err
    assert not list(tmp_path.rglob("exploded"))
    assert {path: content for path, content in after.items() if path in before} == before


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("stages/distill_1/last.ckpt", "PK"),
        ("standalone/accuracies.csv", "name,architecture,seed,accuracy\na,x,0,0.5\n"),
        ("ranking/protocol.json", "{"),
        ("ranking/parts/0-6.csv", "architecture,top1,top5,cross_entropy\nx,1,2,3\n"),
    ],
)
def test_a_damaged_file_of_a_later_part_stops_a_run_at_its_start(name: str, content: str, micro: Path, tmp_path: Path, command: Callable):
    folder = tmp_path / "run"
    shutil.copytree(micro, folder)
    (folder / "stages" / "pretrain" / "last.ckpt").unlink()
    (folder / name).write_text(content, encoding="utf-8")
    done = command("train", "experiment=micro", f"run_dir={folder}")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert Path(name).name in done.err
    assert not (folder / "stages" / "pretrain" / "last.ckpt").exists()


def in_this_process(command: Callable, name: str, arguments: list[str]) -> tuple[int, str, str]:
    done = command(name, *arguments)
    return done.code, done.err, done.out


def in_a_shell(name: str, arguments: list[str]) -> tuple[int, str, str]:
    program = f"from nas_lightning.commands.{name} import main; main()"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, "-c", program, *arguments], env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr, done.stdout


def contents(folder: Path) -> dict[Path, str]:
    """The files below a folder, by digest; a lock and its owner come and go, and the environment lists who went on."""
    files = [
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and path.name not in (".lock", ".owner.json", "environment.json")
    ]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_table_has_forty_mistakes_and_five_in_a_shell():
    assert len(BAD) >= 40
    assert len({bad.name for bad in BAD}) == len(BAD)
    assert sum(bad.shell for bad in BAD) >= 5
