"""A damaged or foreign ``last.ckpt``: whatever is odd in it is one line, or does not matter."""

import copy
import dataclasses
import shutil
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytorch_lightning as pl
import torch
from safetensors.torch import load_file
from test_going_on import Stopped, stop_at, train

import nas_lightning.training.run_stages as run_stages
from nas_lightning.errors import LONGEST_LINE, InputError
from nas_lightning.training.module import SupernetTraining
from nas_lightning.training.restoring import check_resumable, read_last

GONE = object()
ODD: dict[str, Any] = {
    "missing": GONE,
    "None": None,
    "-1": -1,
    "true": True,
    "0.5": 0.5,
    "nan": float("nan"),
    "a text": "odd",
    "a list": [],
    "a mapping": {},
    "an integer for a name": {3: 4},
    "a tensor": torch.zeros(3),
    "a long integer": 10**400,
}
FAST = ("missing",)
TENSORS: dict[str, Callable[[torch.Tensor], Any]] = {
    "of integers": lambda tensor: tensor.long() if tensor.is_floating_point() else tensor.float(),
    "of truth values": lambda tensor: tensor.bool(),
    "of complex numbers": lambda tensor: tensor.to(torch.complex64),
    "of 8 bits": lambda tensor: tensor.to(torch.float8_e4m3fn),
    "of another shape": lambda tensor: torch.zeros((*tensor.shape, 2), dtype=tensor.dtype),
    "expanded": lambda tensor: torch.zeros((), dtype=tensor.dtype).expand(1_000_000, *tensor.shape),
    "sparse": lambda tensor: tensor.to_sparse(),
    "on no device": lambda tensor: tensor.to("meta"),
    "not finite": lambda tensor: torch.full_like(tensor, float("nan")) if tensor.is_floating_point() else tensor - 10**9,
}


class Resumed(NamedTuple):
    """What a resumed stage's checkpoint is compared with, and the run that it belongs to."""

    folder: Path
    saved: dict[str, Any]
    module: SupernetTraining
    trainer: pl.Trainer
    weights: dict[str, torch.Tensor]
    """Of the run that was not stopped."""

    @property
    def path(self) -> Path:
        return self.folder / "stages" / "pretrain" / "last.ckpt"

    def check(self, content: Any, path: Path) -> str | None:
        """Why a checkpoint is refused; None if it is not."""
        torch.save(content, path)
        line = None
        try:
            check_resumable(read_last(path) or {}, self.module, self.trainer, path)
        except InputError as error:
            line = str(error)
        assert line is None or (line.startswith(f"{path}: ") and "\n" not in line and len(line) <= LONGEST_LINE)
        return line


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory, micro: Path) -> Resumed:
    """A run that was stopped within its second epoch."""
    folder = tmp_path_factory.mktemp("restoring") / "run"
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, SupernetTraining, "training_step", 6)
        with pytest.raises(Stopped):
            train(folder, "save_every_steps=1")
    seen: list[Any] = []

    def look(*arguments: Any) -> None:
        seen.extend(arguments)
        raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_stages, "check_resumable", look)
        with pytest.raises(Stopped):
            train(folder, "save_every_steps=1")
    _, module, trainer, path = seen
    return Resumed(folder, torch.load(path, weights_only=True), module, trainer, load_file(micro / "supernet.safetensors"))


def nodes(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places below a checkpoint's value; of many tensors of a kind the first two."""
    entries = list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list | tuple) else []
    if place in (("state_dict",), ("optimizer_states", 0, "state")) or place[-1:] == ("params",):
        entries = [*entries[:2], *entries[-2:]]
    for key, inner in entries:
        yield (*place, key)
        yield from nodes(inner, (*place, key))


