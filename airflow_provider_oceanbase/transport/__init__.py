"""How requests travel: on requests in tasks, on aiohttp in the triggerer.

``hooks``, ``waiting`` and ``watching`` may import it. It imports ``cloud`` and what is below that.
"""
