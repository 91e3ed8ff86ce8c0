"""The one rule by which sensors, operators and triggers wait, for any condition.

``conditions`` judge an answer by a ``verdict``, ``lacks`` says what keeps a set from being accepted,
``schedule`` when to poll, ``wait`` whether to keep waiting, ``outage``, ``progress`` and ``metrics`` what to
report of it; ``arguments`` checks what DAGs give, ``advice`` says how a task fails. ``tasks``, ``sensor`` and
``trigger`` apply the rule in Airflow. The modules that DAGs import, ``starting`` and ``watching`` may import
it. It imports ``hooks`` and what is below that.
"""
