"""Parts of ``make cluster``: where waits begin, and what that costs."""
