"""`SampleSet`, `ClientData` and `FederatedData`: what exists is valid."""

from __future__ import annotations

import pytest
import torch

from trainer.data import ClientData, FederatedData, SampleSet
from trainer.errors import DataError


def samples(count: int = 3, size: int = 4, prefix: str = "slice", top: int = 1) -> SampleSet:
    targets = torch.zeros(count, size, size, dtype=torch.int64)
    targets[:, 0, 0] = top
    return SampleSet(torch.rand(count, 1, size, size), targets, tuple(f"{prefix}-{i}" for i in range(count)))


def client(name: str = "a", size: int = 4, top: int = 1) -> ClientData:
    return ClientData(name, "a folder", samples(3, size, "train", top), samples(2, size, "test", top))


def with_value(value: float) -> torch.Tensor:
    images = torch.zeros(2, 1, 4, 4)
    images[1, 0, 2, 2] = value
    return images


LABELS = torch.zeros(2, 4, 4, dtype=torch.int64)


@pytest.mark.parametrize(
    ("images", "targets", "names", "message"),
    [
        (torch.zeros(()), LABELS, ("a", "b"), r"shape \[n, 1, H, W\]"),
        (torch.zeros(2, 4, 4), LABELS, ("a", "b"), r"shape \[n, 1, H, W\]"),
        (torch.zeros(2, 3, 4, 4), LABELS, ("a", "b"), r"shape \[n, 1, H, W\]"),
        (torch.zeros(0, 1, 4, 4), LABELS[:0], (), "every side >= 1"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.float64), LABELS, ("a", "b"), "float32, not torch.float64"),
        (with_value(float("nan")), LABELS, ("a", "b"), "images hold NaN"),
        (torch.zeros(2, 1, 4, 4), with_value(float("inf")), ("a", "b"), "targets hold NaN"),
        (torch.zeros(2, 1, 4, 4), LABELS.to(torch.uint8), ("a", "b"), "not torch.uint8"),
        (torch.zeros(2, 1, 4, 4), LABELS[:, :3], ("a", "b"), r"\[2, 4, 4\], not \[2, 3, 4\]"),
        (torch.zeros(2, 1, 4, 4), LABELS - 1, ("a", "b"), "not -1"),
        (torch.zeros(2, 1, 4, 4), LABELS, ("a",), "2 identifiers, not 1"),
        (torch.zeros(2, 1, 4, 4), LABELS, ("a", "a"), "repeat: a"),
    ],
)
def test_invalid_samples_do_not_come_into_being(images, targets, names, message):
    with pytest.raises(DataError, match=message):
        SampleSet(images, targets, names)


@pytest.mark.parametrize("size", [(4, 5), (3, 4, 5)], ids=["slices", "volumes"])
def test_slices_and_volumes_are_both_samples(size):
    images, labels = torch.rand(2, 1, *size), torch.zeros(2, *size, dtype=torch.int64)
    assert len(SampleSet(images, labels, ("a", "b"))) == len(SampleSet(images, images, ("a", "b"))) == 2
    with pytest.raises(DataError, match="must have shape"):
        SampleSet(images, labels[..., :3], ("a", "b"))


def test_pooling_keeps_every_sample_in_order_and_tells_equal_names_apart():
    first, second = samples(3), samples(2)
    pooled = SampleSet.pooled([first, second])
    assert len(pooled) == 5
    assert torch.equal(pooled.images, torch.cat([first.images, second.images]))
    assert torch.equal(pooled.targets[3:], second.targets)
    assert pooled.identifiers == ("0/slice-0", "0/slice-1", "0/slice-2", "1/slice-0", "1/slice-1")


@pytest.mark.parametrize("sets", [[], [samples(size=4), samples(size=5)]])
def test_sets_that_do_not_fit_together_are_not_pooled(sets):
    with pytest.raises(DataError, match="can be pooled"):
        SampleSet.pooled(sets)


def test_a_client_that_trains_on_its_test_images_is_refused():
    with pytest.raises(DataError, match="own test images: slice-0"):
        ClientData("a", "", samples(2), samples(3))


@pytest.mark.parametrize(
    ("task", "names", "clients", "message"),
    [
        ("segmentation", ("background", "lesion"), (), "at least one client"),
        ("segmentation", ("background", "lesion"), (client("a"), client("a")), "repeat: a"),
        ("segmentation", ("background", "lesion"), (client("a"), client("b", size=5)), "one image size"),
        ("segmentation", ("background", "lesion"), (client("a", top=2),), "holds class 2, but there are 2 names"),
        ("segmentation", ("background",), (client("a"),), "at least two"),
        ("restoration", (), (client("a"),), "restoration needs torch.float32"),
    ],
)
def test_a_federation_that_does_not_fit_its_task_is_refused(task, names, clients, message):
    with pytest.raises(DataError, match=message):
        FederatedData(task, names, clients, "here", ())
