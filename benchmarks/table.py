"""Put the results into the pages, between ``<!-- encode -->`` and ``<!-- /encode -->`` etc.

Run ``python -m benchmarks.table``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import chain
from statistics import median
from typing import Any

from .answering_table import answering_table
from .common import KINDS, RESULTS, ROOT
from .fine_tuning_table import fine_tuning_table
from .language_tables import adaptation_table, from_nothing_table, ulmfit_table
from .markdown import describe_machine, markdown
from .significance_table import significance_table
from .word_defaults_table import word_defaults_table
from .words_table import words_table


def encode_table(result: dict[str, Any]) -> str:
    """Return one table for each kind of text."""
    on_gpu = result["settings"]["device"] != "cpu"
    header = [
        "contender",
        "texts/s",
        "tokens/s",
        "ratio",
        "of GEMM",
        "peak MiB",
        *(["GPU MiB"] if on_gpu else []),
        "largest difference",
        "least cosine",
    ]
    parts = [
        describe_machine(result["machine"]) + f" {result['settings']['rounds']} counted rounds."
    ]
    for case in result["cases"]:
        gemm = median(case["gemm_flops_per_second"]) / 1e9
        parts.append(
            f"**{case['name']}**: {case['texts']:,} texts ({case['remark']}), {case['tokens']:,}"
            f" tokens. GEMM: {gemm:,.0f} GFLOP/s."
        )
        rows = []
        for row in case["rows"]:
            memory = [row["peak_mib"], *([row["device_peak_mib"]] if on_gpu else [])]
            rows.append(
                [
                    row["contender"],
                    _show(row["texts_per_second"], ",.0f"),
                    _show(row["tokens_per_second"], ",.0f"),
                    _show(row["ratio"], ".2f"),
                    _show(row["share_of_gemm"], ".0%"),
                    *(_show(mib, ",.0f") for mib in memory),
                    _show(row["largest_difference"], ".1e"),
                    _show(row.get("least_cosine"), ".4f"),
                ]
            )
        parts.append(markdown(header, rows))
    return "\n\n".join(parts)


def accuracy_table(result: dict[str, Any]) -> str:
    """Return the three tables of the accuracy benchmark."""
    classification = [
        [
            f"`{row['features']}`",
            row["precision"],
            _show(row["accuracy"], ".4f"),
            _show(row["points_from_float32"], "+.2f"),
        ]
        for row in result["classification"]
    ]
    similarity = [
        [
            row["set"],
            f"{row['pairs']:,}",
            row["precision"],
            _show(row["spearman"], ".4f"),
            _show(row["published"], ".4f"),
        ]
        for row in result["similarity"]
    ]
    equality = [
        [row["set"], f"{row['sentences']:,}", _show(row["largest_difference"], ".1e")]
        for row in result["equality"]
    ]
    return "\n\n".join(
        [
            describe_machine(result["machine"]),
            markdown(
                ["SST-2 test", "precision", "accuracy", "points from float32"], classification
            ),
            markdown(["similarity", "pairs", "precision", "Spearman", "published"], similarity),
            markdown(
                ["against sentence-transformers", "distinct sentences", "largest difference"],
                equality,
            ),
        ]
    )


def memory_table(result: dict[str, Any]) -> str:
    """Return the curve of memory, thinned out."""
    settings, curve = result["settings"], result["curve"]
    thin = curve[:: max(1, len(curve) // 10)]
    rows = [
        [f"{point['seconds']:,.0f}", f"{point['rows']:,}", f"{point['rss_mib']:,.0f}"]
        for point in thin
    ]
    slope = _show(result["slope_mib_per_100000_rows"], "+.1f")
    summary = (
        f"{settings['rows']:,} texts of {settings['words']} words, {settings['precision']}:"
        f" {result['rows_per_second']:,.0f} rows/s, peak {result['peak_mib']:,.0f} MiB, slope over"
        f" the second half {slope} MiB per 100,000 rows."
    )
    return "\n\n".join(
        [
            describe_machine(result["machine"]),
            summary,
            markdown(["seconds", "rows done", "resident MiB"], rows),
        ]
    )


def language_memory_table(result: dict[str, Any]) -> str:
    """Return the memory of training by the size of the corpus."""
    rows = [
        [
            f"{row['megabytes']:g}",
            f"{row['start_mib']:,.0f}",
            f"{row['peak_mib']:,.0f}",
            f"{row['mapped_mib']:,.0f}",
            f"{row['seconds']:,.0f}",
        ]
        for row in result["rows"]
    ]
    names = ["MB of text", "MiB before", "peak MiB", "MiB of mapped files", "seconds"]
    return "\n\n".join([describe_machine(result["machine"]), markdown(names, rows)])


def search_table(result: dict[str, Any]) -> str:
    """Return the tables of the grid search, of reads, and of a store's worth and cost."""
    parts = [
        describe_machine(result["machine"])
        + f" The whole run took {result['minutes']:.0f} minutes."
    ]
    parts += [_grid_search(case) for case in result.get("search", [])]
    if ahead := result.get("ahead"):
        rows = [
            [
                row["way"],
                *(_show(row[name], ".1f") for name in ("seconds", "cpu_seconds")),
                *(_show(row[name], ".2f") for name in ("of_least", "cpu_of_least")),
                _show(row["encoded"], ","),
            ]
            for row in ahead["rows"]
        ]
        parts.append(
            f"**ahead**: {ahead['texts']:,} SST-2 sentences, `n_jobs={ahead['n_jobs']}`, new worker"
            " processes."
        )
        header = ["search", "seconds", "CPU seconds", "of the least", "of its CPU seconds"]
        parts.append(markdown([*header, "texts encoded"], rows))
    if reads := result.get("reads"):
        rows = [
            [
                row["way"]
                + (f" (from {row['texts_measured']:,} texts)" if row["extrapolated"] else ""),
                _show(row["seconds"], ".2f"),
                _show(row["texts_per_second"], ",.0f"),
                _show(row["ratio"], ",.1f"),
            ]
            for row in result["reads"]["rows"]
        ]
        parts.append(
            f"**reads**: {reads['texts']:,} vectors of 384 float32, {reads['texts_a_call']:,} texts"
            " a call."
        )
        parts.append(markdown(["way", "seconds", "texts/s", "times joblib.Memory"], rows))
    if second := result.get("second"):
        encoding, reading = median(second["encoding_seconds"]), median(second["reading_seconds"])
        parts.append(
            f"**second run**: {second['texts']:,} SST-2 sentences: encoding {encoding:.2f} s, "
            f"from a kept store {reading:.3f} s, {second['ratio']:,.0f} times as fast."
        )
    if first := result.get("first"):
        rows = [
            [
                row["store"],
                _show(median(row["seconds"]), ".2f"),
                _show(row["texts_per_second"], ",.0f"),
                _show(row["overhead"], "+.1%"),
            ]
            for row in first["rows"]
        ]
        parts.append(
            f"**first run**: {first['texts']:,} SST-2 sentences, {first['rounds']} counted rounds."
        )
        parts.append(markdown(["store", "seconds", "texts/s", "overhead"], rows))
    return "\n\n".join(parts)


