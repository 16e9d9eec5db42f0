-- The tables of MusicBrainz the demo's pipeline reads: names and types of its schema, as far as SQLite has them.
CREATE TABLE artist_type (id INTEGER PRIMARY KEY, name VARCHAR(255) NOT NULL);
CREATE TABLE gender (id INTEGER PRIMARY KEY, name VARCHAR(255) NOT NULL);
CREATE TABLE area_type (id INTEGER PRIMARY KEY, name VARCHAR(255) NOT NULL);
CREATE TABLE area (id INTEGER PRIMARY KEY, gid UUID NOT NULL, name VARCHAR NOT NULL, type INTEGER);
CREATE TABLE country_area (area INTEGER PRIMARY KEY);
CREATE TABLE iso_3166_1 (area INTEGER NOT NULL, code CHAR(2) PRIMARY KEY);
CREATE TABLE link_type (
    id INTEGER PRIMARY KEY,
    gid UUID NOT NULL,
    entity_type0 VARCHAR(50) NOT NULL,
    entity_type1 VARCHAR(50) NOT NULL,
    name VARCHAR(255) NOT NULL
);
CREATE TABLE link (id INTEGER PRIMARY KEY, link_type INTEGER NOT NULL, ended BOOLEAN NOT NULL DEFAULT FALSE);
CREATE TABLE l_area_area (
    id INTEGER PRIMARY KEY,
    link INTEGER NOT NULL,
    entity0 INTEGER NOT NULL,
    entity1 INTEGER NOT NULL
);
CREATE TABLE artist (
    id INTEGER PRIMARY KEY,
    gid UUID NOT NULL,
    name VARCHAR NOT NULL,
    sort_name VARCHAR NOT NULL,
    begin_date_year SMALLINT,
    type INTEGER,
    area INTEGER,
    gender INTEGER,
    comment VARCHAR(255) NOT NULL DEFAULT '',
    begin_area INTEGER
);
CREATE TABLE artist_alias (
    id INTEGER PRIMARY KEY,
    artist INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    locale TEXT,
    type INTEGER,
    sort_name VARCHAR NOT NULL,
    primary_for_locale BOOLEAN NOT NULL DEFAULT FALSE
);

INSERT INTO artist_type VALUES (1, 'Person'), (2, 'Group'), (3, 'Other'), (4, 'Character'), (5, 'Orchestra'), (6, 'Choir');
INSERT INTO gender VALUES (1, 'Male'), (2, 'Female'), (3, 'Other'), (4, 'Not applicable'), (5, 'Non-binary');
INSERT INTO area_type VALUES (1, 'Country'), (2, 'Subdivision'), (3, 'City');
INSERT INTO link_type VALUES (356, 'de7cc874-8b1b-3a05-8272-f3834c968fb7', 'area', 'area', 'part of');
INSERT INTO link (id, link_type) VALUES (118734, 356);
