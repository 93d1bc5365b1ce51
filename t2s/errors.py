"""Every error that t2s raises on purpose, as one tree.

    T2SError                    exit 1: failed while working
    ├── InputError              exit 2: settings or input files are wrong, found before work starts
    │   ├── SettingsError       a key, a value, a file of settings
    │   ├── DatasetError        questions or databases that cannot be used
    │   ├── ModelError          a model or adapter folder that is not whole, or not the one that is wanted
    │   ├── ParityError         training would see other tokens than inference
    │   ├── PlanMismatch        the run_uri already holds another plan
    │   └── MissingExtra        the environment lacks a package; says which `make` target brings it
    ├── StorageError            the store failed or refused
    │   ├── ObjectMissing       no such object
    │   ├── DigestMismatch      bytes are not what their digest promises
    │   └── AccessRefused       credentials absent, wrong or without the right
    ├── EngineError             one request failed: a row with an error
    │   ├── PromptTooLong       the prompt does not fit the model's context, even pruned
    │   └── EngineDead          the engine is gone: the shard's attempt ends
    ├── SandboxError            the sandbox itself failed (a query's own failure is a verdict, not an error)
    ├── ClusterError            Ray cannot be reached, refuses, or lacks what the job needs
    ├── StepFailed              a pipeline's step ended with an error of its own
    ├── TrainError              training cannot go on: a loss that is no number, memory, workers that are lost
    ├── TooManyErrors           more rows failed than max_error_rate allows
    └── Stopped                 exit 3: SIGTERM or Ctrl-C; running the same command again resumes

A message says what was wanted, what was found, which thing, and what to do. `run_job` prints it as one line and exits
with `exit_code`.
"""

from __future__ import annotations


class T2SError(Exception):
    """Anything that t2s raises on purpose."""

    exit_code = 1


class InputError(T2SError):
    """Settings or input files are wrong; nothing was started."""

    exit_code = 2


class SettingsError(InputError):
    """One or more settings are wrong; the message lists all of them, one a line."""


class DatasetError(InputError):
    """Questions or databases cannot be used."""


class ModelError(InputError):
    """A model or adapter folder is incomplete or of the wrong kind."""


class ParityError(InputError):
    """What would be trained on is not what inference sends and expects."""


class PlanMismatch(InputError):
    """The run_uri already holds predictions of another plan."""


class MissingExtra(InputError):
    """A package of another environment is needed."""


class StorageError(T2SError):
    """The store failed or refused."""


class ObjectMissing(StorageError):
    """No such object."""


class DigestMismatch(StorageError):
    """Bytes are not what their digest promises."""


class AccessRefused(StorageError):
    """Credentials are absent, wrong or without the right."""


class EngineError(T2SError):
    """One request to the engine failed."""


class PromptTooLong(EngineError):
    """The prompt does not fit the model's context, even after pruning."""


class EngineDead(EngineError):
    """The engine is gone; nothing more will come from it."""


class SandboxError(T2SError):
    """The sandbox itself failed, which says nothing about the query."""


class ClusterError(T2SError):
    """Ray cannot be reached, refuses, or lacks what the job needs."""


class StepFailed(T2SError):
    """A step of a pipeline failed."""


class TrainError(T2SError):
    """Training cannot go on."""


class TooManyErrors(T2SError):
    """More rows failed than `max_error_rate` allows."""


class Stopped(T2SError):
    """SIGTERM or Ctrl-C came; what is complete is committed."""

    exit_code = 3
