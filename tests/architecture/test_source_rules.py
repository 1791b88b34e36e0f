"""House rules that the linters cannot see (docs/adr/0001)."""

import ast
import re
from pathlib import Path

from tests.architecture.source import ROOT, Module, app_modules, modules

WRITES = {
    "save",
    "create",
    "bulk_create",
    "bulk_update",
    "get_or_create",
    "update_or_create",
    "delete",
    "update",
}
QUERY = re.compile(r"objects|unscoped|for_org|\.filter\(|\.exclude\(")
SIGNALS = {"pre_save", "post_save", "pre_delete", "post_delete", "m2m_changed", "receiver"}
FAKE = re.compile(
    r"\b(TODO|FIXME|XXX)\b|Math\.random|mock_?data|lorem ipsum|coming soon|not yet implemented",
    re.IGNORECASE,
)
# Public functions in services/ that run before there is an actor, or are no operations.
NO_ACTOR = {
    "apps/accounts/services/signing_keys.py": "the installation's keys, above organizations",
    "apps/accounts/services/tokens.py": "the refresh token says who is calling",
    "apps/accounts/services/sign_in.py": "finds out who is calling",
    "apps/accounts/services/passwords.py": "a person without an organization",
    "apps/accounts/services/people.py": "an account is made before anything else",
    "apps/accounts/services/profiles.py": "a person without an organization",
    "apps/accounts/services/second_factors.py": "a person without an organization",
    "apps/accounts/services/web_sessions.py": "a person without an organization",
    "apps/accounts/services/mail.py": "the installation's mail, above organizations",
    "apps/accounts/services/observers.py": "registers and calls observers",
    "apps/organizations/services/sign_ins.py": "a person in all of their organizations",
    "apps/devices/services/permission_rows.py": "runs after migrations, above organizations",
    "apps/audit/services/second_place.py:kept_checkpoints": "reads a file of the installation",
    "apps/audit/services/second_place.py:known_key_ids": "reads files of the installation",
    "apps/audit/services/second_place.py:path_of": "names a file of the installation",
    "apps/audit/services/signing.py": "files of the installation, before anybody is there",
    "apps/events/services/relay.py:subscribe": "registers a subscriber at import",
    "apps/accounts/services/service_tokens.py": "for whoever runs the server, above organizations",
    "apps/organizations/services/introspection.py": "finds out who is calling",
    "apps/organizations/services/device_sign_in.py": "nobody is known until somebody approves",
    "apps/organizations/services/programs.py:sign_in_program": "the password says who is calling",
    "apps/organizations/services/programs.py:refresh_program": "the token says who is calling",
    "apps/organizations/services/programs.py:sign_out_by_token": "the token says who is calling",
    "apps/organizations/services/setup.py": "there is nobody yet",
    "apps/accounts/services/departures.py:count_usable_keys": "a number, for the quota",
    "apps/accounts/services/room.py:ask_for_room": "registers who knows the quotas",
    "apps/organizations/services/deletion.py:remove_files_of_erased": "what it was of is no more",
    "apps/organizations/services/departures.py:on_departure": "registers at start",
    "apps/devices/services/devices.py:on_release": "registers at start",
    "apps/updates/services/moves.py:new_id": "a part of a statement",
    "apps/updates/services/rollout_log.py:new_event": "makes a value",
    "apps/organizations/services/exports.py:exported_models": "says what an export holds",
    "apps/organizations/services/exports.py:exported_row": "says what an export holds",
    "apps/organizations/services/invitations.py:open_invitation": "the link is the credential",
    "apps/organizations/services/invitations.py:accept_invitation": "the link is the credential",
    "apps/organizations/services/organizations.py:may_create_organizations": "about a person",
    "apps/organizations/services/organizations.py:insert_organization": "part of making one",
    "apps/organizations/services/organizations.py:checked_reason": "looks at a text",
    "apps/organizations/services/quotas.py:register_meter": "registers at start",
    "apps/enrollment/services/enroll.py:register_trusted_root": "registers at start",
    "apps/organizations/services/quotas.py:count_use": "a number, the caller may know it",
    "apps/organizations/services/authentication.py": "finds out who is calling",
    "apps/devices/services/live.py:open_sessions": "many devices at once, known by certificate",
    "apps/devices/services/live.py:flush_beats": "many devices at once, known by certificate",
    "apps/devices/services/presence.py:begin_presence": "a part of writes in live.py",
    "apps/devices/services/presence.py:end_presence": "a part of writes in live.py",
    "apps/devices/services/presence.py:find_lapsed": "a part of writes in live.py",
    "apps/devices/services/presence.py:renew_presence": "a part of writes in live.py",
    "apps/devices/services/live.py:close_sessions": "many devices at once, known by certificate",
    "apps/enrollment/services/authority.py": "files of the installation, before anybody is there",
    "apps/enrollment/services/certificates.py:authenticate_device": "finds out who is calling",
    "apps/enrollment/services/certificates.py:authenticate_devices": "finds out who is calling",
    "apps/enrollment/services/enroll.py:enroll_device": "the token is the credential",
    "apps/enrollment/services/tokens.py:note_installer_fetch": "nobody has a credential yet",
}
MAX_FUNCTION = 60
MAX_MODULE = 800


