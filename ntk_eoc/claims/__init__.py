"""The ledger: every claim of the paper with our statement, a verdict, and evidence that could come out otherwise."""

from ntk_eoc.claims.ledger import CLAIMS as CLAIMS
from ntk_eoc.claims.ledger import Claim as Claim
from ntk_eoc.claims.verify import Result as Result
from ntk_eoc.claims.verify import report as report
from ntk_eoc.claims.verify import verify as verify
