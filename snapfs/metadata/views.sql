-- What `snapfs sql` shows: the documented views, and nothing else. docs/sql.md explains every column;
-- a column is added now and then, and none is taken away or changes its meaning.
-- `text` and `path` are functions that views.py gives the connection.

CREATE TEMP VIEW sources AS
SELECT s.number AS source, s.host AS host, s.name AS name,
       (SELECT count(*) FROM temp.moment m WHERE m.source = s.number AND m.counts) AS snapshots,
       (SELECT max(m.number) FROM temp.moment m WHERE m.source = s.number AND m.counts) AS newest
FROM main.source s;

CREATE TEMP VIEW snapshots AS
SELECT s.number AS snapshot, lower(hex(s.id)) AS id, o.host AS host, o.name AS name,
       s.source AS source, strftime('%Y-%m-%dT%H:%M:%SZ', s.time / 1000000000, 'unixepoch') AS time,
       s.time / 1000000000 AS time_s,
       (SELECT group_concat(t.name) FROM main.tag t WHERE t.snapshot = s.number) AS tags
FROM main.snapshot s JOIN temp.moment m ON m.number = s.number AND m.counts
JOIN main.source o ON o.number = s.source;

CREATE TEMP VIEW files AS
SELECT o.host AS host, o.name AS source_name, m.source AS source,
       path(e.directory, e.name) AS path, text(e.name) AS name, e.name AS name_bytes,
       e.directory AS directory,
       -- What the entry says itself needs no node, and most are one of these.
       CASE WHEN e.file THEN 'file' WHEN e.child IS NOT NULL THEN 'directory' ELSE
         (SELECT CASE t.mode & 61440 WHEN 40960 THEN 'symlink' WHEN 8192 THEN 'character device'
                 WHEN 24576 THEN 'block device' WHEN 4096 THEN 'fifo' WHEN 49152 THEN 'socket'
                 ELSE 'unknown' END FROM main.node t WHERE t.number = e.node) END AS type,
       e.size AS size, n.mode & 4095 AS mode, e.uid AS uid, n.gid AS gid,
       text((SELECT w.name FROM main.owner w
             WHERE w.source = m.source AND w.kind = 0 AND w.number = e.uid)) AS user,
       text((SELECT w.name FROM main.owner w
             WHERE w.source = m.source AND w.kind = 1 AND w.number = n.gid)) AS "group",
       strftime('%Y-%m-%dT%H:%M:%SZ', e.mtime, 'unixepoch') AS mtime,
       e.mtime AS mtime_s, n.mtime_ns AS mtime_ns,
       n.nlink AS links, n.number AS inode,
       m.shown AS first,
       (SELECT max(l.number) FROM temp.live l
        WHERE l.anchor = m.anchor AND l.number < e.last) AS last,
       NOT (e.first <= m.newest AND m.newest < e.last) AS gone
FROM main.entry e JOIN temp.moment m ON m.number = e.first AND m.shown < e.last
-- Each has just one. A left join is left out where a query that is no sum asks for nothing of it.
LEFT JOIN main.node n ON n.number = e.node LEFT JOIN main.source o ON o.number = m.source
WHERE e.name <> x'2f';

CREATE TEMP VIEW packs AS
SELECT p.number AS pack, lower(hex(p.name)) AS name, p.size AS stored,
       (SELECT sum(s.plain) FROM main.segment s WHERE s.pack = p.number) AS size,
       CASE coalesce(f.state, 0) WHEN 0 THEN 'used' WHEN 1 THEN 'condemned'
            WHEN 2 THEN 'deleting' ELSE 'gone' END AS state
FROM main.pack p LEFT JOIN main.fate f ON f.name = p.name;

CREATE TEMP VIEW blocks AS
SELECT b.number AS block, lower(hex(b.key)) AS key, b.length AS size, s.pack AS pack,
       s.number AS segment, b.offset AS offset
FROM main.block b JOIN main.segment s ON s.number = b.segment;
