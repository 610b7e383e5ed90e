"""What a catalogue's file takes: what the edge takes, with a code for every object and codes for ids."""

from __future__ import annotations

from typing import Final

from schemas.catalogue_fields import code_field
from schemas.fields import Instant, Strict
from schemas.requests_catalogue import NewBillingEntity, NewCoupon, NewMeter, NewProduct, NewTaxRate
from schemas.requests_plans import NewPlan


class _Coded(Strict.Meta):
    exclude = ("external_id",)


class FileProduct(NewProduct):
    """A product; its code is its external id."""

    code = code_field(required=True)

    class Meta(_Coded):
        """Take the code for the external id."""


class FileMeter(NewMeter):
    """A meter."""

    class Meta(_Coded):
        """Take the code for the external id."""


class FileTaxRate(NewTaxRate):
    """A tax rate; its code is its external id. Another percentage holds from `effective_at`, or from now."""

    code = code_field(required=True)
    effective_at = Instant(load_default=None)

    class Meta(_Coded):
        """Take the code for the external id."""


class FileCoupon(NewCoupon):
    """A coupon; `plans` are codes."""

    class Meta(_Coded):
        """Take the code for the external id."""


class FilePlan(NewPlan):
    """A plan; its code is its external id. Other terms hold from `effective_at`, or from now."""

    code = code_field(required=True)
    effective_at = Instant(load_default=None)

    class Meta(_Coded):
        """Take the code for the external id."""


# In the order in which they are applied: each after those it names.
FILE_KINDS: Final = {
    "product": FileProduct,
    "meter": FileMeter,
    "tax_rate": FileTaxRate,
    "billing_entity": NewBillingEntity,
    "plan": FilePlan,
    "coupon": FileCoupon,
}
