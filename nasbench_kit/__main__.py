"""The program ``nasbench-kit``, also as ``python -m nasbench_kit``."""

import os
import signal
import sys


def main() -> int:
    """Run one command: ``nasbench_kit.cli.main``, where ^C is quiet from the start."""
    interrupted = signal.getsignal(signal.SIGINT)
    if interrupted is signal.default_int_handler:
        # Nothing is begun that would have to be tidied up, and imports in C do not end in order.
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    from nasbench_kit import cli

    signal.signal(signal.SIGINT, interrupted)
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
