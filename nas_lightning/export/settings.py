"""What an export writes, and the images that it needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from nas_lightning.config.fields import Checked, choice, number
from nas_lightning.data import ImageDataset
from nas_lightning.errors import InputError

FORMATS = ("safetensors", "pt2", "onnx")
NEEDED = ("onnx", "onnxscript", "onnxruntime")
"""Packages behind the format ``onnx``: the extra ``export``."""
CALIBRATION_IMAGES = 5000
"""Calibrates with at most N training images unless told otherwise."""


@dataclass(frozen=True, kw_only=True)
class ExportSettings(Checked, place="export"):
    """``export``: the files, and how the norms are calibrated."""

    formats: list[str] | None = None
    """Files to write, of ``[safetensors,pt2,onnx]``; None writes all."""
    calibration_images: int | None = number(None, least=2)
    """Unaugmented training images, drawn with a fixed seed, whose statistics the norms keep; None takes 5,000, or all of fewer."""
    images: int | None = number(None, least=1)
    """Measures top-1 and cross entropy on the first N test images; None takes all."""
    batch_size: int = number(250, least=2)
    """Images per pass of calibration and test, whose statistics the norms average."""
    scaling: str = choice("metadata", among=("metadata", "first_nodes"))
    """Where the ONNX file has the images' mean and std: its metadata, so that it takes scaled images, or its first nodes, so that
    it takes images in [0, 1]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.formats == []:
            raise InputError(f"formats: is empty; give one or more of {', '.join(FORMATS)}")
        for name in self.formats or ():
            if name not in FORMATS:
                raise InputError(f"formats: {name!r} is not one of {', '.join(FORMATS)}")

    @property
    def written(self) -> tuple[str, ...]:
        """The formats, in a fixed order."""
        return tuple(name for name in FORMATS if self.formats is None or name in self.formats)

    def check(self, dataset: ImageDataset) -> None:
        """Raises InputError if images or packages are missing."""
        for key, split in (("calibration_images", dataset.train()), ("images", dataset.test())):
            wanted, most = getattr(self, key), len(split.labels)
            if wanted is not None and wanted > most:
                raise InputError(f"export.{key}: {wanted:,} is more than the {most:,} images of that split of {dataset.name}")
        missing = [name for name in NEEDED if find_spec(name) is None] if "onnx" in self.written else []
        if missing:
            raise InputError(
                f"export.formats: onnx needs {', '.join(missing)}: pip install 'nas_lightning[export]', or give "
                "export.formats=[safetensors,pt2]"
            )

    def calibration_count(self, dataset: ImageDataset) -> int:
        """Training images to calibrate with."""
        count = len(dataset.train().labels)
        return min(count, CALIBRATION_IMAGES) if self.calibration_images is None else self.calibration_images


def class_names(dataset: ImageDataset) -> list[str]:
    """The data set's own ``class_names``, or the numbers of its classes."""
    names = getattr(dataset, "class_names", None)
    if isinstance(names, Sequence) and len(names) == dataset.classes and all(isinstance(name, str) for name in names):
        return list(names)
    return [str(label) for label in range(dataset.classes)]
