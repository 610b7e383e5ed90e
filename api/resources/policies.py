"""Policies: the conventions a book bills by, version by version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.edge import Call, answer, instant, operation, page
from commands.policies import adopt_policy, policies_adopted
from ledger.policies import GROUPS, PRESETS, axes, name_of, policy_of, resolved
from schemas.requests_proration import NewPolicy, PoliciesPaged
from schemas.responses import page_of
from schemas.responses_proration import PolicyView, PresetsView

if TYPE_CHECKING:
    from flask import Response

    from commands.policies import Adoption


@operation("GET", "/v1/policy", scope="read", answer=PolicyView)
def get_policy(call: Call) -> Response:
    """Show the conventions that the book bills by now."""
    return answer(_view(policies_adopted(call.log, call.book)[-1]))


@operation(
    "POST",
    "/v1/policy",
    scope="admin",
    body=NewPolicy,
    answer=PolicyView,
    description=(
        "Overrides name an axis and its value (`/v1/policy/presets` lists them); `mrr` or `recognition` with"
        " a preset takes all axes of that group from it. Adopting the conventions in force changes nothing."
        " What was billed before stays under the version it names."
    ),
)
def adopt(call: Call) -> Response:
    """Adopt other conventions, from now on."""
    body = call.body
    return call.write(lambda context: adopt_policy(context, body["preset"], body["overrides"]), _view)


@operation("GET", "/v1/policies", scope="read", query=PoliciesPaged, answer=page_of(PolicyView))
def list_policies(call: Call) -> Response:
    """List every version of the book's conventions, newest first."""
    limit, after = call.query["limit"], call.query.get("after")
    adopted = reversed(policies_adopted(call.log, call.book))
    older = [one for one in adopted if after is None or one.policy.policy_version < after]
    shown, following = page(older, limit, lambda one: one.policy.policy_version)
    return answer({"data": [_view(one) for one in shown], "next": following})


@operation("GET", "/v1/policy/presets", scope="read", book_wide=False, answer=PresetsView)
def list_presets(call: Call) -> Response:  # noqa: ARG001 - every handler is given its call
    """List every axis with its values, and the value each preset gives it."""
    by_preset = {preset: _by_axis(preset) for preset in PRESETS}
    table = [
        {
            "axis": axis,
            "values": list(values),
            "presets": {preset: by_preset[preset][axis] for preset in PRESETS},
        }
        for axis, values in axes().items()
    ]
    return answer({"presets": list(PRESETS), "axes": table})


def _by_axis(preset: str) -> dict[str, str]:
    groups = resolved(PRESETS[preset])
    return {name_of(group, axis): value for group in GROUPS for axis, value in groups[group].items()}


def _view(adoption: Adoption) -> dict[str, Any]:
    adopted = adoption.policy
    return {
        "version": adopted.policy_version,
        "preset": adopted.preset,
        "overrides": dict(adopted.overrides),
        "adopted_at": instant(adoption.adopted_at),
        **resolved(policy_of(adopted.preset, adopted.overrides)),
    }
