"""Channels of releases, as REST and RPC offer them."""

from apps.core.actors import Actor
from apps.core.public import id_of, operation, page_of
from apps.updates.messages import channel_message
from apps.updates.permissions import PROMOTE_RELEASE, VIEW_RELEASES
from apps.updates.selectors import channels
from apps.updates.services import channels as services
from fleetd.pb.public.v1 import fleet_pb2 as pb


@operation(PROMOTE_RELEASE)
def promote_release(actor: Actor, request: pb.PromoteReleaseRequest) -> pb.PromoteReleaseResponse:
    """Makes a channel of its name, as stable, point at a release; planned rollouts keep theirs."""
    promotion = services.promote_release(
        actor, id_of(request.id), channel=request.channel, reason=request.reason
    )
    return pb.PromoteReleaseResponse(channel=channel_message(promotion))


@operation(VIEW_RELEASES)
def list_release_channels(
    actor: Actor, request: pb.ListReleaseChannelsRequest
) -> pb.ListReleaseChannelsResponse:
    """What channels point at, by names; with their history the newest first."""
    page = channels.list_release_channels(
        actor, page_of(request), name=request.release_name, with_history=request.with_history
    )
    return pb.ListReleaseChannelsResponse(
        items=[channel_message(each) for each in page.items], next_page_token=page.next_page_token
    )


@operation(PROMOTE_RELEASE)
def close_release_channel(
    actor: Actor, request: pb.CloseReleaseChannelRequest
) -> pb.CloseReleaseChannelResponse:
    """Takes a channel away: it points at nothing until a release is promoted to it again."""
    promotion = services.close_release_channel(actor, id_of(request.id), reason=request.reason)
    return pb.CloseReleaseChannelResponse(channel=channel_message(promotion))
