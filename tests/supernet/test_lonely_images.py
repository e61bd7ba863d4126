"""A norm takes no statistics from a single value per channel."""

import pytest
import torch

from nas_lightning.scoring.bn_recalibration import Recalibration
from nas_lightning.scoring.score import score_candidates
from nas_lightning.space import SearchSpace
from nas_lightning.supernet import Supernet
from nas_lightning.supernet.path_batched import batched_forward, stack_widths

SPACE = SearchSpace("one", (1, 1), (4, 4), 2, 4)  # 2 pixels at the end; 1 for images of 2
IMAGE = torch.rand(1, 1, 2, 2)


@pytest.mark.parametrize("norm", ["batch", "running"])
@pytest.mark.parametrize("autocast", [False, True], ids=["by hand", "by PyTorch"])
def test_every_norm_refuses_a_single_value_in_training(norm: str, autocast: bool) -> None:
    supernet = Supernet(SPACE, 3, 1, norm=norm)
    with torch.autocast("cpu", enabled=autocast), pytest.raises(ValueError, match=r"value.*channel"):
        supernet(IMAGE, SPACE.largest)


def test_the_batched_execution_refuses_it_too() -> None:
    with pytest.raises(ValueError, match=r"value.*channel"):
        batched_forward(Supernet(SPACE, 3, 1), IMAGE, stack_widths([SPACE.largest], IMAGE.device))


@pytest.mark.parametrize("autocast", [False, True], ids=["by hand", "by PyTorch"])
def test_a_recalibration_refuses_it_too(autocast: bool) -> None:
    images = torch.rand(3, 1, 2, 2)
    with torch.autocast("cpu", enabled=autocast), pytest.raises(ValueError, match="one value a channel"):
        score_candidates(Supernet(SPACE, 3, 1), [SPACE.largest], images, torch.tensor([0, 1, 2]), recalibration=Recalibration(images, 2))


def test_averages_evaluate_a_single_image() -> None:
    assert Supernet(SPACE, 3, 1, norm="running").eval()(IMAGE, SPACE.largest).isfinite().all()
