"""``python -m nasbench_kit`` is the program ``nasbench-kit``."""

import sys

from nasbench_kit.cli import main

if __name__ == "__main__":
    sys.exit(main())