def _grid_search(case: dict[str, Any]) -> str:
    with_workers = case["n_jobs"] > 1
    header = [
        "contender",
        "seconds",
        *(["of these, start of workers"] if with_workers else []),
        "times best peer",
        "of floor",
    ]
    header += ["times best peer, warm", "of floor, warm"] if with_workers else []
    rows = []
    for row in case["rows"]:
        cells = [
            row["contender"],
            ("≈ " if row["extrapolated"] else "") + _show(row["seconds"], ".1f"),
        ]
        cells += [_show(row["start_seconds"], ".1f")] if with_workers else []
        cells += [_show(row["best_peer"], ".1f"), _show(row["of_floor"], ".2f")]
        cells += (
            [_show(row["warm_best_peer"], ".1f"), _show(row["warm_of_floor"], ".2f")]
            if with_workers
            else []
        )
        rows.append([*cells, _show(row["encoded"], ",")])
    title = (
        f"**search, {case['name']}, `n_jobs={case['n_jobs']}`**: {case['texts']:,} texts"
        f" ({case['remark']})."
    )
    return title + "\n\n" + markdown([*header, "texts encoded"], rows)


def static_table(result: dict[str, Any]) -> str:
    """Return the tables of reading, sharing and pooling static word vectors."""
    reading = result["reading"]
    rows = [
        [
            row["way"],
            _show(median(row["seconds"]), ".2f"),
            _show(row["ratio"], ",.1f"),
            _show(row["peak_mib"] - row["before_mib"], ",.0f"),
        ]
        for row in reading["rows"]
    ]
    parts = [
        describe_machine(result["machine"])
        + f" {result['settings']['rounds']} rounds, gensim's reading once.",
        (
            f"**reading** GloVe text, {reading['n_words']:,} words of {reading['n_dims']}"
            f" dimensions, {reading['megabytes']:,.0f} MB."
        ),
        markdown(["way", "seconds", "times gensim", "MiB above the start"], rows),
    ]
    if sharing := result["sharing"]:
        resident, own = (sum(process[name] for process in sharing) for name in ("Rss", "Pss"))
        parts.append(
            f"**sharing**: {len(sharing)} processes that have read every number of the table see"
            f" {resident:,.0f} MiB of its pages in all, and take {own:,.0f} MiB."
        )
    for case in result["pooling"]:
        rows = [
            [
                f"`{row['contender']}`",
                _show(row["texts_per_second"], ",.0f"),
                f"{row['ratio']:.1f} x {row['peer']}" if row["ratio"] else "–",
                _show(row["largest_difference"], ".1e"),
            ]
            for row in case["rows"]
        ]
        parts.append(f"**pooling** {case['texts']:,} {case['kind']}, {case['words']:,} words.")
        parts.append(markdown(["contender", "texts/s", "ratio", "largest difference"], rows))
    return "\n\n".join(parts)


