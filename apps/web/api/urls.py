"""REST addresses of what concerns several apps at once."""

from apps.core.rest.views import reads, resource
from apps.web import public

urlpatterns = [
    *resource("access-explain", "access:explain", get=reads(public.explain_access)),
]
