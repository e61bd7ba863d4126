"""Learning rates against hand-computed ones and against PyTorch's."""

import math
from typing import Any

import pytest
import torch

from nas_lightning.errors import InputError
from nas_lightning.training.schedules import Cosine, EpochwiseCosine, LowFirst


def test_the_original_cosine_has_the_hand_computed_rates() -> None:
    # lr(e) = final + (lr - final)/2 * (1 + cos(pi * max(0, e-1) / E)), E = 30, 1e-3 -> 5e-4
    expected = {
        0: 1e-3,
        1: 1e-3,
        2: 5e-4 + 2.5e-4 * 1.9945218953682733,  # cos of 6 degrees
        11: 8.75e-4,  # of 60
        16: 7.5e-4,  # of 90
        21: 6.25e-4,  # of 120
        29: 5e-4 + 2.5e-4 * 0.0218523992661944,  # of 168
    }
    schedule = EpochwiseCosine(final_lr=5e-4)
    for epoch, rate in expected.items():
        assert schedule.rate(1e-3, epoch, 30) == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(
    ("epochs", "peak", "final"), [(250, 0.025, 0.0), (30, 1e-3, 5e-4), (30, 4e-3, 5e-4), (20, 3.5e-3, 5e-4), (1, 0.1, 0.01)]
)
def test_the_original_cosine_follows_the_formula_in_every_stage_and_epoch(epochs: int, peak: float, final: float) -> None:
    for epoch in range(epochs):
        expected = final + (peak - final) / 2 * (1 + math.cos(math.pi * max(0, epoch - 1) / epochs))
        assert EpochwiseCosine(final).rate(peak, epoch, epochs) == pytest.approx(expected, rel=1e-12)


def test_the_original_cosine_is_constant_within_an_epoch() -> None:
    schedule, steps = EpochwiseCosine(5e-4), 391
    rates = [{schedule.rate(1e-3, epoch + step / steps, 30) for step in range(steps)} for epoch in range(30)]
    assert all(len(of_an_epoch) == 1 for of_an_epoch in rates)
    assert rates[0] == rates[1] == {1e-3}
    falling = [of_an_epoch.pop() for of_an_epoch in rates[1:]]
    assert falling == sorted(falling, reverse=True)
    assert len(set(falling)) == 29


@pytest.mark.parametrize("final", [0.0, 5e-4, 0.2])
def test_the_plain_cosine_equals_torchs_annealing_at_every_step(final: float) -> None:
    epochs, steps, peak = 4, 5, 0.1
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    torchs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs * steps, eta_min=final)
    for step in range(epochs * steps):
        found = Cosine(final).rate(peak, step / steps, epochs)
        assert found == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        torchs.step()


def test_warmup_rises_linearly_then_the_cosine_falls() -> None:
    schedule, peak, epochs = Cosine(final_lr=0.01, warmup=0.2), 0.1, 10
    assert [schedule.rate(peak, elapsed, epochs) for elapsed in (0, 0.5, 1, 1.5)] == pytest.approx([0, 0.025, 0.05, 0.075])
    assert schedule.rate(peak, 2, epochs) == pytest.approx(peak)
    for elapsed in (2, 3.3, 6, 9.9, 10):  # what is left is a plain cosine of 8 epochs
        assert schedule.rate(peak, elapsed, epochs) == pytest.approx(Cosine(0.01).rate(peak, elapsed - 2, 8))
    assert schedule.rate(peak, 6, epochs) == pytest.approx(0.055)
    assert schedule.rate(peak, 10, epochs) == pytest.approx(0.01)


def test_without_warmup_the_peak_comes_first() -> None:
    assert Cosine().rate(0.1, 0, 3) == 0.1


def test_a_rate_depends_on_its_arguments_only() -> None:
    for schedule in (EpochwiseCosine(0.01), Cosine(0.01, 0.1)):
        expected = [schedule.rate(0.1, elapsed / 3, 5) for elapsed in range(15)]
        assert [schedule.rate(0.1, elapsed / 3, 5) for elapsed in reversed(range(15))] == expected[::-1]


@pytest.mark.parametrize("make", [EpochwiseCosine, Cosine])
@pytest.mark.parametrize("final", [-1e-9, -1, math.nan])
def test_a_negative_final_rate_is_refused_naming_it(make: Any, final: float) -> None:
    with pytest.raises(InputError, match=f"schedule.final_lr: {final} must be at least 0"):
        make(final)


@pytest.mark.parametrize("warmup", [-0.1, 1, 1.5, math.nan])
def test_a_warmup_that_is_no_share_is_refused_naming_it(warmup: float) -> None:
    with pytest.raises(InputError, match=f"schedule.warmup: {warmup} must be a share"):
        Cosine(warmup=warmup)


def test_images_are_small_in_the_first_part_of_a_stage() -> None:
    low = LowFirst(side=16, share=0.7)
    assert [low.side_at(elapsed / 10) for elapsed in (0, 3.5, 6.99, 7, 9.9)] == [16, 16, 16, None, None]
    assert LowFirst(16, 1).side_at(0.999) == 16


@pytest.mark.parametrize("share", [0, -0.1, 1.1, math.nan])
def test_a_first_part_that_is_no_part_is_refused_naming_it(share: float) -> None:
    with pytest.raises(InputError, match=f"low_resolution.share: {share}"):
        LowFirst(16, share)
