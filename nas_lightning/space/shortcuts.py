"""Which blocks of a candidate have a 1x1 convolution on their shortcut."""

from enum import StrEnum

import numpy as np
import numpy.typing as npt


class ShortcutRule(StrEnum):
    """When the shortcut of a residual block is a 1x1 convolution with norm, and not the identity."""

    ALWAYS = "always"
    """Every block, also where the widths agree: a finding of the 2nd-place solution."""

    WHERE_NEEDED = "where_needed"
    """The first block of each stage, and wherever input and output width differ: the official builder of single networks."""

    def applies(
        self, opens_stage: bool, in_width: npt.NDArray[np.int64] | int, out_width: npt.NDArray[np.int64] | int
    ) -> npt.NDArray[np.bool_] | np.bool_:
        """Whether a block has the convolution; widths may be numbers or arrays of one shape."""
        return np.logical_or(self is ShortcutRule.ALWAYS or opens_stage, np.not_equal(in_width, out_width))
