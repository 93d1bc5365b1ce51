"""t2s: multi-turn Chinese text-to-SQL as jobs, on one machine or on a Ray cluster.

Importing this package costs nothing: no torch, no ray, no boto3 until a part that needs them is used.
"""

__version__ = "0.1.0"
