-- The application's own tables, the source that Debezium captures. Safe to run again.
CREATE TABLE IF NOT EXISTS companies (
  id         bigint PRIMARY KEY,
  tenant_id  text NOT NULL,
  name       text NOT NULL,
  domain     text,
  industry   text,
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS contacts (
  id         bigint PRIMARY KEY,
  tenant_id  text NOT NULL,
  full_name  text,
  email      text,
  phone      text,
  company_id bigint,
  tags       text[] NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS events (
  id          bigint PRIMARY KEY,
  tenant_id   text NOT NULL,
  contact_id  bigint,
  kind        text,
  occurred_at timestamptz NOT NULL DEFAULT now(),
  props       jsonb NOT NULL DEFAULT '{}'
);
-- A delete's change event must carry the old row, not only its key.
ALTER TABLE companies REPLICA IDENTITY FULL;
ALTER TABLE contacts  REPLICA IDENTITY FULL;
ALTER TABLE events    REPLICA IDENTITY FULL;
