"""What nas-export writes: networks that agree with the supernet's slice, with norms of their own, and a card that says what was checked."""

import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch.nn import functional as F

from nas_lightning.data import Cifar100, Digits
from nas_lightning.errors import InputError
from nas_lightning.export import cut_out, write
from nas_lightning.export.calibration import calibrate, evaluate, scaled, sizes
from nas_lightning.export.checks import check_cost, compare
from nas_lightning.export.settings import ExportSettings, class_names
from nas_lightning.export.write import name_of
from nas_lightning.runs.made_from import file_hash
from nas_lightning.space import Architecture, SearchSpace, ShortcutRule
from nas_lightning.supernet import ResidualFamily, Supernet, cut
from nas_lightning.supernet.checkpoint import load_supernet
from nas_lightning.supernet.network_file import Network
from tests.export.tiny import CODE, TINY

DIGITS = Digits(8, 200)
SMALL = ("export.formats=[safetensors]", "export.images=50")


@pytest.mark.parametrize("shortcuts", ShortcutRule)
def test_the_class_file_is_the_same_network(shortcuts: ShortcutRule):
    family, rng = ResidualFamily(TINY, 10, 3, shortcuts), np.random.default_rng(0)
    equal = Architecture((8, 6, 8, 12, 12, 16, 16))  # its first block keeps the shape
    for architecture in (equal, *(TINY.sample(rng) for _ in range(5))):
        theirs = family.alone(architecture, "running", seed=1)
        for norm in (module for module in theirs.modules() if isinstance(module, torch.nn.BatchNorm2d)):
            norm.running_mean.uniform_(-1, 1)
            norm.running_var.uniform_(0.5, 2)
        network = Network(**json.loads(json.dumps(family.class_arguments(architecture))))
        network.load_state_dict(theirs.state_dict())
        images = torch.randn(3, 3, 8, 8)
        torch.testing.assert_close(network.eval()(images), theirs.eval()(images))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "codes"),
    [([], [0, 2]), (["count=2"], [0, 1, 2]), (["count=null"], [0, 1, 2, 3])],
    ids=["the best of each budget", "two of each", "all"],
)
def test_of_a_search_the_best_of_each_budget_are_exported(given: list, codes: list, checkpoint: Path, tmp_path: Path, command: Callable):
    every = [str(one) for one in TINY.sample_distinct(4, np.random.default_rng(0))]
    places = ((0, 1), (1, 2), (3, 3), (2, 1), (1, 2))  # of the budgets' candidates; one is chosen under both
    (tmp_path / "chosen.json").write_text(json.dumps([{"architecture": every[row], "place": place} for row, place in places]))
    few = ["export.formats=[safetensors]", "export.images=50", "export.calibration_images=50"]
    done = command("export", f"checkpoint={checkpoint}", f"chosen={tmp_path}/chosen.json", f"run_dir={tmp_path}/run", *few, *given)
    assert done.code == 0, done.err
    assert {path.name for path in (tmp_path / "run/export").iterdir()} == {every[row] for row in codes}
    which = {2: "exports 2 of the 4 chosen, the best of each budget; ", 3: "exports 3 of the 4 chosen, the 2 best of each budget; "}
    assert done.out.startswith(which.get(len(codes), "exports 4 candidates\n"))


def test_calibrated_norms_keep_the_mean_of_the_statistics_of_equal_batches():
    network = ResidualFamily(TINY, 10, 1).alone(TINY.largest, "running")
    told = calibrate(network, DIGITS, count=150, batch_size=60)
    order = np.random.default_rng([0, zlib.crc32(b"export calibration")]).permutation(200)[:150]
    images = DIGITS.train().images[torch.from_numpy(order)].double() / 255
    out = F.conv2d((images - DIGITS.mean[0]) / DIGITS.std[0], network.stem.conv.weight.detach().double(), padding=1)
    batches = out.split(50)
    mean = torch.stack([batch.mean((0, 2, 3)) for batch in batches]).mean(0)
    variance = torch.stack([batch.var((0, 2, 3), correction=1) for batch in batches]).mean(0)
    torch.testing.assert_close(network.stem.norm.running_mean.double(), mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network.stem.norm.running_var.double(), variance, rtol=1e-4, atol=1e-5)
    assert (told["images"], told["batches"]) == (150, 3)
    assert not network.training


def test_an_image_alone_is_answered_as_in_a_batch_only_after_calibration():
    supernet = Supernet(TINY, 10, 1).eval()
    images, network = scaled(DIGITS, DIGITS.test().images[:8]), cut(supernet, TINY.largest).eval()
    assert (network(images[:2])[0] - network(images)[0]).abs().max() > 0.1
    calibrated = ResidualFamily(TINY, 10, 1).alone(TINY.largest, "running")
    calibrated.load_state_dict(network.state_dict(), strict=False)
    calibrate(calibrated, DIGITS, 200, 100)
    torch.testing.assert_close(calibrated(images[:1]), calibrated(images)[:1], rtol=0, atol=1e-5)
    (found,) = compare({"network": (calibrated, images)}, calibrated(images).detach()).values()
    assert found["alone_from_batch"] < 1e-5
    with pytest.raises(InputError, match=r"refused, as logits of network alone from batch differ by"):
        compare({"network": (network, images)}, network(images).detach())


