"""Losses and metrics against plain formulas, scikit-image, MONAI and torchmetrics."""

import math
import warnings
from typing import get_args

import numpy as np
import pytest
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_iou
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.classification import MulticlassJaccardIndex

from trainer.config import TrainingConfig
from trainer.data import SampleSet
from trainer.errors import ConfigError, DataError
from trainer.metrics import hd95
from trainer.tasks import Restoration, Segmentation, task_for

CLASSES = ("background", "grey", "white", "lesion")


def random_labels(seed, classes=4, n=5, size=20):
    return torch.randint(0, classes, (n, size, size), generator=torch.Generator().manual_seed(seed))


def random_images(seed, n=5, size=32):
    return torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(seed))


def one_hot(labels):
    """Labels `[n, *size]` as masks `[classes, n, *size]`."""
    return torch.stack([labels == label for label in range(len(CLASSES))]).float()


def blobs(generator, size, n=4):
    """Labels with every class in every image: smooth noise cut at its quartiles."""
    noise = torch.rand(n, 1, *size, generator=generator)
    pool = torch.nn.functional.avg_pool2d if len(size) == 2 else torch.nn.functional.avg_pool3d
    smooth = pool(noise, 3, stride=1, padding=1)[:, 0]
    return torch.stack([torch.bucketize(image, image.quantile(torch.tensor([0.25, 0.5, 0.75]))) for image in smooth])


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
    assert list(score)[:3] == ["dice", "iou", "hd95"]
    assert set(score) == {m + end for m in ("dice", "iou", "hd95") for end in ("", "/grey", "/white", "/lesion")}


def test_dice_and_iou_equal_monais_of_all_images_laid_side_by_side():
    prediction, target = random_labels(20), random_labels(21)
    score = segmentation_score(prediction, target)
    side_by_side = [one_hot(x).flatten(1, 2)[None] for x in (prediction, target)]
    for name, theirs in (("dice", compute_dice), ("iou", compute_iou)):
        expected = theirs(*side_by_side, include_background=False)[0].tolist()
        assert [score[f"{name}/{label}"] for label in CLASSES[1:]] == pytest.approx(expected, rel=1e-6)
        assert score[name] == pytest.approx(np.mean(expected), rel=1e-6)


def test_iou_equals_torchmetrics():
    prediction, target = random_labels(22), random_labels(23)
    expected = MulticlassJaccardIndex(4, average=None)(prediction, target)[1:].tolist()
    score = segmentation_score(prediction, target)
    assert [score[f"iou/{label}"] for label in CLASSES[1:]] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("size", [(24, 20), (10, 12, 9)], ids=["2-D", "3-D"])
def test_hd95_equals_monais_averaged_over_the_images_where_it_has_a_number(size):
    generator = torch.Generator().manual_seed(24)
    prediction, target = (blobs(generator, size) for _ in range(2))
    prediction[0][prediction[0] == 3] = 0  # missed in one image
    target[1][target[1] == 3] = 0  # absent from another
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = compute_hausdorff_distance(
            one_hot(prediction).transpose(0, 1), one_hot(target).transpose(0, 1), percentile=95
        )
    score = segmentation_score(prediction, target)
    expected = theirs.nanmean(dim=0).tolist()
    assert theirs.isnan().sum() == 2
    assert [score[f"hd95/{label}"] for label in CLASSES[1:]] == pytest.approx(expected, rel=1e-6)
    assert score["hd95"] == pytest.approx(np.mean(expected), rel=1e-6)


def test_hd95_of_a_square_moved_by_three_pixels_is_three():
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[8:20, 8:20] = True
    assert hd95(mask.roll(3, 0), mask) == 3.0
    assert hd95(mask, mask) == 0.0
    assert hd95(mask, torch.zeros_like(mask)) is None


def test_hd95_is_left_out_where_it_is_not_asked_for():
    metrics = Segmentation(CLASSES, hd95=False).metrics()
    metrics.update(random_labels(25), random_labels(26))
    assert {name.partition("/")[0] for name in metrics.compute()} == {"dice", "iou"}


def test_dice_of_logits_equals_dice_of_the_labels_they_predict():
    logits = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(2))
    labels = Segmentation(CLASSES).predict(logits)
    target = random_labels(3, n=3, size=16)
    assert labels.dtype == torch.int64
    assert labels.shape == target.shape
    assert segmentation_score(logits, target) == segmentation_score(labels, target)


def test_a_class_that_is_nowhere_has_no_figure_and_does_not_lower_the_mean():
    target = random_labels(4, classes=3)
    score = segmentation_score(target, target)
    assert score["dice"] == score["iou"] == 1.0
    assert score["hd95"] == 0.0
    assert not any("lesion" in name for name in score)


def test_a_class_that_is_only_predicted_has_no_figure_as_monai_has_none():
    without, with_lesion = random_labels(5, classes=3), random_labels(5, classes=3)
    with_lesion[0, 0, 0] = 3
    score = segmentation_score(with_lesion, without)
    monai = compute_dice(one_hot(with_lesion).transpose(0, 1), one_hot(without).transpose(0, 1))[0, 3]
    assert monai.isnan()
    assert not any("lesion" in name for name in score)
    assert score["dice"] < 1  # the class it was taken for suffers


