"""``nas-rank`` on the run of ``experiment=micro``."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from scipy.stats import kendalltau

from nas_lightning import agreement
from nas_lightning.data import Digits, evaluation_images
from nas_lightning.data.check import describe
from nas_lightning.space import Population, SearchSpace
from nas_lightning.supernet import Supernet, cut
from nas_lightning.supernet.checkpoint import load_supernet, make_header, read_header, save_supernet


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def protocol(micro: Path) -> list[str]:
    """Arguments of the run's own ranking."""
    return [f"ranking.list={micro}/ranking/submission.json", "ranking.images=300", "ranking.fitted_on=30"]


def test_a_runs_scores_are_those_of_its_cut_out_networks(micro: Path):
    supernet, header = load_supernet(micro / "supernet.safetensors")
    images, labels = evaluation_images(Digits(**header["data"]["arguments"]), 300)
    for row in rows(micro / "ranking/scores.csv")[::6]:
        network = cut(supernet, supernet.space.parse(row["architecture"])).eval()
        with torch.no_grad():
            logits = network(images)
        assert float(row["top1"]) == pytest.approx(float((logits.argmax(1) == labels).double().mean()))
        assert float(row["cross_entropy"]) == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)), rel=1e-5)
    submission = json.loads((micro / "ranking/submission.json").read_text())
    assert [one["acc"] for one in submission.values()] == [-float(row["predicted"]) for row in rows(micro / "ranking/scores.csv")]
    assert list(submission) == [f"arch{number}" for number in range(1, 25)]


def test_the_agreement_of_a_run_is_with_its_own_truth(micro: Path):
    truth = json.loads((micro / "standalone/known_accuracies.json").read_text())
    known = {one["arch"]: one["acc"] for one in truth.values()}
    table = {row["architecture"]: row for row in rows(micro / "ranking/scores.csv")}
    written = json.loads((micro / "ranking/agreement.json").read_text())
    expected = agreement.kendall_tau([-float(table[code]["cross_entropy"]) for code in known], list(known.values()))
    assert written["n"] == 6
    assert written["scores"]["negative cross entropy"]["kendall"]["value"] == pytest.approx(expected)
    assert set(written["baselines"]) == {"parameters", "multiply-adds", "last width", "sum of widths", "size and last width"}


def test_known_accuracies_are_written_under_the_lists_names(micro: Path):
    listed = {one["arch"]: name for name, one in json.loads((micro / "ranking/submission.json").read_text()).items()}
    truth = json.loads((micro / "standalone/known_accuracies.json").read_text())
    accuracies: dict[str, list[float]] = {}
    for row in rows(micro / "standalone/accuracies.csv"):
        accuracies.setdefault(row["architecture"], []).append(float(row["accuracy"]))
    written = json.loads((micro / "ranking/known_accuracies.json").read_text())
    assert {name: one["arch"] for name, one in written.items()} == {listed[one["arch"]]: one["arch"] for one in truth.values()}
    for one in written.values():
        assert one["acc"] == pytest.approx(sum(accuracies[one["arch"]]) / len(accuracies[one["arch"]]))


def test_halves_of_the_images_are_compared_as_scipy_does(micro: Path):
    listed = {row["architecture"] for row in rows(micro / "ranking/scores.csv")}
    parts = [row for part in (micro / "ranking/parts").iterdir() for row in rows(part) if row["architecture"] in listed]
    even, odd = ([float(row[f"cross_entropy_{half}"]) for row in parts] for half in ("even", "odd"))
    means = [(one + other) / 2 for one, other in zip(even, odd, strict=True)]
    assert means == pytest.approx([float(row["cross_entropy"]) for row in parts])
    written = json.loads((micro / "ranking/halves.json").read_text())
    assert written == {"kendall": pytest.approx(kendalltau(even, odd).statistic), "candidates": 24}


def test_truth_of_several_seeds_limits_the_agreement(micro: Path):
    seeds = {row["seed"] for row in rows(micro / "standalone/accuracies.csv")}
    written = json.loads((micro / "ranking/agreement.json").read_text())["ceiling"]
    assert written is None if len(seeds) == 1 else written["seeds"] == len(seeds)


