"""The command `t2s`: start jobs here or on a cluster, and see how they are.

    t2s run predict configs/predict_sample.yaml limit=3      on this machine, in the environment of the job's kind
    t2s submit predict configs/predict_cluster.yaml --address http://127.0.0.1:8265
    t2s status runs/sample                                   from anywhere that can read the store
    t2s doctor                                               what is missing on this machine

Importing this module is light: each command imports what it needs.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from t2s.errors import MissingExtra, SettingsError, T2SError

if TYPE_CHECKING:
    from t2s.settings import JobSettings

app = typer.Typer(
    name="t2s",
    help="Multi-turn Chinese text-to-SQL as jobs: on this machine, or on a Ray cluster.",
    epilog="Start with: t2s doctor, then t2s run predict configs/predict_sample.yaml",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
adapter_app = typer.Typer(help="Adapters that were trained elsewhere.", no_args_is_help=True)
app.add_typer(adapter_app, name="adapter")

Job = Annotated[
    str, typer.Argument(help="One of download, prepare, train, predict, evaluate, pipeline.", metavar="JOB")
]
Config = Annotated[
    str, typer.Argument(help="A YAML file; configs/ holds some, each says how it is run.", metavar="CONFIG")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="Settings that win over the file's, values are YAML.", metavar="key.path=value"),
]
Address = Annotated[
    str | None,
    typer.Option(
        help="The cluster's job API; else RAY_API_SERVER_ADDRESS, or this machine.", metavar="http://HOST:8265"
    ),
]
SubmissionId = Annotated[
    str, typer.Argument(help="What `t2s submit` printed, or the run_uri.", metavar="SUBMISSION_ID")
]


def main() -> None:
    """Run the command line; an error is one `error:` line, and the exit code of its kind."""
    try:
        app()
    except T2SError as error:
        from t2s.job import Redactor
        from t2s.settings import secret_values

        print(Redactor(secret_values())(f"error: {error}"), file=sys.stderr)
        sys.exit(error.exit_code)


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from importlib.metadata import version as version_of

        print(f"t2s {version_of('t2s')}")
        raise typer.Exit


@app.command(epilog="Example: t2s run predict configs/predict_sample.yaml run_uri=runs/mine limit=3")
def run(
    job: Job,
    config: Config,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and end.")] = False,
) -> None:
    """Run a job on this machine, in the environment that it needs; the exit code is the job's."""
    _execute(job, [config, *(overrides or []), *(["--dry-run"] if dry_run else [])])


@app.command(epilog="Example: t2s plan predict configs/predict_sample.yaml limit=3")
def plan(job: Job, config: Config, overrides: Overrides = None) -> None:
    """Say what a job would do: databases, interactions, shards, one prompt, what goes where. Starts no engine."""
    _execute(job, [config, *(overrides or []), "--dry-run"])


@app.command(epilog="Example: t2s submit predict configs/predict_cluster.yaml --address http://127.0.0.1:8265 limit=3")
def submit(
    job: Job,
    config: Config,
    overrides: Overrides = None,
    address: Address = None,
    detach: Annotated[bool, typer.Option("--detach", help="Print the submission id and end.")] = False,
    kuberay: Annotated[
        Path | None,
        typer.Option(help="Run it as a RayJob on Kubernetes, as this overlay says.", metavar="k8s/overlays/NAME"),
    ] = None,
    print_only: Annotated[
        bool, typer.Option("--print", help="With --kuberay: print the RayJob, create nothing.")
    ] = False,
) -> None:
    """Run a job on a Ray cluster and follow its log; the exit code is the job's."""
    from t2s.cluster.submit import submit as submit_job

    _settings_of(job)
    if kuberay is not None:
        from t2s.cluster.kuberay import submit as submit_ray_job

        words = overrides or []
        show = _shows_logs()
        code = submit_ray_job(
            job, config, words, overlay=kuberay, print_only=print_only, detach=detach, show=show
        )  # fmt: skip
        raise typer.Exit(code)
    if print_only:
        raise SettingsError("--print: wanted --kuberay OVERLAY beside it, found none")
    raise typer.Exit(submit_job(job, config, overrides or [], address=address, detach=detach, show=_shows_logs()))