def test_a_class_that_is_missed_everywhere_scores_zero_and_has_no_distance():
    without, with_lesion = random_labels(5, classes=3), random_labels(5, classes=3)
    with_lesion[0, 0, 0] = 3
    score = segmentation_score(without, with_lesion)
    assert score["dice/lesion"] == score["iou/lesion"] == 0.0
    assert "hd95/lesion" not in score
    assert score["dice"] < 0.67


def test_images_of_background_alone_have_no_figures_at_all():
    empty = torch.zeros(2, 8, 8, dtype=torch.int64)
    assert segmentation_score(empty, empty) == {}


def test_a_federation_whose_test_labels_are_all_background_is_refused_before_training():
    empty, some = torch.zeros(2, 8, 8, dtype=torch.int64), random_labels(27)
    Segmentation(CLASSES).check_targets([empty, some])
    with pytest.raises(DataError, match="nothing could be judged"):
        Segmentation(CLASSES).check_targets([empty, empty])


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


@pytest.mark.parametrize("shape", [(3, 1, 48, 48), (2, 1, 16, 24, 20)], ids=["slices", "volumes"])
def test_ssim_equals_skimage_with_the_same_window(shape):
    generator = torch.Generator().manual_seed(2)
    clean = torch.rand(shape, generator=generator)
    restored = (clean + 0.1 * (torch.rand(shape, generator=generator) - 0.5)).clamp(0, 1)
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


def test_restoration_notes_what_the_images_score_before_anything_is_restored():
    degraded, clean = random_images(17), random_images(18)
    score = restoration_score(degraded, clean)
    samples = SampleSet(degraded, clean, tuple("abcde"))
    (note,) = Restoration().notes({"north": samples, "south": samples})
    assert f"psnr {score['psnr']:.4g}, ssim {score['ssim']:.4g}, rmse {score['rmse']:.4g} (mean over clients)" in note
    assert f"north {score['psnr']:.2f} dB, south" in note
    assert Segmentation(CLASSES).notes({}) == ()


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


@pytest.mark.parametrize("loss", Segmentation.LOSSES)
def test_every_segmentation_loss_tells_right_from_wrong_and_trains(loss):
    target = random_labels(12, n=2)
    right = 20.0 * torch.nn.functional.one_hot(target, 4).permute(0, 3, 1, 2)
    task = Segmentation(CLASSES, loss)
    logits = torch.randn(2, 4, 20, 20, generator=torch.Generator().manual_seed(28), requires_grad=True)
    task.loss(logits, target).backward()
    assert logits.grad.abs().sum() > 0
    assert task.loss(right, target).item() < 1e-3
    assert task.loss(right.roll(1, dims=1), target).item() > 0.9


def test_restoration_loss_is_the_mean_squared_error():
    a, b = random_images(13), random_images(14)
    assert Restoration().loss(a, b).item() == pytest.approx(float(((a - b) ** 2).mean()), rel=1e-6)


def test_the_default_loss_is_the_sum_of_dice_and_cross_entropy():
    logits, target = torch.randn(2, 4, 20, 20, generator=torch.Generator().manual_seed(29)), random_labels(30, n=2)
    default, dice, ce = (Segmentation(CLASSES, loss).loss(logits, target) for loss in (None, "dice", "cross-entropy"))
    assert default.item() == pytest.approx((dice + ce).item(), rel=1e-6)


def test_l1_is_the_mean_absolute_error():
    a, b = random_images(15), random_images(16)
    assert Restoration("l1").loss(a, b).item() == pytest.approx(float((a - b).abs().mean()), rel=1e-6)


@pytest.mark.parametrize(("task", "loss"), [("segmentation", "mse"), ("restoration", "dice-ce")])
def test_a_loss_of_the_other_task_is_refused_with_this_ones(task, loss):
    with pytest.raises(ConfigError, match=f"training.loss={loss} is not one of {task}'s: "):
        task_for(task, CLASSES, TrainingConfig(loss=loss))


def test_every_loss_of_the_configuration_belongs_to_a_task():
    allowed = {
        name for choices in get_args(TrainingConfig.model_fields["loss"].annotation) for name in get_args(choices)
    }
    assert allowed == {*Segmentation.LOSSES, *Restoration.LOSSES}


def test_volumes_are_restored_and_segmented_as_images_are():
    generator = torch.Generator().manual_seed(31)
    clean = torch.rand(2, 1, 12, 14, 16, generator=generator)
    restored = (clean + 0.1 * torch.rand(clean.shape, generator=generator)).clamp(0, 1)
    score = restoration_score(restored, clean)
    pairs = [(c.numpy()[0], r.numpy()[0]) for c, r in zip(clean, restored, strict=True)]
    expected = np.mean([peak_signal_noise_ratio(c, r, data_range=1.0) for c, r in pairs])
    assert score["psnr"] == pytest.approx(expected, rel=1e-5)
    assert 0 < score["ssim"] < 1
    logits, target = torch.randn(2, 4, 8, 9, 7, generator=generator), torch.randint(0, 4, (2, 8, 9, 7))
    assert Segmentation(CLASSES).loss(logits, target).isfinite()
    assert 0 < segmentation_score(logits, target)["dice"] < 1


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
