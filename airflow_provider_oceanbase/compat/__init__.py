"""What ties the package to an Airflow: its names, the connection form before 3.3, OpenLineage.

All other code but ``testing`` may import it. It imports nothing of the package but its metadata.
"""
