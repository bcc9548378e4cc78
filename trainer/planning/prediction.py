"""From a calibration to a round's cost: seconds on the critical path, and exact bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from he_core import Codec, Scheme, frame
from trainer.planning.calibration import Calibration


@dataclass(frozen=True)
class Workload:
    """What is to be averaged. bits_per_second: of each client's line, up and down alike.

    codec: verified where sums are to be verified by schemes that can.
    """

    codec: Codec
    clients: int
    bits_per_second: float

    def under(self, scheme: Scheme) -> Workload:
        """The same with the codec that `scheme` can serve: sums that are not exact cannot be verified."""
        verified = self.codec.verified and scheme.capabilities.exact
        return replace(self, codec=replace(self.codec, verified=verified))


@dataclass(frozen=True)
class Prediction:
    """A round as its slowest path goes: clients work at the same time, the server adds them one after another.

    add_seconds: everything the server does. setup_seconds: once, before the first round. largest_measured: values in
    the largest update that the seconds were measured on. is_bound: that was too small to tell how they grow, and they
    are what it takes at most.
    """

    encrypt_seconds: float
    upload_seconds: float
    add_seconds: float
    download_seconds: float
    decrypt_seconds: float
    upload_bytes: int
    download_bytes: int
    value_count: int
    setup_seconds: float
    largest_measured: int
    is_bound: bool

    @property
    def total_seconds(self) -> float:
        return self.transfer_seconds + self.encrypt_seconds + self.add_seconds + self.decrypt_seconds

    @property
    def transfer_seconds(self) -> float:
        return self.upload_seconds + self.download_seconds

    @property
    def total_bytes(self) -> int:
        """Per client and round, both ways."""
        return self.upload_bytes + self.download_bytes

    @property
    def bits_per_value(self) -> float:
        return 8 * self.upload_bytes / self.value_count

    @property
    def expansion(self) -> float:
        """Bytes sent over the bytes of the float32 values."""
        return self.bits_per_value / 32

    def as_row(self) -> dict[str, Any]:
        """A flat, JSON-able row."""
        names = ("encrypt", "upload", "add", "download", "decrypt", "total", "setup")
        row: dict[str, Any] = {f"{name}_seconds": getattr(self, f"{name}_seconds") for name in names}
        sizes = ("upload_bytes", "download_bytes", "total_bytes", "bits_per_value", "expansion")
        return row | {name: getattr(self, name) for name in (*sizes, "largest_measured", "is_bound")}


def predict(workload: Workload, scheme: Scheme, calibration: Calibration) -> Prediction:
    """A round of `workload` under `scheme`. Raises ParameterError where the scheme cannot serve its codec."""
    payload_bytes = scheme.payload_bytes(workload.codec.shape)
    upload_bytes = frame.frame_bytes(payload_bytes)
    download_bytes = frame.frame_bytes(payload_bytes, workload.clients)
    count, clients = workload.codec.value_count, workload.clients
    step = {name: line.at(count) for name, line in calibration.lines.items()}
    slowest = max(step, key=lambda name: step[name])
    return Prediction(
        encrypt_seconds=step["encrypt"],
        upload_seconds=8 * upload_bytes / workload.bits_per_second,
        add_seconds=clients * step["parse"] + (clients - 1) * step["add"] + step["frame"],
        download_seconds=8 * download_bytes / workload.bits_per_second,
        decrypt_seconds=step["decrypt"],
        upload_bytes=upload_bytes,
        download_bytes=download_bytes,
        value_count=count,
        setup_seconds=calibration.setup_seconds,
        largest_measured=calibration.largest,
        is_bound=calibration.lines[slowest].is_bound and count > calibration.largest,
    )
