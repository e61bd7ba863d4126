"""Shows which training runs, in which epoch, and how long all will take."""

from nas_lightning.devices.progress import Progress


class TruthProgress:
    """A bar over the epochs of all trainings.

    Args:
        trainings: that are left.
        epochs: of each.
        processes: that train at the same time; of several, only the ends of trainings are seen, and ``epoch`` is not called.
        is_shown: as for ``Progress``.
    """

    def __init__(self, trainings: int, epochs: int, processes: int, is_shown: bool) -> None:
        self.trainings, self.epochs, self.tells_epochs = trainings, epochs, processes == 1
        self.ended = self.within = 0
        # The first trainings wait for their processes to start.
        side_by_side = 1 if self.tells_epochs else epochs * min(max(processes, trainings // 10), trainings)
        self.progress = Progress(self._label(), trainings * epochs, 0, "epochs", is_shown, side_by_side)

    def _label(self) -> str:
        if not self.tells_epochs:
            return f"trained {self.ended} of {self.trainings}"
        epoch = min(self.within + 1, self.epochs)
        return f"training {min(self.ended + 1, self.trainings)} of {self.trainings}, epoch {epoch} of {self.epochs}"

    def epoch(self) -> None:
        """An epoch of the running training has ended."""
        self.within += 1
        self.progress.advance(1, label=self._label())

    def end(self) -> None:
        """A training has ended, perhaps before its last epoch."""
        left, self.within = self.epochs - self.within, 0
        self.ended += 1
        self.progress.advance(left, label=self._label())
