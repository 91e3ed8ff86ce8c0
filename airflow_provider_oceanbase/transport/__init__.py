"""How requests travel: on requests in tasks, on aiohttp in the triggerer.

``framing`` says for both what a response is; each library reads what passes there.

``hooks``, ``waiting`` and ``watching`` may import it. It imports ``cloud`` and what is below that.
"""
