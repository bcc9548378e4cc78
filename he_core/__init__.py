"""dcsfl's encrypted-aggregation engine: K clients' float32 vectors in, their weighted mean out, the adder blind.

scheme = he_core.create("paillier", parameters={"modulus_bits": 3072})
keys = scheme.generate_keys()
codec = he_core.Codec(bits=16, k_max=8, lengths=(len(update),), limits=(0.05,))

frame = he_core.Encryptor(scheme, scheme.public_key(keys.public)).encrypt(update, codec, round=0, client=3)

aggregator = he_core.Aggregator(scheme, scheme.public_key(keys.public))   # no secret key here
aggregator.open(round=0, shape=codec.shape, clients=range(4))
aggregator.add(frame)                                                     # ... one per client
total = aggregator.result()

mean = he_core.Decryptor(scheme, scheme.secret_key(keys)).decrypt(total, codec, round=0)

With `Codec(..., verified=True)` and `verifier=he_core.Verifier(keys.verification_key, session)` at encryptors and
decryptors, a sum that is not that of its participants' contributions is refused.
"""

from he_core import registry
from he_core.aggregation import Aggregator
from he_core.arith.kernels import kernel_target
from he_core.codec import Codec, CodecShape
from he_core.cost import CostLedger
from he_core.decryptor import Decryptor
from he_core.encryptor import Encryptor
from he_core.errors import HeCoreError
from he_core.keys import PublicBundle, SecretBundle
from he_core.registry import create
from he_core.scheme import Scheme, Trust
from he_core.threshold import ShareHolder
from he_core.verification import Verifier

__all__ = [
    "Aggregator",
    "Codec",
    "CodecShape",
    "CostLedger",
    "Decryptor",
    "Encryptor",
    "HeCoreError",
    "PublicBundle",
    "Scheme",
    "SecretBundle",
    "ShareHolder",
    "Trust",
    "Verifier",
    "create",
    "kernel_target",
    "registry",
]
