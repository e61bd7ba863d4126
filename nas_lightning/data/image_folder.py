"""Images of your own, in a folder for each class."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from filelock import FileLock
from PIL import Image, ImageOps, UnidentifiedImageError

from nas_lightning.data.image_dataset import ImageDataset
from nas_lightning.data.splits import LabelledImages, interleave_classes
from nas_lightning.errors import InputError, check_at_least, cut
from nas_lightning.rng import generator
from nas_lightning.runs.writing import write_atomically

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
IGNORED = ("thumbs.db", "desktop.ini")
"""Files that systems leave behind; those whose names begin with a dot are ignored, too."""
TRAIN, EVALUATION = "train", ("val", "test")
MODES = ("RGB", "L", "P", "1", "RGBA", "LA")
"""Pillow's names of the kinds of pixels that are read: colours, greys, colours by a palette, two values, and with opacity."""
READING = 1
"""Version of what is kept in the cache."""


class Labelled(NamedTuple):
    """A file and the number of its class."""

    path: Path
    label: int


class ImageFolder(ImageDataset):
    """Images in ``train/CLASS/`` and ``val/CLASS/`` (or ``test/CLASS/``), or all in ``CLASS/`` and split at random.

    Each image is scaled so that its shorter side has ``resolution`` pixels, and its centre cut out. The result is kept in
    a cache, whose name depends on what the files hold, so that only the first run reads them. Both splits mix the classes:
    their first N images hold each in proportion.

    Args:
        root: the folder.
        resolution: height and width in pixels; None is 32.
        channels: 3 for colours, 1 for greys.
        test_share: part of each class that is the test split, where there is only one folder; in (0, 1).
        split_seed: of that choice, at least 0.
        cache: folder of what is kept; None takes ``nas_lightning`` in the user's cache folder.
        class_names: of a checkpoint, which these images must have.
    """

    name: ClassVar[str] = "image_folder"

    def __init__(
        self,
        root: str | Path,
        resolution: int | None = None,
        channels: int = 3,
        test_share: float = 0.2,
        split_seed: int = 0,
        cache: str | Path | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        resolution = 32 if resolution is None else resolution
        check_at_least("data.resolution", resolution, 4, 1024)
        check_at_least("data.split_seed", split_seed, 0)
        if channels not in (1, 3):
            raise InputError(f"data.channels: {channels!r} must be 3 for colours or 1 for greys")
        if isinstance(test_share, bool) or not isinstance(test_share, int | float) or not 0 < test_share < 1:
            raise InputError(f"data.test_share: {test_share!r} must lie between 0 and 1")
        self.root, self.resolution, self.channels = Path(root).expanduser(), resolution, channels
        self.test_share, self.split_seed = test_share, split_seed
        default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "nas_lightning"
        self.cache = Path(default if cache is None else cache).expanduser()
        self.class_names, self._files = self._listed()
        self.classes = len(self.class_names)
        if class_names is not None and list(class_names) != self.class_names:
            there = ", ".join(map(str, class_names))
            raise InputError(f"data.root: {self.root} has the classes {cut(', '.join(self.class_names))}, but the checkpoint {cut(there)}")

    @property
    def how_split(self) -> str:
        """Says it of a folder without ``train/``."""
        train, test = map(len, self._files)
        if (self.root / TRAIN).is_dir():
            return ""
        taken = f"{test:,} of its {train + test:,} images, {self.test_share:.0%} of each class (data.test_share)"
        return f"{self.root} has no test/: {taken.replace('%', ' %')}, are the test split, drawn with data.split_seed={self.split_seed}"

    def read(self, split: str) -> LabelledImages:
        """The images of ``train/``, or the larger part; those of ``val/`` or ``test/``, or the smaller part."""
        return self._read(self._files[split == "test"])

    def _listed(self) -> tuple[list[str], tuple[list[Labelled], list[Labelled]]]:
        """The names of the classes, and the files of both splits."""
        if not self.root.is_dir():
            raise InputError(f"data.root: {self.root} is not a folder")
        names = [path.name for path in _folders(self.root)]
        evaluation = next((name for name in EVALUATION if name in names), None)
        if TRAIN in names and evaluation is not None:
            classes = [path.name for path in _folders(self.root / TRAIN)]
            for extra in _folders(self.root / evaluation):
                if extra.name not in classes:
                    raise InputError(f"data.root: {extra} is a class that {self.root / TRAIN} lacks")
            splits = [self._of(self.root / part, classes) for part in (TRAIN, evaluation)]
        else:
            if TRAIN in names or evaluation is not None:
                raise InputError(
                    f"data.root: {self.root} has {TRAIN if TRAIN in names else evaluation}/, but not both train/ and val/ or test/"
                )
            classes, splits = names, [[], []]
            for labelled in self._by_class(classes):
                rng = generator(self.split_seed, "image folder split", labelled[0].label)
                count = min(max(1, round(self.test_share * len(labelled))), len(labelled) - 1)
                tested = set(rng.permutation(len(labelled))[:count].tolist())
                for row, one in enumerate(labelled):
                    splits[row in tested].append(one)
        if len(classes) < 2:
            raise InputError(f"data.root: {self.root} has {len(classes)} folders of images; at least 2 are needed, one for each class")
        trained = {one.label for one in splits[0]}
        for label, name in enumerate(classes):
            if label not in trained:
                raise InputError(f"data.root: {self.root / TRAIN / name} holds no images")
        return classes, (self._mixed(splits[0]), self._mixed(splits[1]))

    def _by_class(self, classes: Sequence[str]) -> list[list[Labelled]]:
        listed = self._of(self.root, classes)
        by_class: list[list[Labelled]] = [[] for _ in classes]
        for one in listed:
            by_class[one.label].append(one)
        for name, labelled in zip(classes, by_class, strict=True):
            if len(labelled) < 2:
                raise InputError(f"data.root: {self.root / name} has {len(labelled)} images; at least 2 are needed, one for each split")
        return by_class

    def _of(self, folder: Path, classes: Sequence[str]) -> list[Labelled]:
        """The files below the folders of the classes, in the order of their names."""
        within, listed = self.root.resolve(), []
        for label, name in enumerate(classes):
            for path in sorted((folder / name).rglob("*")):
                if path.is_symlink() and path.is_dir():
                    raise InputError(f"data.root: {path} is a link to a folder, which is not followed; put the images themselves here")
                if path.is_dir() or path.name.startswith(".") or path.name.lower() in IGNORED:
                    continue
                if path.suffix.lower() not in SUFFIXES:
                    raise InputError(f"data.root: {path} is none of {', '.join(SUFFIXES)}")
                if not path.resolve().is_relative_to(within):
                    raise InputError(f"data.root: {path} is a link out of {self.root}")
                if not path.exists():
                    raise InputError(f"data.root: {path} is a link to nothing")
                listed.append(Labelled(path, label))
        if not listed:
            raise InputError(f"data.root: {folder} holds no images in folders of classes")
        return listed

    def _mixed(self, listed: list[Labelled]) -> list[Labelled]:
        order = interleave_classes(np.array([one.label for one in listed]), generator(self.split_seed, "image folder order"))
        return [listed[row] for row in order]

    def _read(self, listed: list[Labelled]) -> LabelledImages:
        path = self.cache / f"{self._key(listed)}.npy"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock"):  # several processes of a run need the same
                if not path.is_file():
                    write_atomically(path, lambda temporary: self._write(temporary, listed))
        images = np.load(path, mmap_mode="c")
        return LabelledImages(torch.from_numpy(images), torch.tensor([one.label for one in listed]))

    def _key(self, listed: list[Labelled]) -> str:
        """What the images depend on: version, size, and each file's bytes in order."""
        digest = hashlib.sha256(f"{READING} {self.resolution} {self.channels}".encode())
        for one in listed:
            with one.path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def _write(self, path: Path, listed: list[Labelled]) -> None:
        shape = (len(listed), self.channels, self.resolution, self.resolution)
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for one in listed:
                file.write(self._pixels(one.path).tobytes())

    def _pixels(self, path: Path) -> np.ndarray:
        """(channels, resolution, resolution) uint8."""
        try:
            with Image.open(path, formats=("PNG", "JPEG", "WEBP")) as image:
                image.load()
                if image.mode not in MODES or not _is_opaque(image):
                    kind = "transparent pixels" if image.mode in MODES else f"pixels of mode {image.mode}"
                    raise InputError(f"data.root: {path} has {kind}; save it in plain colours (RGB) or greys (L)")
                plain = ImageOps.exif_transpose(image).convert("RGB" if self.channels == 3 else "L")
        except InputError:
            raise
        except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise InputError(f"data.root: {path} cannot be read as an image ({' '.join(str(error).split())[:200]})") from None
        fitted = np.asarray(ImageOps.fit(plain, (self.resolution, self.resolution), Image.Resampling.BILINEAR))
        return fitted.reshape(self.resolution, self.resolution, self.channels).transpose(2, 0, 1)


def _is_opaque(image: Image.Image) -> bool:
    has_opacity = "transparency" in image.info or image.mode in ("RGBA", "LA")
    return not has_opacity or image.convert("RGBA").getchannel("A").getextrema() == (255, 255)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