def test_quality_is_that_of_all_images_at_once():
    network = ResidualFamily(TINY, 10, 1).alone(TINY.largest, "running")
    calibrate(network, DIGITS, 200, 100)
    images, labels = DIGITS.test()
    logits = network(scaled(DIGITS, images[:301])).detach()
    top1, loss, count = evaluate(network, DIGITS, 301, 100)
    assert count == 301
    assert top1 == pytest.approx(float((logits.argmax(1) == labels[:301]).double().mean()))
    assert loss == pytest.approx(float(F.cross_entropy(logits, labels[:301])), rel=1e-5)


@pytest.mark.slow
def test_latencies_are_measured_with_the_threads_that_were_given(checkpoint: Path, tmp_path: Path, command: Callable):
    before = torch.get_num_threads()
    try:
        few = ["export.formats=[safetensors]", "export.images=20", "export.calibration_images=20"]
        done = command("export", f"checkpoint={checkpoint}", f"architecture={CODE}", f"run_dir={tmp_path}", "threads=3", *few)
    finally:
        torch.set_num_threads(before)
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "export" / CODE / "card.json").read_text())["latency"]["threads"] == 3


def test_the_cards_share_of_the_largest_is_not_rounded_before_it_is_shown(card: dict):
    cost = ResidualFamily(TINY, 10, 1).cost([TINY.parse(CODE).widths, TINY.largest.widths])
    assert card["cost"]["share_of_largest"]["parameters"] == cost.parameters[0] / cost.parameters[1]


def test_the_card_names_the_batches_that_were_scored(card: dict):
    assert card["settings"]["batch_size"] == 90
    assert card["test"]["before"]["norms"] == "statistics of each batch of 75"  # of 300 images, in four equal ones
    assert (sizes(180, 250), sizes(301, 100), sizes(10_000, 250)) == ("180", "75 or 76", "250")


def test_a_wrong_count_and_a_wrong_network_are_refused():
    family = ResidualFamily(TINY, 10, 1)
    network, images = family.alone(TINY.largest, "running").eval(), scaled(DIGITS, DIGITS.test().images[:4])
    assert check_cost(network, images[:1], family, TINY.largest) == {
        "parameters": sum(weights.numel() for weights in network.parameters()),
        "multiply_adds": int(family.cost([TINY.largest.widths]).multiply_adds[0]),
    }
    with pytest.raises(InputError, match=r"the network has [\d,]+ parameters, and its family counts [\d,]+"):
        check_cost(network, images[:1], family, TINY.smallest)
    expected = network(images).detach()
    with pytest.raises(InputError, match=r"logits of network.onnx from pytorch differ by 0.00\d+; at most 0.0001 is rounding"):
        compare({"network.onnx": (lambda some: network(some).detach() + 1e-3, images)}, expected)
    with pytest.raises(InputError, match="differ by nan"):
        compare({"network.onnx": (lambda some: network(some).detach() * float("nan"), images)}, expected)


def test_the_card_holds_what_was_checked(exported: Path, checkpoint: Path, card: dict):
    folder = exported / "export" / CODE
    assert {path.name for path in folder.iterdir()} == {*card["files"], "card.json", "card.md"}
    assert set(card["files"]) == {"network.safetensors", "network.py", "network.pt2", "network.onnx"}
    assert all(file_hash(folder / name) == file["sha256"] for name, file in card["files"].items())
    assert all((folder / name).stat().st_size == file["bytes"] for name, file in card["files"].items())
    assert card["made_from"] == {"checkpoint": file_hash(checkpoint)}
    differences = card["checks"]["differences"]
    assert differences.pop("cut_from_slice") < 1e-5
    assert set(differences) == {"pytorch", "network.py", "network.pt2", "network.onnx"}
    assert all(value < 1e-5 for part in differences.values() for value in part.values())
    supernet, _ = load_supernet(checkpoint)
    cost = supernet.structure.cost([TINY.parse(CODE).widths])
    assert (card["cost"]["parameters"], card["cost"]["multiply_adds"]) == (int(cost.parameters[0]), int(cost.multiply_adds[0]))
    before = evaluate(cut(supernet, TINY.parse(CODE)), DIGITS, 300, 90)
    assert (card["test"]["before"]["top1"], card["test"]["images"]) == (pytest.approx(before.top1, abs=1e-6), 300)
    assert card["test"]["after"]["cross_entropy"] != card["test"]["before"]["cross_entropy"]
    assert [one["batch"] for one in card["latency"]["onnxruntime"]] == [1, 64]
    text = (folder / "card.md").read_text()
    for part in (f"{card['cost']['multiply_adds']:,} multiply-adds", "never trained alone", "averages of 200 training images", CODE):
        assert part in text


