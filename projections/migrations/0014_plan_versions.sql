-- schema: billing
-- A plan has price versions, each in any number of currencies. The columns that were there before say what an
-- interval of the newest costs without usage, for one seat; currency and amount only where it has one currency.

ALTER TABLE plans
    ALTER currency DROP NOT NULL,
    ALTER amount DROP NOT NULL,
    ADD external_id text,
    ADD metadata jsonb NOT NULL DEFAULT '{}',
    ADD versions jsonb NOT NULL DEFAULT '[]';

-- Plans of before had one fee in one currency, as the projection now reads them from the log. Forced, row-level
-- security would hide them from their owner too, who runs this.
ALTER TABLE plans NO FORCE ROW LEVEL SECURITY;
UPDATE plans SET versions = jsonb_build_array(jsonb_build_object(
    'price_version', price_version,
    'terms', jsonb_build_object(
        'interval', interval,
        'fees', jsonb_build_array(jsonb_build_object(
            'code', 'fee', 'name', name, 'amounts', jsonb_build_object(currency, amount), 'per_seat', true
        ))
    )
));
ALTER TABLE plans FORCE ROW LEVEL SECURITY;

ALTER TABLE plans
    ALTER metadata DROP DEFAULT,
    ALTER versions DROP DEFAULT;