def test_the_terminal_says_whether_the_score_beats_the_best_baseline(micro: Path, protocol: list[str], tmp_path: Path, command: Callable):
    known = f"ranking.known_accuracies={micro}/standalone/known_accuracies.json"
    done = command("rank", f"checkpoint={micro}/supernet.safetensors", *protocol, known, "ranking.resamples=50", f"run_dir={tmp_path}")
    assert done.code == 0, done.err
    assert re.search(
        r"\npredicted (beats|may\sor\smay\snot\sbeat|is\sbeaten\sby)\sthe\sbest\sbaseline,\s[\w\s-]+,\sin\sKendall:\sit\swins", done.out
    )
    shown = [line.split("  ")[0] for line in done.out.splitlines()]
    assert {"top-1", "negative cross entropy", "predicted", "parameters", "size and last width"} <= set(shown)
    text = [line for line in done.out.split("next, ")[0].splitlines()[1:] if not line.startswith(str(micro))]  # paths are not broken
    assert max(map(len, text)) <= 80
    assert json.loads((tmp_path / "ranking/agreement.json").read_text())["ceiling"] is None  # its own truth is another's


@pytest.mark.parametrize("file", ["supernet.safetensors", "stages/distill_1/last.ckpt"])
def test_a_ranking_from_a_file_of_the_run_has_the_scores_of_the_run(
    file: str, micro: Path, protocol: list[str], tmp_path: Path, command: Callable
):
    known = f"ranking.known_accuracies={micro}/standalone/known_accuracies.json"
    done = command("rank", f"checkpoint={micro / file}", *protocol, known, "ranking.resamples=100", f"run_dir={tmp_path}/run")
    assert done.code == 0, done.err
    for name in ("scores.csv", "submission.json"):
        assert (tmp_path / "run/ranking" / name).read_text() == (micro / "ranking" / name).read_text()
    ours, theirs = (json.loads((folder / "ranking/agreement.json").read_text()) for folder in (tmp_path / "run", micro))
    assert ours["scores"]["top-1"]["kendall"]["value"] == pytest.approx(theirs["scores"]["top-1"]["kendall"]["value"])


@pytest.mark.slow
def test_several_checkpoints_are_ranked_each_and_compared_with_the_last(
    micro: Path, protocol: list[str], tmp_path: Path, command: Callable
):
    done = command("rank", f"checkpoint={micro}/stages/pretrain/epoch_*.ckpt", *protocol, f"run_dir={tmp_path}/many")
    assert done.code == 0, done.err
    alone = command("rank", f"checkpoint={micro}/stages/pretrain/last.ckpt", *protocol, f"run_dir={tmp_path}/last")
    assert alone.code == 0, alone.err
    first, second = (rows(tmp_path / f"many/ranking/pretrain_epoch_{epoch}/scores.csv") for epoch in (1, 2))
    assert second == rows(tmp_path / "last/ranking/scores.csv")
    assert first != second
    compared = json.loads((tmp_path / "many/ranking/by_checkpoint.json").read_text())
    assert [row["checkpoint"] for row in compared] == ["pretrain_epoch_1", "pretrain_epoch_2"]
    losses = [[-float(row["predicted"]) for row in table] for table in (first, second)]
    assert [row["kendall with the last"] for row in compared] == pytest.approx([agreement.kendall_tau(*losses), 1])


def test_checkpoints_that_would_draw_different_candidates_are_refused_before_anything_is_ranked(tmp_path: Path, command: Callable):
    for name, step in (("a", 4), ("b", 2)):
        supernet = Supernet(SearchSpace("some", (1, 1), (8, 8), step, 8), 10, 1)
        (tmp_path / name).mkdir()
        save_supernet(tmp_path / name / "supernet.safetensors", supernet, make_header(supernet, describe(Digits(8, 200))))
    done = command("rank", f"checkpoint={tmp_path}/*/supernet.safetensors", "ranking=cross_entropy", f"run_dir={tmp_path}/run")
    first, second = (tmp_path / name / "supernet.safetensors" for name in ("a", "b"))
    says = f"error: checkpoint: {first} and {second} are of different spaces, which draw different candidates; give ranking.list=FILE"
    assert (done.code, done.err) == (2, f"{says} with candidates of both\n")
    assert not (tmp_path / "run").exists()


