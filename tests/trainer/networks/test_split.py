"""Every network: the three parts together are one network, in outputs and in gradients."""

import copy

import pytest
import torch
from torch import nn

from trainer.config import NetworkConfig
from trainer.networks.registry import build
from trainer.networks.split import SplitNetwork, Unsplit

NETWORKS = {
    "unet-1": NetworkConfig(name="unet", features=(4, 4, 6, 8, 8, 4), client_levels=1),
    "unet-2": NetworkConfig(name="unet", features=(4, 4, 6, 8, 8, 4), client_levels=2),
    "unet-3": NetworkConfig(name="unet", features=(4, 4, 6, 8, 8, 4), client_levels=3),
    "redcnn": NetworkConfig(name="redcnn", channels=3),
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> SplitNetwork:
    return build(NETWORKS[request.param], in_channels=1, out_channels=1, seed=0)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 1, 40, 35, generator=torch.Generator().manual_seed(1))


def train_over_the_cuts(network: SplitNetwork, x: torch.Tensor) -> torch.Tensor:
    """Forward and backward as the parties do it: only detached tensors cross."""
    h, kept = network.head(x)
    h_sent = h.detach().requires_grad_()
    b = network.body(h_sent)
    b_sent = b.detach().requires_grad_()
    held = tuple(k.detach().requires_grad_(k.requires_grad) for k in kept)
    y = network.tail(b_sent, held)
    y.square().sum().backward()
    b.backward(b_sent.grad)
    ways = [(h, h_sent.grad), *((k, k_held.grad) for k, k_held in zip(kept, held, strict=True) if k.requires_grad)]
    torch.autograd.backward([way for way, _ in ways], [gradient for _, gradient in ways])
    return y


def test_parts_in_turn_give_the_unsplit_networks_output(network, images):
    h, kept = network.head(images)
    assert torch.equal(network.tail(network.body(h), kept), Unsplit(network)(images))


def test_output_has_the_size_of_the_input_even_when_odd(network, images):
    assert Unsplit(network)(images).shape == images.shape


def test_gradients_over_the_cuts_equal_the_unsplit_networks(network, images):
    whole = copy.deepcopy(Unsplit(network))
    whole(images).square().sum().backward()
    train_over_the_cuts(network, images)
    for (name, ours), theirs in zip(Unsplit(network).named_parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6, msg=name)


def test_every_weight_gets_a_gradient(network, images):
    train_over_the_cuts(network, images)
    assert all(p.grad is not None for p in Unsplit(network).parameters())


def test_cut_activations_share_no_memory_with_what_the_client_keeps(network, images):
    h, kept = network.head(images)
    assert h.data_ptr() not in {k.data_ptr() for k in kept}


def test_state_is_weights_only(network):
    whole = Unsplit(network)
    assert set(whole.state_dict()) == {name for name, _ in whole.named_parameters()}


def test_unsplit_shares_its_weights_with_the_parts(network):
    whole = Unsplit(network)
    nn.init.zeros_(next(network.tail.parameters()))
    assert not next(whole.tail.parameters()).any()