@app.command(epilog="Example: t2s logs t2s-predict-3f9a1c20-1 --address http://127.0.0.1:8265 --follow")
def logs(
    submission_id: SubmissionId,
    address: Address = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job ends.")] = False,
) -> None:
    """Print the log of a submitted job."""
    from t2s.cluster.submit import logs as show_logs

    raise typer.Exit(show_logs(submission_id, address=address, follow=follow, show=_shows_logs()))


@app.command(epilog="Example: t2s stop t2s-predict-3f9a1c20-1 --address http://127.0.0.1:8265")
def stop(submission_id: SubmissionId, address: Address = None) -> None:
    """Stop a submitted job; what is complete is committed, and submitting it again resumes."""
    from t2s.cluster.submit import stop as stop_job

    stop_job(submission_id, address=address, show=_shows_logs())


@app.command(epilog="Example: t2s status s3://team/runs/a10-first")
def status(
    run_uri: Annotated[str, typer.Argument(help="Folder of the run: a path or s3://bucket/prefix.", metavar="RUN_URI")],
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for programs.")] = False,
) -> None:
    """How far the jobs of a run are; works from anywhere, since it reads only the store."""
    from t2s.run_status import find_jobs, print_table, usage_of
    from t2s.storage import open_store

    store = open_store(run_uri)
    jobs = find_jobs(store)
    usage = usage_of(store, jobs)
    if as_json:
        found = {job.name: {"status": job.status_json(), "manifest": job.manifest_json()} for job in jobs}
        used = usage.model_dump(mode="json") if usage else None
        print(json.dumps({"run_uri": store.uri, "jobs": found, "usage": used}, ensure_ascii=False, indent=1))
    else:
        print_table(store.uri, jobs, usage)


@app.command(epilog="Example: t2s compare runs/base runs/adapter-1 runs/adapter-2")
def compare(
    run_uris: Annotated[list[str], typer.Argument(help="Scored runs; the first is the base.", metavar="RUN_URI...")],
    show_all: Annotated[bool, typer.Option("--all", help="List every turn that was won or lost.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for programs.")] = False,
) -> None:
    """Put scored runs side by side: differences with paired tests, what was won and what was lost."""
    from t2s.compare import compare_runs
    from t2s.progress import stdout_console
    from t2s.report.compare_terminal import print_comparison

    comparison = compare_runs(run_uris)
    if as_json:
        print(comparison.model_dump_json(indent=1))
    else:
        print_comparison(comparison, stdout_console(), show_all=show_all)


@app.command(epilog="Example: t2s merge runs/sample/adapter models/sample-merged")
def merge(
    adapter_uri: Annotated[str, typer.Argument(help="An adapter as train has published it.", metavar="ADAPTER_URI")],
    output_uri: Annotated[str, typer.Argument(help="Where the merged model goes.", metavar="OUTPUT_URI")],
    overrides: Overrides = None,
) -> None:
    """Merge an adapter into its base model: a model folder for engine.model_uri."""
    _execute("merge", [f"adapter_uri={adapter_uri}", f"output_uri={output_uri}", *(overrides or [])])


@app.command(epilog="Example: t2s board configs/train_sample.yaml run_uri=runs/mine")
def board(
    words: Annotated[
        list[str] | None,
        typer.Argument(help="A train config, and settings that win over it.", metavar="[CONFIG] key.path=value"),
    ] = None,
    port: Annotated[int | None, typer.Option(help="Where the page listens; 7860.")] = None,
    host: Annotated[str | None, typer.Option(help="On which address; 127.0.0.1. It asks for no password.")] = None,
) -> None:
    """Open LLaMA Board, LLaMA-Factory's own web page, with our examples and settings in its fields."""
    given = [f"{key}={value}" for key, value in (("port", port), ("host", host)) if value is not None]
    _execute("board", [*(words or []), *given])