def test_several_checkpoints_can_rank_a_single_candidate(micro: Path, protocol: list[str], tmp_path: Path, command: Callable):
    arguments = [f"checkpoint={micro}/stages/pretrain/epoch_*.ckpt", *protocol, "ranking.count=1", f"run_dir={tmp_path}/run"]
    done = command("rank", *arguments)
    assert done.code == 0 or done.err.count("\n") == 1


def test_scores_by_cross_entropy_fill_the_submission_with_its_negative(micro: Path, protocol: list[str], tmp_path: Path, command: Callable):
    more = ["ranking.score=cross_entropy", "ranking.count=5", "ranking.seed=3", f"run_dir={tmp_path}/run"]
    assert command("rank", f"checkpoint={micro}/supernet.safetensors", *protocol, *more).code == 0
    whole = {row["name"]: -float(row["cross_entropy"]) for row in rows(micro / "ranking/scores.csv")}
    submission = json.loads((tmp_path / "run/ranking/submission.json").read_text())
    assert len(submission) == 5
    assert {name: one["acc"] for name, one in submission.items()} == {name: whole[name] for name in submission}


@pytest.fixture
def ranked(micro: Path, protocol: list[str], tmp_path: Path, command: Callable) -> Path:
    """A ranking of its own of five candidates, to be changed."""
    arguments = [f"checkpoint={micro}/supernet.safetensors", *protocol, "ranking.count=5", f"run_dir={tmp_path}/ranked"]
    assert command("rank", *arguments).code == 0
    return tmp_path / "ranked"


def test_another_protocol_in_the_folder_is_refused_with_both_values(ranked: Path, micro: Path, protocol: list[str], command: Callable):
    before = (ranked / "ranking/scores.csv").read_bytes()
    arguments = [f"checkpoint={micro}/supernet.safetensors", *protocol, "ranking.count=5", f"run_dir={ranked}"]
    for argument, holds in (
        ("ranking.batch_size=100", "batch_size is 300, but this ranking has 100"),
        ("trainer.precision=64-true", "trainer.precision was None, is '64-true'"),
    ):
        done = command("rank", *arguments, argument)
        assert done.code == 2, f"{argument} was taken for the same protocol"
        assert holds in done.err
    assert (ranked / "ranking/scores.csv").read_bytes() == before


@pytest.mark.filterwarnings("ignore:You passed.*fp16 is not supported on CPU")
@pytest.mark.filterwarnings("ignore:.*is supported for historical reasons")
@pytest.mark.parametrize(("precision", "ran"), [("16-mixed", "bf16-mixed"), ("bf16", "bf16-mixed"), ("32", "32-true"), ("64", "64-true")])
def test_the_protocol_names_the_precision_that_ran(
    precision: str, ran: str, micro: Path, protocol: list[str], tmp_path: Path, command: Callable
):
    arguments = [f"checkpoint={micro}/supernet.safetensors", *protocol, "ranking.count=3", f"run_dir={tmp_path}"]
    done = command("rank", *arguments, f"trainer.precision={precision}")
    assert done.code == 0, done.err
    assert _read(tmp_path / "ranking/protocol.json")["dtype"] == ran


def test_the_batch_size_is_part_of_what_a_score_means(ranked: Path, micro: Path, protocol: list[str], tmp_path: Path, command: Callable):
    more = ["ranking.count=5", "ranking.batch_size=100", f"run_dir={tmp_path}/other"]
    assert command("rank", f"checkpoint={micro}/supernet.safetensors", *protocol, *more).code == 0
    one, other = (rows(folder / "ranking/scores.csv") for folder in (ranked, tmp_path / "other"))
    assert [row["architecture"] for row in one] == [row["architecture"] for row in other]
    assert not any(first["cross_entropy"] == second["cross_entropy"] for first, second in zip(one, other, strict=True))


def test_callbacks_of_the_trainer_config_are_made(ranked: Path, micro: Path, protocol: list[str], command: Callable):
    callback = "trainer.callbacks=[{_target_: pytorch_lightning.callbacks.Timer}]"
    shutil.rmtree(ranked)
    arguments = [f"checkpoint={micro}/supernet.safetensors", *protocol, "ranking.count=5", f"run_dir={ranked}"]
    done = command("rank", *arguments, callback)
    assert done.code == 0, done.err


