"""`refinecli convert`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from refinecli.cli.options import takes
from refinecli.text.clean import as_line


@takes()
def convert(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="`local`, a .gguf file, or a Hugging Face directory."),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="A directory for the GGUF file; a .gguf file for the directory.",
        ),
    ],
    like: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The .gguf file, or `local`, whose metadata and tokenizer the new one gets. "
            "(default: what the directory was converted from)",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace PATH if it was made by this command.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only errors on stderr.")
    ] = False,
) -> int:
    """Turn a GGUF file into a Hugging Face directory, which can be trained, and back.

    Back is F16, and for the llama architecture. Needs the extra `train`.

    \b
    refinecli convert local -o base
    refinecli convert trained -o model.gguf
    refinecli convert adapter -o model.gguf --like local
    refinecli refine in.jsonl --model model.gguf -o out.jsonl
    """
    from refinecli.training.convert import is_gguf, planned

    wanted = planned(model, output, like, force=force)
    began = time.monotonic()
    words = wanted.run()
    if not quiet:
        seconds = time.monotonic() - began
        print(as_line(f"{output}: {words}, in {seconds:.0f} s"), file=sys.stderr)
        if is_gguf(output):
            print(as_line(f"use it: refinecli refine --model {output}"), file=sys.stderr)
    return 0
