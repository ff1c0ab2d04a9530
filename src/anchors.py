"""The scores of an untrained encoder in Tatoeba and BUCC beside those published for XLM-R large (conf/anchors.yaml).

python src/anchors.py     (after a run with order=[]; `make anchors` does both)
"""

import json
from pathlib import Path

import yaml

from stiltwalk.scoring.aggregate import mean
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.stage import read_params, run

PUBLISHED = Path("conf/anchors.yaml")


def main() -> None:
    order, targets, encoder = read_params("order", "benchmark", "encoder")
    if order:
        raise InputError(f"params.yaml: order is {order}; anchors are of the encoder before any step: `make anchors`")
    published = yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))["published"]
    name = encoder.get("path") or "of the generated world"
    print(f"encoder {name}; published: XLM-R large, hidden state 14 of 24, mean pooling")
    for target in (target for target in published if target in targets):
        ours, layer = by_language(target)
        print(f"\n{target}, hidden state {layer}{' (dev)' if target == 'bucc2018' else ''}")
        print(f"{'language':10}{'ours':>8}{'published':>11}")
        for language, score in ours.items():
            print(f"{language:10}{score:8.1f}{published[target].get(language, float('nan')):11.1f}")
        both = [language for language in ours if language in published[target]]
        theirs = mean(published[target][name] for name in both) if both else float("nan")
        print(f"{'mean':10}{mean(ours.values()):8.1f}{theirs:11.1f}")


def by_language(target: str) -> tuple[dict[str, float], int]:
    """Our scores, and the hidden state that they are of; BUCC's are of dev, on which the threshold is tuned."""
    facts = json.loads(Path("metrics/targets", f"{target}.json").read_text(encoding="utf-8"))
    if target == "bucc2018":
        return {name: fact["dev_f1"] for name, fact in facts.items() if name != "layer"}, facts["layer"]
    scores = json.loads(Path("metrics/scores", f"{target}.json").read_text(encoding="utf-8"))
    return {name: metrics["accuracy"] for name, metrics in scores["languages"].items()}, facts["layer"]


if __name__ == "__main__":
    run(main)
