"""How much of a target gets a release."""


def places(total: int, percent: int = 0, maximum: int = 0) -> int:
    """How many of `total` devices a target takes: its percentage, rounded up, and no more than its
    maximum; 0 sets no limit."""
    share = (total * percent + 99) // 100 if percent else total
    return min(share, maximum) if maximum else share
