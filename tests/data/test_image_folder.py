"""Folders of images: what is read, how it is split and scaled, and what is refused by its file's name."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from nas_lightning.data import ImageFolder, dataset_from_header
from nas_lightning.data.check import check_dataset
from nas_lightning.errors import InputError

CLASSES = ("ant", "bee", "cow")


def picture(seed: int, size: tuple[int, int] = (20, 14), mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def filled(root: Path, each: int = 10, classes: tuple[str, ...] = CLASSES) -> Path:
    """A folder with as many pictures of every class, of several formats and sizes."""
    for label, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for number in range(each):
            suffix = (".png", ".webp", ".JPG")[number % 3]
            picture(100 * label + number, (20 + number, 14)).save(root / name / f"{number:02}{suffix}", lossless=True)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return filled(tmp_path / "images")


@pytest.fixture
def make(root: Path, tmp_path: Path) -> Callable[..., ImageFolder]:
    return lambda **arguments: ImageFolder(**{"root": root, "resolution": 8, "cache": tmp_path / "cache", **arguments})


def test_an_image_is_scaled_by_its_shorter_side_and_cut_in_the_middle(make: Callable[..., ImageFolder], root: Path):
    whole = make()
    images = [*whole.train().images, *whole.test().images]
    assert len(images) == 30
    expected = {
        np.asarray(ImageOps.fit(Image.open(path).convert("RGB"), (8, 8), Image.Resampling.BILINEAR)).transpose(2, 0, 1).tobytes()
        for path in root.rglob("*.*")
    }
    assert {image.numpy().tobytes() for image in images} == expected


def test_each_class_is_split_in_proportion_by_a_seed(make: Callable[..., ImageFolder]):
    first, again, other = make(test_share=0.3), make(test_share=0.3), make(test_share=0.3, split_seed=1)
    assert first.test().labels.bincount().tolist() == [3, 3, 3]
    assert first.train().labels.bincount().tolist() == [7, 7, 7]
    assert first.test().images.equal(again.test().images)
    assert not first.test().images.equal(other.test().images)
    seen = {image.numpy().tobytes() for image in first.train().images}
    assert not seen & {image.numpy().tobytes() for image in first.test().images}


def test_the_first_images_of_a_split_hold_all_classes(make: Callable[..., ImageFolder]):
    for split in (make(test_share=0.3).train(), make(test_share=0.3).test()):
        assert set(split.labels[:3].tolist()) == {0, 1, 2}


@pytest.mark.parametrize("evaluation", ["val", "test"])
def test_folders_of_both_splits_are_taken_as_they_are(evaluation: str, tmp_path: Path):
    filled(tmp_path / "both/train", 4)
    filled(tmp_path / f"both/{evaluation}", 3, CLASSES[:2])
    found = ImageFolder(tmp_path / "both", 8, cache=tmp_path / "cache")
    assert (len(found.train().labels), len(found.test().labels), found.class_names) == (12, 6, list(CLASSES))
    assert found.test().labels.bincount().tolist() == [3, 3]


def test_mean_and_deviation_are_those_of_the_training_pixels(make: Callable[..., ImageFolder]):
    found = make()
    pixels = found.train().images.double() / 255
    assert found.mean == pytest.approx(pixels.mean(dim=(0, 2, 3)).tolist(), abs=1e-4)
    assert found.std == pytest.approx(pixels.std(dim=(0, 2, 3), correction=0).tolist(), abs=1e-4)
    check_dataset(found)


def test_greys_have_one_channel(make: Callable[..., ImageFolder], root: Path):
    picture(7, mode="L").save(root / "ant/grey.png")
    picture(8, mode="P").save(root / "ant/palette.png")
    assert make(channels=1).train().images.shape[1:] == (1, 8, 8)
    assert make().train().images.shape[1:] == (3, 8, 8)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "1", "P"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_kind_of_pixels_that_converts_cleanly_is_converted(mode: str, channels: int, make: Callable[..., ImageFolder], root: Path):
    source = picture(5, (8, 8), mode)
    source.save(root / "ant/00.png")
    with Image.open(root / "ant/00.png") as image:
        assert image.mode == mode  # the file is of this kind
    found = make(channels=channels)
    images = {image.numpy().tobytes() for split in (found.train(), found.test()) for image in split.images}
    plain = np.asarray(source.convert("RGB" if channels == 3 else "L")).reshape(8, 8, channels)
    assert plain.transpose(2, 0, 1).tobytes() in images


def test_an_image_is_turned_as_its_camera_says(make: Callable[..., ImageFolder], tmp_path: Path):
    folder = filled(tmp_path / "turned", 2)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by a quarter
    picture(1, (8, 8)).save(folder / "ant/00.png", exif=exif)
    turned = np.rot90(np.asarray(picture(1, (8, 8))), -1).transpose(2, 0, 1)
    found = make(root=folder)
    images = [*found.train().images, *found.test().images]
    assert any(np.array_equal(image.numpy(), turned) for image in images)


def test_only_the_first_run_reads_the_images(make: Callable[..., ImageFolder], root: Path, monkeypatch: pytest.MonkeyPatch):
    first = make()
    assert len(first.train().images) > len(first.test().images)
    monkeypatch.setattr(ImageFolder, "_pixels", lambda *_: pytest.fail("an image was read again"))
    (root / "ant/00.png").touch()
    assert make().train().images.equal(first.train().images)
    assert make().test().images.equal(first.test().images)


def test_a_changed_image_is_read_again(make: Callable[..., ImageFolder], root: Path):
    before = {image.numpy().tobytes() for split in (make().train(), make().test()) for image in split.images}
    times = (root / "ant/00.png").stat()
    picture(999).save(root / "ant/00.png")
    os.utime(root / "ant/00.png", ns=(times.st_atime_ns, times.st_mtime_ns))
    after = {image.numpy().tobytes() for split in (make().train(), make().test()) for image in split.images}
    assert len(before - after) == len(after - before) == 1


def test_a_header_rebuilds_it_and_holds_the_names_of_the_classes(make: Callable[..., ImageFolder], root: Path, monkeypatch: Any):
    monkeypatch.setenv("XDG_CACHE_HOME", str(root.parent / "other"))
    found = make(test_share=0.3)
    assert found.header()["arguments"]["class_names"] == list(CLASSES)
    again = dataset_from_header(found.header(), str(root))
    assert again.train().images.equal(found.train().images)
    assert (root.parent / "other/nas_lightning").is_dir()
    (root / "bee").rename(root / "wasp")
    with pytest.raises(InputError, match=r"has the classes ant, cow, wasp, but the checkpoint ant, bee, cow"):
        dataset_from_header(found.header(), str(root))
    with pytest.raises(InputError, match=r"data\.root: not given"):
        dataset_from_header(found.header(), None)


def damaged(root: Path) -> None:
    (root / "ant/00.png").write_bytes(b"no image")


def truncated(root: Path) -> None:
    whole = (root / "bee/00.png").read_bytes()
    (root / "bee/00.png").write_bytes(whole[: len(whole) // 2])


def cut_jpeg(root: Path) -> None:
    whole = (root / "bee/02.JPG").read_bytes()
    (root / "bee/02.JPG").write_bytes(whole[: len(whole) // 2])


def transparent(root: Path) -> None:
    image = picture(1, mode="RGBA")
    image.putpixel((3, 3), (1, 2, 3, 254))
    image.save(root / "cow/00.png")


def transparent_grey(root: Path) -> None:
    picture(1, mode="L").convert("LA").save(root / "cow/00.png")
    image = Image.open(root / "cow/00.png")
    image.putpixel((0, 0), (9, 0))
    image.save(root / "cow/00.png")


def transparent_palette(root: Path) -> None:
    picture(1, mode="P").save(root / "cow/00.png", transparency=picture(1, mode="P").getpixel((0, 0)))


def for_print(root: Path) -> None:
    picture(1, mode="CMYK").save(root / "cow/02.JPG")


def wide(root: Path) -> None:
    Image.fromarray(np.full((9, 9), 40_000, dtype=np.uint16)).save(root / "cow/00.png")


def of_another_kind(root: Path) -> None:
    picture(1).save(root / "cow/00.png", format="BMP")


def foreign(root: Path) -> None:
    (root / "cow/notes.txt").write_text("hello")


def linked_out(root: Path) -> None:
    picture(1).save(root.parent / "outside.png")
    (root / "cow/link.png").symlink_to(root.parent / "outside.png")


def linked_nowhere(root: Path) -> None:
    (root / "cow/link.png").symlink_to(root / "cow/nothing.png")


def linked_folder(root: Path) -> None:
    (root / "cow/more").symlink_to(root / "bee")


def linked_class(root: Path) -> None:
    filled(root.parent / "elsewhere", 2)
    (root / "dog").symlink_to(root.parent / "elsewhere/ant")


def unreadable(root: Path) -> None:
    (root / "cow/00.png").write_bytes(b"")


def lonely(root: Path) -> None:
    for path in sorted((root / "cow").iterdir())[1:]:
        path.unlink()


def half_named(root: Path) -> None:
    (root / "train").mkdir()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (damaged, r"ant/00\.png cannot be read as an image"),
        (truncated, r"bee/00\.png cannot be read as an image"),
        (cut_jpeg, r"bee/02\.JPG cannot be read as an image"),
        (unreadable, r"cow/00\.png cannot be read as an image"),
        (transparent, r"cow/00\.png has transparent pixels; save it in plain colours"),
        (transparent_grey, r"cow/00\.png has transparent pixels"),
        (transparent_palette, r"cow/00\.png has transparent pixels"),
        (for_print, r"cow/02\.JPG has pixels of mode CMYK; save it in plain colours"),
        (linked_nowhere, r"cow/link\.png is a link to nothing"),
        (linked_folder, r"cow/more is a link to a folder, which is not followed"),
        (linked_class, r"dog/00\.png is a link out of "),
        (wide, r"cow/00\.png has pixels of mode I;16"),
        (of_another_kind, r"cow/00\.png cannot be read as an image"),
        (foreign, r"cow/notes\.txt is none of \.png, \.jpg, \.jpeg, \.webp"),
        (linked_out, r"cow/link\.png is a link out of "),
        (lonely, r"cow has 1 images; at least 2 are needed"),
        (half_named, r"has train/, but not both train/ and val/ or test/"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_cannot_be_read_is_named(spoil: Callable[[Path], None], says: str, make: Callable[..., ImageFolder], root: Path):
    spoil(root)
    with pytest.raises(InputError, match=rf"^data\.root: .*{says}") as raised:
        check_dataset(make())
    assert "\n" not in str(raised.value)


def test_a_class_without_training_images_or_only_evaluated_is_refused(tmp_path: Path):
    filled(tmp_path / "both/train", 3)
    filled(tmp_path / "both/val", 3, (*CLASSES, "dog"))
    with pytest.raises(InputError, match=r"val/dog is a class that .*train lacks"):
        ImageFolder(tmp_path / "both", 8, cache=tmp_path)
    (tmp_path / "both/train/dog").mkdir()
    with pytest.raises(InputError, match=r"train/dog holds no images"):
        ImageFolder(tmp_path / "both", 8, cache=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"root": "/nowhere"}, r"data\.root: /nowhere is not a folder"),
        ({"resolution": 2}, r"data\.resolution: 2 must be an integer from 4"),
        ({"channels": 4}, r"data\.channels: 4 must be 3"),
        ({"test_share": 1.0}, r"data\.test_share: 1\.0 must lie between"),
        ({"split_seed": -1}, r"data\.split_seed: -1"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any], says: str, make: Callable[..., ImageFolder]):
    with pytest.raises(InputError, match=says):
        make(**arguments)


@pytest.mark.slow
def test_a_folder_of_images_trains_and_ranks(root: Path, tmp_path: Path, command: Callable):
    short = [f"stages.{stage}.epochs=1" for stage in ("pretrain", "finetune", "distill_1")]
    data = ["experiment=quickstart", "data=image_folder", f"data.root={root}", f"data.cache={tmp_path}/cache"]
    small = [
        "standalone=none",
        "population.count=100",
        "loader.batch_size=8",
        "ranking.fitted_on=30",
        "ranking.count=8",
        "trainer.log_every_n_steps=1",
    ]
    done = command("train", *data, *short, *small, f"run_dir={tmp_path}/run")
    assert done.code == 0, done.err
    ranked = command(
        "rank",
        f"checkpoint={tmp_path}/run/supernet.safetensors",
        f"data.root={root}",
        f"ranking.list={tmp_path}/run/ranking/submission.json",
        "ranking.fitted_on=30",
        f"run_dir={tmp_path}/ranked",
    )
    assert ranked.code == 0, ranked.err
    assert (tmp_path / "ranked/ranking/scores.csv").read_bytes() == (tmp_path / "run/ranking/scores.csv").read_bytes()


@pytest.mark.slow
def test_a_run_is_not_resumed_on_images_that_were_split_anew(tmp_path: Path, command: Callable):
    root = filled(tmp_path / "images", 30)  # 18 test images, of which four were trained on once a picture is added
    words = ["experiment=quickstart", "data=image_folder", f"data.root={root}", f"data.cache={tmp_path}/cache"]
    words += ["standalone=none", "ranking.enabled=false"]
    words += [f"stages.{stage}.epochs=1" for stage in ("pretrain", "finetune", "distill_1")]
    words += ["loader.batch_size=8", "trainer.log_every_n_steps=1", f"run_dir={tmp_path}/run"]
    assert command("train", *words).code == 0
    assert command("train", *words).code == 0  # the images are as before
    weights = shutil.copy(tmp_path / "run/supernet.safetensors", tmp_path / "weights.safetensors")
    picture(99).save(root / CLASSES[0] / "0000-first.png")
    refused = command("train", *words)
    says = f"error: {tmp_path}/run/stages/pretrain/last.ckpt: was trained on other images than data has now"
    assert refused.code == 2
    assert refused.err.startswith(says), refused.err
    for name, given in {"checkpoint": ["rank"], "initial_checkpoint": ["train", *words[:-1]]}.items():
        refused = command(*given, f"{name}={weights}", f"data.root={root}", f"run_dir={tmp_path}/other")
        assert refused.code == 2
        assert refused.err.startswith(f"error: {name}: {weights} was trained on about 22% of what are test images"), refused.err
