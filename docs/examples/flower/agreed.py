"""What all parties agree on: how sums are made, and the model's shape."""

from trainer.federation.encrypted_fedavg import Terms

TERMS = Terms(session="example", reach=1.0, most_examples=100)
