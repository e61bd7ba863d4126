"""Which keys of a run folder's config may change."""

import os
from pathlib import Path
from typing import Any

import pytest

from nas_lightning.errors import InputError
from nas_lightning.runs.claim import claim_config, renew_config
from nas_lightning.runs.reading import read_yaml


def config(epochs: int) -> dict[str, Any]:
    return {"seed": 0, "stages": {"a": {"epochs": 1}}, "standalone": {"epochs": epochs, "seeds": [0]}, "trainer": {"accelerator": "cpu"}}


def test_the_recipe_of_candidates_alone_is_free_until_one_was_trained(tmp_path: Path):
    claim_config(tmp_path, config(40))
    claim_config(tmp_path, config(15))
    assert read_yaml(tmp_path / "config.yaml")["standalone"]["epochs"] == 15
    (tmp_path / "standalone").mkdir()
    (tmp_path / "standalone/accuracies.csv").touch()
    claim_config(tmp_path, config(15))
    with pytest.raises(InputError, match=r"another config: standalone\.epochs was 15, is 40; give another run_dir"):
        claim_config(tmp_path, config(40))


def test_with_other_keys_it_is_not_free(tmp_path: Path):
    claim_config(tmp_path, config(40))
    with pytest.raises(InputError, match=r"seed was 0, is 1; standalone\.epochs was 40, is 15"):
        claim_config(tmp_path, {**config(15), "seed": 1})


def test_what_may_change_is_kept_as_it_was_given_last(tmp_path: Path):
    claim_config(tmp_path, {**config(40), "ranking": {"known_accuracies": None, "images": 5}, "run_dir": "here"})
    path = tmp_path / "config.yaml"
    os.utime(path, (1000, 1000))
    before = path.read_text()
    renew_config(tmp_path, {**config(40), "ranking": {"known_accuracies": None}, "run_dir": "moved"})  # a key less, another place
    assert path.read_text() == before
    again = {**config(40), "ranking": {"known_accuracies": "other.json"}}
    again["standalone"] = {**again["standalone"], "seeds": [0, 1, 2]}
    claim_config(tmp_path, again)
    assert path.read_text() == before  # what it asks for is not there yet
    renew_config(tmp_path, again)
    assert read_yaml(path) == again
    assert path.stat().st_mtime == 1000  # resume=auto takes the run that began last


@pytest.mark.parametrize("made", ["ranking", "search"])
def test_no_epochs_are_added_under_what_was_made_from_the_weights(made: str, tmp_path: Path):
    def staged(epochs: int) -> dict[str, Any]:
        return {"stages": {"a": {"epochs": 1}, "b": {"epochs": epochs}}, "trainer": {}}

    claim_config(tmp_path, staged(1))
    claim_config(tmp_path, staged(2))
    (tmp_path / made).mkdir()
    (tmp_path / made / "protocol.json").write_text("{}")
    with pytest.raises(InputError, match=rf"stages\.b\.epochs was 2, is 3, but {made}/ is of the weights before; move it away"):
        claim_config(tmp_path, staged(3))


def test_how_passes_run_may_change_and_nothing_else_of_a_stage(tmp_path: Path):
    def staged(**keys: Any) -> dict[str, Any]:
        return {"stages": {"a": {"epochs": 1, **keys}}, "trainer": {}}

    claim_config(tmp_path, staged(path_execution="sequential"))
    claim_config(tmp_path, staged(path_execution="fastest"))
    with pytest.raises(InputError, match=r"stages\.a\.max_steps was None, is 3"):
        claim_config(tmp_path, staged(path_execution="fastest", max_steps=3))
