"""The API of OceanBase Cloud as plain code: what to send, and what an answer means.

No I/O, no Airflow. All other folders may import it; it imports only ``exceptions``.
"""
