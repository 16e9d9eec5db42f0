-- A fixture for PostgreSQL: the tables, columns and types of the MusicBrainz schema that the recipes read, the columns
-- that may not be null, and the indexes the recipes lean on. For an empty database; MusicBrainz's own has all of it.
CREATE SCHEMA musicbrainz;
SET search_path TO musicbrainz;

CREATE TABLE artist_type (id serial PRIMARY KEY, name varchar(255) NOT NULL, gid uuid NOT NULL);
CREATE TABLE gender (id serial PRIMARY KEY, name varchar(255) NOT NULL, gid uuid NOT NULL);
CREATE TABLE area_type (id serial PRIMARY KEY, name varchar(255) NOT NULL, gid uuid NOT NULL);
CREATE TABLE area (
    id serial PRIMARY KEY,
    gid uuid NOT NULL,
    name varchar NOT NULL,
    type integer,
    ended boolean NOT NULL DEFAULT false,
    comment varchar(255) NOT NULL DEFAULT ''
);
CREATE TABLE country_area (area integer PRIMARY KEY);
CREATE TABLE iso_3166_1 (area integer NOT NULL, code char(2) PRIMARY KEY);
CREATE TABLE link_type (
    id serial PRIMARY KEY,
    gid uuid NOT NULL,
    entity_type0 varchar(50) NOT NULL,
    entity_type1 varchar(50) NOT NULL,
    name varchar(255) NOT NULL,
    link_phrase varchar(255) NOT NULL,
    reverse_link_phrase varchar(255) NOT NULL,
    long_link_phrase varchar(255) NOT NULL
);
CREATE TABLE link (id serial PRIMARY KEY, link_type integer NOT NULL, ended boolean NOT NULL DEFAULT false);
CREATE TABLE l_area_area (
    id serial PRIMARY KEY,
    link integer NOT NULL,
    entity0 integer NOT NULL,
    entity1 integer NOT NULL,
    link_order integer NOT NULL DEFAULT 0
);
CREATE TABLE artist (
    id serial PRIMARY KEY,
    gid uuid NOT NULL,
    name varchar NOT NULL,
    sort_name varchar NOT NULL,
    begin_date_year smallint,
    type integer,
    area integer,
    gender integer,
    comment varchar(255) NOT NULL DEFAULT '',
    ended boolean NOT NULL DEFAULT false,
    begin_area integer
);
CREATE TABLE artist_alias (
    id serial PRIMARY KEY,
    artist integer NOT NULL,
    name varchar NOT NULL,
    locale text,
    type integer,
    sort_name varchar NOT NULL,
    primary_for_locale boolean NOT NULL DEFAULT false,
    ended boolean NOT NULL DEFAULT false
);

CREATE UNIQUE INDEX link_type_idx_gid ON link_type (gid);
CREATE UNIQUE INDEX l_area_area_idx_uniq ON l_area_area (entity0, entity1, link, link_order);
CREATE INDEX l_area_area_idx_entity1 ON l_area_area (entity1);
CREATE INDEX artist_idx_area ON artist (area);
CREATE INDEX artist_alias_idx_artist ON artist_alias (artist);

-- The rows of the lookup tables. Only the gid of "part of" is MusicBrainz's own; the recipes ask for no other.
INSERT INTO artist_type (id, name, gid)
SELECT id, name, md5('artist_type ' || id)::uuid
FROM (VALUES (1, 'Person'), (2, 'Group'), (3, 'Other'), (4, 'Character'), (5, 'Orchestra'), (6, 'Choir')) AS t (id, name);
INSERT INTO gender (id, name, gid)
SELECT id, name, md5('gender ' || id)::uuid
FROM (VALUES (1, 'Male'), (2, 'Female'), (3, 'Other'), (4, 'Not applicable'), (5, 'Non-binary')) AS t (id, name);
INSERT INTO area_type (id, name, gid)
SELECT id, name, md5('area_type ' || id)::uuid
FROM (VALUES (1, 'Country'), (2, 'Subdivision'), (3, 'City'), (4, 'Municipality'), (5, 'District')) AS t (id, name);
INSERT INTO link_type (id, gid, entity_type0, entity_type1, name, link_phrase, reverse_link_phrase, long_link_phrase)
VALUES (356, 'de7cc874-8b1b-3a05-8272-f3834c968fb7', 'area', 'area', 'part of', 'parts', 'part of', 'has part');
INSERT INTO link (id, link_type) VALUES (118734, 356);
