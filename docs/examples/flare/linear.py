"""A client's executor: linear regression on its own numbers. It knows nothing of encryption."""

import numpy as np
from nvflare.apis.dxo import DXO, DataKind, MetaKey, from_shareable
from nvflare.apis.executor import Executor
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal


class LinearRegression(Executor):
    """Ten steps of gradient descent per round; plain weights in and out."""

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        weights = from_shareable(shareable).data
        slope, offset = weights["slope"], weights["offset"]
        site = int(fl_ctx.get_identity_name().removeprefix("site-")) - 1
        examples = 20 * (site + 1)
        x = np.random.default_rng(site).normal(size=(examples, 3)).astype(np.float32)
        y = x @ np.array([1, -2, 3], np.float32) + site
        for _ in range(10):
            error = x @ slope + offset - y
            slope, offset = slope - 0.1 * x.T @ error / examples, offset - 0.1 * error.mean(keepdims=True)
        trained = {"slope": slope.astype(np.float32), "offset": offset.astype(np.float32)}
        return DXO(DataKind.WEIGHTS, trained, {MetaKey.NUM_STEPS_CURRENT_ROUND: examples}).to_shareable()
