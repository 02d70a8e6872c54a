"""`refinecli train`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from refinecli.cli.options import takes
from refinecli.text.clean import as_line


@takes()
def train(
    data: Annotated[Path, typer.Argument(metavar="DIR", help="What `refinecli export` wrote.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="MODEL",
            help="The model: a .gguf file, or else a Hugging Face directory.",
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The model to start from: `local`, a .gguf file or a Hugging Face directory.",
        ),
    ] = "local",
    set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="A setting of TRL's, such as learning_rate=2e-5; may be repeated.",
        ),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The .gguf file, or `local`, whose metadata and tokenizer a .gguf MODEL gets. "
            "(default: what the model to start from was converted from)",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, and print TRL's command.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget a training that was begun and not ended.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace MODEL if it was made here.")
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Print only errors; TRL's words go to MODEL.work."),
    ] = False,
) -> int:
    """Train a model on exported data with TRL's own command and the folder's trl.yaml.

    Stopped anywhere, the same command continues from TRL's last checkpoint. MODEL.json records
    what was trained on what. Needs the extra `train`.

    \b
    refinecli export out.jsonl --to sft -o data
    refinecli train data -o better.gguf
    refinecli refine new.jsonl --model better.gguf -o better.jsonl
    refinecli train data --set use_peft=true --set learning_rate=5e-4 -o b.gguf
    """
    from refinecli.runs.signals import Interrupted, raised
    from refinecli.training.convert import check_target, is_gguf
    from refinecli.training.environment import check_installed
    from refinecli.training.train import planned_training
    from refinecli.training.train import train as run

    wanted = planned_training(data, model, output, set or [], like)
    check_target(output, force=force)
    if dry_run:
        print(wanted.preview())
        return 0
    check_installed(to_train=True)

    def log(line: str) -> None:
        if not quiet:
            print(as_line(line), file=sys.stderr)

    try:
        with raised():
            run(wanted, log, quiet=quiet, restart=restart)
    except Interrupted as interrupted:
        log(f"{interrupted}; the same command continues from the last checkpoint")
        return interrupted.code
    log(f"{output}, and {output.name}.json, which records how it was made")
    if is_gguf(output):
        log(f"use it: refinecli refine --model {output}")
    return 0
