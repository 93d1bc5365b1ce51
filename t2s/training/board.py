"""LLaMA Board, LLaMA-Factory's own web page, with our examples registered and our settings in its fields.

    <run_uri>/board/llamaboard_cache/user_config.yaml     language, and the model's path under the name Custom
                    llamaboard_config/t2s.yaml            the same settings, for the page's own button that loads them
                    saves/Custom/lora/train_…             what is trained there: `t2s adapter publish` takes it

The page is upstream's `create_ui`, unchanged; its fields get other first values before it is served. It listens on
127.0.0.1, and the browser is told to load nothing from elsewhere.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from t2s import process_env
from t2s.errors import MissingExtra, SettingsError, StorageError, TrainError
from t2s.model_folder import resolve_model
from t2s.training import llamafactory_args
from t2s.training.board_config import BoardConfig
from t2s.training.board_form import CUSTOM, FieldKind, Form, fill
from t2s.training.sft_folder import SftFolder, open_sft_folder

logger = logging.getLogger(__name__)

SAVED_NAME = "t2s.yaml"
_LOOPBACK = ("127.", "localhost", "::1", "[::1]")
_STOP_S = 10.0
# The page's own files name a script and a font of other hosts, which it can do without.
_POLICY = b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:"
_KINDS: dict[str, FieldKind] = {"Textbox": "text", "Slider": "number", "Checkbox": "flag"}
_NOT_SAVED = frozenset({"top.lang", "top.model_path", "train.output_dir", "train.config_path"})
"""Fields that the page's own saved configurations leave out."""


def serve(config: BoardConfig, wait: Callable[[float], bool], show: Callable[[str], None]) -> None:
    """Serve the page until `wait` says that it is to end; a training that runs there then ends with it.

    Args:
        config: What to show, and where.
        wait: Waits so many seconds, and returns whether a stop was asked for.
        show: Tells the user a line.

    Raises:
        MissingExtra: The environment has no gradio, or no LLaMA-Factory.
        SettingsError: The port is taken, a setting is one that LLaMA-Factory does not take, the run is no local folder.
        TrainError: The page is not the one that this is written for, or its server has ended.
    """
    folder = _folder(config.run_uri)
    _demand_packages()
    _demand_port(config.host, config.port)
    sft = open_sft_folder(config.dataset_uri, config.cache_dir, config.cache_max_bytes)
    model = Path(
        os.path.abspath(
            resolve_model(config.model_uri, config.models_dir, config.cache_dir, config.cache_max_bytes).path
        )
    )
    process_env.prepare_board(str(Path(sys.executable).parent), str(folder / "llamaboard_cache" / "gradio"))
    os.chdir(folder)  # every path of the page is relative to it
    args = _arguments(config.llamafactory, sft, str(model))
    _write_user_config(folder, config.language, str(model))
    page = Page(args.get("template"))
    form = page.fill(args, sft)
    for key in form.unheld:
        logger.warning("LLaMA Board has no field for llamafactory.%s: %s; train would use it", key, args[key])
    _write(folder / "llamaboard_config" / SAVED_NAME, page.saved())
    page.launch(config.host, config.port)
    try:
        _tell(config, folder, sft, show)
        while not wait(1.0):
            if not page.is_alive():
                raise TrainError("LLaMA Board: its server has ended; what it said is above")
    finally:
        page.close()


class Page:
    """Upstream's page: its fields by id, and its server.

    Args:
        template: Of the model under the name Custom, which upstream's table does not know.
    """

    def __init__(self, template: str | None) -> None:
        from llamafactory.extras.constants import DEFAULT_TEMPLATE
        from llamafactory.webui.engine import Engine
        from llamafactory.webui.interface import create_ui

        if template is not None:
            DEFAULT_TEMPLATE[CUSTOM] = template  # what the page puts into its field when that name is chosen
        self._blocks = create_ui()
        self._blocks.stylesheets = []  # fonts from elsewhere; the browser's own do
        engines = [owner for one in self._blocks.fns.values() if isinstance(owner := _owner(one.fn), Engine)]
        if not engines:
            raise TrainError("LLaMA Board: wanted the page of LLaMA-Factory 0.9.5, found another one: make setup-train")
        self._engine = engines[0]

    def fill(self, args: Mapping[str, Any], sft: SftFolder) -> Form:
        """Put arguments and examples into the fields."""
        form = fill(args, sft.prepared.num_examples["train"], self._kind_of, self._holds)
        names = [(name, name) for name in sft.files]
        for tab in ("train", "eval"):
            self._set(f"{tab}.dataset_dir", str(sft.path))
            self._field(f"{tab}.dataset").choices = names
            self._field(f"{tab}.data_preview_btn").interactive = True
        for field, value in form.values.items():
            self._set(field, value)
        if "eval_dataset" in args:
            self._set("eval.dataset", [str(args["eval_dataset"])])
        return form

    def saved(self) -> dict[str, Any]:
        """Every field of the training tab, as the page's own button for it saves them."""
        save = next(one for one in self._blocks.fns.values() if one.fn == self._engine.runner.save_args)
        ids = {self._engine.manager.get_id_by_elem(elem): elem.value for elem in save.inputs}
        return {name: ids[name] for name in sorted(ids) if name not in _NOT_SAVED} | {"top.model_name": CUSTOM}

    def launch(self, host: str, port: int) -> None:
        """Serve it, in a thread of its own.

        Raises:
            SettingsError: The address cannot be listened on.
        """
        try:
            self._blocks.queue().launch(
                server_name=host,
                server_port=port,
                share=False,
                inbrowser=False,
                prevent_thread_lock=True,
                quiet=True,
                app_kwargs={"middleware": [(OwnFilesOnly, (), {})]},
            )
        except OSError as error:
            raise _port_error(host, port, error) from error

    def is_alive(self) -> bool:
        """Whether its server runs."""
        return bool(self._blocks.server.thread.is_alive())

    def close(self) -> None:
        """End the training that runs, and the server."""
        trainer = self._engine.runner.trainer
        if trainer is not None:
            self._engine.runner.set_abort()  # as the page's own button does: it, and all processes below it
            try:
                trainer.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                trainer.kill()
        self._blocks.close(verbose=False)

    def _field(self, name: str) -> Any:
        return self._engine.manager.get_elem_by_id(name)

    def _set(self, name: str, value: Any) -> None:
        field = self._field(name)
        field.value = field.postprocess(value)

    def _kind_of(self, name: str) -> FieldKind | None:
        try:
            field = self._field(name)
        except KeyError:
            return None
        name_of_kind = type(field).__name__
        if name_of_kind == "Dropdown":
            return "choices" if field.multiselect else "choice"
        return _KINDS.get(name_of_kind)

    def _holds(self, name: str, value: Any) -> bool:
        field = self._field(name)
        if self._kind_of(name) == "number":
            is_whole = not isinstance(field.step, int) or value == int(value)
            return bool(field.minimum <= value <= field.maximum) and is_whole
        if self._kind_of(name) == "choice":
            return field.allow_custom_value or value in [choice for _, choice in field.choices]
        return True


