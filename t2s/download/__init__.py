"""The job download: a model or dataset from a hub, a store or a folder into our storage, whole or not at all."""

from __future__ import annotations

from t2s.download.config import DownloadConfig, SourceConfig
from t2s.download.origins import Access, HubAccess
from t2s.download.progress import TransferProgress
from t2s.download.run import Downloaded, download

__all__ = ["Access", "DownloadConfig", "Downloaded", "HubAccess", "SourceConfig", "TransferProgress", "download"]
