"""Run every proof: `python -m proofs [--quick]`."""

import sys

from proofs import (
    burst,
    cancelled,
    changed_plan,
    cut_commit,
    exhausted,
    lost_commit,
    real_tests,
    restart,
    run_again,
)
from proofs.contract import main

PROOFS = (
    lost_commit.PROOF,
    cancelled.PROOF,
    changed_plan.PROOF,
    restart.PROOF,
    run_again.PROOF,
    cut_commit.PROOF,
    exhausted.PROOF,
    burst.PROOF,
    real_tests.PROOF,
)

if __name__ == "__main__":
    sys.exit(main(PROOFS))
