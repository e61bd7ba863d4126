"""A single run is composed once, although Hydra asks twice; what it gets is what Hydra composes for a run, and errors and modes stay."""

from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from nas_lightning.console.start import start
from tests.composing import composed_by_hydra

OVERRIDES = ["experiment=micro", "run_dir=x", "seed=3", "optimizer@stages.pretrain.optimizer=adamw"]
OF_A_JOB = ("runtime", "job")
"""Parts of Hydra's section that know where and as which job a run goes."""


@pytest.fixture
def compositions(monkeypatch: pytest.MonkeyPatch) -> list[DictConfig]:
    """What Hydra's own loader composes."""
    made: list[DictConfig] = []
    of_hydra = ConfigLoaderImpl._load_configuration_impl

    def counted(self: ConfigLoaderImpl, *arguments: Any, **named: Any) -> DictConfig:
        config = of_hydra(self, *arguments, **named)
        made.append(config)
        return config

    monkeypatch.setattr(ConfigLoaderImpl, "_load_configuration_impl", counted)
    return made


def start_with(monkeypatch: pytest.MonkeyPatch, *words: str) -> list[tuple[dict, dict]]:
    """Config and Hydra's section of each job."""
    seen = []

    def task(cfg: DictConfig) -> None:
        seen.append(tuple(OmegaConf.to_container(one, resolve=False) for one in (cfg, HydraConfig.get())))

    monkeypatch.setattr("sys.argv", ["train.py", *words])
    start(task, "config")
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["hydra.mode=RUN"], ["hydra.job.name=mine"]], ids=["no mode", "its mode", "a name"])
def test_a_run_is_composed_once_as_hydra_does(more: list[str], compositions: list[DictConfig], monkeypatch: pytest.MonkeyPatch):
    ((config, section),) = start_with(monkeypatch, *OVERRIDES, *more)
    assert len(compositions) == (1 if "hydra.mode=RUN" not in more else 2)  # as for those who say it
    expected = composed_by_hydra("config", *OVERRIDES, *dict.fromkeys([*more, "hydra.mode=RUN"]), with_hydra=True)
    hydra = OmegaConf.to_container(expected.hydra, resolve=False)
    assert section["runtime"]["choices"] == hydra["runtime"]["choices"]
    assert section["job"]["override_dirname"] == hydra["job"]["override_dirname"]
    assert {key: value for key, value in section.items() if key not in OF_A_JOB} == {
        key: value for key, value in hydra.items() if key not in OF_A_JOB
    }
    del expected.hydra
    assert config == OmegaConf.to_container(expected, resolve=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [["-m", "seed=1,2"], ["hydra.mode=MULTIRUN", "seed=1,2"], ["-m", "seed=1", "population.count=900,1000"]],
    ids=["by the option", "by the mode", "two keys"],
)
def test_jobs_of_a_multirun_have_their_values(words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any):
    seen = start_with(monkeypatch, "experiment=micro", f"hydra.sweep.dir={tmp_path}", *words)
    values = [(config["seed"], config["population"]["count"]) for config, _ in seen]
    first = composed_by_hydra("config", "experiment=micro").population.count
    assert values == ([(1, 900), (1, 1000)] if "seed=1" in words else [(1, first), (2, first)])


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("seed=1,2", "seed"),
        ("nonsense=1", "nonsense"),
        ("experiment=nonsense", "nonsense"),
        ("plugins=${oc.env:HOME}", ""),
    ],
)
def test_what_cannot_be_composed_is_told_as_before(word: str, says: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(SystemExit) as stop:
        start_with(monkeypatch, "experiment=micro", word)
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert says in error