class OwnFilesOnly:
    """ASGI middleware: tells the browser to ask no other host for anything.

    Args:
        app: What answers.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer, with one header more."""

        async def send_with_policy(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"content-security-policy", _POLICY)]
            await send(message)

        await self._app(scope, receive, send_with_policy)


def _folder(run_uri: str) -> Path:
    if "://" in run_uri and not run_uri.startswith("file://"):
        raise SettingsError(
            f"run_uri: wanted a local folder, where LLaMA Board's trainings are written, found {run_uri}; set another "
            "one, and publish from it with t2s adapter publish"
        )
    folder = Path(os.path.abspath(Path(run_uri.removeprefix("file://")).expanduser())) / "board"
    try:
        for name in ("llamaboard_cache", "llamaboard_config"):
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: wanted a folder for LLaMA Board's files, found: {error}") from error
    return folder


def _demand_packages() -> None:
    for package in ("gradio", "llamafactory"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(
                f"LLaMA Board needs the package {package} in the environment of train, found none: make setup-train"
            )


def _demand_port(host: str, port: int) -> None:
    """Ask before a minute is spent on imports."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise _port_error(host, port, error) from error


def _port_error(host: str, port: int, error: OSError) -> SettingsError:
    return SettingsError(
        f"port: wanted a free port of {host}, found {port}: {llamafactory_args.flat(error)}; end what listens there, "
        "or choose another one with --port"
    )


def _arguments(block: Mapping[str, Any], sft: SftFolder, model_path: str) -> dict[str, Any]:
    import torch

    use_gpu = torch.cuda.is_available()
    composed = llamafactory_args.compose(block, sft.keys, use_gpu=use_gpu)
    typed = llamafactory_args.checked(
        llamafactory_args.with_places(
            composed, model_path=model_path, sft_path=str(sft.path), work_dir="unused", use_gpu=use_gpu
        )
    )
    return {key: typed[key] for key in composed}


def _write_user_config(folder: Path, language: str | None, model_path: str) -> None:
    file = folder / "llamaboard_cache" / "user_config.yaml"
    found: Any = None
    if file.is_file():
        try:
            found = yaml.safe_load(file.read_bytes())
        except yaml.YAMLError:
            logger.warning("%s: cannot be read, written anew", file)
    config = found if isinstance(found, dict) else {"lang": None, "hub_name": None, "cache_dir": None}
    paths = config.get("path_dict")
    config["lang"] = language or config.get("lang") or "zh"
    config["last_model"] = CUSTOM
    config["path_dict"] = {**(paths if isinstance(paths, dict) else {}), CUSTOM: model_path}
    _write(file, config)


def _write(file: Path, values: Mapping[str, Any]) -> None:
    file.write_text(yaml.safe_dump(dict(values), allow_unicode=True), encoding="utf-8")


def _tell(config: BoardConfig, folder: Path, sft: SftFolder, show: Callable[[str], None]) -> None:
    if not config.host.startswith(_LOOPBACK):
        logger.warning(
            "LLaMA Board listens on %s and asks for no password: whoever reaches port %d can start programs here",
            config.host,
            config.port,
        )
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "[::]": "[::1]"}.get(config.host, config.host)
    show(f"LLaMA Board: http://{shown}:{config.port} (Ctrl-C ends it, and a training that runs there)")
    show(f"examples: {', '.join(sft.files)} in {sft.path}; their settings are in the fields, and saved as {SAVED_NAME}")
    show(
        f"publish what it trains: t2s adapter publish {folder}/saves/{CUSTOM}/lora/NAME ADAPTER_URI "
        f"model_uri={config.model_uri} dataset_uri={config.dataset_uri}"
    )


def _owner(function: Any) -> Any:
    return getattr(function, "__self__", None)