def changed(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at a place."""
    result = copy.copy(content) if not isinstance(content, tuple) else list(content)
    if len(place) > 1:
        result[place[0]] = changed(result[place[0]], place[1:], value)
    elif value is GONE:
        del result[place[0]]
    else:
        result[place[0]] = value
    return result


def accepted(resumed: Resumed, name: str, path: Path) -> list[tuple[Any, ...]]:
    """The places at which an odd value is not refused."""
    places = list(nodes(resumed.saved))
    assert len(places) > 150
    odd = [place for place in places if not same(value_at(resumed.saved, place), ODD[name])]
    return [place for place in odd if resumed.check(changed(resumed.saved, place, ODD[name]), path) is None]


def value_at(content: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        content = content[key]
    return content


def same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and not isinstance(one, torch.Tensor) and bool(one == other)


def assert_same_end(resumed: Resumed, content: Any, folder: Path) -> None:
    """The run with that checkpoint ends as one that was never stopped."""
    shutil.copytree(resumed.folder, folder)
    torch.save(content, folder / resumed.path.relative_to(resumed.folder))
    train(folder)
    weights = load_file(folder / "supernet.safetensors")
    assert all(torch.equal(weights[name], value) for name, value in resumed.weights.items())


@pytest.mark.slow
def test_a_whole_checkpoint_is_taken(resumed: Resumed, tmp_path: Path):
    assert resumed.check(resumed.saved, tmp_path / "last.ckpt") is None
    assert_same_end(resumed, resumed.saved, tmp_path / "run")


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")  # the state of a callback that there is not
@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in ODD])
def test_an_odd_value_anywhere_is_refused_or_does_not_matter(name: str, resumed: Resumed, tmp_path: Path):
    content = resumed.saved
    harmless = accepted(resumed, name, tmp_path / "last.ckpt")
    assert {place[0] for place in harmless} <= {"loops", "callbacks", "nas_lightning", "optimizer_states"}, harmless
    for place in sorted(reversed(harmless), key=len, reverse=True):  # all of them in one checkpoint
        content = changed(content, place, ODD[name])
    assert_same_end(resumed, content, tmp_path / "run")


@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_of_another_kind_is_refused(name: str, resumed: Resumed, tmp_path: Path):
    for place in nodes(resumed.saved):
        if isinstance(value := value_at(resumed.saved, place), torch.Tensor):
            assert resumed.check(changed(resumed.saved, place, TENSORS[name](value)), tmp_path / "last.ckpt") is not None, place


WRONG: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no optimizer": (lambda saved: saved["optimizer_states"].clear(), "optimizer_states"),
    "two optimizers": (lambda saved: saved["optimizer_states"].append(saved["optimizer_states"][0]), "optimizer_states"),
    "an optimizer that has forgotten a weight": (lambda saved: saved["optimizer_states"][0]["state"].pop(3), "optimizer_states.0.state"),
    "an optimizer that has forgotten all": (lambda saved: saved["optimizer_states"][0]["state"].clear(), "optimizer_states.0.state"),
    "another momentum": (lambda saved: saved["optimizer_states"][0]["param_groups"][0].update(momentum=0.1), "momentum"),
    "an integer for a weight's name": (lambda saved: saved["state_dict"].update({3: torch.zeros(1)}), "state_dict"),
    "a text for a weight": (lambda saved: saved["state_dict"].update({"supernet.stem.conv.full.weight": "x"}), "state_dict"),
    "no version": (lambda saved: saved.update({"pytorch-lightning_version": "new"}), "pytorch-lightning_version"),
    "a header without end": (lambda saved: saved["nas_lightning"].update(data=nested()), "nas_lightning"),
    "finished in words": (lambda saved: saved["nas_lightning"].update(finished="yes"), "finished"),
}  # fmt: skip


def nested() -> Any:
    """A list that stands for 2**100 values."""
    value: Any = [1]
    for _ in range(100):
        value = [value, value]
    return value


@pytest.mark.parametrize("name", WRONG)
def test_a_checkpoint_that_is_not_whole_is_refused_by_the_place(name: str, resumed: Resumed, tmp_path: Path):
    change, holds = WRONG[name]
    content = copy.deepcopy(resumed.saved)
    change(content)
    assert holds in (resumed.check(content, tmp_path / "last.ckpt") or "")


NONE = (3, None, [], {}, {"state_dict": {}}, {"state_dict": OrderedDict(a=1)}, torch.zeros(2), nested())


@pytest.mark.parametrize("content", NONE, ids=type)
def test_what_is_no_checkpoint_is_refused(content: Any, resumed: Resumed, tmp_path: Path):
    assert "is not a whole checkpoint of this project" in (resumed.check(content, tmp_path / "last.ckpt") or "")


def test_a_checkpoint_that_is_a_folder_is_refused_before_the_stage_trains(tmp_path: Path):
    (tmp_path / "last.ckpt").mkdir()
    with pytest.raises(InputError, match="is not a file"):
        read_last(tmp_path / "last.ckpt")


def test_a_flipped_bit_is_noticed(resumed: Resumed, tmp_path: Path):
    path = tmp_path / "last.ckpt"
    content = bytearray(resumed.path.read_bytes())
    with zipfile.ZipFile(resumed.path) as archive:
        largest = max(archive.infolist(), key=lambda one: one.file_size)
    content[largest.header_offset + largest.file_size // 2 + 64] ^= 4
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"is damaged\); remove it to repeat the stage"):
        read_last(path)


@pytest.mark.slow
def test_a_command_says_which_checkpoint_it_cannot_resume_from(resumed: Resumed, tmp_path: Path, command: Callable):
    folder = shutil.copytree(resumed.folder, tmp_path / "run")
    path = folder / resumed.path.relative_to(resumed.folder)
    torch.save(changed(resumed.saved, ("optimizer_states",), []), path)
    parts = ("standalone.enabled=false", "ranking.enabled=false")
    done = command("train", "experiment=micro", *parts, f"run_dir={folder}")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert f"{path}: cannot be resumed from (optimizer_states: a list of 0 entries must be a list of 1 entries); remove it" in done.err


@pytest.mark.parametrize("make", [torch.optim.AdamW, torch.optim.RMSprop, torch.optim.Adafactor, torch.optim.SGD])
def test_every_optimizers_own_state_is_taken(make: Callable[..., torch.optim.Optimizer], resumed: Resumed, tmp_path: Path):
    stage = dataclasses.replace(resumed.module.stage, optimizer=lambda parameters: make(parameters, lr=0.1))
    module = SupernetTraining(resumed.module.supernet, stage)
    weights = [torch.nn.Parameter(one.detach().clone()) for one in module.supernet.parameters()]
    optimizer = module.stage.optimizer(weights)
    for weight in weights:
        weight.grad = torch.rand_like(weight)
    optimizer.step()
    its = resumed._replace(module=module)
    saved = changed(resumed.saved, ("optimizer_states",), [optimizer.state_dict()])
    assert its.check(saved, tmp_path / "last.ckpt") is None
    for place in nodes(saved):
        if place[0] == "optimizer_states":
            assert its.check(changed(saved, place, "odd"), tmp_path / "last.ckpt") is not None, place
