"""Table 2 of the poster: NLL and ECE of FlowGMM, with and without temperature.

    python benchmarks/table2.py --data_dir=DIR --splits_dir=SPLITS

Of the runs of FlowGMM that `python benchmarks/table1.py` has finished in runs/table1, with the same
flags. The temperature is fitted on training examples whose labels training did not see. Results go
into results/table2.json, a line each, and results/table2.md, which is also printed.
"""

from collections.abc import Sequence
from pathlib import Path

import jax
import record
import table1
from record import Result
from rich.console import Console
from rich.markdown import Markdown

from flowgmm_jax.evaluation import calibration, poster
from flowgmm_jax.evaluation.statistics import make_statistics
from flowgmm_jax.files import read_json
from flowgmm_jax.trained import load_trained

SYSTEMS = (poster.SUPERVISED_ALL, poster.SUPERVISED, poster.FLOWGMM, poster.CONSISTENCY)
SCORES = ("nll", "ece")


def measured(workdir: Path, data_dir: str, split_file: str | None) -> Result:
    """Calibration of a run that is finished, or why there is none."""
    if not (workdir / "result.json").exists():
        return {"not_run": "benchmarks/table1.py has not finished the run"}
    trained = load_trained(workdir, data_dir, split_file)
    measure = make_statistics(trained.model, trained.info.levels)
    test = measure(trained.params, trained.dataset.x_test)
    section = calibration.evaluate(trained, test, measure)
    jax.clear_caches()
    seconds = read_json(workdir / "result.json")["seconds"]
    return section.metrics | {"seconds": seconds} | record.circumstances()


def page(results: Sequence[Result]) -> str:
    """results/table2.md: a function of the JSON file only."""
    rows = []
    for dataset, title in table1.DATASETS.items():
        for system in SYSTEMS:
            here = [r for r in results if (r["system"], r["dataset"]) == (system, dataset)]
            if here:
                rows.append([title.split(",")[0], system, *_cells(here)])
    published = [
        [
            table1.DATASETS[name].split(",")[0],
            "all" if labels == -1 else f"{labels:,}",
            f"{of.accuracy:g}",
            f"{of.nll:g} -> {of.nll_after:g}",
            f"{of.ece:g} -> {of.ece_after:g}",
        ]
        for (name, labels), of in poster.TABLE_2.items()
    ]
    scores = ("accuracy (%)", "NLL (nats)", "ECE")
    return (
        "# Table 2\n\n"
        "Written by `python benchmarks/table2.py` with `results/table2.json`, from the runs of\n"
        "[table 1](table1.md); do not edit. On the test set, as trained -> with the temperature:\n"
        "mean ± standard deviation over labelled sets (how many).\n\n"
        + record.table(
            ("data", "system", *scores, "temperature", "fitted on", "hardware, commit, date"), rows
        )
        + "\nThe poster's:\n\n"
        + record.table(("data", "labels", *scores), published)
    )


def _cells(results: Sequence[Result]) -> list[str]:
    done = [r for r in results if "not_run" not in r]
    if not done:
        return [f"not run: {results[0]['not_run']}", *[""] * 5]
    cells = [f"{record.spread([r['accuracy'] for r in done], '{:.2f}')} ({len(done)})"]
    mended = [r["calibrated"] for r in done]
    for score in SCORES:
        before = record.spread([r[score] for r in done], "{:.3f}")
        after = "none" if None in mended else record.spread([r[score] for r in mended], "{:.3f}")
        cells.append(f"{before} -> {after}")
    if None in mended:
        cells += ["", ""]
    else:
        cells.append(record.spread([r["temperature"] for r in mended], "{:.2f}"))
        cells.append(f"{mended[0]['examples']} ({mended[0]['fitted_on']})")
    last = done[-1]
    return [*cells, f"{last['hardware']}, `{last['commit']}`, {last['date']}"]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = record.parser(__doc__, 3)
    parser.add_argument("--workdir", type=Path, default=Path("runs/table1"))
    flags = parser.parse_args(arguments)
    output = flags.output or record.ROOT / "results/table2.json"
    results = record.read(output)
    for run in table1.runs(flags.splits, flags.only):
        names = (run.system, run.dataset, run.number)
        if run.system not in SYSTEMS or record.was_run(results, names):
            continue
        result, config = table1.configured(run, False, flags.data_dir, flags.splits_dir)
        reason = table1.obstacle(run, False, flags.data_dir)
        workdir = flags.workdir / run.workdir
        split_file = config.data.split_file or None
        found = {"not_run": reason} if reason else measured(workdir, flags.data_dir, split_file)
        results = record.updated(results, result | found)
        record.write(output, results, page)
    record.write(output, results, page)
    Console(width=160).print(Markdown(output.with_suffix(".md").read_text()))


if __name__ == "__main__":
    record.run(main)
