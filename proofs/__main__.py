"""Run every proof: `python -m proofs [--quick]`."""

import sys

from proofs import lost_commit, real_tests
from proofs.contract import main

PROOFS = (lost_commit.PROOF, real_tests.PROOF)

if __name__ == "__main__":
    sys.exit(main(PROOFS))
