"""What pl.Trainer cannot take is told in one line with its key."""

import re
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.precision import HalfPrecision
from pytorch_lightning.strategies import SingleDeviceStrategy

from nas_lightning.devices.trainer import make_trainer, precision_of
from nas_lightning.errors import InputError

CPU = {"accelerator": "cpu", "devices": 1}


def named(value: object) -> str:
    """Of a parameter, the same in every process."""
    return re.sub(r" object at 0x\w+", "", str(value))


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
        ({"precision": "transformer-engine"}, "trainer.precision: 'transformer-engine' cannot be used, it replaces layers by class"),
        ({"precision": "bf16-true"}, "trainer.precision: 'bf16-true' cannot be used, .*use bf16-mixed"),
        ({"plugins": [HalfPrecision("bf16-true")]}, "trainer.plugins: .* HalfPrecision is chosen by trainer.precision"),
        (
            {"strategy": SingleDeviceStrategy("cpu", precision_plugin=HalfPrecision("16-true"))},
            "trainer.strategy: .* HalfPrecision is chosen",
        ),
        ({"accelerator": "tpu"}, "trainer.accelerator: 'tpu' is not one of auto, cpu, gpu, cuda, mps"),
        ({"strategy": "xla"}, "trainer.strategy: 'xla' is not one of auto, ddp, .*: no run on a TPU"),
        ({"strategy": "nope"}, "trainer.strategy: 'nope' is not one of auto, ddp, ddp_find"),
        ({"devices": 0}, "trainer: .*devices=0"),
        ({"max_time": "abc"}, "trainer.max_time: 'abc' is no duration: DD:HH:MM:SS"),
    ],
    ids=named,
)
def test_a_value_that_the_trainer_cannot_take_is_refused(arguments: dict[str, Any], rule: str):
    with pytest.raises(InputError, match=rule):
        make_trainer({"accelerator": "cpu", **arguments})


def test_a_boolean_is_taken_where_lightning_takes_one():
    assert make_trainer({"accelerator": "cpu", "logger": True, "deterministic": True, "benchmark": False}).num_devices == 1


@pytest.mark.filterwarnings("ignore:You passed.*fp16 is not supported on CPU")
@pytest.mark.filterwarnings("ignore:.*is supported for historical reasons")
@pytest.mark.parametrize(
    ("arguments", "ran"),
    [
        ({}, "32-true"),
        *(({"precision": precision}, "32-true") for precision in (None, 32, "32", "32-true")),
        *(({"precision": precision}, "64-true") for precision in (64, "64", "64-true")),
        *(({"precision": precision}, "bf16-mixed") for precision in ("bf16", "bf16-mixed")),
        *(({"precision": precision}, "bf16-mixed") for precision in (16, "16", "16-mixed")),  # fp16 is not for CPUs: Lightning takes bf16
    ],
    ids=named,
)
def test_the_precision_is_called_by_one_name_and_is_the_one_that_runs(arguments: dict[str, Any], ran: str):
    assert precision_of({**CPU, **arguments}) == ran


@pytest.mark.filterwarnings("ignore:You passed.*fp16 is not supported on CPU")
@pytest.mark.parametrize(("precision", "dtype"), [("16-mixed", torch.bfloat16), ("32", torch.float32), ("64", torch.float64)])
def test_what_runs_computes_in_what_it_is_called(precision: str, dtype: torch.dtype):
    plugin = make_trainer({**CPU, "precision": precision}).precision_plugin
    layer = plugin.convert_module(torch.nn.Linear(2, 2))
    with plugin.forward_context():
        assert layer(plugin.convert_input(torch.ones(1, 2))).dtype == dtype


def test_arguments_with_a_strategy_of_ones_own_make_several_trainers():
    arguments = {**CPU, "strategy": SingleDeviceStrategy("cpu")}
    first, second = make_trainer(arguments), make_trainer(arguments)
    assert type(first.strategy) is type(second.strategy) is SingleDeviceStrategy
    assert first.strategy is not second.strategy


def test_a_trainer_without_checkpoints_has_no_checkpoint_callbacks():
    callbacks = [pl.callbacks.ModelCheckpoint(), pl.callbacks.Timer()]
    trainer = make_trainer({"accelerator": "cpu", "callbacks": callbacks}, enable_checkpointing=False)
    assert [type(callback) for callback in trainer.callbacks] == [pl.callbacks.Timer]
