"""The command line: ``python -m airflow_provider_oceanbase``, and ``airflow oceanbase`` from Airflow 3.2 on.

``definition`` says which commands there are: Airflow imports it whenever ``airflow`` starts. Everything else
is imported when a command runs. Commands only read: nothing here starts or changes anything in OceanBase
Cloud. Nothing imports it but ``__main__``; it may import all that stands below it in CONTRIBUTING.md's
picture.
"""
