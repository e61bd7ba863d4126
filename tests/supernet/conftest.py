import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from nas_lightning.space import SearchSpace

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))
torch.set_num_threads(1)  # two busy processes of two threads each slow one another down many times


def shipped_space(name: str) -> SearchSpace:
    arguments = OmegaConf.to_container(OmegaConf.load(TESTS.parent / f"conf/space/{name}.yaml"))
    assert isinstance(arguments, dict)
    del arguments["_target_"]
    return SearchSpace(**arguments)


@pytest.fixture(scope="session")
def track1() -> SearchSpace:
    return shipped_space("resnet20_track1")


@pytest.fixture(scope="session")
def tiny() -> SearchSpace:
    return shipped_space("resnet_tiny")
