"""The SQL of dead letters, notes and audit, in SQLite's dialect; a part of `Statements`."""

from __future__ import annotations


class DeadLetterStatements:
    """What operators see of failures and decide about them."""

    _FINGERPRINT = "handler, coalesce(error, ''), coalesce(error_place, '')"
    _DEAD = "state IN ('dead', 'undecodable')"
    FAILURE_GROUPS = f"""
SELECT g.handler, g.error, g.place, g.letters, g.first_at, g.last_at,
    (SELECT coalesce(p.error_text, '') FROM preterite_parked p WHERE p.id = g.newest), n.text, n.noted_by, n.noted_at
FROM (
    SELECT handler, coalesce(error, '') AS error, coalesce(error_place, '') AS place, count(*) AS letters,
        min(coalesce(failed_at, 0)) AS first_at, max(coalesce(failed_at, 0)) AS last_at, max(id) AS newest
    FROM preterite_parked WHERE {_DEAD} GROUP BY 1, 2, 3
) g LEFT JOIN preterite_note n USING (handler, error, place)
ORDER BY g.last_at DESC, g.newest DESC LIMIT ?
"""
    DEAD_LETTERS = f"SELECT id FROM preterite_parked WHERE {_DEAD} ORDER BY id LIMIT ?"
    DEAD_LETTERS_OF = f"""
SELECT id FROM preterite_parked WHERE {_DEAD} AND ({_FINGERPRINT}) = (?, ?, ?) ORDER BY id LIMIT ?
"""
    FOLLOWERS = """
SELECT count(*) FROM preterite_parked head JOIN preterite_parked p
ON p.publisher = head.publisher AND p.key = head.key AND p.lane = head.lane AND p.number > head.number
WHERE head.id = ?
"""
    EDIT_PARKED = f"""
UPDATE preterite_parked SET original = coalesce(original, envelope), envelope = ? WHERE id = ? AND {_DEAD}
"""
    REDRIVE = """
UPDATE preterite_parked SET state = 'parked', due_at = 0, attempts = 0, running = 0 WHERE id = ? AND state <> 'parked'
AND NOT EXISTS (SELECT 1 FROM preterite_handler h WHERE h.name = preterite_parked.handler AND h.retired_at IS NOT NULL)
"""
    DISCARD = """
INSERT INTO preterite_discarded
    (handler, publisher, partition, number, event_id, key, type, envelope, error, error_text,
    reason, discarded_by, discarded_at)
SELECT handler, publisher, partition, number, event_id, key, type, envelope, error, error_text, ?, ?, ?
FROM preterite_parked WHERE id = ? AND state <> 'parked'
"""
    SET_NOTE = """
INSERT INTO preterite_note (handler, error, place, text, noted_by, noted_at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (handler, error, place) DO UPDATE
SET text = excluded.text, noted_by = excluded.noted_by, noted_at = excluded.noted_at
"""
    ADD_AUDIT = """
INSERT INTO preterite_audit (at, operator, action, target, reason, before, after) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
    AUDIT = "SELECT at, operator, action, target, reason, before, after FROM preterite_audit ORDER BY id DESC LIMIT ?"