def test_the_onnx_model_takes_any_number_of_unscaled_images_by_name(exported: Path):
    folder = exported / "export" / CODE
    session = onnxruntime.InferenceSession(folder / "network.onnx", providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    assert (taken.name, taken.shape) == ("images", ["batch", 1, 8, 8])
    header = json.loads(session.get_modelmeta().custom_metadata_map["network"])
    assert header["input"] == "images in [0, 1]"
    assert (header["architecture"], header["classes"]) == (CODE, [str(digit) for digit in range(10)])
    for count in (1, 7):
        images = DIGITS.test().images[:count].numpy().astype(np.float32) / 255
        assert session.run(["logits"], {"images": images})[0].shape == (count, 10)


def test_the_same_command_again_leaves_what_is_there(exported: Path, checkpoint: Path, command: Callable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cut_out, "write_export", lambda *_: pytest.fail("it was made again"))
    arguments = [f"checkpoint={checkpoint}", f"architecture={CODE}", f"run_dir={exported}", "export.scaling=first_nodes"]
    done = command("export", *arguments, "export.images=300", "export.batch_size=90")
    assert done.code == 0, done.err
    assert "there already" in done.out
    done = command("export", *arguments, "export.batch_size=90")
    assert (done.code, done.out) == (2, "")
    assert done.err.endswith(
        f"{exported}/export/{CODE}: holds another export: export.images was 300, is None; give another run_dir, or move it away\n"
    )


def test_a_file_that_was_changed_is_not_taken_for_whole(exported: Path, card: dict, tmp_path: Path):
    shutil.copytree(exported / "export" / CODE, tmp_path / CODE)
    settings = ExportSettings(**card["settings"])
    assert write.kept(tmp_path / CODE, settings, card["made_from"]) is not None
    (tmp_path / CODE / "network.pt2").write_bytes(b"torn")
    assert write.kept(tmp_path / CODE, settings, card["made_from"]) is None
    assert write.kept(tmp_path / "none", settings, card["made_from"]) is None


def test_what_is_refused_leaves_no_file(checkpoint: Path, tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(write, "run_class_file", lambda *_: lambda images: torch.zeros(len(images), 10))
    done = command("export", f"checkpoint={checkpoint}", f"architecture={CODE}", f"run_dir={tmp_path}/run", *SMALL)
    assert done.code == 2
    assert "refused, as logits of network.py from pytorch differ by" in done.err
    assert not (tmp_path / "run/export").exists()


def test_a_long_code_gives_a_name_that_a_file_system_takes():
    family = ResidualFamily(SearchSpace("deep", (60,), (16,), 4, 8), 10)
    first, second = family.space.largest, family.space.smallest
    assert len(name_of(family, first)) == 100
    assert name_of(family, first) != name_of(family, second)


def test_classes_have_the_names_of_their_data_set():
    assert class_names(DIGITS) == [str(digit) for digit in range(10)]
    named = Digits(8, 200)
    named.class_names = [f"digit {digit}" for digit in range(10)]
    assert class_names(named)[3] == "digit 3"


def test_cifar_has_the_names_in_the_list_next_to_its_images(tmp_path: Path):
    assert class_names(Cifar100(tmp_path))[7] == "7"
    folder = tmp_path / "cifar-100-binary"  # as the archive unpacks
    folder.mkdir()
    (folder / "fine_label_names.txt").write_text("\n".join(f"kind_{number}" for number in range(100)) + "\n")
    assert class_names(Cifar100(tmp_path))[7] == "kind_7"


def test_what_a_search_found_with_other_weights_is_not_exported_from_these(checkpoint: Path, tmp_path: Path, command: Callable):
    (tmp_path / "chosen.json").write_text(json.dumps([{"architecture": str(TINY.smallest), "place": 1}]))
    (tmp_path / "protocol.json").write_text(json.dumps({"checkpoint_sha256": "0" * 64}))
    done = command("export", f"checkpoint={checkpoint}", f"chosen={tmp_path}/chosen.json", f"run_dir={tmp_path}/run")
    says = f"error: chosen: {tmp_path}/chosen.json was found with another checkpoint than {checkpoint} is now; "
    assert (done.code, done.err) == (2, f"{says}give that one, or search again\n")
    assert not (tmp_path / "run").exists()


def test_batches_of_one_image_of_one_pixel_are_refused_in_a_line():
    family = ResidualFamily(SearchSpace("deep", (1, 1, 1, 1), (4, 4, 4, 4), 2, 8), 10, 1, ShortcutRule.ALWAYS)
    assert family.norms_single_values
    assert not ResidualFamily(TINY, 10, 1, ShortcutRule.ALWAYS).norms_single_values
    images, network = Digits(8, 20), family.alone(family.space.smallest, "running")
    with pytest.raises(InputError, match="a batch of one image, of which a norm has one value a channel; give larger ones"):
        calibrate(network, images, 3, 2)
    calibrate(network, images, 4, 2)
    with pytest.raises(InputError, match=r"^export\.batch_size, with export\.images"):
        evaluate(family.alone(family.space.smallest, "batch"), images, 1, 2)
