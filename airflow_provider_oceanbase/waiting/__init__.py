"""The one rule by which sensors, operators and triggers wait, for any condition.

``conditions`` says what is waited for, ``schedule`` when to poll, ``wait`` what an answer means; ``tasks``,
``sensor`` and ``trigger`` apply the rule in Airflow. ``watching`` and the modules that DAGs import may
import it; it imports ``hooks``, ``transport`` and ``cloud``.
"""
