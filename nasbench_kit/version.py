"""The version of this package, also in a checkout that was never installed."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("nasbench-kit")
except PackageNotFoundError:
    __version__ = "0+unknown"
