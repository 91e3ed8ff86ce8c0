"""What ties the package to an Airflow: its names, the connection form before 3.3, OpenLineage.

All other code may import it; it imports nothing of the package.
"""
