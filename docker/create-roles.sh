#!/bin/sh
# Run once by the postgres image, on an empty database: the product's roles and their rights.
set -eu
psql -v ON_ERROR_STOP=1 -q -U "$POSTGRES_USER" -d fleetd -f /secrets/postgres/roles.sql
