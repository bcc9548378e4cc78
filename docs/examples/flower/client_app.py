"""A client: linear regression on its own numbers. The mod is all that encryption adds."""

import numpy as np
from agreed import TERMS
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from trainer.federation.flower import EncryptionMod

app = ClientApp(mods=[EncryptionMod(TERMS)])


@app.train()
def train(message: Message, context: Context) -> Message:
    """Ten steps of gradient descent; plain weights in and out."""
    slope, offset = (message.content["arrays"][name].numpy() for name in ("slope", "offset"))
    site = int(context.node_config["site"])
    examples = 20 * (site + 1)
    x = np.random.default_rng(site).normal(size=(examples, 3)).astype(np.float32)
    y = x @ np.array([1, -2, 3], np.float32) + site
    for _ in range(10):
        error = x @ slope + offset - y
        slope, offset = slope - 0.1 * x.T @ error / examples, offset - 0.1 * error.mean(keepdims=True)
    arrays = ArrayRecord({"slope": Array(slope.astype(np.float32)), "offset": Array(offset.astype(np.float32))})
    metrics = MetricRecord({"num-examples": examples, "loss": float(np.mean(error**2))})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)
