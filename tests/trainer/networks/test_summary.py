"""The figures of a split, against a real forward pass and the published sizes."""

import json

import torch

from trainer.config import NetworkConfig
from trainer.networks.registry import build
from trainer.networks.summary import describe


def test_redcnn_cuts_at_256_pixels_are_24_megabytes_each():
    summary = describe(build(NetworkConfig(name="redcnn"), 1, 1, 0), (1, 256, 256))
    assert [cut["bytes_per_image"] for cut in summary["cuts"]] == [96 * 252 * 252 * 4] * 2
    assert [part["parameters"] for part in summary["parts"]] == [2_496, 1_843_968, 2_401]


def test_shapes_are_those_of_a_real_forward_pass():
    network = build(NetworkConfig(features=(4, 6, 8, 10, 12, 5), client_levels=2), 1, 3, 0)
    summary = describe(network, (1, 50, 44))
    with torch.no_grad():
        h, kept = network.head(torch.rand(1, 1, 50, 44))
        b = network.body(h)
        y = network.tail(b, kept)
    assert [cut["shape"] for cut in summary["cuts"]] == [list(h.shape[1:]), list(b.shape[1:])]
    assert [cut["bytes_per_image"] for cut in summary["cuts"]] == [h.numel() * 4, b.numel() * 4]
    assert summary["output_shape"] == list(y.shape[1:])


def test_network_stays_usable_and_the_summary_is_json():
    network = build(NetworkConfig(features=(4, 4, 4, 4, 4, 4)), 1, 2, 0)
    summary = describe(network, (1, 64, 64))
    assert {p.device.type for p in network.body.parameters()} == {"cpu"}
    assert json.loads(json.dumps(summary)) == summary
    assert [(part["part"], part["party"]) for part in summary["parts"]] == [
        ("head", "client"),
        ("body", "compute server"),
        ("tail", "client"),
    ]
