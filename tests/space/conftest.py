from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from nas_lightning.space import SearchSpace

ROOT = Path(__file__).parents[2]
OFFICIAL_LIST = ROOT.parent / "shared/data/track1/Track1_final_archs.json"

torch.set_num_threads(1)  # two busy processes of two threads each slow one another down many times


def shipped_space(name: str) -> SearchSpace:
    arguments = OmegaConf.to_container(OmegaConf.load(ROOT / f"conf/space/{name}.yaml"))
    assert isinstance(arguments, dict)
    assert arguments.pop("_target_") == "nas_lightning.space.SearchSpace"
    return SearchSpace(**arguments)


@pytest.fixture(scope="session", params=["resnet20_track1", "resnet_tiny", "resnet32"])
def any_space(request: pytest.FixtureRequest) -> SearchSpace:
    return shipped_space(request.param)


@pytest.fixture(scope="session")
def track1() -> SearchSpace:
    return shipped_space("resnet20_track1")


@pytest.fixture(scope="session")
def small() -> SearchSpace:
    """2 * 2 * 2 * 4 * 4 = 128 candidates of 5 layers."""
    return SearchSpace("small", (1, 1), (4, 8), 2, 8, trailing_entries=1)


@pytest.fixture(scope="session")
def official_list() -> Path:
    if not OFFICIAL_LIST.is_file():
        pytest.skip(f"the official list is not at {OFFICIAL_LIST}")
    return OFFICIAL_LIST
