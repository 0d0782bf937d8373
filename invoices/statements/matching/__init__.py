"""Which invoices a bank credit may pay: proposals with their reasons and a confidence. People decide."""

from invoices.statements.matching.proposal import Confidence, Credit, Part, Proposal, Reason
from invoices.statements.matching.propose import propose
from invoices.statements.matching.reasons import ReasonCode, sentence

__all__ = ["Confidence", "Credit", "Part", "Proposal", "Reason", "ReasonCode", "propose", "sentence"]