def test_known_accuracies_in_percent_are_compared_with(ranked: Path, micro: Path, protocol: list[str], tmp_path: Path, command: Callable):
    known = json.loads((ranked / "ranking/submission.json").read_text())
    accs = [float(round(30 + 10 * row, 2)) for row in range(len(known))]
    (tmp_path / "known.json").write_text(
        json.dumps({name: {**row, "acc": acc} for (name, row), acc in zip(known.items(), accs, strict=True)})
    )
    arguments = [f"checkpoint={micro}/supernet.safetensors", *protocol, "ranking.count=5", f"run_dir={ranked}"]
    done = command("rank", *arguments, f"ranking.known_accuracies={tmp_path}/known.json")
    assert done.code == 0, done.err
    assert done.err.count(f"{tmp_path}/known.json: its accuracies, 30 to 70, are taken as percent") == 1
    kept = json.loads((ranked / "ranking/known_accuracies.json").read_text())
    assert [row["acc"] for row in kept.values()] == pytest.approx([acc / 100 for acc in accs])


def test_a_ranking_without_a_list_draws_one_and_writes_it(micro: Path, tmp_path: Path, command: Callable):
    arguments = [f"checkpoint={micro}/supernet.safetensors", "ranking.images=50", "ranking.fitted_on=30", "ranking.count=12"]
    done = command("rank", *arguments, f"run_dir={tmp_path}/drawn")
    assert done.code == 0, done.err
    path = tmp_path / "drawn/ranking/list.json"
    assert f"no ranking.list: 12 candidates of the space drawn with ranking.seed=0, written to {path}\n" in done.out
    space = SearchSpace(**load_supernet(micro / "supernet.safetensors")[1]["supernet"]["space"])
    assert json.loads(path.read_text()) == json.loads(Population.draw(space, 12, 0).as_json())
    assert command("rank", *arguments[:-1], f"ranking.list={path}", f"run_dir={tmp_path}/given").code == 0
    tables = [(tmp_path / run / "ranking/scores.csv").read_bytes() for run in ("drawn", "given")]
    assert tables[0] == tables[1]
    assert not (tmp_path / "given/ranking/list.json").exists()


