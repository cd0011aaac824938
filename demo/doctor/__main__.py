"""`python -m demo.doctor`."""

import sys

from demo.doctor.command import main

if __name__ == "__main__":
    sys.exit(main())
