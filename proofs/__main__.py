"""Run every proof: `python -m proofs [--quick]`."""

import sys

from proofs import (
    burst,
    cancelled,
    changed_plan,
    cut_commit,
    demoted,
    exhausted,
    lost_commit,
    pasted_url,
    pooler,
    real_tests,
    restart,
    run_again,
    same_models,
    sqlite_writers,
    state,
    valid_models,
)
from proofs.contract import main

PROOFS = (
    lost_commit.PROOF,
    cancelled.PROOF,
    pasted_url.PROOF,
    pooler.PROOF,
    changed_plan.PROOF,
    restart.PROOF,
    run_again.PROOF,
    cut_commit.PROOF,
    exhausted.PROOF,
    burst.PROOF,
    demoted.PROOF,
    sqlite_writers.PROOF,
    state.PROOF,
    same_models.PROOF,
    valid_models.PROOF,
    real_tests.PROOF,
)

if __name__ == "__main__":
    sys.exit(main(PROOFS))
