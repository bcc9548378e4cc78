"""OpenFHE as an arithmetic: in this process where `import openfhe` works, else in worker processes that have it.

`library`, `channel` and `worker` also run under the interpreter that has the package, which has nothing else of this
engine's: they import numpy, openfhe and each other alone.
"""
