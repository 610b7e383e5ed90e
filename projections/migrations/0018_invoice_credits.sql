-- schema: billing
-- Credit settles invoices beside payments: the account's own, prepaid grants, credit notes; in minor units.

ALTER TABLE invoices ADD COLUMN amount_credited bigint NOT NULL DEFAULT 0;
