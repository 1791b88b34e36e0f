"""Sending mail. Requests never wait for a mail server: it is slow, and its slowness would tell.

Texts are templates `<prefix>_subject.txt` and `<prefix>_message.txt`: plain, short, nothing that
calls home. What `send_mail` could not send is logged and counted, not tried again: it can be asked
for once more. Workers, which keep what they have to send, use `deliver_mail`.
"""

import smtplib
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


class MailNotSent(Exception):
    """A mail did not leave; the text says why and can be shown."""


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
    return _SENDER.submit(_send, _message(template, to, context), template)


def deliver_mail(
    template: str, to: str, context: Mapping[str, Any], *, message_id: str = ""
) -> None:
    """Sends one mail before it returns: for workers. Raises `MailNotSent`, which says why.

    Attempts with the same `message_id` are one mail to whoever receives it twice.
    """
    if not is_mail_configured():
        raise MailNotSent("This installation has no mail server.")
    message = _message(template, to, context)
    if message_id:
        domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].strip("> ") or "localhost"
        message.extra_headers["Message-ID"] = f"<{message_id}@{domain}>"
    try:
        message.send()
    except (OSError, ValueError) as error:  # smtplib's errors are OSError
        MAILS.labels("failed").inc()
        raise MailNotSent(_reason(error)) from error
    MAILS.labels("sent").inc()


def _reason(error: Exception) -> str:
    """Why, in words that hold nothing of the server's settings."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, text = next(iter(error.recipients.values()))
        return f"The mail server refuses the recipient: {_printable(code, text)}"
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return "The mail server refuses our user or password."
    if isinstance(error, smtplib.SMTPResponseException):
        return f"The mail server answered {_printable(error.smtp_code, error.smtp_error)}"
    if isinstance(error, TimeoutError):
        return "The mail server did not answer in time."
    return f"The mail server cannot be reached ({type(error).__name__})."


def _printable(code: int, text: bytes | str) -> str:
    plain = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    return f"{code} {''.join(c if c.isprintable() else ' ' for c in plain)[:160]}".strip()


def _message(template: str, to: str, context: Mapping[str, Any]) -> EmailMessage:
    values = {"external_url": settings.EXTERNAL_URL, **context}
    subject = " ".join(render_to_string(f"{template}_subject.txt", values).split())
    body = render_to_string(f"{template}_message.txt", values).strip() + "\n"
    return EmailMessage(subject, body, settings.DEFAULT_FROM_EMAIL, [to])


def _send(message: EmailMessage, template: str) -> bool:
    try:
        message.send()
    except (OSError, ValueError) as error:  # smtplib's errors are OSError
        MAILS.labels("failed").inc()
        log.error("mail_not_sent", template=template, error=type(error).__name__)
        return False
    MAILS.labels("sent").inc()
    return True