def mistakes(micro: Path, folder: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Arguments beside the checkpoint, and what the line must hold."""
    good = f"ranking.list={micro}/ranking/submission.json"
    submission = json.loads((micro / "ranking/submission.json").read_text())
    two = dict(list(submission.items())[:2])
    (folder / "two.json").write_text(json.dumps({name: {**one, "acc": 0.5} for name, one in two.items()}))
    (folder / "other_space.json").write_text(
        json.dumps({"a": {"acc": 0, "arch": "16-4-12-16-8-16-16-24-12-8-16-4-32-52-52-52-20-40-8-44"}})
    )
    (folder / "torn.json").write_text('{"a": {"acc": 0')
    return {
        "count above the space's": (["ranking.count=99999999"], ["cannot draw 99999999", "resnet_tiny has"]),
        "no such list": ([f"ranking.list={folder}/nowhere.json"], ["nowhere.json"]),
        "torn list": ([f"ranking.list={folder}/torn.json"], ["torn.json", "not JSON"]),
        "list of another space": ([f"ranking.list={folder}/other_space.json"], ["other_space.json", "20 entries", "resnet_tiny takes 7"]),
        "images too many": ([good, "ranking.images=1598"], ["ranking.images: 1598", "1597"]),
        "count too many": ([good, "ranking.count=25"], ["25", "24"]),
        "two known accuracies": ([good, f"ranking.known_accuracies={folder}/two.json"], ["two.json", "2 of the 24", "at least 3"]),
        "unknown plugin": ([good, "plugins=[no_such_plugin]"], ["no_such_plugin"]),
        "budget of nothing": ([good, "ranking.budgets=[0]", "ranking.images=50", "ranking.count=3"], ["ranking.budgets"]),
    }


MISTAKES = (
    "count above the space's",
    "no such list",
    "torn list",
    "list of another space",
    "images too many",
    "count too many",
    "two known accuracies",
    "unknown plugin",
    "budget of nothing",
)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_of_a_ranking_ends_in_one_line_and_scores_nothing(mistake: str, micro: Path, tmp_path: Path, command: Callable):
    arguments, holds = mistakes(micro, tmp_path)[mistake]
    done = command("rank", f"checkpoint={micro}/supernet.safetensors", *arguments, f"run_dir={tmp_path}/run")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert all(part in done.err for part in holds), done.err
    assert not (tmp_path / "run/ranking/parts").exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_checkpoint_that_is_none_is_refused(content: bytes | None, micro: Path, protocol: list[str], tmp_path: Path, command: Callable):
    for name in ("last.ckpt", "supernet.safetensors"):
        whole = (micro / ("stages/distill_1/last.ckpt" if name == "last.ckpt" else name)).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2] if content is None else content)
        done = command("rank", f"checkpoint={tmp_path}/{name}", *protocol, f"run_dir={tmp_path}/run")
        assert (done.code, done.err.count("\n")) == (2, 1), done.err
        assert name in done.err


def test_the_truth_of_the_run_is_a_list_in_the_challenges_format(micro: Path):
    space = load_supernet(micro / "supernet.safetensors")[0].space
    assert len(Population.read(micro / "standalone/known_accuracies.json", space)) == 6


def test_checkpoints_of_several_stages_are_compared_with_the_last_stage(
    micro: Path, protocol: list[str], tmp_path: Path, command: Callable
):
    done = command("rank", f"checkpoint={micro}/stages/*/last.ckpt", *protocol, "ranking.count=5", f"run_dir={tmp_path}")
    assert done.code == 0, done.err
    table = json.loads((tmp_path / "ranking/by_checkpoint.json").read_text())
    assert [row["checkpoint"] for row in table] == ["pretrain_last", "finetune_last", "distill_1_last"]
    assert table[-1]["kendall with the last"] == pytest.approx(1)


OWN_DATA = """
import torch
from nas_lightning.data import ImageDataset, LabelledImages

class Stripes(ImageDataset):
    name = "stripes"
    classes, channels, mean, std = 4, 3, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)
    def __init__(self, resolution, train_images):
        self.resolution, self.train_images = resolution, train_images
    def read(self, split):
        count = self.train_images if split == "train" else 60
        labels = torch.arange(count) % 4
        lines = (torch.arange(self.resolution) % 4 == labels[:, None]).to(torch.uint8) * 200
        return LabelledImages(lines[:, None, None, :].expand(-1, 3, self.resolution, -1).contiguous(), labels)