def _is_orm_write(module: Module, node: ast.AST) -> bool:
    """A call that writes rows: `x.save(…)`, or a write method on something that is a query."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    if node.func.attr not in WRITES:
        return False
    receiver = module.source(node.func.value)
    if node.func.attr == "save":
        return receiver not in {"super()", "form"}
    return bool(QUERY.search(receiver))


def test_rows_are_written_in_services_only() -> None:
    found = [
        f"{m.path}:{node.lineno}"
        for m in app_modules()
        if "services" not in m.parts and m.path != "apps/accounts/models.py"
        for node in ast.walk(m.tree)
        if _is_orm_write(m, node)
    ]
    assert found == []


def test_unscoped_queries_say_why() -> None:
    found = [
        f"{m.path}:{node.lineno}"
        for m in app_modules()
        if m.path != "apps/core/tenancy.py"
        for node in ast.walk(m.tree)
        if isinstance(node, ast.Attribute)
        and node.attr == "unscoped"
        and "Unscoped:" not in m.lines_before(node, 4)
    ]
    assert found == []


def test_no_model_signals() -> None:
    found = [
        f"{m.path}:{node.lineno}"
        for m in app_modules()
        for node in ast.walk(m.tree)
        if isinstance(node, ast.ImportFrom) and {a.name for a in node.names} & SIGNALS
    ]
    assert found == []


def _services_without_actor() -> list[str]:
    """Public functions in services/ whose first parameter is not the actor, as `path:name`."""
    found = []
    for m in app_modules():
        if "services" not in m.parts:
            continue
        for node in m.tree.body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            first = next((a.arg for a in [*node.args.posonlyargs, *node.args.args]), "")
            if not node.name.startswith("_") and first != "actor":
                found.append(f"{m.path}:{node.name}")
    return found


def test_every_service_takes_the_actor_first() -> None:
    found = [
        name
        for name in _services_without_actor()
        if name not in NO_ACTOR and name.partition(":")[0] not in NO_ACTOR
    ]
    assert found == []


def test_whatever_is_excused_from_taking_an_actor_still_takes_none() -> None:
    without = _services_without_actor()
    excused = {*without, *(name.partition(":")[0] for name in without)}
    assert [name for name in NO_ACTOR if name not in excused] == []


def test_every_service_has_a_docstring() -> None:
    found = [
        f"{m.path}:{node.name}"
        for m in app_modules()
        if "services" in m.parts
        for node in m.tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert found == []


def test_every_declared_permission_is_used() -> None:
    declared = {
        target.id: m.path
        for m in app_modules()
        if m.parts[-1] == "permissions.py"
        for node in m.tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    text = "\n".join(m.text for m in app_modules() if m.parts[-1] != "permissions.py")
    unused = [f"{path}: {n}" for n, path in declared.items() if not re.search(rf"\b{n}\b", text)]
    assert declared
    assert unused == []


def test_nothing_looks_fake_or_unfinished() -> None:
    files = [ROOT / m.path for m in modules()]
    for folder in ("templates", "frontend/src", "static/src"):
        files += [f for f in (ROOT / folder).rglob("*") if f.suffix in {".html", ".js", ".ts"}]
    found = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in files
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if FAKE.search(line)
    ]
    assert found == []


def test_functions_and_modules_stay_small() -> None:
    long = [f"{m.path}: {m.text.count(chr(10))} lines" for m in modules() if _too_long(m)]
    for m in modules():
        for node in ast.walk(m.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                if size > MAX_FUNCTION:
                    long.append(f"{m.path}:{node.name}: {size} lines")
    assert long == []


def _too_long(module: Module) -> bool:
    return module.text.count("\n") > MAX_MODULE


def test_there_are_no_drawers() -> None:
    drawers = {"utils", "helpers", "misc", "common", "extras", "lib"}
    assert [m.path for m in modules() if drawers & {Path(p).stem for p in m.parts}] == []
