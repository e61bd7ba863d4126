"""Two processes give the gradients that one would: with the norms' statistics held equal those of the joined batch, otherwise the mean of
what each batch gives alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from nas_lightning.training.samplers import Position
from nas_lightning.training.step_rules import Different
from tests.devices.gradients_on_two import BATCH, CASES, SPACE, STEPS, batches, make_module, train

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`")]
Found = dict[str, Any]


@pytest.fixture(scope="module")
def found(torchrun: Callable, tmp_path_factory: pytest.TempPathFactory) -> list[Found]:
    """What each of the two processes saw, by case."""
    folder = tmp_path_factory.mktemp("two")
    done = torchrun(Path(__file__).with_name("gradients_on_two.py"), folder)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "strides" not in done.stderr  # of a gradient that DDP would have to copy
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def by_hand(name: str, rates: list[float]) -> list[dict[str, Tensor]]:
    """The mean of both processes' gradients at each step, from plain loops in this process."""
    case = CASES[name]
    module = make_module(case)
    supernet = module.supernet
    optimizer = torch.optim.SGD(supernet.parameters(), lr=1, momentum=0.9, weight_decay=0.01)
    parts = [batches(supernet.space, rank) for rank in range(2)]
    steps = []
    for step, rate in enumerate(rates):
        optimizer.zero_grad()
        for rank, part in enumerate(parts):
            images, labels = part[step * BATCH : (step + 1) * BATCH]
            paths = module.stage.sampler.sample(Position(0, 0, step, rank if case.get("across_devices") == Different() else 0))
            for one in module.stage.objective(supernet, images, labels, paths):
                (one.loss / 2).backward()
        for parameter in supernet.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        steps.append({f"supernet.{key}": parameter.grad.clone() for key, parameter in supernet.named_parameters()})
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
    return steps


def assert_close(one: list[dict[str, Tensor]], other: list[dict[str, Tensor]]) -> None:
    assert len(one) == len(other) == STEPS
    for step, (left, right) in enumerate(zip(one, other, strict=True)):
        assert set(left) == set(right)
        for name in left:
            torch.testing.assert_close(
                left[name], right[name], rtol=1e-6, atol=1e-9, msg=lambda text, where=(step, name): f"{where}: {text}"
            )


def test_equal_statistics_give_one_processs_gradients_of_the_joint_batch(found: list[Found]):
    parts = [batches(SPACE, 0)[step * BATCH : (step + 1) * BATCH] for step in range(STEPS)]
    joined = TensorDataset(*(torch.cat([one for part in parts for one in (part[which], part[which])]) for which in (0, 1)))
    alone = train(CASES["same images"], joined, devices=1, batch=2 * BATCH)
    for one in found:
        assert_close(one["same images"]["gradients"], alone.steps)


@pytest.mark.parametrize("name", [name for name in CASES if name != "same images"])
def test_own_statistics_give_the_mean_gradients_over_the_processes(name: str, found: list[Found]):
    for one in found:
        assert_close(one[name]["gradients"], by_hand(name, one[name]["rates"]))


def test_own_statistics_are_what_differs_from_the_joined_batch(found: list[Found]):
    first = [batches(SPACE, rank)[:BATCH] for rank in range(2)]
    joined = TensorDataset(*(torch.cat([one[which] for one in first]) for which in (0, 1)))
    alone = train(CASES["different images"], joined, devices=1, batch=2 * BATCH).steps[0]
    two = found[0]["different images"]["gradients"][0]
    norms = {name: float((two[name] - alone[name]).norm() / alone[name].norm()) for name in alone}
    assert max(norms.values()) > 0.1  # no rounding


@pytest.mark.parametrize("name", CASES)
def test_a_step_has_one_all_reduce_however_many_paths(name: str, found: list[Found]):
    assert [one[name]["calls"] for one in found] == [[1] * STEPS] * 2


@pytest.mark.parametrize("name", CASES)
def test_both_processes_step_alike(name: str, found: list[Found]):
    for left, right in zip(*(one[name]["gradients"] for one in found), strict=True):
        assert all(torch.equal(left[key], right[key]) for key in left)


def test_the_rate_grows_only_where_asked_for(found: list[Found]):
    plain, scaled = (found[0][name]["rates"] for name in ("different images", "scaled rate"))
    assert scaled == pytest.approx([2 * rate for rate in plain])
    assert plain[0] == 0.05
