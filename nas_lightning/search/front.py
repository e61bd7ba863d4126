"""The front of a search: candidates that no other beats in loss and all costs, and the volume that they dominate."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nas_lightning.errors import InputError
from nas_lightning.search.problem import Floats


def check_installed() -> None:
    """Raises InputError if moocore is missing."""
    try:
        import moocore  # noqa: F401
    except ImportError as error:
        raise InputError(f'nas-search needs moocore ({error}); pip install "nas_lightning[search]"') from None


def nondominated(values: Floats) -> npt.NDArray[np.int64]:
    """Rows of (n, m) values, lower is better, that no other row beats or equals in all; of equal rows the first."""
    from moocore import is_nondominated

    return np.flatnonzero(is_nondominated(values)) if len(values) else np.array([], dtype=np.int64)


def hypervolumes(values: Floats, reference: Sequence[float], counts: Sequence[int]) -> list[float]:
    """The share of the box from 0 to ``reference`` that the first n values dominate, for each n of ``counts``."""
    from moocore import hypervolume

    scaled = values / np.asarray(reference, dtype=np.float64)
    return [float(hypervolume(scaled[:count], ref=np.ones(scaled.shape[1]))) for count in counts]
