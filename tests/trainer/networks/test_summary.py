"""The figures of a split, against a real forward pass and the published sizes."""

import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from trainer.config import NetworkConfig
from trainer.networks.registry import build
from trainer.networks.split import Unsplit
from trainer.networks.summary import compare_cuts, describe

SMALL = (4, 6, 8, 10, 12, 5)
CASES = {
    "unet": (NetworkConfig(features=SMALL), (1, 48, 40)),
    "residual-unet": (NetworkConfig(name="residual-unet", features=SMALL, client_levels=1), (1, 48, 40)),
    "unet-3d": (NetworkConfig(features=SMALL, dimensions=3), (1, 32, 16, 16)),
    "redcnn": (NetworkConfig(name="redcnn", channels=3), (1, 32, 40)),
}
EACH = pytest.mark.parametrize(("config", "shape"), CASES.values(), ids=CASES)


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


def test_flops_of_redcnns_head_are_two_for_every_weight_at_every_pixel():
    head, _, tail = describe(build(NetworkConfig(name="redcnn"), 1, 1, 0), (1, 64, 64))["parts"]
    assert head["flops"] == 2 * 5 * 5 * 96 * 60 * 60
    assert tail["flops"] == head["flops"]
    assert head["training_flops"] == 2 * head["flops"]  # the image needs no gradient, the weights do
    assert tail["training_flops"] == 3 * tail["flops"]


@EACH
def test_flops_of_the_parts_add_up_to_those_of_the_unsplit_network_as_it_runs(config, shape):
    network = build(config, 1, 1, 0, add_input=True)
    summary = describe(network, shape)
    with FlopCounterMode(display=False) as counter:
        output = Unsplit(network)(torch.rand(1, *shape))
        forward = counter.get_total_flops()
        output.sum().backward()
    assert sum(part["flops"] for part in summary["parts"]) == forward
    assert sum(part["training_flops"] for part in summary["parts"]) == counter.get_total_flops()


@EACH
def test_every_weight_is_held_by_one_party_and_what_the_client_keeps_is_what_the_head_hands_on(config, shape):
    network = build(config, 1, 1, 0, add_input=True)
    summary = describe(network, shape)
    client, server = summary["parties"]
    assert (client["party"], client["holds"]) == ("client", ["head", "tail"])
    assert (server["party"], server["holds"]) == ("compute server", ["body"])
    assert server["parameters"] == sum(p.numel() for p in network.body.parameters())
    assert client["parameters"] + server["parameters"] == sum(p.numel() for p in Unsplit(network).parameters())
    _, kept = network.head(torch.rand(1, *shape))
    assert summary["kept"] == [
        {"shape": list(tensor.shape[1:]), "bytes_per_image": tensor.numel() * 4} for tensor in kept
    ]


def test_blocks_are_named_by_part_and_make_up_the_whole():
    parts = describe(build(NetworkConfig(features=SMALL, client_levels=1), 1, 2, 0), (1, 32, 32))["parts"]
    assert [part["blocks"] for part in parts] == [
        ["conv_0", "pool"],
        ["down_1", "down_2", "down_3", "down_4", "upcat_4", "upcat_3", "upcat_2"],
        ["upcat_1", "final_conv"],
    ]


def test_every_cut_that_can_be_chosen_is_compared_by_the_figures_it_would_have():
    chosen = NetworkConfig(features=SMALL, client_levels=2)
    rows = compare_cuts(chosen, 1, 3, (48, 40), add_input=False)
    assert [(row["client_levels"], row["chosen"]) for row in rows] == [(1, False), (2, True), (3, False)]
    for row in rows:
        config = chosen.model_copy(update={"client_levels": row["client_levels"]})
        alone = describe(build(config, 1, 3, 0), (1, 48, 40))
        client, server = alone["parties"]
        assert (row["parameters"], row["training_flops"]) == (client["parameters"], client["training_flops"])
        assert row["parameters_share"] == client["parameters"] / (client["parameters"] + server["parameters"])
        assert row["cut_bytes_per_image"] == sum(cut["bytes_per_image"] for cut in alone["cuts"])


def test_a_network_with_one_cut_offers_no_choice():
    assert compare_cuts(NetworkConfig(name="redcnn", channels=3), 1, 1, (32, 32), add_input=True) == []
