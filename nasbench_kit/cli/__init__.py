"""The command line: composition, and the only importer of everything.

Each file of this package registers the commands of one subject. `main` has the exit codes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

from nasbench_kit.checks import shown
from nasbench_kit.cli import (
    analyze,
    animate,
    build,
    calibrate,
    compare,
    inspect,
    katib,
    official,
    rank_correlation,
    report,
    retrain,
    streams,
    subset,
    surrogate,
    train,
)
from nasbench_kit.errors import InvalidSetting, NasbenchKitError, Terminated
from nasbench_kit.system import ending
from nasbench_kit.version import __version__

EXIT_CODES = """\
exit codes:
  0    done
  1    some runs failed; all others are done, and the message names the first
  2    wrong usage or an error with a name: one line on standard error
  70   an internal error: one line says where its traceback lies
  130  interrupted; 143 terminated. What was finished is kept"""


#: Characters of a word of the command line beyond which a message cuts it; paths have fewer.
_LONG = 200


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are errors like all others, and which guesses no option."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        raise InvalidSetting(f"{message}; see `{self.prog} --help`")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print help or version; argparse's own passes over what cannot be written."""
        (file or sys.stderr).write(message)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    main = _Parser(
        prog="nasbench-kit",
        description="Compare architecture search algorithms on a tabular benchmark.",
        epilog=f"Every command has its own --help.\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    main.add_argument("--version", action="version", version=__version__)
    subparsers = main.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (
        compare,
        report,
        analyze,
        animate,
        rank_correlation,
        retrain,
        inspect,
        official,
        train,
        katib,
        build,
        subset,
        surrogate,
        calibrate,
    ):
        module.add_commands(subparsers)
    return main


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: its words; those of this process by default.

    Returns:
        The exit code: 0 done, 1 some runs failed, 2 wrong usage or an error with a name, 70 an
        internal error, 130 interrupted, 143 terminated.
    """
    try:
        if argv is None:
            streams.prepare()
            ending.listen()
            argv = sys.argv[1:]
        return _run(argv)
    except KeyboardInterrupt:
        streams.say("interrupted; what was finished is kept")
        return 130
    except Terminated:
        streams.say("terminated; what was finished is kept")
        return 143
    finally:
        streams.discard_output()


def _run(argv: Sequence[str]) -> int:
    try:
        _check_words(argv)
        try:
            args = parser().parse_args(argv)
        except SystemExit:  # of --help and --version
            sys.stdout.flush()
            raise
        code: int = args.run(args)
        sys.stdout.flush()
    except NasbenchKitError as error:
        streams.say(_brief(str(error), argv))
        return 2
    except BrokenPipeError as error:
        return 0 if streams.reader_gone() else _internal(error)
    except OSError as error:
        place = "the output" if error.filename is None else error.filename
        streams.say(
            f"cannot read or write {place}: {error.strerror or error}; choose another place"
        )
        return 2
    except MemoryError:
        streams.say("out of memory; choose a smaller task, or fewer --workers where there are any")
        return 2
    except Exception as error:  # noqa: BLE001  # the last line of defence
        ending.check()
        return _internal(error)
    return code


def _brief(message: str, argv: Sequence[str]) -> str:
    """A message without words that fill the screen, such as a number of 5,000 digits."""
    for word in argv:
        for part in (word, *word.split("=")):
            if len(part) > _LONG:
                message = message.replace(part, f"{part[:79]}…")
    return message


def _check_words(argv: Sequence[str]) -> None:
    """No option means anything by an empty value, and no path holds a NUL or broken characters.

    Raises:
        InvalidSetting: such a word.
    """
    for place, word in enumerate(argv):
        option, equals, value = word.partition("=")
        if not word.strip():
            before = f"the argument after {argv[place - 1]}" if place else "the first argument"
            raise InvalidSetting(f"{before} is empty; give a value, or leave it out")
        if word.startswith("--") and equals and not value.strip():
            raise InvalidSetting(f"{option} is empty; give a value, or leave it out")
        if "\0" in word or (not word.isascii() and word != word.encode(errors="replace").decode()):
            raise InvalidSetting(
                f"the argument {shown(word)} is no UTF-8 text; rename what it names"
            )


def _internal(error: Exception) -> int:
    with tempfile.NamedTemporaryFile(
        "w", prefix="nasbench-kit-", suffix=".traceback", delete=False, encoding="utf-8"
    ) as file:
        file.write("".join(traceback.format_exception(error)))
    streams.say(
        f"internal error ({type(error).__name__}: {error}); please report it with the traceback, "
        f"which is in {file.name}"
    )
    return 70
