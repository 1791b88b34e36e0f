"""Why the gateway ends or refuses a device's stream."""

from apps.core.errors import (
    FleetdError,
    InvalidRequest,
    Kind,
    Stale,
    TooMany,
    Unauthenticated,
    Unavailable,
)


class NoDeviceCertificate(Unauthenticated):
    """What the peer has shown does not name a device of this platform."""

    code = "no_device_certificate"
    default_message = "This port takes device certificates only."


class HelloExpected(InvalidRequest):
    code = "hello_expected"
    default_message = "A stream begins with Hello, within ten seconds."


class WrongSequence(InvalidRequest):
    code = "wrong_sequence"
    default_message = "Sequence numbers of a stream start at 1 and grow."


class StreamReplaced(Stale):
    """The device has opened another stream since."""

    code = "stream_replaced"
    default_message = "The device has opened a newer stream."


class SlowReader(TooMany):
    """The device does not read what it is sent."""

    code = "slow_reader"
    default_message = "Too many messages wait to be read."


class GatewayFull(Unavailable):
    """More devices are connecting at once than can be let in."""

    code = "gateway_busy"
    default_message = "Many devices are connecting. Try again a little later."


class GatewayStopping(Unavailable):
    code = "gateway_stopping"
    default_message = "This gateway is stopping. Connect again."


class NotYourDeployment(FleetdError):
    """A device reported on a deployment of another one. The service that took the report has
    audited it."""

    kind, code = Kind.DENIED, "not_your_deployment"
    default_message = "This deployment is not for this device."


class ReportNotStored(FleetdError):
    """Storing a report failed for a reason that is a bug of ours."""

    kind, code = Kind.BUG, "report_not_stored"
    default_message = "The report could not be stored."
