#!/bin/sh
# Run once by the image, on an empty data directory: the application's database, and the registry's.
set -eu
psql -v ON_ERROR_STOP=1 -U postgres <<'SQL'
CREATE ROLE registry LOGIN PASSWORD 'registry';
CREATE DATABASE registry OWNER registry;
CREATE ROLE app LOGIN REPLICATION CREATEDB PASSWORD 'app';
CREATE DATABASE app OWNER app;
SQL
# As the role that is to own the tables.
psql -v ON_ERROR_STOP=1 -U postgres -d app -c 'SET ROLE app' -f /reachflow/source.sql
