"""How requests travel: on requests in tasks, on aiohttp in the triggerer.

``hooks``, ``waiting`` and ``watching`` may import it; it imports ``cloud``.
"""
