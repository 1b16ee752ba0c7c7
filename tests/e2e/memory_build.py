"""The build of an imaginary vendor: the open-source one with the backend type `memory` beside it.

This is all that a build of one's own takes.
"""

from __future__ import annotations

from durahub.cli.main import main
from durahub.edition import OSS, Allowed

EDITION = OSS.renamed("memory").add(
    Allowed(backend_type="memory", distribution="durahub-core", module="durahub.testing.plugin")
)

if __name__ == "__main__":
    main(EDITION)
