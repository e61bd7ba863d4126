"""The curves of a stage in TensorBoard: few enough to read, and the config as text."""

import re
from collections.abc import Mapping
from pathlib import Path

from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only

TAGS = {"loss": "train/loss", "top1": "train/top1", "lr": "train/lr", "skipped_steps": "train/skipped_steps"}
"""Names in TensorBoard of the training's metrics, by their names in ``metrics.csv``."""
LEFT_OUT = ("epoch_loss", "top5", "epoch")
"""What the others show as well."""
OF_ONE = re.compile(r"(largest|smallest|panel_\d+)/(top1|top5|cross_entropy)")
"""A metric of one candidate of the panel."""


class Curves(TensorBoardLogger):
    """Writes ``tensorboard/`` in a stage's folder.

    Args:
        folder: of the stage.
        each: also a curve for each candidate of the panel.
    """

    def __init__(self, folder: Path, each: bool) -> None:
        super().__init__(folder, name="", version="tensorboard")
        self.each = each

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Writes the metrics under their names in TensorBoard."""
        super().log_metrics(tags_of(metrics, self.each), step)

    @rank_zero_only
    def log_text(self, name: str, text: str) -> None:
        """Shows a text as it stands, as a block of code."""
        self.experiment.add_text(name, "".join(f"    {line}\n" for line in text.splitlines()))


def tags_of(metrics: Mapping[str, float], each: bool) -> dict[str, float]:
    """Metrics by their names in TensorBoard, with ``panel/top1``, the mean over the panel."""
    of_one = {name for name in metrics if OF_ONE.fullmatch(name)}
    hidden = {*LEFT_OUT, *(() if each else of_one)}
    accuracies = [metrics[name] for name in of_one if name.endswith("/top1")]
    mean = {"panel/top1": sum(accuracies) / len(accuracies)} if accuracies else {}
    return {TAGS.get(name, name): value for name, value in metrics.items() if name not in hidden} | mean
