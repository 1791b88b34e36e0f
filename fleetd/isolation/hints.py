"""What the walk cannot guess: words that make a request readable, and other names of things.

Nothing here leaves anything out of the walk.
"""

from typing import Any

# Words for fields of any request, by the field's name. Ids are put in by their names.
WORDS: dict[str, str] = {
    "name": "made by the check",
    "reason": "checked",
    "version": "9.9.9",
    "email": "nobody@example.test",
    "plan_hash": "0" * 64,
    "role": "custom",
}

# What single operations need besides.
BODIES: dict[str, dict[str, Any]] = {
    "create_release": {"components": [{"name": "c", "kind": "script", "artifact_id": ""}]},
    "create_rollout": {"target": {}},
    "create_rollout_from_manifest": {"manifest": "apiVersion: fleet/v1"},
    "preview_device_group": {"filter": "lifecycle = active"},
    "preview_rollout": {"target": {}},
    "list_left_out_devices": {"target": {}, "code": "pinned"},
    "create_artifact_upload": {"size_bytes": 10},
    "create_custom_role": {"permissions": ["devices.view_devices"]},
    "update_custom_role": {"permissions": ["devices.view_devices"]},
    "create_service_account": {"role": "viewer"},
    "create_invitation": {"teams": [{"team_id": "", "role": "operator"}]},
    "grant_access": {"permissions": ["devices.view_devices"]},
    "revoke_access": {"permissions": ["devices.view_devices"]},
    "exclude_and_continue": {"attribute": "tag", "value": "lab"},
    "promote_release": {"channel": "checked"},
    "update_organization_settings": {"reset": ["cors.allowed_origins"]},
}

# What reads need in their query before they look at ids; `{kind}` stands for an own id.
QUERIES: dict[str, dict[str, str]] = {
    "preview_device_group": {"filter": "lifecycle = active"},
    "get_release_path": {"device_id": "{device}"},
}

# Names that stand in paths instead of ids, by the address's name.
NAMES_IN_PATHS: dict[str, dict[str, str]] = {
    "api-signing-metadata": {"name": "root.json"},
}

# What fields and addresses call kinds of objects; kinds are named after their models.
ALIASES: dict[str, tuple[str, ...]] = {
    "group": ("device_group",),
    "token": ("enrollment_token",),
    "key": ("api_key",),
    "entry": ("audit_entry",),
    "audit_entry": ("audit_entry",),
    "member": ("membership",),
    "object": ("device",),
    "role": ("custom_role",),
    "export": ("organization_export",),
    "service_account": ("user",),
    "service_account_key": ("user",),
    "account": ("user",),
    "actor": ("user",),
    "release_channel": ("release_promotion",),
    "promotion": ("release_promotion",),
    "session": ("refresh_family", "user_session"),
    "owner": ("user",),
}

# Fields that look like ids and are none.
NO_IDS: dict[str, str] = {
    "request_id": "the mark of a call; the caller chooses it",
    "user_code": "what a program shows and a person types",
}

# What is written for whoever knows an address, signed in or not: page, tables, and why.
CHANGES_OF_ANYBODY: dict[str, dict[str, str]] = {
    "GET /install.sh": {
        "enrollment_token": "notes that the installer was fetched for the token in the address",
        "events_outbox_event": "tells the page that waits for it",
    }
}

# Fields that answer alike, whatever they name: foreign ids are compared all the same.
QUIET: dict[tuple[str, str], str] = {
    ("enroll", "hardware_id"): "the device's own words, no id of ours",
    ("check_access", "organization_id"): "takes service tokens, which see all organizations",
    ("check_access", "user_id"): "takes service tokens, which see all organizations",
    ("check_access", "device_id"): "takes service tokens, which see all organizations",
    ("revoke_access", "user_id"): "taking away what nobody holds is done already",
}

# Fields of which an operation takes one: while one is tried, the others are left out.
ONE_OF: dict[str, tuple[str, ...]] = {
    "grant_access": ("team_id", "device_group_id"),
    "revoke_access": ("team_id", "device_group_id"),
    "explain_access": ("device_id", "device_group_id", "team_id", "rollout_id"),
}

# Kinds that are tried wherever only some are.
EVERYWHERE = ("organization", "user", "device")

# Handlers that read their bodies themselves; none of these hold ids.
BODIES_WITHOUT_IDS: dict[str, str] = {
    "upload_artifact": "a file and its name",
    "append_to_upload": "a part of a file",
}

# Handlers that take bytes, with the headers that they need.
PARTS: dict[str, dict[str, str]] = {
    "append_to_upload": {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"},
}

# What forms of pages commonly ask.
FORM: dict[str, object] = {
    "name": "made by the check",
    "reason": "checked",
    "role": "viewer",
    "plan_hash": "0" * 64,
    "confirm": "checked",
    "next": "/",
    "post": "yes",
}

# Addresses whose path is a secret or a word: foreign ids are tried, own ones cannot fit.
PATHS_WITHOUT_IDS: dict[str, str] = {
    "device-artifact": "needs the signature of a link as well",
    "tuf-target": "needs the signature of a link as well",
    "tuf-metadata": "public, the same for everybody; it names the organization that publishes it",
    "api-signing-metadata": "names a role and a version",
    "api-signing-target": "holds the digest of a file",
    "invitation": "holds the invitation's secret",
    "audit-file": "names a format",
    "settings-team-take": "fits one group of one team; the form on the page of the team is walked",
    "agent-package": "names a file that is the same for everybody",
    "account_reset_password_from_key": "holds a signed key out of a letter",
    "account_passkey_rename": "only a browser can make a passkey",
    "account_confirm_email": "holds a signed key out of a letter",
    **{
        f"core_installedguard_{page}": "the installation's own, for superusers only"
        for page in ("change", "delete", "history")
    },
}

# Parameters of paths that are words: foreign ids are tried, own ones cannot fit.
WORDS_IN_PATHS: dict[str, str] = {
    "app_label": "names an app of the admin",
    "url": "is any address of the admin that does not exist",
    "what": "names a button of a rollout",
}

# Those of them of which only some are known.
FITTING_WORDS: dict[str, str] = {"what": "pause"}

# Fields of forms in which an own id need not show: where the browser goes next, and the like.
FIELDS_THAT_MAY_NOT_MATTER: dict[str, str] = {
    "next": "an address, no id",
    "phase": "which row of the form, no id",
    "csrfmiddlewaretoken": "a token, no id",
    "actor": "the beginning of a name",
    "id": "means what the field beside it says",
    "role": "a role's word; a custom role's id is tried where the form offers roles of our own",
    "user": "taking away what nobody holds is done already",
    "components-0-id": "a part that is only shown",
    "components-0-release": "a part that is only shown",
    "_selected_action": "actions are walked one by one, each with rows of theirs and of nobody",
}

# Addresses of the admin that are asked with the parameters of a registered model.
ADMIN_ELSEWHERE: dict[str, str] = {
    "autocomplete": "walked with each field that uses it",
    "jsi18n": "a catalogue of words",
}