def baselines_table(result: dict[str, Any]) -> str:
    """Return the tables of classification, of words by themselves, and of senses."""
    parts = [describe_machine(result["machine"])]
    sets = result["classification"]
    parts.append(
        "; ".join(
            f"{case['set']}: {case['train']:,} texts to learn from, {case['test']:,} to test"
            for case in sets
        )
        + "."
    )
    header = [
        "features",
        "dims",
        *(
            f"{case['set']} {what}"
            for case in sets
            for what in ("accuracy", "macro F1", "unknown words")
        ),
    ]
    rows = []
    for of_sets in zip(*(case["rows"] for case in sets), strict=True):
        first = of_sets[0]
        dims = (
            " / ".join(f"{dims:,}" for dims in dict.fromkeys(row["dims"] for row in of_sets))
            if first["dims"]
            else "–"
        )
        cells = [
            [
                _show(row["accuracy"], ".4f"),
                _show(row["macro_f1"], ".4f"),
                _show(row["oov_rate"], ".1%"),
            ]
            for row in of_sets
        ]
        rows.append([first["features"], dims, *chain.from_iterable(cells)])
    parts.append(markdown(header, rows))
    kinds, methods = (list(result["intrinsic"][0][name]) for name in ("similarity", "analogies"))
    rows = [
        [
            f"{row['table']}, {row['n_dims']} dims",
            *(
                f"{_show(row['similarity'][kind]['spearman'], '.3f')}"
                f" ({row['similarity'][kind]['pairs']:,})"
                for kind in kinds
            ),
            *(
                f"{_show(row['analogies'][method]['accuracy'], '.3f')}"
                f" ({row['analogies'][method]['questions']:,})"
                for method in methods
            ),
        ]
        for row in result["intrinsic"]
    ]
    parts.append(markdown(["table", *kinds, *(f"analogies, {method}" for method in methods)], rows))
    rows = [
        [
            f"*{row['word']}*, {row['occurrences']:,} sentences, {row['senses']} senses",
            row["features"]
            + (
                f" ({', '.join(form for form, _ in row['forms'])})"
                if row["features"].endswith("form")
                else ""
            ),
            _show(row["accuracy"], ".4f"),
        ]
        for row in result["senses"]
    ]
    parts.append(markdown(["word", "features", "accuracy"], rows))
    return "\n\n".join(parts)


