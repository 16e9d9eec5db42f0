#!/bin/sh
# Loads gzipped CSV files into the tables of schema.sql: load_csv.sh DATABASE_URL DIRECTORY
#
# artist.csv.gz (id,name,sort_name,area,type,gender,begin_year), area.csv.gz (id,name) and, if there is one,
# artist_alias.csv.gz (artist,name,locale), each with a header. Areas become countries. What the files lack is made
# from what they have (gid from the id, alias ids in file order), so the same files give the same rows.
set -eu
if [ $# -ne 2 ]; then
    echo "usage: load_csv.sh DATABASE_URL DIRECTORY" >&2
    exit 2
fi
url=$1
cd "$2"
aliases=artist_alias.csv.gz
[ -f "$aliases" ] || aliases=/dev/null
psql "$url" --quiet --no-psqlrc --single-transaction --set=ON_ERROR_STOP=1 <<SQL
SET search_path TO musicbrainz, pg_temp;
CREATE TEMP TABLE area_csv (id integer, name text) ON COMMIT DROP;
CREATE TEMP TABLE artist_csv (id integer, name text, sort_name text, area integer, type integer, gender integer,
    begin_year smallint) ON COMMIT DROP;
CREATE TEMP TABLE alias_csv (id serial, artist integer, name text, locale text) ON COMMIT DROP;
\copy area_csv FROM PROGRAM 'gzip -dcf area.csv.gz' WITH (FORMAT csv, HEADER)
\copy artist_csv FROM PROGRAM 'gzip -dcf artist.csv.gz' WITH (FORMAT csv, HEADER)
\copy alias_csv (artist, name, locale) FROM PROGRAM 'gzip -dcf $aliases' WITH (FORMAT csv, HEADER)

INSERT INTO area (id, gid, name, type) SELECT id, md5('area ' || id)::uuid, name, 1 FROM area_csv;
INSERT INTO country_area SELECT id FROM area_csv;
INSERT INTO artist (id, gid, name, sort_name, begin_date_year, type, area, gender)
SELECT id, md5('artist ' || id)::uuid, name, coalesce(sort_name, name), begin_year, type, area, gender
FROM artist_csv;
INSERT INTO artist_alias (id, artist, name, locale, sort_name) SELECT id, artist, name, locale, name FROM alias_csv;
SELECT setval(pg_get_serial_sequence(t, 'id'), greatest(m, 1))
FROM (SELECT 'area', max(id) FROM area UNION ALL SELECT 'artist', max(id) FROM artist
      UNION ALL SELECT 'artist_alias', max(id) FROM artist_alias) AS last (t, m) \g /dev/null
ANALYZE area, country_area, artist, artist_alias;
SQL
