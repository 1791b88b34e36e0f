"""Sending mail. Requests never wait for a mail server: it is slow, and its slowness would tell.

Texts are templates `<prefix>_subject.txt` and `<prefix>_message.txt`: plain, short, nothing that
calls home. What could not be sent is logged and counted, not tried again: every mail of ours can be
asked for once more.
"""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from prometheus_client import Counter

log = structlog.get_logger(__name__)

MAILS = Counter("fleetd_mails", "Mails handed to the mail server", ["result"])
_SENDER = ThreadPoolExecutor(1, thread_name_prefix="mail")


def is_mail_configured() -> bool:
    """Whether this installation can send mail at all; pages say so where it cannot."""
    return bool(settings.EMAIL_IS_CONFIGURED)


def send_mail(template: str, to: str, context: Mapping[str, Any]) -> Future[bool] | None:
    """Sends one mail, soon. None where the installation has no mail server.

    `template` is the prefix of its two templates, `to` one address. The future is for tests.
    """
    if not is_mail_configured():
        log.info("mail_not_configured", template=template)
        return None
    values = {"external_url": settings.EXTERNAL_URL, **context}
    subject = " ".join(render_to_string(f"{template}_subject.txt", values).split())
    body = render_to_string(f"{template}_message.txt", values).strip() + "\n"
    message = EmailMessage(subject, body, settings.DEFAULT_FROM_EMAIL, [to])
    return _SENDER.submit(_send, message, template)


def _send(message: EmailMessage, template: str) -> bool:
    try:
        message.send()
    except (OSError, ValueError) as error:  # smtplib's errors are OSError
        MAILS.labels("failed").inc()
        log.error("mail_not_sent", template=template, error=type(error).__name__)
        return False
    MAILS.labels("sent").inc()
    return True
