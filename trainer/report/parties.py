"""Who saw what: what each party of this run held, received and was kept from, in words; and what stays unprotected.

Derived from the run's own files: which party holds which part, whether anything was aggregated, and the scheme.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainer.report.run_folder import RunRecord

CLIENT = "client"
CLEAR_SCHEMES = ("none", "plain")
"""Schemes that send updates readable: float32 as it is, or the engine's pipeline without encryption."""

POOLING_METHODS = ("centralised",)
"""Methods for which the clients' images are brought together in one place."""

VERIFICATION_STAGE = "verify"
"""The ledger's stage that is there where clients verified the sums."""

SHARED_BODY_METHODS = ("splitfed-v2", "splitnn")
"""Methods in which all clients use one body."""


@dataclass(frozen=True)
class PartyView:
    """One party: what it holds, what it is sent, what it never gets."""

    name: str
    holds: str
    sees: str
    never: str


@dataclass(frozen=True)
class Exposure:
    """What crossed between parties in this run."""

    clients: int
    split: bool
    aggregated: bool
    encrypted: bool
    pooled: bool
    shared_body: bool
    handed_over: bool
    verified: bool
    noise: float
    client_parts: str
    server_parts: str

    @property
    def updates_in_clear(self) -> bool:
        """Whether the aggregation server could read the clients' updates."""
        return self.aggregated and not self.encrypted


def exposure(run: RunRecord) -> Exposure:
    """What crossed between the parties of `run`, by its files."""
    aggregated = any(entry.aggregation_bytes > 0 for entry in run.rounds)
    elsewhere = [part.part for part in run.parts.parts if part.party != CLIENT]
    return Exposure(
        clients=len(run.data.clients),
        split=bool(elsewhere) and any(entry.cut_bytes > 0 for entry in run.rounds),
        aggregated=aggregated,
        encrypted=aggregated and run.settings.encryption.scheme not in CLEAR_SCHEMES,
        pooled=run.settings.method.name in POOLING_METHODS,
        shared_body=run.settings.method.name in SHARED_BODY_METHODS,
        handed_over=any(entry.handover_bytes > 0 for entry in run.rounds),
        verified=any(row.stage == VERIFICATION_STAGE for row in run.ledger),
        noise=run.settings.method.laplace_scale,
        client_parts=_and([part.part for part in run.parts.parts if part.party == CLIENT]),
        server_parts=_and(elsewhere),
    )


def party_views(seen: Exposure) -> list[PartyView]:
    """The parties that took part, the client first."""
    views = [_client(seen)]
    if seen.split:
        copies = ", one copy per client" + (", and their average" if seen.aggregated else "")
        if seen.shared_body:
            copies = ", one for all clients"
        views.append(
            PartyView(
                "Compute server",
                f"{seen.server_parts}{copies}",
                "activations and gradients at the cuts, in the clear",
                f"images, labels, outputs, the weights of {seen.client_parts}, any key",
            )
        )
    if seen.aggregated:
        views.append(_aggregation_server(seen))
    return views


def unprotected(seen: Exposure) -> list[str]:
    """The limits of the protection in this run, a sentence or two each."""
    limits = []
    if seen.pooled:
        limits.append("The clients' images were pooled in one place: this is a baseline without data separation.")
    if seen.updates_in_clear:
        limits.append(
            f"This run did not encrypt. The aggregation server received the updates of {seen.client_parts} readable."
        )
    if seen.split:
        limits.append(
            "Activations and gradients at the cuts are not encrypted. The compute server reads them, and inputs may "
            "be rebuilt in part from activations alone; more layers at the client tend to make that harder."
        )
    if seen.handed_over:
        limits.append(
            f"Clients handed the weights of {seen.client_parts} on to each other, unencrypted: each sees what the "
            "one before it has just learnt from its own images."
        )
    if seen.aggregated:
        limits.append(
            f"The aggregated model is not protected. Every client gets the averaged {seen.client_parts}, and what a "
            "trained model tells about the images it was trained on, it tells whoever holds it. No differential "
            "privacy is added."
        )
        limits.append("The aggregation server knows who took part, when, and with how many images.")
    if seen.encrypted:
        limits.append(
            "Clients that share one secret key must not collude with the aggregation server: that key and another "
            "client's ciphertext together give away its update."
        )
    if seen.verified:
        limits.append(
            "Clients verified that every sum held each contribution once, unchanged. That does not hold against a "
            "client who colludes with the aggregation server: all share one verification key."
        )
    elif seen.aggregated:
        limits.append(
            "Sums were not verified: the aggregation server could leave a contribution out, add one twice or put in "
            "values of its own without being noticed."
        )
    if seen.noise:
        limits.append(
            f"Laplace noise of scale {seen.noise:g} was added to the updates. It is not differential privacy: "
            "nothing bounds an update's influence, nothing is accounted for, and the run's seed gives the noise away."
        )
    if not seen.aggregated and not seen.pooled:
        limits.append("Nothing was aggregated in this run, so nothing was encrypted either.")
    return limits


def _client(seen: Exposure) -> PartyView:
    parts = seen.client_parts if seen.split else "the whole network"
    keys = "; the keys, public and secret" if seen.encrypted else ""
    data = "the images and labels of all clients" if seen.pooled else "its images and labels"
    received = []
    if seen.split:
        received.append(f"the output of {seen.server_parts} and the gradient at its own cut")
    if seen.handed_over:
        received.append(f"the weights of {seen.client_parts} as another client left them, in the clear")
    if seen.aggregated:
        total = "the encrypted sum, which it decrypts" if seen.encrypted else "the sum"
        received.append(f"{total}: the average of {seen.client_parts}")
    others = "nothing is kept apart" if seen.pooled else "another client's data, activations or update"
    if seen.handed_over:
        others = "another client's data or activations"
    return PartyView("Client", f"{data}; {parts}{keys}", "; ".join(received) or "nothing from others", others)


def _aggregation_server(seen: Exposure) -> PartyView:
    sees = "ciphertexts" if seen.encrypted else f"updates of {seen.client_parts}, in the clear"
    never = "any readable weight, any key that decrypts" if seen.encrypted else "images, labels, activations"
    return PartyView("Aggregation server", "the running sum", f"{sees}; who took part; sample counts", never)


def _and(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
