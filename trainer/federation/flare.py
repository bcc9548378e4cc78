"""The parties as sites of NVIDIA FLARE: its Collab API carries messages as bytes, its certificates say who sent them.

The compute server is FLARE's server, for all hospitals talk with it in every batch; hospitals and the aggregation
server are client sites, which connect outwards only. What FLARE's server relays between those are ciphertexts.
A site's own file, `local/dcsfl.yaml` in its startup kit, says where its images and its keys are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from nvflare.collab import collab
from nvflare.collab.api.exceptions import CollabCallError

from he_core import HeCoreError
from trainer.allocation import keep_freed_memory
from trainer.config import Config, load
from trainer.display import LineDisplay, LoggedDisplay
from trainer.errors import ConfigError, TrainerError
from trainer.federation.aggregation_site import AggregationSite
from trainer.federation.coordinator import Coordinator
from trainer.federation.direct import direct_link, serve
from trainer.federation.hospital_site import HospitalSite
from trainer.federation.senders import client_name
from trainer.federation.site import Site
from trainer.run_folder import RunFolder
from trainer.terminal import console
from trainer.transport.in_process import AGGREGATION, COMPUTE
from trainer.transport.remote import CALL_DEADLINE, PartyUnreachableError

SITE_FILE = "dcsfl.yaml"
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}/[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class SiteNames:
    """Which FLARE site is which party."""

    def __init__(self, hospitals: list[str], aggregation: str) -> None:
        self._parties = {site: client_name(index) for index, site in enumerate(hospitals)}
        self._parties |= {aggregation: AGGREGATION, "server": COMPUTE}
        self._sites = {party: site for site, party in self._parties.items()}

    def party(self, site: str) -> str:
        """Raises ConfigError for a site that has no part in the job."""
        if site not in self._parties:
            raise ConfigError(f"site {site!r} has no part in this job: it is of {', '.join(sorted(self._parties))}")
        return self._parties[site]

    def site(self, party: str) -> str:
        """FLARE's name of `party`."""
        return self._sites[party]


class FlareLink:
    """A party's way to the others: a call of their site's `exchange`. Made while FLARE calls this site."""

    def __init__(self, names: SiteNames) -> None:
        proxies = {proxy.name: proxy for proxy in (*collab.clients, collab.server)}
        self._names = names
        self._proxies = proxies

    def call(self, recipient: str, data: bytes, deadline: float | None = None) -> bytes:
        proxy = self._proxies.get(self._names.site(recipient))
        if proxy is None:
            raise PartyUnreachableError(recipient, "its site is not in the job")
        try:
            return proxy(timeout=CALL_DEADLINE if deadline is None else deadline).exchange(message=data)
        except CollabCallError as error:
            raise PartyUnreachableError(recipient, str(error)) from None


class ComputeSite:
    """FLARE's server: the compute server, and the coordinator beside it.

    config: the job's, as YAML. hospitals: their site names, in client order. run: NAME/TIME of the run folder.
    """

    def __init__(self, config: str, hospitals: list[str], aggregation: str, run: str) -> None:
        self.config, self.hospitals, self.aggregation, self.run = config, hospitals, aggregation, run
        self._names = SiteNames(hospitals, aggregation)
        self._coordinator: Coordinator | None = None

    @collab.publish
    def exchange(self, message: bytes) -> bytes:
        return self._answer(collab.caller, message)

    @collab.main
    def train(self) -> None:
        keep_freed_memory()
        config = _config(self.config)
        folder = RunFolder(config.run.folder / _checked(self.run))
        if not folder.path.exists():
            RunFolder.create(folder.path)
        display = LoggedDisplay(LineDisplay(console), folder.log)
        try:
            folder.write_config(config)
            with self._cuts(config) as port:
                self._coordinator = Coordinator(config, len(self.hospitals), FlareLink(self._names), port)
                self._coordinator.run(folder, display)
        except (TrainerError, HeCoreError) as error:
            display.say(f"error: {error}")
            raise

    @contextmanager
    def _cuts(self, config: Config) -> Iterator[int]:
        """The port of the cuts' own streams while the block runs; 0 where there are none."""
        if not config.federation.direct_cuts:
            yield 0
            return
        startup = Path(collab.workspace.get_startup_kit_dir())
        server, port = serve(startup, f"[::]:{config.federation.cuts_port}", len(self.hospitals), self._answer)
        try:
            yield port
        finally:
            server.stop(grace=None)

    def _answer(self, site: str, message: bytes) -> bytes:
        if self._coordinator is None:
            raise ConfigError("the compute server has not started yet")
        return self._coordinator.service.answer(self._names.party(site), message)


class PartySite:
    """Any other site: a hospital, or the aggregation server. Parameters as `ComputeSite`."""

    def __init__(self, config: str, hospitals: list[str], aggregation: str, run: str) -> None:
        self.config, self.hospitals, self.aggregation, self.run = config, hospitals, aggregation, run
        self._names = SiteNames(hospitals, aggregation)
        self._site: Site | None = None

    @collab.init
    def start(self) -> None:
        keep_freed_memory()
        config = _config(self.config)
        parent = config.federation.folder or Path(collab.workspace.get_root_dir()) / "dcsfl"
        folder = parent / _checked(self.run)
        party = self._names.party(collab.site_name)
        if party == AGGREGATION:
            self._site = AggregationSite(config, folder)
        else:
            index, link = self.hospitals.index(collab.site_name), FlareLink(self._names)
            startup = Path(collab.workspace.get_startup_kit_dir())
            self._site = HospitalSite(index, config, folder, link, partial(direct_link, startup, others=link))

    @collab.publish
    def exchange(self, message: bytes) -> bytes:
        if self._site is None:
            raise ConfigError(f"{collab.site_name} has not started yet")
        return self._site.service.answer(self._names.party(collab.caller), message)


def _config(job: str) -> Config:
    """The job's configuration, with this site's own file on top: what that says, the job cannot change.

    Under FLARE's simulator all sites have one `local`, and each its file in a folder of its name there.
    """
    local = Path(collab.workspace.get_site_config_dir())
    own = (local / SITE_FILE, local / collab.site_name / SITE_FILE)
    return load([file for file in own if file.exists()], text=job)


def _checked(run: str) -> str:
    """`run`, which comes from another party and names a folder here."""
    if not RUN_NAME.fullmatch(run):
        raise ConfigError(f"{run!r} is no NAME/TIME of a run")
    return run
