"""The loader sees every image once an epoch, processes share them out, and Lightning gives epochs and steps to the draws."""

from collections.abc import Callable
from itertools import chain, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import Precision
from torch import Tensor, nn

from nas_lightning.data import Augmentation, ImageDataset, LabelledImages, RandomCrop, RandomHorizontalFlip
from nas_lightning.data.batches import EpochBatches
from nas_lightning.data.data_module import ImageDataModule
from nas_lightning.errors import InputError
from nas_lightning.rng import generator


class Numbered(ImageDataset):
    """103 + 20 images; a training image's label is its index, which loaders thereby show."""

    name, classes, channels, resolution, mean, std = "numbered", 103, 1, 8, (0.5,), (0.25,)

    def read(self, split: str) -> LabelledImages:
        if split == "test":
            return LabelledImages(self.train().images[:20].flip(0), torch.arange(20))
        images = torch.randint(0, 256, (103, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        return LabelledImages(images, torch.arange(103))


AUGMENTATION = Augmentation({"crop": RandomCrop(2), "flip": RandomHorizontalFlip()})


def module(**arguments: Any) -> ImageDataModule:
    return ImageDataModule(Numbered(), AUGMENTATION, **{"batch_size": 16, **arguments})


def labels(loader: Any) -> list[list[int]]:
    return [batch[1].tolist() for batch in loader]


def flat(batches: list[list[int]]) -> list[int]:
    return list(chain.from_iterable(batches))


def test_an_epoch_holds_every_training_image_once() -> None:
    loader = module().train_dataloader()
    batches = labels(loader)
    assert [len(batch) for batch in batches] == [16] * 6 + [7]
    assert len(loader) == 7
    assert sorted(flat(batches)) == list(range(103))


def test_a_batch_pairs_images_with_their_labels() -> None:
    images, index = next(iter(module().train_dataloader()))
    assert images.dtype == torch.uint8
    assert torch.equal(images, Numbered().train().images[index])


def test_the_order_depends_on_epoch_stage_and_seed_and_repeats() -> None:
    def order(epoch: int, **arguments: int) -> list[list[int]]:
        loader = module(**arguments).train_dataloader()
        loader.sampler.set_epoch(epoch)
        return labels(loader)

    assert order(3) == order(3)
    orders = [order(0), order(1), order(0, stage_index=1), order(0, seed=1)]
    assert all(one != other for position, one in enumerate(orders) for other in orders[:position])


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_share_an_epoch_out_equally_and_without_overlap(world_size: int) -> None:
    shares = []
    for rank in range(world_size):
        sampler = EpochBatches(torch.arange(103), 16, seed=0, stage_index=0, rank=rank, world_size=world_size)
        shares.append(torch.cat([batch.images for batch in sampler]).tolist())
        assert len(list(sampler)) == len(sampler)
    assert {len(share) for share in shares} == {103 // world_size}
    seen = flat(shares)
    assert len(set(seen)) == len(seen) == 103 - 103 % world_size


def test_first_batches_of_all_processes_are_the_first_of_one() -> None:
    def batches(batch_size: int, rank: int, world_size: int) -> list[Tensor]:
        sampler = EpochBatches(torch.arange(103), batch_size, seed=0, stage_index=0, rank=rank, world_size=world_size)
        return [batch.images for batch in sampler]

    together = torch.cat([batches(8, rank, 2)[0] for rank in range(2)])
    assert sorted(together.tolist()) == sorted(batches(16, 0, 1)[0].tolist())


def test_the_data_module_takes_its_share_from_the_trainer() -> None:
    data = module()
    data.trainer = trainer(global_rank=1, world_size=4, fit_loop=fit_loop(epoch=5))
    sampler = data.train_dataloader().sampler
    assert (sampler.rank, sampler.world_size, sampler.epoch) == (1, 4, 5)


def trainer(**place: Any) -> Any:
    """A stub of a trainer on the CPU."""
    return SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("cpu")), **place)


def fit_loop(epoch: int, batches_done: int | None = None) -> SimpleNamespace:
    """Lightning's progress at the start of an epoch, or within it."""
    within = batches_done is not None
    return SimpleNamespace(
        epoch_progress=SimpleNamespace(current=SimpleNamespace(processed=epoch, started=epoch + within)),
        epoch_loop=SimpleNamespace(batch_progress=SimpleNamespace(current=SimpleNamespace(processed=batches_done or 0))),
    )


def test_a_resumed_epoch_has_its_remaining_batches() -> None:
    whole, resumed = module(), module()
    whole.trainer = trainer(global_rank=0, world_size=1, fit_loop=fit_loop(epoch=2))
    resumed.trainer = trainer(global_rank=0, world_size=1, fit_loop=fit_loop(epoch=2, batches_done=3))
    loaders = [one.train_dataloader() for one in (whole, resumed)]
    assert len(loaders[0]) == len(loaders[1]) > 3
    labels = [[batch[1].tolist() for batch in loader] for loader in loaders]
    assert labels[1] == labels[0][3:]
    for loader in loaders:
        loader.sampler.set_epoch(3)  # type: ignore[attr-defined]
    labels = [[batch[1].tolist() for batch in loader] for loader in loaders]
    assert labels[1] == labels[0]


def test_the_holdout_is_seeded_disjoint_and_the_same_in_every_stage() -> None:
    data = module(holdout=23, eval_batch_size=10)
    held, trained = labels(data.val_dataloader()), labels(data.train_dataloader())
    assert [len(batch) for batch in held] == [10, 10, 3]
    assert sorted(flat(held + trained)) == list(range(103))
    assert held == labels(data.val_dataloader()) == labels(module(holdout=23, eval_batch_size=10, stage_index=2).val_dataloader())
    assert flat(held) != flat(labels(module(holdout=23, seed=1).val_dataloader()))


def test_without_hold_out_there_is_no_validation_loader() -> None:
    assert module().val_dataloader() == []


def transferred(data: ImageDataModule, batch: tuple[Tensor, Tensor], training: bool = True, **position: int) -> Tensor:
    where = {"current_epoch": 0, "global_step": 0, "global_rank": 0, **position}
    data.trainer = SimpleNamespace(training=training, precision_plugin=Precision(), **where)
    return data.on_after_batch_transfer(batch, 0)[0]


def test_augmentation_depends_on_stage_epoch_step_and_rank_and_repeats() -> None:
    batch = (Numbered().train().images[:32], torch.arange(32))
    first = transferred(module(), batch)
    assert torch.equal(first, transferred(module(), batch))
    others = [transferred(module(), batch, **{name: 1}) for name in ("current_epoch", "global_step", "global_rank")]
    others += [transferred(module(stage_index=1), batch), transferred(module(seed=1), batch)]
    results = [first, *others]
    assert all(not torch.equal(one, other) for position, one in enumerate(results) for other in results[:position])
    expected = AUGMENTATION(batch[0], generator(0, "augmentation", 0, 0, 0, 0))
    torch.testing.assert_close(first, (expected - 0.5) / 0.25)


def test_outside_training_images_are_only_normalized() -> None:
    images = Numbered().train().images[:4]
    plain = (images / 255 - 0.5) / 0.25
    torch.testing.assert_close(transferred(module(), (images, torch.arange(4)), training=False), plain)
    torch.testing.assert_close(module().on_after_batch_transfer((images, torch.arange(4)), 0)[0], plain)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"batch_size": 1}, "loader.batch_size: 1 must be at least 2"),
        ({"holdout": -1}, "loader.holdout: -1"),
        ({"holdout": 103}, "loader.holdout: 103 must be an integer from 0 to 102"),
        ({"eval_batch_size": 0}, "loader.eval_batch_size: 0"),
        ({"workers": -1}, "loader.workers: -1"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(arguments: dict[str, int], told: str) -> None:
    with pytest.raises(InputError) as refused:
        module(**arguments).train_dataloader()
    assert str(refused.value).startswith(told)


def with_lightning(test: Callable[..., None]) -> Callable[..., None]:
    """Lets two warnings of Lightning pass: one is advice, the other is Lightning's own use of a deprecated part of torch."""
    for warning in ("ignore:.*does not have many workers", "ignore:.*LeafSpec.*:FutureWarning"):
        test = pytest.mark.filterwarnings(warning)(test)
    return test


class Recorder(pl.LightningModule):
    """A linear classifier that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(64, 103)
        self.trained: list[tuple[Tensor, Tensor]] = []
        self.validated: list[tuple[Tensor, Tensor]] = []

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        self.trained.append(batch)
        return nn.functional.cross_entropy(self.classifier(batch[0].flatten(1)), batch[1])

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        self.validated.append(batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.01)


@pytest.fixture
def fit(tmp_path: Path) -> Callable[..., Recorder]:
    """Trains, and keeps a checkpoint of each epoch's end and one from after the run."""

    class Saving(pl.Callback):
        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
            trainer.save_checkpoint(tmp_path / f"epoch_{trainer.current_epoch}.ckpt")

    def run(epochs: int = 2, resume: str | None = None, **arguments: Any) -> Recorder:
        trainer = pl.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            callbacks=[Saving()],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        recorder = Recorder()
        trainer.fit(recorder, datamodule=module(**arguments), ckpt_path=tmp_path / resume if resume else None)
        trainer.save_checkpoint(tmp_path / "after.ckpt")
        return recorder

    return run


@with_lightning
def test_each_epoch_has_its_order_and_each_step_its_augmentation(fit: Callable[..., Recorder]) -> None:
    recorder = fit()
    steps = len(recorder.trained) // 2
    assert steps == 7
    epochs = [torch.cat([batch[1] for batch in half]) for half in (recorder.trained[:steps], recorder.trained[steps:])]
    assert not torch.equal(*epochs)
    assert all(sorted(epoch.tolist()) == list(range(103)) for epoch in epochs)
    dataset = Numbered()
    for step, (images, index) in enumerate(recorder.trained):
        rng = generator(0, "augmentation", 0, step // steps, step, 0)
        torch.testing.assert_close(images, (AUGMENTATION(dataset.train().images[index], rng) - 0.5) / 0.25)
    again = fit()
    assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(recorder.trained, again.trained, strict=True))


@with_lightning
@pytest.mark.parametrize("checkpoint", ["epoch_0.ckpt", "after.ckpt"])
@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_resumed_run_sees_the_batches_of_the_uninterrupted_one(fit: Callable[..., Recorder], checkpoint: str, workers: int) -> None:
    fit(epochs=1, workers=workers)
    resumed = fit(epochs=3, resume=checkpoint, workers=workers).trained
    whole = fit(epochs=3).trained
    assert len(whole) == len(resumed) + 7
    assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(whole[7:], resumed, strict=True))


@with_lightning
def test_lightning_validates_on_the_plain_hold_out_every_epoch(fit: Callable[..., Recorder]) -> None:
    recorder = fit(holdout=20, eval_batch_size=8)
    validated = recorder.validated[2:]  # the first two are the sanity check
    assert [len(batch[1]) for batch in validated] == [8, 8, 4] * 2
    dataset = Numbered()
    for images, index in recorder.validated:
        torch.testing.assert_close(images, (dataset.train().images[index] / 255 - 0.5) / 0.25)
    assert not {int(i) for _, index in validated for i in index} & {int(i) for _, index in recorder.trained for i in index}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a machine with one core
def test_workers_read_the_same_batches_in_the_same_order_in_every_epoch() -> None:
    plain, ahead = module().train_dataloader(), module(workers=2).train_dataloader()
    orders = []
    for epoch in range(3):
        for loader in (plain, ahead):
            loader.sampler.set_epoch(epoch)
        batches = list(zip(plain, ahead, strict=True))
        assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in batches)
        orders.append(np.concatenate([a[1].numpy() for a, _ in batches]))
    assert all(not np.array_equal(one, other) for one, other in pairwise(orders))
