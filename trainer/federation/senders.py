"""Who may send what. The sender's name comes from its certificate; a message that speaks for another is refused."""

from __future__ import annotations

from typing import Any

from he_core import frame
from trainer.errors import ProtocolError
from trainer.federation import commands
from trainer.parties.messages import EncryptedContribution
from trainer.transport.in_process import COMPUTE

COMMANDS = (
    commands.Join,
    commands.Start,
    commands.Train,
    commands.Contribute,
    commands.Share,
    commands.Receive,
    commands.Adopt,
    commands.GiveUp,
    commands.HandOver,
    commands.SealModel,
    commands.TakeModel,
    commands.Evaluate,
    commands.OpenSum,
    commands.ReportCosts,
    commands.Keep,
    commands.Ping,
    commands.GoBack,
    commands.OpenTranscript,
    commands.Restore,
)


def client_name(client: int) -> str:
    """The party's name of client number `client`."""
    return f"client-{client}"


def check_sender(sender: str, message: Any) -> None:
    """Raise ProtocolError where `message` is not `sender`'s to send; FrameError for a contribution that is no frame.

    Commands come from the coordinator at the compute server alone, and what a client sends names that client.
    """
    if isinstance(message, COMMANDS):
        if sender != COMPUTE:
            raise ProtocolError(f"{sender} sent {type(message).__name__}, which is the coordinator's to send")
        return
    if isinstance(message, EncryptedContribution):
        client = frame.parse(message.frame).header.participants[0].client
    else:
        client = message.client
    if sender != client_name(client):
        raise ProtocolError(f"{sender} sent a {type(message).__name__} in the name of client {client}")