"""


@pytest.mark.slow
def test_a_data_set_of_ones_own_trains_and_ranks(tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "stripes_plugin.py").write_text(OWN_DATA)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_conf/data").mkdir(parents=True)
    node = "_target_: stripes_plugin.Stripes\nresolution: ${space.resolution}\ntrain_images: 200\n"
    (tmp_path / "my_conf/data/mine.yaml").write_text(node)
    arguments = ["--config-dir", f"{tmp_path}/my_conf", "experiment=micro", "data=mine", "plugins=[stripes_plugin]", "standalone=none"]
    trained = command("train", *arguments, "ranking.images=60", f"run_dir={tmp_path}/run")
    assert trained.code == 0, trained.err
    lists = [
        f"ranking.list={tmp_path}/run/ranking/submission.json",
        "ranking.images=60",
        "ranking.fitted_on=30",
        "plugins=[stripes_plugin]",
    ]
    ranked = command("rank", f"checkpoint={tmp_path}/run/supernet.safetensors", *lists, f"run_dir={tmp_path}/ranked")
    assert ranked.code == 0, ranked.err
    assert (tmp_path / "ranked/ranking/scores.csv").read_bytes() == (tmp_path / "run/ranking/scores.csv").read_bytes()


def test_a_predictor_adds_a_column_and_a_row_and_changes_no_score(micro: Path, protocol: list[str], tmp_path: Path, command: Callable):
    known = f"ranking.known_accuracies={micro}/standalone/known_accuracies.json"
    predictor = ("ranking.predictor=monotone_with_capacity", "ranking.fitted_on=60")
    done = command("rank", f"checkpoint={micro}/supernet.safetensors", *protocol, *predictor, known, f"run_dir={tmp_path}/1")
    assert done.code == 0, done.err
    plain, found = rows(micro / "ranking/scores.csv"), rows(tmp_path / "1/ranking/scores.csv")
    assert [float(row.pop("predicted")) for row in plain] != [-one["acc"] for one in _read(tmp_path / "1/ranking/submission.json").values()]
    assert [float(row.pop("predicted")) for row in found] == [-one["acc"] for one in _read(tmp_path / "1/ranking/submission.json").values()]
    assert found == plain
    agreed = _read(tmp_path / "1/ranking/agreement.json")
    assert list(agreed["scores"]) == ["top-1", "negative cross entropy", "predicted"]
    parts = [row for path in (tmp_path / "1/ranking/parts").glob("*.csv") for row in rows(path)]
    assert len(parts) == 60  # the list's 24 candidates, and 36 that it is fitted on beside them
    assert _read(tmp_path / "1/ranking/protocol.json")["predictor"] == "monotone_with_capacity"
    kept = _read(tmp_path / "1/ranking/predictor.json")
    assert (kept["predictor"], kept["scored"], len(kept["effects"])) == ("monotone_with_capacity", 60, 7)


@pytest.mark.slow
def test_a_long_list_is_predicted_from_some_of_its_candidates(micro: Path, tmp_path: Path, command: Callable):
    drawn = Population.draw(SearchSpace(**read_header(micro / "supernet.safetensors")["supernet"]["space"]), 500, 3)
    drawn.write(tmp_path / "list.json", (0.0 for _ in drawn))
    known = Population(drawn.space, drawn.candidates[:40])
    known.write(tmp_path / "known.json", (0.5 + row / 100 for row in range(40)))
    start = ("rank", f"checkpoint={micro}/supernet.safetensors", f"ranking.list={tmp_path}/list.json", "ranking.images=60")
    several = ("ranking=predicted", "ranking.scored=50", "ranking.fitted_on=30", f"ranking.known_accuracies={tmp_path}/known.json")
    done = command(*start, *several, "ranking.images=60", f"run_dir={tmp_path}/1")
    assert done.code == 0, done.err
    table = rows(tmp_path / "1/ranking/scores.csv")
    assert len(table) == 500
    scored = [row for row in table if row["cross_entropy"]]
    assert len(scored) == 50
    assert all(row["top1"] == row["top5"] == "" for row in table if row not in scored)
    assert list(_read(tmp_path / "1/ranking/agreement.json")["scores"]) == ["predicted"]
    assert _read(tmp_path / "1/ranking/agreement.json")["n"] == 40
    assert command("report", f"run_dir={tmp_path}/1").code == 0
    assert "nan" not in (tmp_path / "1/report.md").read_text()
    best = min(table, key=lambda row: float(row["predicted"]))["name"]
    assert re.search(rf"^{best} ", done.out, re.MULTILINE)
    whole = command(*start, "ranking.fitted_on=30", f"run_dir={tmp_path}/2")  # the scores of these 50 are the same in the whole list's
    assert whole.code == 0, whole.err
    by_name = {row["name"]: row for row in rows(tmp_path / "2/ranking/scores.csv")}
    assert all(float(row["cross_entropy"]) == pytest.approx(float(by_name[row["name"]]["cross_entropy"]), rel=1e-5) for row in scored)
    for more, says in (
        ("ranking.score=cross_entropy", "ranking.score: cross_entropy cannot order a list of which only"),
        ("ranking.predictor=none", "ranking.score: predicted needs a ranking.predictor"),
    ):
        refused = command(*start, "ranking.scored=50", more, f"run_dir={tmp_path}/3")
        assert refused.code == 2
        assert says in refused.err


def test_keys_that_are_gone_name_their_successors(micro: Path, tmp_path: Path, command: Callable):
    for key, says in (("smoothing", "ranking.predictor"), ("smoothing_candidates", "ranking.fitted_on")):
        arguments = (f"checkpoint={micro}/supernet.safetensors", f"ranking.list={micro}/ranking/submission.json", f"run_dir={tmp_path}")
        refused = command("rank", *arguments, f"+ranking.{key}=1")
        assert (refused.code, says in refused.err) == (2, True), refused.err


def _read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))
