"""Losses and metrics against plain formulas and scikit-image."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from trainer.errors import ConfigError, DataError
from trainer.tasks import Restoration, Segmentation, task_for

CLASSES = ("background", "grey", "white", "lesion")


def random_labels(seed, classes=4, n=5, size=20):
    return torch.randint(0, classes, (n, size, size), generator=torch.Generator().manual_seed(seed))


def random_images(seed, n=5, size=32):
    return torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(seed))


def segmentation_score(prediction, target):
    metrics = Segmentation(CLASSES).metrics()
    metrics.update(prediction, target)
    return metrics.compute()


def restoration_score(prediction, target):
    metrics = Restoration().metrics()
    metrics.update(prediction, target)
    return metrics.compute()


def test_dice_equals_the_plain_formula():
    prediction, target = random_labels(0), random_labels(1)
    score = segmentation_score(prediction, target)
    p, t = prediction.numpy(), target.numpy()
    expected = [2 * ((p == c) & (t == c)).sum() / ((p == c).sum() + (t == c).sum()) for c in (1, 2, 3)]
    assert [score[f"dice/{name}"] for name in CLASSES[1:]] == pytest.approx(expected, rel=1e-12)
    assert score["dice"] == pytest.approx(np.mean(expected), rel=1e-12)
    assert set(score) == {"dice", "dice/grey", "dice/white", "dice/lesion"}


def test_dice_of_logits_equals_dice_of_the_labels_they_predict():
    logits = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(2))
    labels = Segmentation(CLASSES).predict(logits)
    target = random_labels(3, n=3, size=16)
    assert labels.dtype == torch.int64
    assert labels.shape == target.shape
    assert segmentation_score(logits, target) == segmentation_score(labels, target)


def test_a_class_that_is_nowhere_has_no_dice_and_does_not_lower_the_mean():
    target = random_labels(4, classes=3)
    score = segmentation_score(target, target)
    assert score == {"dice": 1.0, "dice/grey": 1.0, "dice/white": 1.0}


@pytest.mark.parametrize("where", ["label", "prediction"])
def test_a_class_in_only_the_label_or_the_prediction_counts_as_zero(where):
    without, with_lesion = random_labels(5, classes=3), random_labels(5, classes=3)
    with_lesion[0, 0, 0] = 3
    pair = (without, with_lesion) if where == "label" else (with_lesion, without)
    score = segmentation_score(*pair)
    assert score["dice/lesion"] == 0.0
    assert score["dice"] < 0.67


def test_no_foreground_and_none_found_is_a_perfect_score():
    empty = torch.zeros(2, 8, 8, dtype=torch.int64)
    assert segmentation_score(empty, empty) == {"dice": 1.0}


def test_empty_slices_do_not_change_the_dice():
    prediction, target = random_labels(6), random_labels(7)
    empty = torch.zeros(3, 20, 20, dtype=torch.int64)
    with_empty = segmentation_score(torch.cat([prediction, empty]), torch.cat([target, empty]))
    assert with_empty == segmentation_score(prediction, target)


def test_psnr_and_rmse_equal_skimage_and_numpy():
    restored, clean = random_images(0), random_images(1)
    score = restoration_score(restored, clean)
    pairs = [(c.numpy()[0], r.numpy()[0]) for c, r in zip(clean, restored, strict=True)]
    expected = np.mean([peak_signal_noise_ratio(c, r, data_range=1.0) for c, r in pairs])
    assert score["psnr"] == pytest.approx(expected, rel=1e-5)
    assert score["rmse"] == pytest.approx(float(np.sqrt(np.mean([(c - r) ** 2 for c, r in pairs]))), rel=1e-5)


def test_ssim_equals_skimage_with_the_same_window():
    clean = random_images(2, n=3, size=48)
    restored = (clean + 0.1 * (random_images(3, n=3, size=48) - 0.5)).clamp(0, 1)
    expected = [
        structural_similarity(
            c.numpy()[0], r.numpy()[0], data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for c, r in zip(clean, restored, strict=True)
    ]
    assert restoration_score(restored, clean)["ssim"] == pytest.approx(np.mean(expected), abs=1e-4)


def test_psnr_is_averaged_over_images_not_over_pixels():
    clean = torch.zeros(2, 1, 16, 16)
    restored = torch.cat([torch.full((1, 1, 16, 16), 0.1), torch.full((1, 1, 16, 16), 0.01)])
    assert restoration_score(restored, clean)["psnr"] == pytest.approx((20 + 40) / 2, rel=1e-5)


def test_an_exactly_reproduced_blank_image_leaves_the_mean_finite():
    blank = torch.zeros(1, 1, 16, 16)
    score = restoration_score(blank, blank)
    assert score["psnr"] == 100.0
    assert all(math.isfinite(value) for value in score.values())


def test_output_beyond_the_range_counts_as_its_limit():
    clean = random_images(4)
    output = clean * 3 - 1
    predicted = Restoration().predict(output)
    assert predicted.min() == 0
    assert predicted.max() == 1
    assert restoration_score(output, clean) == restoration_score(predicted, clean)


@pytest.mark.parametrize(
    ("task", "prediction", "target"),
    [
        (Segmentation(CLASSES), random_labels(8), random_labels(9)),
        (Restoration(), random_images(8), random_images(9)),
    ],
    ids=["segmentation", "restoration"],
)
def test_split_into_batches_does_not_matter(task, prediction, target):
    whole, parts = task.metrics(), task.metrics()
    whole.update(prediction, target)
    for batch in (slice(0, 1), slice(1, 4), slice(4, 5)):
        parts.update(prediction[batch], target[batch])
    assert parts.compute() == pytest.approx(whole.compute(), rel=1e-5)


@pytest.mark.parametrize("task", [Segmentation(CLASSES), Restoration()], ids=["segmentation", "restoration"])
def test_no_images_is_an_error_not_a_number(task):
    with pytest.raises(DataError, match="no test images"):
        task.metrics().compute()


def test_segmentation_loss_is_batch_dice_without_background_plus_cross_entropy():
    logits = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(10), requires_grad=True)
    target = random_labels(11, n=3, size=16)
    loss = Segmentation(CLASSES).loss(logits, target)
    p = torch.softmax(logits.detach().double(), dim=1).numpy()
    truth = np.stack([target.numpy() == c for c in range(4)], axis=1)
    cross_entropy = -np.log(p[truth.astype(bool)]).mean()
    overlap, total = (p * truth).sum((0, 2, 3)), (p + truth).sum((0, 2, 3))
    dice = (1 - 2 * overlap / total)[1:].mean()
    assert loss.item() == pytest.approx(dice + cross_entropy, rel=1e-5)
    loss.backward()
    assert logits.grad.isfinite().all()


def test_segmentation_loss_tells_right_from_wrong():
    target = random_labels(12, n=2)
    right = 20.0 * torch.nn.functional.one_hot(target, 4).permute(0, 3, 1, 2)
    task = Segmentation(CLASSES)
    assert task.loss(right, target).item() < 1e-3
    assert task.loss(right.roll(1, dims=1), target).item() > 1


def test_restoration_loss_is_the_mean_squared_error():
    a, b = random_images(13), random_images(14)
    assert Restoration().loss(a, b).item() == pytest.approx(float(((a - b) ** 2).mean()), rel=1e-6)


def test_task_for_gives_the_named_task():
    segmentation, restoration = task_for("segmentation", CLASSES), task_for("restoration", ())
    assert (segmentation.name, segmentation.out_channels, segmentation.primary) == ("segmentation", 4, "dice")
    assert (restoration.name, restoration.out_channels, restoration.primary) == ("restoration", 1, "psnr")


def test_unknown_task_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="'classification'; known: segmentation, restoration"):
        task_for("classification", CLASSES)


@pytest.mark.parametrize("names", [(), ("background",), ("background", "a", "a")])
def test_segmentation_without_two_distinct_classes_is_refused(names):
    with pytest.raises(ConfigError, match=r"data\.classes"):
        Segmentation(names)
