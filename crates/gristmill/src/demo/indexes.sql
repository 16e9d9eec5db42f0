-- Built after the rows are in: sorting once is faster than inserting in random order.
CREATE UNIQUE INDEX area_idx_gid ON area (gid);
CREATE INDEX area_idx_name ON area (name);
CREATE INDEX iso_3166_1_idx_area ON iso_3166_1 (area);
CREATE UNIQUE INDEX link_type_idx_gid ON link_type (gid);
CREATE UNIQUE INDEX l_area_area_idx_uniq ON l_area_area (entity0, entity1, link);
CREATE INDEX l_area_area_idx_entity1 ON l_area_area (entity1);
CREATE UNIQUE INDEX artist_idx_gid ON artist (gid);
CREATE INDEX artist_idx_name ON artist (name);
CREATE INDEX artist_idx_area ON artist (area);
CREATE INDEX artist_alias_idx_artist ON artist_alias (artist);
