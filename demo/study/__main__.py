"""`python -m demo.study FOLDER...`."""

import sys

from demo.study.command import main

if __name__ == "__main__":
    sys.exit(main())
