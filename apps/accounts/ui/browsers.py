"""A browser's words about itself, as people know it."""

import re

_BROWSERS = (
    ("Edge", re.compile(r"Edg(?:e|A|iOS)?/(\d+)")),
    ("Opera", re.compile(r"OPR/(\d+)")),
    ("Samsung Internet", re.compile(r"SamsungBrowser/(\d+)")),
    ("Firefox", re.compile(r"(?:Firefox|FxiOS)/(\d+)")),
    ("Chrome", re.compile(r"(?:Headless)?(?:Chrome|CriOS)/(\d+)")),
    ("Safari", re.compile(r"Version/(\d+)[\d.]* (?:Mobile/\w+ )?Safari")),
    ("curl", re.compile(r"^curl/(\d+)")),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("macOS", "Mac OS X"),
    ("ChromeOS", "CrOS"),
    ("Linux", "Linux"),
)


def describe(user_agent: str) -> str:
    """For example `Firefox 142, Linux`; what is unknown is shown as it is, cut short."""
    for name, pattern in _BROWSERS:
        if found := pattern.search(user_agent):
            system = next((word for word, mark in _SYSTEMS if mark in user_agent), "")
            return f"{name} {found[1]}" + (f", {system}" if system else "")
    return user_agent[:40]
