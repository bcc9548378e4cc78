"""What is compared where nothing is said. No import: the command's help shows these."""

METHODS = "dcsfl,splitfed-v1,fedavg,local,centralised"
VARIANT = "dcsfl plain: encryption.scheme=plain"
SEEDS = "42,1,2"
