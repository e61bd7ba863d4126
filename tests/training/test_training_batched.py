"""A stage whose paths run batched against the same stage with a pass each."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.strategies import Strategy
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from nas_lightning.commands.dry_run import MEASURED_STEPS
from nas_lightning.space import Architecture
from nas_lightning.supernet.checkpoint import load_supernet
from nas_lightning.training import passes
from nas_lightning.training.objectives import AlphaDivergence, CrossEntropy, InplaceDistillation, Objective, SandwichDistillation
from nas_lightning.training.objectives.objectives import Network, PathLoss
from nas_lightning.training.passes import Batched, Fastest, Sequential
from nas_lightning.training.step_rules import GradientRule, Mean, Sum
from tests.stages import (
    PATHS,
    SPACE,
    GivenPaths,
    assert_same_weights,
    fit,
    images_and_labels,
    loader,
    make_module,
    make_supernet,
    make_trainer,
)

pytestmark = pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`")

OBJECTIVES = [CrossEntropy(0.1), InplaceDistillation(SPACE), SandwichDistillation(SPACE, AlphaDivergence(), hard_weight=0.3)]
NAMES = ["cross_entropy", "distillation", "sandwich"]
TWICE = [[PATHS[0][0], SPACE.largest, PATHS[0][0]], [SPACE.largest] * 3, [SPACE.smallest, SPACE.smallest, PATHS[1][0]]]


@pytest.mark.parametrize("steps", [PATHS, TWICE], ids=["different", "twice"])
@pytest.mark.parametrize("shortcuts", ["always", "where_needed"])
@pytest.mark.parametrize("gradients", [Sum(), Mean()])
@pytest.mark.parametrize("objective", OBJECTIVES, ids=NAMES)
def test_three_batched_steps_leave_the_weights_of_the_loop(
    tmp_path: Path, objective: Objective, gradients: GradientRule, shortcuts: str, steps: Sequence[list[Architecture]]
) -> None:
    found, expected = make_supernet(shortcuts=shortcuts), make_supernet(shortcuts=shortcuts)
    records = [
        fit(tmp_path, make_module(one, objective=objective, gradients=gradients, path_execution=execution, sampler=GivenPaths(steps)))
        for one, execution in ((found, Batched()), (expected, Sequential()))
    ]
    assert_same_weights(found, expected)
    for batched, looped in zip(*(record.gradients for record in records), strict=True):
        torch.testing.assert_close(batched, looped, rtol=1e-9, atol=1e-11)
    for batched_log, looped_log in zip(*(record.logged for record in records), strict=True):
        assert batched_log == pytest.approx(looped_log, rel=1e-6)  # the loss is summed in float32


def test_the_logged_accuracies_are_those_of_the_loop(tmp_path: Path) -> None:
    for objective in OBJECTIVES:
        logged = []
        for execution in (Sequential(), Batched()):
            trainer = make_trainer(tmp_path, max_epochs=2)
            trainer.fit(make_module(make_supernet(), objective=objective, path_execution=execution), loader())
            logged.append({key: trainer.callback_metrics[key].item() for key in ("top1", "top5")})
        assert logged[0] == logged[1]
        assert 0 < logged[0]["top1"] < logged[0]["top5"]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=NAMES)
def test_a_step_has_one_backward_a_pass_and_synchronises_once(
    tmp_path: Path, objective: Objective, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = len(objective.architectures(PATHS[0]))
    a_pass_each = ["blocked", "backward"] * (count - 1) + ["backward"]
    for execution, expected in ((Sequential(), a_pass_each), (Fastest(), a_pass_each), (Batched(), ["backward"])):  # on a CPU
        module, events = make_module(make_supernet(), objective=objective, path_execution=execution), []

        def blocked(events: list[str] = events) -> nullcontext[None]:
            events.append("blocked")
            return nullcontext()

        def backward(loss: Tensor, events: list[str] = events) -> None:
            events.append("backward")
            loss.backward()

        monkeypatch.setattr(Strategy, "block_backward_sync", lambda _, blocked=blocked: blocked(), raising=False)
        monkeypatch.setattr(module, "manual_backward", backward)
        fit(tmp_path, module, max_steps=1)
        assert events == expected


def test_the_loop_runs_a_pass_only_when_its_loss_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    supernet, ran = make_supernet(), []
    forward = supernet.forward
    monkeypatch.setattr(supernet, "forward", lambda images, architecture: ran.append(architecture) or forward(images, architecture))
    images, labels = next(iter(loader()))
    objective = InplaceDistillation(SPACE)
    for asked, (loss, group) in enumerate(Sequential().losses(objective, supernet, (images, labels), PATHS[0]), start=1):
        assert ran == objective.architectures(PATHS[0])[:asked]
        assert len(group) == 1
        loss.backward()  # without retain_graph: no later loss may need this pass again


def test_batched_the_teacher_learns_nothing_from_its_students() -> None:
    supernet = make_supernet()
    images, labels = next(iter(loader()))
    objective = InplaceDistillation(SPACE, hard_weight=0.0)
    ((loss, _),) = Batched().losses(objective, supernet, (images, labels), [SPACE.smallest])
    loss.backward()
    gradient, width = supernet.classifier.full.weight.grad, SPACE.smallest.widths[-1]
    assert gradient is not None
    assert gradient[:, :width].any()
    assert not gradient[:, width:].any()


class Tells:
    """An objective that tells some architectures and asks for others, or on other images."""

    def __init__(self, told: list[Architecture], asked: list[Architecture], shift: float = 0.0) -> None:
        self.told, self.asked, self.shift = told, asked, shift

    def architectures(self, paths: Sequence[Architecture]) -> list[Architecture]:  # noqa: ARG002
        return self.told

    def __call__(self, network: Network, images: Tensor, labels: Tensor, paths: Sequence[Architecture]) -> Iterator[PathLoss]:  # noqa: ARG002
        for architecture in self.asked:
            logits = network(images + self.shift if self.shift else images, architecture)
            yield PathLoss(logits.mean(), logits, is_student=True)


def test_an_objective_that_breaks_its_word_is_a_bug_not_trained_over(tmp_path: Path) -> None:
    told = PATHS[0]
    for execution in (Sequential(), Batched()):
        with pytest.raises(RuntimeError, match="Tells yielded 2 passes, not the 3 it told"):
            fit(tmp_path, make_module(make_supernet(), objective=Tells(told, told[:2]), path_execution=execution))
    for objective in (Tells(told, [SPACE.smallest]), Tells(told, told, shift=1.0)):
        with pytest.raises(RuntimeError, match="Tells asked for a pass that it had not told, or on other images"):
            fit(tmp_path, make_module(make_supernet(), objective=objective, path_execution=Batched()))


def test_a_batched_bfloat16_step_moves_weights_as_the_loop_does(tmp_path: Path) -> None:
    start, found, expected = (make_supernet().float() for _ in range(3))
    images, labels = images_and_labels().tensors
    data = DataLoader(TensorDataset(images.float(), labels), batch_size=17)
    for supernet, execution in ((found, Batched()), (expected, Sequential())):
        module = make_module(supernet, path_execution=execution, objective=InplaceDistillation(SPACE))
        make_trainer(tmp_path, precision="bf16-mixed").fit(module, data)
    moved, apart = (
        torch.cat([(one - other).flatten() for one, other in zip(first.parameters(), second.parameters(), strict=True)]).norm()
        for first, second in ((expected, start), (found, expected))
    )
    assert apart < 0.1 * moved


BATCHED = [f"stages.{stage}.path_execution=batched" for stage in ("pretrain", "finetune", "distill_1")]
TRAIN_ONLY = ["experiment=micro", "standalone.enabled=false", "ranking.enabled=false"]


@pytest.mark.slow
def test_a_whole_run_with_batched_paths_ends_as_one_without_to_rounding(command: Callable[..., Any], tmp_path: Path) -> None:
    one_by_one = [key.replace("=batched", "=sequential") for key in BATCHED]
    for name, arguments in (("batched", BATCHED), ("sequential", one_by_one), ("default", [])):
        done = command("train", *TRAIN_ONLY, *arguments, f"run_dir={tmp_path / name}")
        assert done.code == 0, done.err
    found, expected, default = (load_supernet(tmp_path / name / "supernet.safetensors")[0] for name in ("batched", "sequential", "default"))
    assert_same_weights(default, expected)  # on a CPU
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], tensor, rtol=1e-3, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}")


def test_running_averages_stop_a_batched_run_before_its_first_stage(command: Callable[..., Any], tmp_path: Path) -> None:
    done = command("train", *TRAIN_ONLY, "supernet.norm=running", BATCHED[-1], f"run_dir={tmp_path / 'run'}")
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert "stages.distill_1.path_execution: batched needs supernet.norm=batch, not running" in line
    assert not list(tmp_path.iterdir())


def test_a_dry_run_measures_the_execution_that_would_run(
    command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    forward = passes.batched_forward
    monkeypatch.setattr(passes, "batched_forward", lambda *given: counts.append(len(given[2])) or forward(*given))
    done = command("train", *TRAIN_ONLY, BATCHED[-1], "dry_run=true", f"run_dir={tmp_path / 'run'}")
    assert done.code == 0, done.err
    assert counts == [3] * (MEASURED_STEPS + 1)  # two paths and their teacher, of the last stage alone
