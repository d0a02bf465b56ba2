"""A run's figures and replies as one HTML page that opens from disk.

    from metaconf.report import write_report
    write_report(Path("runs/demo"))

The page holds everything that it shows and may load nothing: no network, no eval, no handler in
an attribute. What a model wrote enters it as text only.
"""

from metaconf.report.write import write_report

__all__ = ["write_report"]
