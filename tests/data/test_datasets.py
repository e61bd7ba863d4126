"""Datasets read exactly what was written, refuse what is wrong in one line, and rebuild from their headers."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nas_lightning.data import (
    Cifar10,
    Cifar100,
    Digits,
    ImageDataset,
    LabelledImages,
    dataset_from_header,
    evaluation_images,
    fingerprint,
    known_datasets,
)
from nas_lightning.data.cifar import RecordFile
from nas_lightning.errors import InputError

SHARED = Path(__file__).parents[3] / "shared" / "data" / "cifar-100-binary"


def write_records(path: Path, labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Writes a record per row of label bytes and returns the pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 3072), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.concatenate([labels.astype(np.uint8), pixels], axis=1).tofile(path)
    return pixels


def sha1(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


@pytest.fixture
def small100(tmp_path: Path) -> tuple[type[Cifar100], np.ndarray, np.ndarray]:
    """A Cifar100 of 6 + 4 images, whose folder is tmp_path, with its training labels (coarse, fine) and pixels."""
    labels = np.array([[1, 99], [0, 0], [19, 50], [3, 7], [4, 8], [5, 9]])
    pixels = write_records(tmp_path / "train.bin", labels)
    write_records(tmp_path / "test.bin", labels[:4], seed=1)

    class Small(Cifar100):
        train_files = (RecordFile("train.bin", 6, sha1(tmp_path / "train.bin")),)
        test_files = (RecordFile("test.bin", 4, sha1(tmp_path / "test.bin")),)

    return Small, labels, pixels


def small10(folder: Path, train_labels: list[int], test_labels: list[int]) -> Cifar10:
    """A Cifar10 of two training files and a test file with these labels."""
    half = len(train_labels) // 2
    for name, labels in (("one.bin", train_labels[:half]), ("two.bin", train_labels[half:]), ("test.bin", test_labels)):
        write_records(folder / name, np.array(labels)[:, None], seed=len(name))

    class Small(Cifar10):
        train_files = (RecordFile("one.bin", half), RecordFile("two.bin", len(train_labels) - half))
        test_files = (RecordFile("test.bin", len(test_labels)),)

    return Small(folder, download=False)


def test_cifar100_returns_exactly_the_bytes_written_and_the_fine_labels(small100: Any, tmp_path: Path) -> None:
    dataset, labels, pixels = small100[0](tmp_path, download=False), *small100[1:]
    train = dataset.train()
    assert train.images.dtype == torch.uint8
    assert train.labels.dtype == torch.int64
    assert np.array_equal(train.images.numpy(), pixels.reshape(-1, 3, 32, 32))
    assert train.labels.tolist() == labels[:, 1].tolist()
    assert train is dataset.train()
    assert len(dataset.test().labels) == 4


def test_a_mapped_file_is_not_copied_and_never_written(small100: Any, tmp_path: Path) -> None:
    before = sha1(tmp_path / "train.bin")
    images = small100[0](tmp_path, download=False).train().images
    assert images.stride() == (3074, 1024, 32, 1)
    images.fill_(7)
    assert sha1(tmp_path / "train.bin") == before


def test_files_are_found_in_the_folder_that_the_archive_unpacks_to(small100: Any, tmp_path: Path) -> None:
    inner = tmp_path / "cifar-100-binary"
    inner.mkdir()
    for name in ("train.bin", "test.bin"):
        (tmp_path / name).rename(inner / name)
    assert len(small100[0](str(tmp_path), download=False).train().labels) == 6


def test_a_file_with_another_sha1_is_refused(small100: Any, tmp_path: Path) -> None:
    content = bytearray((tmp_path / "test.bin").read_bytes())
    expected, content[100] = sha1(tmp_path / "test.bin"), content[100] ^ 1
    (tmp_path / "test.bin").write_bytes(content)
    with pytest.raises(InputError) as refused:
        small100[0](tmp_path, download=False).test()
    assert str(refused.value) == f"{tmp_path}/test.bin: sha1 {sha1(tmp_path / 'test.bin')}, expected {expected}"


def test_a_cut_off_file_is_refused(small100: Any, tmp_path: Path) -> None:
    (tmp_path / "train.bin").write_bytes((tmp_path / "train.bin").read_bytes()[:-1])
    with pytest.raises(InputError, match=r"train\.bin: 18443 bytes, expected 18444"):
        small100[0](tmp_path, download=False).train()


def test_a_missing_file_is_told_in_one_line_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "train.bin").touch()
    with pytest.raises(InputError) as refused:
        Cifar100(tmp_path, download=False).train()
    message = str(refused.value)
    assert "\n" not in message
    for part in (f"data.root: {tmp_path} holds no test.bin", "data.download is false", "cifar-100-binary.tar.gz"):
        assert part in message


def test_nothing_is_downloaded_into_a_folder_of_other_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats/1.png").touch()
    monkeypatch.setattr(Cifar100, "_download", None)
    with pytest.raises(InputError, match=r"^data\.root: .* holds other images \(cats/1\.png\); data=image_folder reads them$"):
        Cifar100(tmp_path).train()


def test_a_failed_download_is_told_in_one_line_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_network(*_: object, **__: object) -> None:
        print("Downloading ...")
        raise OSError("no route\nto host")

    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", no_network)
    with pytest.raises(InputError) as refused:
        Cifar10(tmp_path / "new").train()
    assert "\n" not in str(refused.value)
    for part in (f"{tmp_path}/new holds no data_batch_1.bin", "OSError: no route to host", "cifar-10-binary.tar.gz"):
        assert part in str(refused.value)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("root", ["new", "new/cifar-100-binary"])
def test_a_download_is_found_in_root_or_in_the_archives_own_folder(
    small100: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    def unpack(url: str, into: str, md5: str, remove_finished: bool) -> None:
        assert url.endswith("cifar-100-binary.tar.gz")
        assert md5
        assert remove_finished
        folder = Path(into) / "cifar-100-binary"
        folder.mkdir(parents=True)
        for name in ("train.bin", "test.bin"):
            (tmp_path / name).rename(folder / name)

    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", unpack)
    assert len(small100[0](tmp_path / root).train().labels) == 6
    assert (tmp_path / "new" / "cifar-100-binary" / "train.bin").exists()


def test_an_archive_without_the_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", lambda *_, **__: None)
    with pytest.raises(InputError, match="the archive lacks it"):
        Cifar100(tmp_path).train()


def test_cifar10_joins_its_files_in_order(tmp_path: Path) -> None:
    labels = [*range(10), *reversed(range(10))]
    dataset = small10(tmp_path, labels, list(range(10)))
    assert dataset.train().labels.tolist() == labels
    assert np.array_equal(
        dataset.train().images[10:].flatten(1).numpy(), np.fromfile(tmp_path / "two.bin", np.uint8).reshape(10, -1)[:, 1:]
    )


def test_cifar10_refuses_classes_of_unequal_size(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"test\.bin: 2 images of class 0, expected 1 of every class"):
        small10(tmp_path / "a", list(range(10)), [0, 0, *range(2, 10)]).test()
    with pytest.raises(InputError, match=r"one\.bin \.\. .*two\.bin: 0 images of class 9, expected 1 of every class"):
        small10(tmp_path / "b", [*range(9), 10], list(range(10))).train()


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no CIFAR-100 in {SHARED}")
def test_the_real_cifar100_is_whole_and_its_normalization_fits() -> None:
    dataset = Cifar100(SHARED, download=False)
    train, test = dataset.train(), dataset.test()
    assert (train.images.shape, test.images.shape) == ((50_000, 3, 32, 32), (10_000, 3, 32, 32))
    assert torch.bincount(train.labels).tolist() == [500] * 100
    assert torch.bincount(test.labels).tolist() == [100] * 100
    # The method's std is the mean over images of each image's own spread, which is smaller than the spread of all pixels together.
    values = train.images[::5].float() / 255
    torch.testing.assert_close(values.mean((0, 2, 3)), torch.tensor(dataset.mean), atol=0.002, rtol=0)
    torch.testing.assert_close(values.std((2, 3)).mean(0), torch.tensor(dataset.std), atol=0.02, rtol=0)


def test_digits_splits_every_image_once_with_classes_in_proportion() -> None:
    dataset = Digits(resolution=8, train_images=500)
    train, test = dataset.train(), dataset.test()
    assert (len(train.labels), len(test.labels)) == (500, 1297)
    together = torch.bincount(train.labels) + torch.bincount(test.labels)
    assert ((torch.bincount(train.labels) - together * 500 / 1797).abs() <= 1).all()
    from sklearn.datasets import load_digits

    original = np.round(load_digits().data * 255 / 16).astype(np.uint8)
    found = torch.cat([train.images, test.images]).flatten(1).numpy()
    assert sorted(map(bytes, found)) == sorted(map(bytes, original))


def test_the_smallest_and_largest_digits_splits_hold_every_class() -> None:
    assert torch.bincount(Digits(8, train_images=10).train().labels).tolist() == [1] * 10
    assert torch.bincount(Digits(8, train_images=1787).test().labels).tolist() == [1] * 10


def test_the_seed_decides_how_digits_are_split() -> None:
    prints = [fingerprint(Digits(8, split_seed=seed).train()) for seed in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]


def test_normalized_digits_have_mean_0_and_std_1() -> None:
    dataset = Digits(resolution=16)
    values = (dataset.train().images / 255 - dataset.mean[0]) / dataset.std[0]
    assert dataset.train().images.shape == (500, 1, 16, 16)
    assert abs(float(values.mean())) < 1e-3
    assert abs(float(values.std()) - 1) < 1e-3


@pytest.mark.parametrize("dataset", [Digits(9, 40, 3), Cifar100("there", mean=(0.1, 0.2, 0.3)), Cifar10("there")], ids=lambda d: d.name)
def test_a_header_rebuilds_its_dataset_also_after_json(dataset: ImageDataset) -> None:
    header = json.loads(json.dumps(dataset.header()))
    rebuilt = dataset_from_header(header, "here")
    assert type(rebuilt) is type(dataset) is known_datasets()[dataset.name]
    assert rebuilt.header() == dataset.header()
    assert (rebuilt.mean, rebuilt.std) == (dataset.mean, dataset.std)
    assert getattr(rebuilt, "root", Path("here")) == Path("here")


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ({"name": "mnist", "arguments": {}}, "dataset 'mnist' is not one of cifar10, cifar100, digits"),
        ({"name": "digits", "arguments": {"size": 8}}, "dataset digits: {'size': 8} are not its arguments"),
        ({"name": "digits", "arguments": {"resolution": 4}}, "data.resolution: 4"),
        ({"name": "cifar100", "arguments": {}}, "data.root: not given"),
    ],
)
def test_a_wrong_header_is_refused(header: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as refused:
        dataset_from_header(header, None)
    assert str(refused.value).startswith(told)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Digits(resolution=7), "data.resolution: 7 must be an integer of at least 8"),
        (lambda: Digits(train_images=9), "data.train_images: 9 must be an integer from 10 to 1787"),
        (lambda: Digits(train_images=1788), "data.train_images: 1788"),
        (lambda: Digits(split_seed=-1), "data.split_seed: -1"),
        (lambda: Cifar100("x", mean=(0.5,)), "data.mean: (0.5,) is not 3 numbers, one per channel"),
        (lambda: Cifar10("x", std=(0.5, 0, 0.5)), "data.std: (0.5, 0, 0.5) is not 3 positive numbers"),
    ],
)
def test_a_wrong_argument_is_refused_by_name(make: Any, told: str) -> None:
    with pytest.raises(InputError) as refused:
        make()
    assert str(refused.value).startswith(told)


def test_a_fingerprint_is_the_sha256_of_all_bytes_and_tells_splits_apart(small100: Any, tmp_path: Path) -> None:
    dataset = small100[0](tmp_path, download=False)
    train = dataset.train()
    expected = hashlib.sha256(small100[2].tobytes() + train.labels.numpy().tobytes()).hexdigest()
    assert fingerprint(train) == expected
    assert fingerprint(LabelledImages(train.images, train.labels.flip(0))) != expected


def test_evaluation_images_are_the_first_ones_normalized() -> None:
    dataset = Digits(8)
    images, labels = evaluation_images(dataset, 7)
    torch.testing.assert_close(images, (dataset.test().images[:7] / 255 - dataset.mean[0]) / dataset.std[0])
    assert images.dtype == torch.float32
    assert torch.equal(labels, dataset.test().labels[:7])
    assert len(evaluation_images(dataset)[1]) == 1297


@pytest.mark.parametrize("count", [0, -1, 1298])
def test_a_wrong_count_of_evaluation_images_is_refused(count: int) -> None:
    with pytest.raises(InputError, match=rf"ranking\.images: {count} must be an integer from 1 to 1297"):
        evaluation_images(Digits(8), count)
