"""Recipe: the papers' tables in miniature, on the embedded base.

    python -m train.reproduce agilegan ui2i lu_zhou blendgan --data ../shared/data

agilegan   Table 2 (its encoder, pSp, in-domain, optimisation in W and W+) and Figure 12
ui2i       Table I (no fine-tuning, FT, FC-FT, layer swaps) and Table III (inversions)
lu_zhou    Tables 4 and 5 (semantic constraint, pseudo-pairs; three levels of pairs)
blendgan   supplementary Figure 4 (style encoder against Gram matrices)

Prints our numbers beside the paper's with the orderings that hold and those that do not, and writes
the same as DOCS/TABLE.md with figures, and as JSON. Everything trained lies below --out: rerun the
same command to go on after a stop. --dry-run lists what would be trained.
"""

import json
import sys
from collections.abc import Sequence
from types import ModuleType

from engine.errors import StylizeError
from train.config import configure, parser_of
from train.reproduce import agilegan, blendgan, lu_zhou, ui2i
from train.reproduce.report import report_of
from train.reproduce.settings import PRESETS, Settings
from train.reproduce.workshop import Workshop

TABLES: dict[str, ModuleType] = {
    "blendgan": blendgan,
    "ui2i": ui2i,
    "lu_zhou": lu_zhou,
    "agilegan": agilegan,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and print the tables; returns the exit code."""
    parser = parser_of(Settings, PRESETS, __doc__)
    parser.add_argument(
        "tables", nargs="+", metavar="TABLE", choices=TABLES, help=", ".join(TABLES)
    )
    arguments = parser.parse_args(argv)
    try:
        settings = configure(Settings, PRESETS, arguments)
        for name in arguments.tables:
            if arguments.dry_run:
                for part in TABLES[name].parts(settings):
                    print(json.dumps(part.to_dict()))
                continue
            shop = Workshop(settings)
            found = TABLES[name].tables(shop)
            report = report_of(name, TABLES[name].__doc__ or "", shop, found)
            for line in report.markdown():
                print(line, flush=True)
            print("written:", *report.save())
    except StylizeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
