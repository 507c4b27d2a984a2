-- A made-up shop: nobody in it exists, and every run makes the same rows. Run by a superuser
-- in an empty database; everything then belongs to the role app, which is no superuser.
-- Card numbers satisfy Luhn and IBANs their check digits, because maskers look at both.

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app') THEN
    CREATE ROLE app LOGIN;
  END IF;
END $$;
GRANT USAGE, CREATE ON SCHEMA public TO app;
DO $$
BEGIN
  EXECUTE format('GRANT CREATE, TEMPORARY ON DATABASE %I TO app', current_database());
END $$;
SET ROLE app;

-- The digit that makes a number satisfy Luhn's formula.
CREATE FUNCTION pg_temp.luhn_digit(payload text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT ((10 - sum(CASE WHEN place % 2 = 0 THEN digit
                         WHEN digit < 5 THEN digit * 2
                         ELSE digit * 2 - 9 END) % 10) % 10)::text
  FROM (SELECT place, substr(reverse(payload), place, 1)::int AS digit
        FROM generate_series(1, length(payload)) AS place) AS digits
$$;

-- A German IBAN for a bank and an account: D, E and 00 read as 13, 14 and 00.
CREATE FUNCTION pg_temp.iban(bank text, account text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT 'DE' || lpad((98 - (bank || account || '131400')::numeric % 97)::text, 2, '0')
         || bank || account
$$;

CREATE TABLE customers (
  id          integer PRIMARY KEY,
  name        text NOT NULL,
  email       text NOT NULL UNIQUE,
  phone       text,
  iban        text,
  card_number text,
  ssn         text,
  birth_date  date,
  note        text,
  created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE orders (
  id          integer PRIMARY KEY,
  customer_id integer NOT NULL REFERENCES customers (id),
  amount      numeric(10, 2) NOT NULL CHECK (amount >= 0),
  status      text NOT NULL,
  quantity    integer NOT NULL,
  placed_at   timestamptz NOT NULL
);
CREATE INDEX orders_by_customer ON orders (customer_id);

CREATE TABLE employees (
  id         integer PRIMARY KEY,
  name       text NOT NULL,
  email      text NOT NULL,
  department text NOT NULL,
  salary     numeric(10, 2) NOT NULL,
  manager_id integer REFERENCES employees (id)
);
COMMENT ON COLUMN employees.salary IS 'Gross yearly salary; confidential.';

CREATE TABLE api_tokens (
  id          integer PRIMARY KEY,
  customer_id integer NOT NULL REFERENCES customers (id),
  token       text NOT NULL,
  issued_at   timestamptz NOT NULL
);

-- Sensitive values in types other than text.
CREATE TYPE tier AS ENUM ('basic', 'plus', 'gold');
CREATE TYPE contact AS (email text, phone text);
CREATE DOMAIN email_address AS text CHECK (VALUE LIKE '%@%');
CREATE TABLE profiles (
  customer_id integer PRIMARY KEY REFERENCES customers (id),
  session_id  uuid NOT NULL,
  work_email  email_address NOT NULL,
  emails      text[] NOT NULL,
  contact     contact NOT NULL,
  document    jsonb NOT NULL,
  last_ip     inet NOT NULL,
  photo       bytea NOT NULL,
  membership  daterange NOT NULL,
  level       tier NOT NULL
);

CREATE TABLE access_log (
  id          bigint NOT NULL,
  at          timestamptz NOT NULL,
  ip          inet NOT NULL,
  customer_id integer NOT NULL,
  path        text NOT NULL,
  agent       text NOT NULL
) PARTITION BY RANGE (at);
CREATE TABLE access_log_2025 PARTITION OF access_log
  FOR VALUES FROM ('2025-01-01 00:00:00+00') TO ('2026-01-01 00:00:00+00');
CREATE TABLE access_log_2026 PARTITION OF access_log
  FOR VALUES FROM ('2026-01-01 00:00:00+00') TO ('2027-01-01 00:00:00+00');

CREATE TABLE vip_customers (discount numeric(4, 2) NOT NULL) INHERITS (customers);

INSERT INTO customers
SELECT id, first || ' ' || last,
       lower(first) || '.' || lower(last) || id || '@example.com',
       '+49 30 ' || lpad((5550000 + id * 7)::text, 7, '0'),
       pg_temp.iban('10010010', lpad((700000 + id * 1313)::text, 10, '0')),
       card || pg_temp.luhn_digit(card),
       lpad((100 + id % 500)::text, 3, '0') || '-' || lpad((10 + id % 80)::text, 2, '0')
         || '-' || lpad((1000 + id * 37 % 9000)::text, 4, '0'),
       date '1950-01-01' + id * 97,
       CASE id % 4
         WHEN 0 THEN 'Prefers to be written to at ' || lower(first) || id || '@mail.example.org.'
         WHEN 1 THEN 'Called twice about a late parcel.'
         WHEN 2 THEN 'Invoices go to accounts' || id || '@firm.example.net, copies by post.'
       END,
       timestamptz '2025-01-01 08:00:00+00' + id * interval '31 hours'
FROM (
  SELECT id,
         (ARRAY['Ada','Bruno','Carla','Dmitri','Elif','Farid','Greta','Hana','Ivan','Jana'])[1 + id % 10] AS first,
         (ARRAY['Abel','Braun','Conti','Dahl','Eriksen','Fischer','Garcia'])[1 + id % 7] AS last,
         '4' || lpad((11122233300000 + id * 7919)::text, 14, '0') AS card
  FROM generate_series(1, 200) AS id
) AS people;

INSERT INTO vip_customers
SELECT 1000 + id, 'Vip ' || id, 'vip' || id || '@vip.example.com', '+49 40 ' || (6660000 + id),
       pg_temp.iban('20020020', lpad((900000 + id)::text, 10, '0')),
       '55000000000000' || id || pg_temp.luhn_digit('55000000000000' || id),
       '712-' || (20 + id) || '-' || (4000 + id), date '1970-06-01' + id,
       'Knows the owner.', timestamptz '2025-06-01 09:00:00+00', 0.05 * id
FROM generate_series(1, 5) AS id;

INSERT INTO orders
SELECT id, 1 + id * 13 % 200, (id * 739 % 50000)::numeric / 100,
       (ARRAY['open', 'paid', 'sent', 'returned'])[1 + id % 4], 1 + id % 5,
       timestamptz '2025-02-01 12:00:00+00' + id * interval '7 hours'
FROM generate_series(1, 600) AS id;

INSERT INTO employees
SELECT id, 'Employee ' || id, 'employee' || id || '@shop.example.com',
       (ARRAY['sales', 'support', 'warehouse', 'finance'])[1 + id % 4], 38000 + id * 1375.50,
       CASE WHEN id > 4 THEN 1 + id % 4 END
FROM generate_series(1, 24) AS id;

INSERT INTO api_tokens
SELECT id, id * 5, 'sk_live_' || md5('token ' || id) || md5('more ' || id),
       timestamptz '2025-03-01 00:00:00+00' + id * interval '1 day'
FROM generate_series(1, 40) AS id;

INSERT INTO profiles
SELECT id, md5('session ' || id)::uuid, 'work' || id || '@firm.example.net',
       ARRAY[email, 'second' || id || '@example.org'], ROW(email, phone)::contact,
       jsonb_build_object('email', email, 'theme', 'dark', 'visits', id),
       ('198.51.100.' || id)::inet, convert_to('photo of ' || email, 'UTF8'),
       daterange(date '2025-01-01' + id, date '2026-01-01' + id),
       (ARRAY['basic', 'plus', 'gold'])[1 + id % 3]::tier
FROM customers WHERE id <= 50;

INSERT INTO access_log
SELECT id, timestamptz '2025-07-01 00:00:00+00' + id * interval '17 hours',
       ('203.0.113.' || 1 + id % 250)::inet, 1 + id % 200,
       (ARRAY['/', '/cart', '/pay', '/account'])[1 + id % 4], 'Mozilla/5.0 (made up; ' || id || ')'
FROM generate_series(1, 500) AS id;

CREATE VIEW customer_contacts AS SELECT id, name, email AS address, phone FROM ONLY customers;
CREATE VIEW contact_addresses AS SELECT id, address AS reached_at FROM customer_contacts;
CREATE MATERIALIZED VIEW customer_directory AS
  SELECT c.id, c.name, c.email, count(o.id) AS orders, coalesce(sum(o.amount), 0) AS spent
  FROM ONLY customers AS c LEFT JOIN orders AS o ON o.customer_id = c.id
  GROUP BY c.id;

CREATE FUNCTION customer_email(wanted integer) RETURNS text LANGUAGE sql STABLE AS
  'SELECT email FROM customers WHERE id = wanted';
CREATE FUNCTION order_total(wanted integer) RETURNS numeric LANGUAGE sql STABLE AS
  'SELECT coalesce(sum(amount), 0) FROM orders WHERE customer_id = wanted';

-- What nobody minds being read or written.
CREATE TABLE scratch (id integer PRIMARY KEY, word text, amount numeric);
INSERT INTO scratch SELECT id, 'word ' || id, id * 1.5 FROM generate_series(1, 20) AS id;

RESET ROLE;
ANALYZE;
