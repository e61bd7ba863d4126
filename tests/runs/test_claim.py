"""Which keys of a run folder's config may change."""

from pathlib import Path
from typing import Any

import pytest

from nas_lightning.errors import InputError
from nas_lightning.runs.claim import claim_config
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
    before = (tmp_path / "config.yaml").read_text()
    claim_config(tmp_path, {**config(40), "ranking": {"known_accuracies": None}, "run_dir": "moved"})  # a key less, another place
    assert (tmp_path / "config.yaml").read_text() == before
    again = {**config(40), "ranking": {"known_accuracies": "other.json"}}
    again["standalone"] = {**again["standalone"], "seeds": [0, 1, 2]}
    claim_config(tmp_path, again)
    assert read_yaml(tmp_path / "config.yaml") == again
    with pytest.raises(InputError, match=r"seed was 0, is 1"):
        claim_config(tmp_path, {**again, "seed": 1, "ranking": {"known_accuracies": None}})
    assert read_yaml(tmp_path / "config.yaml") == again


def test_how_passes_run_may_change_and_nothing_else_of_a_stage(tmp_path: Path):
    def staged(**keys: Any) -> dict[str, Any]:
        return {"stages": {"a": {"epochs": 1, **keys}}, "trainer": {}}

    claim_config(tmp_path, staged(path_execution="sequential"))
    claim_config(tmp_path, staged(path_execution="fastest"))
    with pytest.raises(InputError, match=r"stages\.a\.max_steps was None, is 3"):
        claim_config(tmp_path, staged(path_execution="fastest", max_steps=3))
