"""A stage's training with a real Trainer against loops written by hand."""

import copy
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.masked_network import MaskedNetwork
from nas_lightning.space import Architecture
from nas_lightning.supernet import Supernet
from nas_lightning.supernet.checkpoint import HEADER_KEY, load_supernet, make_header
from nas_lightning.training.monitor import ProbeSet
from nas_lightning.training.objectives import CrossEntropy, InplaceDistillation
from nas_lightning.training.samplers import Position
from nas_lightning.training.schedules import Cosine, EpochwiseCosine, LowFirst
from nas_lightning.training.step_rules import GradientRule, Mean, Power, Sum
from tests.stages import (
    DECAY,
    LR,
    MOMENTUM,
    PATHS,
    SPACE,
    GivenPaths,
    Record,
    assert_same_weights,
    fit,
    images_and_labels,
    loader,
    make_module,
    make_supernet,
    make_trainer,
)

torch.set_num_threads(1)  # two busy processes of two threads each slow one another down many times
pytestmark = pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`")

Network = Callable[[Tensor, Architecture], Tensor]


@pytest.mark.parametrize(
    ("max_steps", "per_epoch", "epoch", "global_step", "elapsed"),
    [
        (6000, 782, 1, 3_910, 5.0),  # eight epochs of two devices, then one: its rate falls on from there
        (6000, 782, 4, 3_130, 4 + 2 / 782),
        (6000, 391, 4, 3_128, 8.0),  # from one device to two
        (None, 391, 4, 3_128, 4 + 2 / 391),
        (9000, 391, 4, 3_128, 4 + 2 / 391),  # the epochs end first
    ],
)
def test_a_stage_that_its_steps_end_counts_them_whatever_devices_made_them(
    max_steps: int | None, per_epoch: int, epoch: int, global_step: int, elapsed: float, monkeypatch: pytest.MonkeyPatch
):
    module = make_module(make_supernet(), max_steps=max_steps)
    for name, value in {"current_epoch": epoch, "global_step": global_step}.items():
        monkeypatch.setattr(type(module), name, value)
    steps = min(max_steps or 10**6, 20 * per_epoch)
    trainer = SimpleNamespace(num_training_batches=per_epoch, estimated_stepping_batches=steps)
    monkeypatch.setattr(type(module), "trainer", trainer)
    module.on_train_start()
    assert module._elapsed(2) == elapsed


def test_the_last_rate_grows_with_the_devices_as_the_first_does(monkeypatch: pytest.MonkeyPatch):
    module = make_module(make_supernet(), schedule=Cosine(final_lr=0.001), rate_scaling=Power(1))
    monkeypatch.setattr(type(module), "trainer", SimpleNamespace(world_size=4))
    optimizer, module.epochs = module.configure_optimizers(), 3.0
    assert [module._set_rate(optimizer, elapsed) for elapsed in (0.0, 3.0)] == pytest.approx([4 * LR, 4 * 0.001])


def cross_entropies(network: Network, images: Tensor, labels: Tensor, paths: list[Architecture]) -> Tensor:
    return torch.stack([F.cross_entropy(network(images, path), labels) for path in paths]).sum()


def literal_distillation(network: Network, images: Tensor, labels: Tensor, paths: list[Architecture]) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for path in paths:
        student, largest = network(images, path), network(images, SPACE.largest)
        total = total + 0.5 * (F.cross_entropy(student, labels) + F.cross_entropy(largest, labels))
        total = total + 2 * F.cross_entropy(student, largest.detach().softmax(dim=1))
    return total


def train_by_hand(
    supernet: Supernet,
    loss: Callable[[Network, Tensor, Tensor, list[Architecture]], Tensor] = cross_entropies,
    share: float = 1.0,
    change: Callable[[list[Tensor]], list[Tensor]] = lambda gradients: gradients,
) -> None:
    """Three steps of SGD with momentum and weight decay on the masked full-width network, one backward of the whole loss each."""
    masked, parameters = MaskedNetwork(supernet), list(supernet.parameters())
    velocities = [torch.zeros_like(parameter) for parameter in parameters]
    for step, ((images, labels), paths) in enumerate(zip(loader(), PATHS, strict=True)):
        rate = 0.001 + (LR - 0.001) / 2 * (1 + math.cos(math.pi * step / 3))
        whole = share * loss(masked, images, labels, paths)
        gradients = torch.autograd.grad(whole, parameters, allow_unused=True)
        filled = [torch.zeros_like(one) if gradient is None else gradient for one, gradient in zip(parameters, gradients, strict=True)]
        with torch.no_grad():
            for parameter, velocity, gradient in zip(parameters, velocities, change(filled), strict=True):
                velocity.mul_(MOMENTUM).add_(gradient + DECAY * parameter)
                parameter.sub_(rate * velocity)


@pytest.mark.parametrize("shortcuts", ["always", "where_needed"])
@pytest.mark.parametrize(("gradients", "share"), [(Sum(), 1.0), (Mean(), 1 / 3)])
@pytest.mark.parametrize(
    ("objective", "loss"),
    [(CrossEntropy(), cross_entropies), (InplaceDistillation(SPACE), literal_distillation)],
    ids=["cross_entropy", "distillation"],
)
def test_three_steps_leave_the_weights_of_a_loop_written_by_hand(
    tmp_path: Path, shortcuts: str, gradients: GradientRule, share: float, objective: Any, loss: Any
) -> None:
    supernet = make_supernet(shortcuts=shortcuts)
    expected = copy.deepcopy(supernet)
    start = copy.deepcopy(supernet)
    fit(tmp_path, make_module(supernet, gradients=gradients, objective=objective))
    train_by_hand(expected, loss, share)
    assert_same_weights(supernet, expected)
    assert all(not torch.equal(found, before) for found, before in zip(supernet.parameters(), start.parameters(), strict=True))


def clipped_to_norm(gradients: list[Tensor]) -> list[Tensor]:
    norm = torch.sqrt(sum((gradient**2).sum() for gradient in gradients))  # type: ignore[arg-type]
    assert norm > 0.5
    return [gradient * 0.5 / norm for gradient in gradients]


def test_clip_norm_scales_a_steps_gradient_to_that_length(tmp_path: Path) -> None:
    supernet = make_supernet()
    expected = copy.deepcopy(supernet)
    record = fit(tmp_path, make_module(supernet, clip_norm=0.5))
    train_by_hand(expected, change=clipped_to_norm)
    for name, tensor in expected.state_dict().items():  # PyTorch divides by norm + 1e-6
        torch.testing.assert_close(supernet.state_dict()[name], tensor, rtol=1e-4, atol=1e-7)
    for gradients in record.gradients:
        assert torch.cat([gradient.flatten() for gradient in gradients]).norm().item() == pytest.approx(0.5, rel=1e-5)


def test_a_clip_norm_that_no_gradient_reaches_changes_nothing(tmp_path: Path) -> None:
    clipped, free = make_supernet(), make_supernet()
    fit(tmp_path, make_module(clipped, clip_norm=1e6))
    fit(tmp_path, make_module(free))
    assert_same_weights(clipped, free)


def test_the_mean_gradient_is_the_sum_divided_by_the_number_of_paths(tmp_path: Path) -> None:
    for objective in (CrossEntropy(), InplaceDistillation(SPACE)):
        first_gradients = [
            fit(tmp_path, make_module(make_supernet(), gradients=gradients, objective=objective), max_steps=1).gradients[0]
            for gradients in (Sum(), Mean())
        ]
        for summed, mean in zip(*first_gradients, strict=True):
            torch.testing.assert_close(mean, summed / 3, rtol=1e-10, atol=1e-14)


def test_an_unused_shortcut_still_decays_and_keeps_its_momentum(tmp_path: Path) -> None:
    supernet = make_supernet(shortcuts="where_needed")
    unused = supernet.blocks[1].shortcut.conv.full.weight
    start, rates = unused.detach().clone(), []
    identity_only = [[SPACE.smallest, SPACE.largest]]
    module = make_module(supernet, sampler=GivenPaths(identity_only), schedule=EpochwiseCosine(LR))
    rates = fit(tmp_path, module).rates
    velocity, expected = torch.zeros_like(start), start.clone()
    for rate in rates:
        velocity = MOMENTUM * velocity + DECAY * expected
        expected = expected - rate * velocity
    assert rates == [LR] * 3
    torch.testing.assert_close(unused.detach(), expected, rtol=1e-12, atol=1e-12)
    assert not torch.equal(unused, start)


@pytest.mark.parametrize("schedule", [EpochwiseCosine(0.01), Cosine(0.01), Cosine(0.01, warmup=0.5)], ids=repr)
def test_the_optimizer_has_the_schedules_rate_at_every_step(tmp_path: Path, schedule: EpochwiseCosine | Cosine) -> None:
    record = fit(tmp_path, make_module(make_supernet(), schedule=schedule), max_epochs=4)
    assert record.rates == [schedule.rate(LR, epoch + step / 3, 4) for epoch, step in itertools.product(range(4), range(3))]
    assert [logged["lr"] for logged in record.logged] == pytest.approx(record.rates)


def test_the_original_schedule_gives_the_published_rates_epoch_by_epoch(tmp_path: Path) -> None:
    record = fit(tmp_path, make_module(make_supernet(), schedule=EpochwiseCosine(0.01)), max_epochs=4)
    expected = [LR, LR, 0.01 + 0.02 * (1 + math.sqrt(0.5)), 0.03]  # cosines of 0, 0, 45 and 90 degrees
    assert record.rates == pytest.approx([rate for rate in expected for _ in range(3)])


def test_a_stage_ended_by_max_steps_ends_its_schedule_there(tmp_path: Path) -> None:
    record = fit(tmp_path, make_module(make_supernet(), schedule=Cosine(0.0)), max_epochs=100, max_steps=5)
    assert record.rates == pytest.approx([LR / 2 * (1 + math.cos(math.pi * step / 5)) for step in range(5)])


def test_global_step_counts_batches_and_paths_are_drawn_once_a_step(tmp_path: Path) -> None:
    sampler = GivenPaths()
    record = Record()
    trainer = make_trainer(tmp_path, record, max_epochs=3)
    trainer.fit(make_module(make_supernet(), sampler=sampler, index=4), loader())
    assert trainer.global_step == 9
    assert record.global_steps == list(range(9))
    assert sampler.asked == [Position(4, step // 3, step, 0) for step in range(9)]


def test_a_stage_leaves_the_peak_of_its_optimizer_to_the_next(tmp_path: Path) -> None:
    supernet = make_supernet()
    module = make_module(supernet, schedule=Cosine(0.0))
    assert fit(tmp_path, module).rates[0] == fit(tmp_path, module).rates[0] == LR


def test_the_logged_loss_is_the_mean_over_the_paths(tmp_path: Path) -> None:
    for objective, loss in ((CrossEntropy(), cross_entropies), (InplaceDistillation(SPACE), literal_distillation)):
        for gradients in (Sum(), Mean()):
            supernet = make_supernet()
            images, labels = next(iter(loader()))
            expected = loss(supernet, images, labels, PATHS[0]).item() / 3
            hits = torch.stack([supernet(images, path).argmax(dim=1) == labels for path in PATHS[0]])
            trainer = make_trainer(tmp_path, max_steps=1)
            trainer.fit(
                make_module(supernet, objective=objective, gradients=gradients), DataLoader(TensorDataset(images, labels), batch_size=6)
            )
            assert trainer.callback_metrics["loss"].item() == pytest.approx(expected, rel=1e-5)
            assert trainer.callback_metrics["top1"].item() == pytest.approx(hits.double().mean().item())


def test_an_epochs_loss_is_the_mean_over_its_images(tmp_path: Path) -> None:
    images, labels = images_and_labels().tensors
    data = DataLoader(TensorDataset(images[:16], labels[:16]), batch_size=6)  # the last batch has 4
    record = Record()
    trainer = make_trainer(tmp_path, record, max_epochs=1)
    trainer.fit(make_module(make_supernet()), data)
    losses = [logged["loss"] for logged in record.logged]
    assert len(losses) == 3
    assert trainer.callback_metrics["epoch_loss"].item() == pytest.approx((6 * losses[0] + 6 * losses[1] + 4 * losses[2]) / 16)


def test_a_stage_begins_on_smaller_images_whose_pixels_are_means(tmp_path: Path) -> None:
    seen: list[Tensor] = []

    class Watching(CrossEntropy):
        def __call__(self, network: Any, images: Tensor, labels: Tensor, paths: Any) -> Any:
            seen.append(images)
            return super().__call__(network, images, labels, paths)

    fit(tmp_path, make_module(make_supernet(), objective=Watching(), low_resolution=LowFirst(side=4, share=0.5)), max_epochs=2)
    whole = [images for images, _ in loader()] * 2  # three batches an epoch
    for small, images in zip(seen[:3], whole[:3], strict=True):
        assert torch.allclose(small, F.avg_pool2d(images, 2))
    assert all(map(torch.equal, seen[3:], whole[3:]))


def test_validation_does_not_change_what_is_learned(tmp_path: Path) -> None:
    watched, alone = (make_supernet(norm="running") for _ in range(2))
    make_trainer(tmp_path, max_epochs=2).fit(
        make_module(watched, panel=ProbeSet({"largest": SPACE.largest}, 7)),
        loader(),
        loader(8, seed=5),
    )
    make_trainer(tmp_path, max_epochs=2).fit(make_module(alone), loader())
    assert_same_weights(watched, alone)


def test_a_checkpoint_says_what_it_holds_and_loads_as_weights_only(tmp_path: Path) -> None:
    supernet = Supernet(SPACE, classes=7)
    header = {**make_header(supernet, {"name": "digits", "arguments": {}}), "stage": "warmup"}
    module = make_module(supernet, header=header, panel=ProbeSet({"largest": SPACE.largest}, 7)).float()
    trainer = make_trainer(tmp_path)
    data = TensorDataset(*(tensor.float() if tensor.is_floating_point() else tensor for tensor in images_and_labels().tensors))
    trainer.fit(module, DataLoader(data, batch_size=6))
    for finished in (False, True):
        module.finished = finished
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        content = torch.load(tmp_path / "last.ckpt", weights_only=True)
        assert content[HEADER_KEY] == {**header, "finished": finished, "ended_early": None, "devices": 1}
        assert content["global_step"] == 3
        loaded, found = load_supernet(tmp_path / "last.ckpt")
        assert found == content[HEADER_KEY]
        assert list(loaded.state_dict()) == list(supernet.state_dict())
        assert_same_weights(loaded, supernet)


def test_a_resumed_stage_ends_as_one_that_never_stopped(tmp_path: Path) -> None:
    straight, resumed = make_supernet(), make_supernet()
    expected = fit(tmp_path, make_module(straight, schedule=Cosine(0.001)), max_epochs=4)
    at_half = tmp_path / "half.ckpt"

    class StopAtHalf(pl.Callback):
        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
            if trainer.current_epoch == 1:
                trainer.save_checkpoint(at_half)
                trainer.should_stop = True

    make_trainer(tmp_path, StopAtHalf(), max_epochs=4).fit(make_module(make_supernet(), schedule=Cosine(0.001)), loader())
    sampler, record = GivenPaths(), Record()
    trainer = make_trainer(tmp_path, record, max_epochs=4)
    module = make_module(resumed, schedule=Cosine(0.001), sampler=sampler)
    trainer.fit(module, loader(), ckpt_path=at_half, weights_only=True)
    assert_same_weights(resumed, straight)
    assert record.rates == expected.rates[6:]
    assert [position.step for position in sampler.asked] == list(range(6, 12))
