"""CIFAR-10 and CIFAR-100 in their official binary layout, memory-mapped from disk."""

import hashlib
import logging
import socket
import tarfile
from contextlib import redirect_stderr, redirect_stdout
from http.client import HTTPException
from io import StringIO
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from nas_lightning.data.image_dataset import ImageDataset, channel_values
from nas_lightning.data.splits import LabelledImages
from nas_lightning.errors import InputError

logger = logging.getLogger(__name__)

PIXELS = 3 * 32 * 32  # bytes of an image: red plane, green plane, blue plane, row by row
TIMEOUT_SECONDS = 30.0  # of a download without an answer; not for the whole archive


class RecordFile(NamedTuple):
    """A file of equally long records: label bytes, of which the last one counts, then the pixels."""

    name: str
    images: int
    sha1: str | None = None  # None: not known


class BinaryCifar(ImageDataset):
    """The common part of both; a subclass names the files.

    Args:
        root: folder of the .bin files, or of the archive's own folder with the files.
        download: whether to fetch the archive if a file is missing.
        mean, std: per channel of images in [0, 1]; None takes the usual ones.
    """

    url: ClassVar[str]
    md5: ClassVar[str]
    folder: ClassVar[str]
    """The archive's own."""
    names_file: ClassVar[str]
    """The archive's own list of the classes, which may be missing."""
    label_bytes: ClassVar[int]
    train_files: ClassVar[tuple[RecordFile, ...]]
    test_files: ClassVar[tuple[RecordFile, ...]]
    channels = 3
    resolution = 32

    def __init__(
        self, root: str | Path, download: bool = True, mean: tuple[float, ...] | None = None, std: tuple[float, ...] | None = None
    ) -> None:
        self.root, self.download = Path(root).expanduser(), download
        self.mean = channel_values("data.mean", self.mean if mean is None else mean, self.channels)
        self.std = channel_values("data.std", self.std if std is None else std, self.channels, positive=True)

    def read(self, split: str) -> LabelledImages:
        """Maps the files and checks them."""
        return self._read(self.train_files if split == "train" else self.test_files)

    @property
    def class_names(self) -> list[str] | None:
        """The names of the classes, if their list lies with the images."""
        paths = [path for folder in (self.root, self.root / self.folder) if (path := folder / self.names_file).is_file()]
        return paths[0].read_text(encoding="utf-8").split() if paths else None

    def _read(self, files: tuple[RecordFile, ...]) -> LabelledImages:
        folder = self._found()
        records = [_map_records(folder / file.name, file, self.label_bytes) for file in files]
        whole = records[0] if len(records) == 1 else torch.cat(records)
        labels = whole[:, self.label_bytes - 1].long()
        if files[0].sha1 is None:
            counts, expected = labels.bincount(minlength=self.classes), len(labels) // self.classes
            if (odd := (counts != expected).nonzero().flatten()).numel():
                place = f"{folder}/{files[0].name}" + (f" .. {folder}/{files[-1].name}" if len(files) > 1 else "")
                raise InputError(f"{place}: {int(counts[odd[0]])} images of class {int(odd[0])}, expected {expected} of every class")
        return LabelledImages(whole[:, self.label_bytes :].unflatten(1, (self.channels, self.resolution, self.resolution)), labels)

    def _found(self) -> Path:
        """The folder of all files, after a download if needed."""
        folders, names = (self.root, self.root / self.folder), [file.name for file in (*self.train_files, *self.test_files)]

        def complete() -> list[Path]:
            return [folder for folder in folders if all((folder / name).is_file() for name in names)]

        if not complete() and (image := next(self.root.glob("*/*.[jp][pn]g"), None)) is not None:
            raise InputError(f"data.root: {self.root} holds other images ({image.relative_to(self.root)}); data=image_folder reads them")
        tried = "and data.download is false"
        if not complete() and self.download:
            tried = f"and downloading it failed ({self._download() or 'the archive lacks it'})"
        if found := complete():
            return found[0]
        missing = next(name for name in names if not (self.root / name).is_file())
        raise InputError(
            f"data.root: {self.root} holds no {missing}, {tried}; get {self.url} (md5 {self.md5}), "
            f"unpack it anywhere and set data.root to its folder {self.folder}"
        )

    def _download(self) -> str | None:
        """Fetches and unpacks the archive, quietly; returns what went wrong, in one line."""
        from torchvision.datasets.utils import download_and_extract_archive  # imports slowly, and few need it

        # The archive unpacks to its own folder, which must not be nested if root is that folder already.
        into = self.root.parent if self.root.name == self.folder else self.root
        logger.info("downloading %s into %s", self.url, into)
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(TIMEOUT_SECONDS)
        try:
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                download_and_extract_archive(self.url, str(into), md5=self.md5, remove_finished=True)
        except (OSError, RuntimeError, EOFError, HTTPException, tarfile.TarError) as error:
            return f"{type(error).__name__}: {' '.join(str(error).split())}"
        finally:
            socket.setdefaulttimeout(before)
        return None


def _map_records(path: Path, file: RecordFile, label_bytes: int) -> Tensor:
    """(images, record bytes) uint8, mapped copy-on-write: nothing is read until used, and the file cannot change."""
    expected = file.images * (label_bytes + PIXELS)
    if (size := path.stat().st_size) != expected:
        raise InputError(f"{path}: {size} bytes, expected {expected}")
    if file.sha1 is not None:
        with path.open("rb") as opened:
            sha1 = hashlib.file_digest(opened, "sha1").hexdigest()
        if sha1 != file.sha1:
            raise InputError(f"{path}: sha1 {sha1}, expected {file.sha1}")
    return torch.from_numpy(np.memmap(path, dtype=np.uint8, mode="c", shape=(file.images, label_bytes + PIXELS)))


class Cifar100(BinaryCifar):
    """CIFAR-100 (A. Krizhevsky, 2009) with its 100 fine labels; both files must have the official sha1."""

    name = "cifar100"
    classes = 100
    mean, std = (0.5071, 0.4865, 0.4409), (0.1942, 0.1918, 0.1958)
    url, md5 = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"
    folder, names_file = "cifar-100-binary", "fine_label_names.txt"
    label_bytes = 2  # coarse, fine
    train_files = (RecordFile("train.bin", 50_000, "e207cd2e05b73b1393c74c7f5e7bea451d63e08e"),)
    test_files = (RecordFile("test.bin", 10_000, "8fb6623e830365ff53cf14adec797474f5478006"),)


class Cifar10(BinaryCifar):
    """CIFAR-10 (A. Krizhevsky, 2009).

    The official sha1 of the unpacked files is unknown. Checked are their sizes, and 5,000 training and 1,000 test images
    in every class. The five training files are joined in memory (154 MB).
    """

    name = "cifar10"
    classes = 10
    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    url, md5 = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"
    folder, names_file = "cifar-10-batches-bin", "batches.meta.txt"
    label_bytes = 1
    train_files = tuple(RecordFile(f"data_batch_{part}.bin", 10_000) for part in range(1, 6))
    test_files = (RecordFile("test_batch.bin", 10_000),)
