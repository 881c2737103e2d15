"""`python -m abyssal.engine.training`: make the bundled model from nothing, in about a quarter of an hour."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import torch

from abyssal.engine.bundled import bundled_path
from abyssal.engine.training.recipe import RECIPE, make_model
from abyssal.engine.training.train import Plan, Progress


def main(arguments: list[str] | None = None) -> int:
    """Train, write GGUF and card into a temporary directory, then move both to the output directory."""
    usual = Plan()
    parser = argparse.ArgumentParser(prog="python -m abyssal.engine.training", description=__doc__)
    parser.add_argument("--output", type=Path, default=bundled_path().parent, help="where the files go")
    parser.add_argument("--steps", type=int, default=usual.steps, help="of training (%(default)s)")
    parser.add_argument("--seed", type=int, default=usual.seed, help="of text and weights (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of the processor (%(default)s)")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    plan = Plan(steps=chosen.steps, seed=chosen.seed)
    print(f"recipe {RECIPE}: {plan.steps} steps of {plan.rows} x {plan.length} tokens", flush=True)
    chosen.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=chosen.output) as workshop:
        card = make_model(Path(workshop), plan, _tell)
        for file in Path(workshop).iterdir():
            file.replace(chosen.output / file.name)
    print(f"{card.fingerprint}: {card.bytes:,} bytes, {card.parameters:,} parameters, in {chosen.output}")
    for case in card.cases[:8]:
        print(f"  {case.prompt!r} -> {case.text!r}")
    return 0


def _tell(progress: Progress) -> None:
    print(
        f"step {progress.step}: loss {progress.loss:.3f} nats per token, busiest expert "
        f"{progress.busiest_expert:.1f} times the mean, {progress.tokens_per_second:,.0f} tokens/s",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
