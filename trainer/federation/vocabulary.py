"""Which classes cross between processes, and their codes on the wire. A code is never given to another class."""

from __future__ import annotations

from he_core.frame import Participant
from trainer.federation import commands
from trainer.parties import messages
from trainer.transport.remote import Refused
from trainer.transport.wire import Vocabulary

VOCABULARY = Vocabulary(
    {
        1: messages.HeadActivations,
        2: messages.BodyActivations,
        3: messages.BodyOutputGradient,
        4: messages.BodyInputGradient,
        5: messages.InferenceActivations,
        6: messages.EncryptedContribution,
        7: messages.ContributionAccepted,
        8: messages.SumRequest,
        9: messages.EncryptedSum,
        10: messages.PartsHandover,
        11: messages.HandoverAccepted,
        12: messages.SealedPartial,
        13: messages.PartialAccepted,
        14: messages.PartialsRequest,
        15: messages.SealedPartials,
        32: messages.RoundPlan,
        33: Participant,
        34: messages.BatchPart,
        64: commands.Join,
        65: commands.HospitalJoined,
        66: commands.AggregationJoined,
        67: commands.Start,
        68: commands.Train,
        69: commands.Trained,
        70: commands.Contribute,
        71: commands.Contributed,
        72: commands.Receive,
        73: commands.Received,
        74: commands.HandOver,
        75: commands.Evaluate,
        76: commands.Evaluated,
        77: commands.OpenSum,
        78: commands.ReportCosts,
        79: commands.Costs,
        80: commands.Keep,
        81: commands.Restore,
        82: commands.Done,
        83: Refused,
        84: commands.Adopt,
        85: commands.GoBack,
        90: commands.Ping,
        91: commands.Share,
        92: commands.Shared,
        93: commands.SealModel,
        94: commands.SealedModel,
        95: commands.TakeModel,
        86: commands.GiveUp,
        87: commands.OpenTranscript,
    }
)