def cost_table(result: dict[str, Any]) -> str:
    """Return what a whole comparison costs beside its floor."""
    header = [
        "round",
        "one pass of encoding, s",
        "classifiers and learnt features, s",
        "floor, s",
        "whole comparison, s",
        "ratio",
    ]
    rows = [
        [
            str(number),
            f"{one['encode_seconds']:.1f}",
            f"{one['learning_seconds']:.1f}",
            f"{one['floor_seconds']:.1f}",
            f"{one['seconds']:.1f}",
            f"{one['ratio']:.2f}",
        ]
        for number, one in enumerate(result["rounds"], 1)
    ]
    return (
        f"{describe_machine(result['machine'])}\n\n{result['size']:,} sentences,"
        f" {result['rounds'][0]['members']} kinds of"
        f" features.\n\n{markdown(header, rows)}\n\nMedian ratio {result['ratio']:.2f}; what is"
        f" neither classifier nor learnt feature takes {result['encoding_ratio']:.2f} of one pass"
        " of encoding."
    )


def latency_table(result: dict[str, Any]) -> str:
    """Return the table of ``benchmarks.latency``."""
    bare = result["median"]["bare forward pass"]
    rows = [[name, f"{ms:.2f} ms", f"{ms / bare:.2f}x"] for name, ms in result["median"].items()]
    table = markdown(["one text", "median", "of the bare forward pass"], rows)
    return f"{describe_machine(result['machine'])}\n\n{table}"


def busy_table(result: dict[str, Any]) -> str:
    """Return the table of ``benchmarks.busy``."""
    rows = [
        [
            f"{case['name']}, {case['texts']:,} texts",
            row["contender"],
            _show(row["texts_per_second"], ",.1f"),
            _show(row["ratio"], ".2f"),
        ]
        for case in result["cases"]
        for row in case["rows"]
    ]
    settings = result["settings"]
    return (
        f"{describe_machine(result['machine'])} {settings['loops']} busy loops,"
        f" {settings['rounds']} counted rounds.\n\n"
        + markdown(["texts", "contender", "texts/s", "ratio"], rows)
    )


def elmo_table(result: dict[str, Any]) -> str:
    """Return the table of ``benchmarks.elmo``."""
    rows = [
        [row["way"], _show(row["milliseconds_per_word"], ".2f"), _show(row["ratio"], ".2f")]
        for row in result["rows"]
    ]
    return (
        f"{describe_machine(result['machine'])} {result['texts']} sentences,"
        f" {result['threads']} threads. Largest difference to bilm-tf:"
        f" {result['distance']:.1e}.\n\n" + markdown(["way", "CPU ms a word", "of ours"], rows)
    )


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "encode": encode_table,
    "encode-cuda": encode_table,
    "busy": busy_table,
    "latency": latency_table,
    "accuracy": accuracy_table,
    "memory": memory_table,
    "language_memory": language_memory_table,
    "search": search_table,
    "search-large": search_table,
    "search-ahead": search_table,
    "static": static_table,
    "baselines": baselines_table,
    "significance": significance_table,
    "comparison_cost": cost_table,
    "words": words_table,
    "word_defaults": word_defaults_table,
    "fine_tuning": fine_tuning_table,
    "answering": answering_table,
    "adaptation": adaptation_table,
    "ulmfit": ulmfit_table,
    "language_models": from_nothing_table,
    "elmo": elmo_table,
}


PAGES = (ROOT / "benchmarks" / "README.md", ROOT / "docs" / "ulmfit.md")
BY_KIND = ("encode", "busy", "latency")  # of processor: all that have run are shown


def _table_of(name: str) -> str | None:
    """Return what stands between the marks of a name, None where nothing has run."""
    kinds = [*KINDS.values(), "aarch64", "arm64"] if name in BY_KIND else [""]
    parts = []
    for kind in kinds:
        path = RESULTS / f"{name}{kind and f'-{kind}'}.json"
        if path.exists():
            title = [f"#### {kind}"] if kind else []
            parts += [*title, TABLES[name](json.loads(path.read_text(encoding="utf-8")))]
    return "\n\n".join(parts) or None


def _show(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def main() -> None:
    """Write the tables of all result files there are."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name in TABLES:
            if body := _table_of(name):
                block = f"<!-- {name} -->\n{body}\n<!-- /{name} -->"
                text = re.sub(
                    f"<!-- {name} -->.*<!-- /{name} -->",
                    lambda _, block=block: block,
                    text,
                    flags=re.DOTALL,
                )
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
