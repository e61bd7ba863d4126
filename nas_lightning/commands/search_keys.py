"""Every config key of ``nas-search``, with its type, unit and legal range."""

from dataclasses import dataclass
from typing import Any

from nas_lightning.commands.configs import CommandConfig
from nas_lightning.config.fields import choice, inline, number, path, word
from nas_lightning.config.schema import RootConfig
from nas_lightning.scoring.predictors import FEWEST, PREDICTORS, Predictor
from nas_lightning.scoring.score import Scorer
from nas_lightning.search.algorithms import ALGORITHMS, Algorithm
from nas_lightning.search.starts import STARTS, Start

Strings = list[str]  # SearchConfig has a key named list


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """``search``: which candidates are evaluated, by what they are chosen, and what they may cost."""

    algorithm: Algorithm = word("nsga2", among=ALGORITHMS)
    """Proposes candidates: an evolution, the start's alone, many of the start on few images first, or those of a list."""
    start: Start = word("spread", among=STARTS)
    """The first candidates: all sizes alike, each width alike, or those of a list."""
    list: str | None = path(None)
    """A file in the challenge's format, for ``start=list`` or ``algorithm=list``."""
    objective: str = choice("cross_entropy", among=("cross_entropy", "predicted", "top1"))
    """Chooses by the supernet's cross entropy, its top-1, or the cross entropy that the predictor gives."""
    costs: Strings
    """One or two of multiply_adds, parameters, latency and batch_latency, which span the front together with the objective."""
    budgets: dict[str, Any] | None = None
    """By cost a number, a share of the largest such as ``60%``, or a list of those. No candidate exceeds the largest."""
    latency_batch: int | None = number(None, least=2, most=1_000_000)
    """Images in a pass whose milliseconds are the cost ``batch_latency``; None takes 32. The cost ``latency`` is of one image."""
    evaluations: int = number(1000, least=1, most=1_000_000)
    """Candidates to evaluate; more on resume go on with the search. One on a share of the images counts as that share."""
    population: int = number(50, least=2, most=100_000)
    """Candidates of a generation, which are scored together, and that survive it; of a rung, the work in candidates on all images."""
    images: int | None = number(None, least=1)
    """Scores on the first N of the test split; None takes 500, or all if there are fewer."""
    finalists: int = number(5, least=1, most=10_000)
    """The best N under each budget are scored again on all test images, and ordered by that; by the prediction where that chose."""
    baselines: int = number(0, least=0, most=1_000_000)
    """Also evaluates N candidates of the spread and N of the uniform start, to compare the search with."""
    seed: int = number(0, least=0, most=4_294_967_295)
    """Seed of all proposals."""
    predictor: Predictor | None = word("monotone_with_capacity", among=PREDICTORS)
    """For ``objective=predicted``."""
    fitted_on: int = number(200, least=FEWEST, most=1_000_000)
    """Candidates of the start that are scored to fit the predictor on."""
    scorer: Scorer = inline()


@dataclass(frozen=True, kw_only=True)
class SearchCommandConfig(CommandConfig):
    """``nas-search``: the best candidates under budgets, found with the scores of one checkpoint."""

    checkpoint: str = path()
    """A ``last.ckpt`` or ``supernet.safetensors``."""
    data: RootConfig
    search: SearchConfig
