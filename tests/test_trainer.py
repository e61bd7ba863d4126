"""What pl.Trainer cannot take is told in one line with its key."""

from typing import Any

import pytest

from nas_lightning.errors import InputError
from nas_lightning.trainer import make_trainer


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"devices": True}, "trainer.devices: True must be a number, not true or false"),
        ({"log_every_n_steps": True}, "trainer.log_every_n_steps: True must be a number, not true or false"),
        ({"log_every_n_steps": 0}, "trainer.log_every_n_steps: 0 must be an integer of at least 1"),
        ({"val_check_interval": 0}, "trainer.val_check_interval: 0 must be above 0"),
        ({"val_check_interval": 0.0}, "trainer.val_check_interval: 0.0 must be above 0"),
        ({"logger": [3]}, r"trainer.logger: \[3\] must be true, false, or loggers chosen by _target_"),
        ({"precision": "bitsandbytes"}, "trainer.precision: 'bitsandbytes' is none of what pl.Trainer takes"),
        ({"precision": "transformer-engine"}, "trainer: .*transformer.engine"),
        ({"precision": "bf16-true"}, "trainer.precision: 'bf16-true' cannot be used, .*use bf16-mixed"),
        ({"accelerator": "tpu"}, "trainer: .*accelerator=tpu"),
        ({"strategy": "xla"}, "trainer: .*strategy=xla"),
        ({"strategy": "nope"}, "trainer: .*strategy=nope"),
        ({"devices": 0}, "trainer: .*devices=0"),
        ({"max_time": "abc"}, "trainer: .*max_time=abc"),
    ],
    ids=str,
)
def test_a_value_that_the_trainer_cannot_take_is_refused(arguments: dict[str, Any], rule: str):
    with pytest.raises(InputError, match=rule):
        make_trainer({"accelerator": "cpu", **arguments})


def test_a_boolean_is_taken_where_lightning_takes_one():
    assert make_trainer({"accelerator": "cpu", "logger": True, "deterministic": True, "benchmark": False}).num_devices == 1
