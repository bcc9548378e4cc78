"""Encrypted federated averaging in a FLARE job: filters for its clients, aggregator and persistor for its server.

For the stock ScatterAndGather workflow with a FullModelShareableGenerator. The job's own executor sees plain numpy
weights and returns plain weights or differences. docs/encrypted-fedavg.md says what the server sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from nvflare.apis.dxo import DXO, DataKind, MetaKey, from_shareable
from nvflare.apis.dxo_filter import DXOFilter
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.app_common.abstract.aggregator import Aggregator
from nvflare.app_common.abstract.model import ModelLearnable, ModelLearnableKey, make_model_learnable
from nvflare.app_common.abstract.model_persistor import ModelPersistor
from nvflare.app_common.app_constant import AppConstants

from trainer.federation.encrypted_fedavg import (
    CONTRIBUTION,
    GlobalModel,
    HistoryError,
    Member,
    Server,
    Terms,
    client_number,
)
from trainer.parties.key_folder import public_in, secret_in

STANDING = "dcsfl_standing"


class _Standing:
    """What a client's two filters share for the length of a job: the member, the model, the rounds it was part of."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.model: GlobalModel | None = None
        self.round = -1
        self.contributed: dict[int, int] = {}


def terms_of_job(terms: Terms, job_id: str) -> Terms:
    """The terms with FLARE's job in their session: under a name used twice, no sum of one job passes in another."""
    return replace(terms, session=f"{terms.session}, FLARE job {job_id}")


class DecryptModel(DXOFilter):
    """Task-data filter of a client: the sealed model in, the global weights out.

    key_folder: holds secret.key. terms: the fields of `Terms`, the same at all parties.
    """

    def __init__(self, key_folder: str, terms: Mapping[str, Any]) -> None:
        super().__init__([DataKind.WEIGHTS], [DataKind.WEIGHTS])
        self.key_folder, self.terms = key_folder, terms

    def process_dxo(self, dxo: DXO, shareable: Shareable, fl_ctx: FLContext) -> DXO:
        """Raises HistoryError and the engine's errors; FLARE answers the task with TASK_DATA_FILTER_ERROR then."""
        standing = fl_ctx.get_prop(STANDING)
        if standing is None:
            terms = terms_of_job(Terms(**self.terms), fl_ctx.get_job_id())
            standing = _Standing(Member(secret_in(Path(self.key_folder)), terms))
            fl_ctx.set_prop(STANDING, standing, private=True, sticky=True)
        standing.model = standing.member.open(dxo.data, standing.model, standing.contributed)
        standing.round = int(shareable.get_header(AppConstants.CURRENT_ROUND))
        # The executor may train in place.
        dxo.data = {name: array.copy() for name, array in standing.model.weights.items()}
        return dxo


class EncryptUpdate(DXOFilter):
    """Task-result filter of a client: trained weights, or what training changed, in; an encrypted update out.

    The update counts NUM_STEPS_CURRENT_ROUND times, 1 where the executor gives none.
    """

    def __init__(self) -> None:
        kinds = [DataKind.WEIGHTS, DataKind.WEIGHT_DIFF]
        super().__init__(kinds, kinds)

    def process_dxo(self, dxo: DXO, shareable: Shareable, fl_ctx: FLContext) -> DXO:
        """Raises HistoryError, UnfitWeightsError and the engine's errors; FLARE sends no result of the task then."""
        standing = fl_ctx.get_prop(STANDING)
        if standing is None or standing.model is None:
            raise HistoryError("there is no global model to compare with: add DecryptModel as a task-data filter")
        # A mask stands for one message: two updates under the same one would show their difference's polynomial.
        if standing.round <= max([*standing.contributed, standing.model.last_round]):
            raise HistoryError(f"the server asks for round {standing.round} again")
        trained = dxo.data
        if dxo.data_kind == DataKind.WEIGHT_DIFF:
            trained = {name: standing.model.weights[name] + change for name, change in dxo.data.items()}
        client = client_number(fl_ctx.get_identity_name())
        data = standing.member.contribution(
            standing.model,
            trained,
            round=standing.round,
            client=client,
            weight=int(dxo.get_meta_prop(MetaKey.NUM_STEPS_CURRENT_ROUND, 1)),
        )
        standing.contributed[standing.round] = client
        return DXO(DataKind.WEIGHTS, {CONTRIBUTION: np.frombuffer(data, np.uint8)}, dict(dxo.meta))


class EncryptedAggregator(Aggregator):
    """The server's aggregator: adds encrypted updates, and returns the sealed model in place of weights.

    key_folder: holds public.key, and no secret.key. terms: as at the clients.
    """

    def __init__(self, key_folder: str, terms: Mapping[str, Any]) -> None:
        super().__init__()
        self.key_folder, self.terms = key_folder, terms
        self._server: Server | None = None
        self._contributions: dict[int, bytes] = {}

    def reset(self, fl_ctx: FLContext) -> None:
        """Forget the contributions of the round."""
        self._contributions = {}

    def accept(self, shareable: Shareable, fl_ctx: FLContext) -> bool:
        """Take a client's contribution; False for a failed task, a second contribution, or weights in the clear."""
        site = fl_ctx.get_peer_context().get_identity_name()
        if shareable.get_return_code() != ReturnCode.OK:
            return False
        data, client = from_shareable(shareable).data, client_number(site)
        if set(data) != {CONTRIBUTION}:
            self.log_error(fl_ctx, f"{site} sent weights in the clear: add EncryptUpdate as a task-result filter")
            return False
        if client in self._contributions:
            return False
        self._contributions[client] = data[CONTRIBUTION].tobytes()
        return True

    def aggregate(self, fl_ctx: FLContext) -> Shareable:
        """The sealed model with this round's sum. Raises a FrameError, AggregationError or KeyStoreError."""
        if self._server is None:
            self._server = Server(public_in(Path(self.key_folder)), Terms(**self.terms))
        sealed = fl_ctx.get_prop(AppConstants.GLOBAL_MODEL)[ModelLearnableKey.WEIGHTS]
        round = int(fl_ctx.get_prop(AppConstants.CURRENT_ROUND))
        sealed = self._server.add_up(sealed, round, self._contributions)
        self._contributions = {}
        return DXO(DataKind.WEIGHTS, sealed).to_shareable()


class SealedModelPersistor(ModelPersistor):
    """The server's persistor: initial weights out of an .npz file, the sealed model into `FILE` of the job's results.

    initial: path of the .npz file, one floating-point array per name.
    """

    FILE = "sealed_model.npz"

    def __init__(self, initial: str) -> None:
        super().__init__()
        self.initial = initial

    def load_model(self, fl_ctx: FLContext) -> ModelLearnable:
        """The initial weights."""
        with np.load(self.initial, allow_pickle=False) as arrays:
            return make_model_learnable(dict(arrays), {})

    def save_model(self, model: ModelLearnable, fl_ctx: FLContext) -> None:
        """Write initial weights and encrypted sums."""
        folder = Path(fl_ctx.get_workspace().get_result_root(fl_ctx.get_job_id()))
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / self.FILE, **model[ModelLearnableKey.WEIGHTS])
