"""Run every proof: `python -m proofs [--quick]`."""

import sys

from proofs import lost_commit
from proofs.contract import main

PROOFS = (lost_commit.PROOF,)

if __name__ == "__main__":
    sys.exit(main(PROOFS))
