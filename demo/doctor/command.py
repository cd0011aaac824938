"""The command line of the doctor: the examination, and what helps after it.

python -m demo.doctor                        # can this machine stylize, and with what?
python -m demo.doctor show comic             # what is this style, and may I sell its pictures?
python -m demo.doctor list                   # public weights, with size and licence
python -m demo.doctor fetch e4e-ffhq         # one of them onto this machine
python -m demo.doctor import file.pt ...     # foreign weights into a style pack
python -m demo.doctor export comic --to out  # ONNX files for programs without PyTorch
python -m demo.doctor verify me.png          # what does this file say about how it was made?
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from demo.photo import add_setup_arguments
from engine.card import FRAMINGS
from engine.errors import StylizeError

FAILED, INTERRUPTED = 1, 130
NUMBER_FORMATS = ("float32", "float16", "int8-weights", "int8-dynamic", "int8-static")
ABOUT = "Say whether this machine can stylize, and with what."
EPILOG = """\
examples:
  python -m demo.doctor                    can this machine stylize, and with what?
  python -m demo.doctor show comic         what is this style, and what may I do with it?
  python -m demo.doctor list               public weights, with size and licence
  python -m demo.doctor fetch e4e-ffhq     one of them onto this machine
  python -m demo.doctor import file.pt     foreign weights into a style pack
  python -m demo.doctor export comic --to out  ONNX files for programs without PyTorch
  python -m demo.doctor verify me.png      what does this file say about how it was made?

exit codes: 0 it worked (alone: stylizing works here), 1 it did not, 2 wrong arguments
"""
FETCH_EPILOG = """\
examples:
  python -m demo.doctor fetch e4e-ffhq
  python -m demo.doctor fetch stylegan2-ffhq psp-ffhq --yes

A download that was interrupted goes on where it stopped. STYLIZE_OFFLINE=1 or HF_HUB_OFFLINE=1
switch the network off, HF_ENDPOINT names a mirror of the Hugging Face hub.
"""
IMPORT_EPILOG = """\
examples:
  python -m demo.doctor import stylegan2-ffhq-config-f.pt psp_ffhq_encode.pt --name ffhq
  python -m demo.doctor import encoder.pt --name agilegan
  python -m demo.doctor import cartoon.pt --base agilegan
  python -m demo.doctor import toon.pkl --base ffhq --swap-resolution 16
  python -m demo.doctor import blendgan.pt psp_encoder.pt --name blendgan
  python -m demo.doctor import vox-adv-cpk.pth.tar --name vox-adv

Files that belong together are named together. Nothing in them is executed. A file whose generator
differs from that of its base becomes a style, any other a base.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m demo.doctor`."""
    parser = _formatted(argparse.ArgumentParser, prog="python -m demo.doctor", epilog=EPILOG)
    parser.description = ABOUT
    add_setup_arguments(parser)
    parser.set_defaults(run=_examine)
    commands = parser.add_subparsers(title="further commands", metavar="COMMAND")
    show = _formatted(commands.add_parser, "show", help="explain a style pack")
    show.add_argument("pack", metavar="PACK", help="name of a pack, or ./folder")
    show.add_argument(
        "--packs", metavar="FOLDER", default=argparse.SUPPRESS, help="look in this folder only"
    )
    show.set_defaults(run=_show)
    listing = _formatted(commands.add_parser, "list", help="list public weights")
    _add_folder(listing)
    listing.set_defaults(run=_list)
    fetch = _formatted(
        commands.add_parser, "fetch", help="download public weights", epilog=FETCH_EPILOG
    )
    fetch.add_argument("names", metavar="NAME", nargs="+", help="from the list")
    fetch.add_argument("--yes", action="store_true", help="accept the licence without a question")
    _add_folder(fetch)
    fetch.set_defaults(run=_fetch)
    _add_import(commands)
    _add_export(commands)
    checking = _formatted(commands.add_parser, "verify", help="read how files were made")
    checking.add_argument("files", metavar="FILE", nargs="+", help="pictures or clips")
    checking.set_defaults(run=_verify)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    arguments = build_parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except StylizeError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED


def _add_import(commands: argparse._SubParsersAction) -> None:
    parser = _formatted(
        commands.add_parser, "import", help="turn foreign weights into packs", epilog=IMPORT_EPILOG
    )
    parser.add_argument("files", metavar="FILE", nargs="+", help="checkpoints of other projects")
    parser.add_argument("--kind", metavar="KIND", help="of a file whose names fit several kinds")
    parser.add_argument("--name", metavar="NAME", help="of the pack (default: that of the file)")
    parser.add_argument("--base", metavar="PACK", help="base that the files belong to")
    parser.add_argument("--attributes", metavar="A,B", default="", help="names of attribute paths")
    parser.add_argument(
        *("--swap-resolution",),
        type=int,
        metavar="R",
        help="take the photo's features at R px (UI2I, FaceStylor)",
    )
    parser.add_argument("--framing", choices=FRAMINGS, default="ffhq", help="of a new base")
    parser.add_argument("--licence", metavar="TEXT", help="what the publisher of the files says")
    parser.add_argument(
        "--out", metavar="FOLDER", help="where packs go (default $STYLIZE_HOME/packs)"
    )
    parser.set_defaults(run=_import)


def _add_export(commands: argparse._SubParsersAction) -> None:
    parser = _formatted(commands.add_parser, "export", help="write a pack as ONNX files")
    parser.add_argument("pack", metavar="PACK", help="name of a style or base, or ./folder")
    parser.add_argument("--to", metavar="FOLDER", required=True, help="where the files go")
    parser.add_argument(
        *("--variants",),
        nargs="+",
        choices=NUMBER_FORMATS,
        metavar="FORMAT",
        help=f"of {', '.join(NUMBER_FORMATS)} (default: the first three)",
    )
    parser.add_argument(
        "--packs", metavar="FOLDER", default=argparse.SUPPRESS, help="look in this folder only"
    )
    parser.set_defaults(run=_export)


def _formatted(make, *names: str, **settings) -> argparse.ArgumentParser:
    return make(*names, formatter_class=argparse.RawDescriptionHelpFormatter, **settings)


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folder", metavar="FOLDER", help="where weights are kept (default $STYLIZE_HOME/weights)"
    )


# Each imports what it needs: torch takes seconds, --help must not.
def _examine(arguments: argparse.Namespace) -> int:
    from demo.doctor.examine import report

    return report(arguments)


def _show(arguments: argparse.Namespace) -> int:
    from demo.doctor.show import show

    return show(arguments.pack, arguments.packs)


def _list(arguments: argparse.Namespace) -> int:
    from demo.doctor.weights import list_weights

    return list_weights(arguments.folder)


def _fetch(arguments: argparse.Namespace) -> int:
    from demo.doctor.weights import fetch_weights

    return fetch_weights(arguments.names, arguments.folder, is_agreed=arguments.yes)


def _import(arguments: argparse.Namespace) -> int:
    from demo.doctor.imports import import_files

    return import_files(arguments)


def _export(arguments: argparse.Namespace) -> int:
    from demo.doctor.export import export

    return export(arguments)


def _verify(arguments: argparse.Namespace) -> int:
    from demo.doctor.verify import verify

    return verify(arguments.files)
