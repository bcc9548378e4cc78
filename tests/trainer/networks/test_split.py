"""Every network: the three parts together are one network, in outputs and in gradients."""

import copy

import pytest
import torch
from torch import nn

from trainer.config import NetworkConfig
from trainer.networks.registry import build
from trainer.networks.split import SplitNetwork, Unsplit

TINY = (4, 4, 6, 8, 8, 4)
NETWORKS = {
    **{f"unet-{cut}": NetworkConfig(name="unet", features=TINY, client_levels=cut) for cut in (1, 2, 3)},
    **{
        f"residual-unet-{cut}": NetworkConfig(name="residual-unet", features=TINY, client_levels=cut)
        for cut in (1, 3)
    },
    "unet-3d": NetworkConfig(name="unet", features=TINY, client_levels=2, dimensions=3),
    "residual-unet-3d": NetworkConfig(name="residual-unet", features=TINY, client_levels=1, dimensions=3),
    "redcnn": NetworkConfig(name="redcnn", channels=3),
}
ADDS_INPUT = ("unet-2", "residual-unet-3", "residual-unet-3d")


@pytest.fixture(params=[*((name, False) for name in NETWORKS), *((name, True) for name in ADDS_INPUT)], ids=str)
def case(request: pytest.FixtureRequest) -> tuple[str, bool]:
    return request.param


@pytest.fixture
def network(case: tuple[str, bool]) -> SplitNetwork:
    name, add_input = case
    return build(NETWORKS[name], in_channels=1, out_channels=1, seed=0, add_input=add_input)


@pytest.fixture
def images(case: tuple[str, bool]) -> torch.Tensor:
    size = (32, 19, 17) if NETWORKS[case[0]].dimensions == 3 else (40, 35)
    return torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(1))


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
        # Sums run in another order; their rounding errors go with the largest terms, not with each sum.
        atol = 1e-6 * max(1.0, float(theirs.grad.abs().max()))
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=atol, msg=name)


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
