"""One XTREME task: tune the final encoder on its English rows, predict every language. Retrieval is not tuned.

    python src/target.py xnli

Predictions lie in XTREME's submission layout. No test label is ever read here.
"""

import json
import sys
import time
from contextlib import nullcontext
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object
from tqdm import tqdm

from common.stage import read_params, whole_folder, write_json
from common.tables import read_table
from modeling.encoder import load_encoder
from modeling.resume import Resume
from training.encoded import Encoded
from training.launch import launch
from training.loop import CODE, Data, accelerating, predict, recording, seed_of, train_soundly
from training.memory import fitting
from training.settings import Settings


def main(target: str) -> None:
    seed, final, block = read_params("seed", "final", f"benchmark.{target}.training")
    options = read_params(f"benchmark.{target}.task")
    settings, kind_name = Settings.read(block, f"benchmark.{target}.training"), options["kind"]
    load = partial(load_encoder, Path(final), settings.dropout, settings.attention)
    module = import_module(f"kinds.{kind_name}")
    rows, encoded = Path("data/xtreme") / target, Path("data/encoded/xtreme") / target
    labels = json.loads((encoded / "labels.json").read_text(encoding="utf-8"))
    kind = module.Kind(options | {"labels": labels})
    paths = {path.stem.removeprefix("test-"): path for path in sorted(rows.glob("test-*.parquet"))}
    tests = {language: read_table(path, kind_name, gold=False) for language, path in paths.items()}

    frozen = hasattr(kind, "predict")  # it reads the encoder as it is
    resume = Resume(target, [seed, block, options], CODE, [Path(final), rows, encoded])
    curves = nullcontext() if frozen else recording(Path("metrics/curves") / target, resume)
    with curves as live, accelerating(settings, live=live) as accelerator:
        if frozen:
            encoder = load()
            encoder.to(accelerator.device)  # type: ignore[arg-type]
            facts: dict[str, Any] = {"layer": kind.embedder.layer(encoder)}
        else:
            validation = read_table(rows / "validation.parquet", kind_name)
            train_rows, validation_rows = (
                Encoded.read(encoded / f"{split}.arrow") for split in ("train", "validation")
            )
            data = Data(kind, train_rows, validation, validation_rows)
            seeds = partial(seed_of, seed, target)
            model, scores, wrong = train_soundly(accelerator, load, {target: data}, settings, seeds, target, resume)
            facts = scores | wrong

        start = time.perf_counter()
        found: dict[str, list[Any]] = {}
        languages = list(tests)
        if frozen:  # one process computes a language alone
            languages = languages[accelerator.process_index :: accelerator.num_processes]
        bar = tqdm(languages, f"{target} predictions", unit="language", disable=not accelerator.is_main_process)
        with fitting("prediction_tokens", settings):
            for language in bar:
                if frozen:
                    own = partial(kind.predict, accelerator, encoder, tests[language], rows, encoded, language)
                    found[language], more = resume.once(language, partial(own, settings.prediction_tokens))
                    facts |= {language: more} if more else {}
                else:
                    numbers = Encoded.read(encoded / f"test-{language}.arrow")
                    found[language] = predict(accelerator, model, target, kind, numbers, tests[language], settings)
        if frozen:
            for others, more in gather_object([(found, facts)]):
                found, facts = found | others, facts | more
            facts = {name: facts[name] for name in ("layer", *tests) if name in facts}
        seconds = time.perf_counter() - start
        if accelerator.is_main_process:
            write_json(facts, Path("metrics/targets") / f"{target}.json")
            with whole_folder(Path("predictions") / target) as folder:
                for language, test in tests.items():
                    kind.write(found[language], test, folder / f"test-{language}.{module.SUFFIX}")
            resume.remove()
        accelerator.print(f"{target}: predicted {len(tests)} languages from {final} in {seconds:.1f} s")


if __name__ == "__main__":
    launch(main, *sys.argv[1:])