@adapter_app.command(
    epilog="Example: t2s adapter publish runs/mine/board/saves/Custom/lora/mine adapters/mine model_uri=sample "
    "dataset_uri=runs/sample/prepared"
)
def publish(
    folder: Annotated[
        str, typer.Argument(help="The folder that LLaMA Board or llamafactory-cli trained into.", metavar="FOLDER")
    ],
    adapter_uri: Annotated[str, typer.Argument(help="Where the adapter goes.", metavar="ADAPTER_URI")],
    overrides: Overrides = None,
) -> None:
    """Check an adapter that LLaMA-Factory trained by itself, and publish it as one that predict takes."""
    _execute("publish", [f"folder_uri={folder}", f"adapter_uri={adapter_uri}", *(overrides or [])])


@app.command(epilog="Example: t2s models s3://team/models")
def models(
    models_uri: Annotated[str, typer.Argument(help="Where download put them: a path or s3://…", metavar="MODELS_URI")],
) -> None:
    """List the models that a store has: revision, size, what it is, when it was verified."""
    from t2s.models import find_models, print_models
    from t2s.storage import open_store

    store = open_store(models_uri)
    print_models(store.uri, find_models(store))


@app.command(
    epilog="Example: t2s doctor configs/predict_a10.yaml --store s3://team/runs --ray-address http://127.0.0.1:8265"
)
def doctor(
    config: Annotated[str | None, typer.Argument(help="Look at what this run needs, too.", metavar="[CONFIG]")] = None,
    store: Annotated[str | None, typer.Option(help="Where a run would write.", metavar="URI")] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(help="The cluster's job API; runs a job of a second there.", metavar="http://HOST:8265"),
    ] = None,
) -> None:
    """Look at this machine, its environments, the store and the cluster; exit code 1 where something fails."""
    from t2s.doctor import diagnose
    from t2s.job import Redactor
    from t2s.settings import peek, secret_values

    redact = Redactor(secret_values())
    failed = False
    for check in diagnose(peek(config), store, ray_address):
        failed |= check.state == "fail"
        print(f"{check.state:<5} {check.topic:<13} {redact(check.text)}", flush=True)
    raise typer.Exit(1 if failed else 0)


def _shows_logs() -> Callable[[str], None]:
    """Say our own lines on stderr; returns what prints a job's log on stdout."""
    from t2s.job import Redactor, configure_logging
    from t2s.settings import secret_values

    redact = Redactor(secret_values())
    configure_logging("INFO", redact)

    def show(piece: str) -> None:
        print(redact(piece), end="", flush=True)

    return show


def _settings_of(job: str) -> type[JobSettings]:
    from t2s.layers import did_you_mean
    from t2s.settings import JOB_SETTINGS

    if job not in JOB_SETTINGS:
        raise SettingsError(
            f"wanted one of the jobs {', '.join(JOB_SETTINGS)}, found {job}{did_you_mean(job, JOB_SETTINGS)}"
        )
    return JOB_SETTINGS[job]


def _execute(job: str, words: list[str]) -> None:
    from t2s.environments import find, has_nvidia_gpu, needed, repository_root

    settings = _settings_of(job).load(words)
    root = repository_root()
    script = root / "jobs" / f"{job}.py"
    if not script.is_file():
        raise MissingExtra(
            f"{script}: wanted the job's entrypoint, found none; run t2s from a checkout (pip install -e .)"
        )
    environment = find(needed(settings, has_nvidia_gpu()), root)
    print(f"{job}: in the environment {environment.name}, {environment.python}", file=sys.stderr, flush=True)
    # This process becomes the job: a signal, also kill -9, hits the job itself and not something in front of it.
    os.execv(environment.python, [str(environment.python), str(script), *words])


if __name__ == "__main__":
    main()
