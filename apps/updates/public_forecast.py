"""Forecasts of rollouts, as REST and RPC offer them."""

from apps.core.actors import Actor
from apps.core.public import id_of, operation, timestamp
from apps.updates.domain.forecast import Spread
from apps.updates.permissions import VIEW_ROLLOUTS
from apps.updates.services import forecasts
from apps.updates.services.forecasts import RolloutForecast
from fleetd.pb.public.v1 import fleet_pb2 as pb


@operation(VIEW_ROLLOUTS)
def forecast_rollout(
    actor: Actor, request: pb.ForecastRolloutRequest
) -> pb.ForecastRolloutResponse:
    """What a rollout that has not started may be expected to do, from its devices' histories."""
    found = forecasts.forecast_rollout(
        actor,
        id_of(request.id),
        seed=request.seed or 1,
        runs=request.runs or forecasts.RUNS,
    )
    return pb.ForecastRolloutResponse(forecast=_forecast(found))


def _forecast(found: RolloutForecast) -> pb.RolloutForecast:
    outcome = found.outcome
    return pb.RolloutForecast(
        rollout_id=str(found.rollout_id),
        plan_hash=found.plan_hash,
        made_at=timestamp(found.made_at),
        begins_at=timestamp(found.begins_at),
        ends_at=timestamp(found.ends_at),
        seed=found.seed,
        runs=outcome.runs,
        devices=found.devices,
        devices_with_history=found.known,
        history_days=found.history_days,
        phases=[
            pb.PhaseForecast(
                name=phase.name, devices=phase.devices, finish_seconds=_spread(phase.finish)
            )
            for phase in found.phases
        ],
        finish_seconds=_spread(outcome.finish),
        failures=_spread(outcome.failures),
        peak_mbit=_spread(outcome.peak_mbit),
        missed=_spread(outcome.missed),
        completed=outcome.completed,
        halted=outcome.halted,
        at_risk=[pb.DeviceAtRisk(id=str(id_), name=name) for id_, name in found.at_risk],
        at_risk_count=found.at_risk_count,
        unforeseen=found.unforeseen,
    )


def _spread(spread: Spread) -> pb.ForecastSpread:
    """What is None is not set: never."""
    return pb.ForecastSpread(p10=spread.p10, p50=spread.p50, p90=spread.p90)
