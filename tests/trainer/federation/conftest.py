"""Federations whose parties exchange bytes, as between processes, over a link within this one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, TimeoutError
from pathlib import Path

import pytest

import he_core
from he_core import CostLedger, keystore
from trainer.config import Config, load
from trainer.display import QuietDisplay
from trainer.federation.aggregation_site import AggregationSite
from trainer.federation.coordinator import Coordinator
from trainer.federation.hospital_site import HospitalSite
from trainer.federation.senders import client_name
from trainer.federation.site import Site
from trainer.parties.keys import keys_of_clients
from trainer.run_folder import RunFolder
from trainer.transport.in_process import AGGREGATION, COMPUTE
from trainer.transport.remote import PartyUnreachableError, Service

SMALL = (
    "run.threads=1",
    "run.examples=0",
    "data.image_size=32",
    "data.max_slices=6",
    "data.clients=3",
    "training.batch_size=2",
    "training.rounds=3",
    "training.hd95=false",
    "network.features=[4, 4, 6, 6, 8, 4]",
    "encryption.k_max=4",
)


class Wire:
    """Bytes from party to party, each authenticated by whose end of the wire they come from; all are kept."""

    def __init__(self) -> None:
        self.services: dict[str, Service] = {}
        self.crossed: list[tuple[str, str, bytes]] = []
        self.cut: set[str] = set()  # parties that cannot be reached
        self.deadlines = False  # whether calls end at their deadlines
        self._pool = ThreadPoolExecutor(16)

    def deliver(self, sender: str, recipient: str, data: bytes, deadline: float | None) -> bytes:
        answer = self.services[recipient].answer
        if not self.deadlines:
            return answer(sender, data)
        try:
            return self._pool.submit(answer, sender, data).result(deadline)
        except TimeoutError:
            raise PartyUnreachableError(recipient, f"no answer in {deadline} s") from None

    def end(self, party: str) -> WireEnd:
        return WireEnd(self, party)


class WireEnd:
    """A party's link."""

    def __init__(self, wire: Wire, party: str) -> None:
        self.wire, self.party = wire, party

    def call(self, recipient: str, data: bytes, deadline: float | None = None) -> bytes:
        if {self.party, recipient} & self.wire.cut:
            raise PartyUnreachableError(recipient, "the wire is cut")
        self.wire.crossed.append((self.party, recipient, data))
        reply = self.wire.deliver(self.party, recipient, data, deadline)
        self.wire.crossed.append((recipient, self.party, reply))
        return reply


class WiredFederation:
    """Every party as its own site, with a folder of its own under `folder`."""

    def __init__(self, folder: Path, overrides: tuple[str, ...]) -> None:
        self.folder = folder
        self.overrides = (*SMALL, *overrides)
        self.config = self.site_config()
        self.wire = Wire()
        self.hospitals = self.config.data.clients
        self.sites: dict[str, Site] = {}
        self.start()

    def site_config(self, *own: str) -> Config:
        return load(overrides=(*self.overrides, *own))

    def make_keys(self) -> None:
        encryption = self.config.encryption
        scheme = he_core.create(encryption.scheme, encryption.backend, encryption.parameters)
        hospitals = tuple(map(client_name, range(self.hospitals)))
        bundles = keys_of_clients(scheme, encryption, CostLedger(), hospitals)
        for party, bundle in zip((*hospitals, AGGREGATION), (*bundles, bundles[0]), strict=True):
            keys = self.folder / party / "keys"
            keys.mkdir(parents=True)
            keystore.save_public(keys / "public.key", bundle.public)
            if party != AGGREGATION:
                keystore.save_secret(keys / "secret.key", bundle)

    def start(self) -> None:
        """Start every process anew, as after a reboot of them all."""
        if not (self.folder / AGGREGATION).exists():
            self.make_keys()
        for index in range(self.hospitals):
            self.start_hospital(index)
        aggregation = AggregationSite(self._own_config(AGGREGATION), self.folder / AGGREGATION)
        self._take(AGGREGATION, aggregation)
        self.coordinator = Coordinator(self.config, self.hospitals, self.wire.end(COMPUTE))
        self.wire.services[COMPUTE] = self.coordinator.service

    def start_hospital(self, index: int) -> None:
        name = client_name(index)
        site = HospitalSite(index, self._own_config(name), self.folder / name, self.wire.end(name))
        self._take(name, site)

    def _take(self, party: str, site: Site) -> None:
        self.sites[party], self.wire.services[party] = site, site.service

    def run(self) -> dict:
        path = self.folder / "run"
        folder = RunFolder(path) if path.exists() else RunFolder.create(path)
        folder.write_config(self.config)
        return self.coordinator.run(folder, QuietDisplay())

    def _own_config(self, party: str) -> Config:
        return self.site_config(f"encryption.key_folder={self.folder / party / 'keys'}")


@pytest.fixture(scope="session")
def federate() -> Callable[..., WiredFederation]:
    """`federate(folder, *overrides)`."""
    return lambda folder, *overrides: WiredFederation(folder, overrides)


@pytest.fixture
def wired(tmp_path) -> Callable[..., WiredFederation]:
    return lambda *overrides: WiredFederation(tmp_path, overrides)
