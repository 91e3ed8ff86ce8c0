"""The API of OceanBase Cloud as plain code: what to send, and how to read a response.

No Airflow, and no I/O but a look at the environment and at CA bundles, in ``endpoint``. It imports
``exceptions``; all that stands above it in CONTRIBUTING.md's picture may import it.
"""
