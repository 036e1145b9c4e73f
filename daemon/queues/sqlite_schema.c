/* SPDX-License-Identifier: MIT */
/*
 * The schema and the statements. They stand in one file because a partial index serves a query only
 * where both hold the same condition.
 */
#include "sqlite_schema.h"

/* The indexes, in blocks: see sqlite_blocks.h. */
#define INDEXES                                                                                   \
	"CREATE TABLE due (lane INTEGER NOT NULL, value INTEGER NOT NULL, id INTEGER NOT NULL, "  \
	"entries BLOB NOT NULL, PRIMARY KEY (lane, value, id)) WITHOUT ROWID;"                    \
	"CREATE TABLE keys (lane INTEGER NOT NULL, value INTEGER NOT NULL, id INTEGER NOT NULL, " \
	"entries BLOB NOT NULL, PRIMARY KEY (lane, value, id)) WITHOUT ROWID;"

/* Few timers wake the machine, and a load has to know the next one of a lane. 2: PROTO_WAKE_SYSTEM.
 * The condition stands in the query as it stands here, or SQLite does not use the index. */
#define WAKE_SYSTEM "flags & 2"
#define WAKE_SYSTEM_INDEX \
	"CREATE INDEX wake_system ON timers (queue, clock, ready) WHERE " WAKE_SYSTEM ";"
static_assert(PROTO_WAKE_SYSTEM == 2, "WAKE_SYSTEM");

/* The schema as sqlite3(1) shows it. timerqd(8) explains each column. */
static const char schema[] =
	"CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
	"CREATE TABLE queues (number INTEGER PRIMARY KEY, uid INTEGER NOT NULL,"
	" name TEXT NOT NULL, timers INTEGER NOT NULL, parked INTEGER NOT NULL,"
	" bytes INTEGER NOT NULL);"
	"CREATE TABLE timers (id INTEGER PRIMARY KEY, queue INTEGER NOT NULL,"
	" clock INTEGER NOT NULL, flags INTEGER NOT NULL, due INTEGER NOT NULL,"
	" ready INTEGER NOT NULL, slack INTEGER, every INTEGER NOT NULL, max_late INTEGER,"
	" count INTEGER NOT NULL, number INTEGER NOT NULL, attempt INTEGER NOT NULL,"
	" max_attempts INTEGER NOT NULL, revived INTEGER, label TEXT, key TEXT, payload BLOB);"
	"CREATE INDEX revived ON timers (revived) WHERE revived IS NOT NULL;" WAKE_SYSTEM_INDEX
	"CREATE TABLE parked (queue INTEGER NOT NULL, id INTEGER NOT NULL,"
	" number INTEGER NOT NULL, clock INTEGER NOT NULL, flags INTEGER NOT NULL,"
	" due INTEGER NOT NULL, slack INTEGER, every INTEGER NOT NULL, count INTEGER NOT NULL,"
	" attempt INTEGER NOT NULL, label TEXT, key TEXT, payload BLOB,"
	" max_attempts INTEGER NOT NULL DEFAULT 0,"
	" PRIMARY KEY (queue, id, number)) WITHOUT ROWID;" INDEXES
	"CREATE TABLE puts (token BLOB NOT NULL, slot INTEGER NOT NULL, serial INTEGER NOT NULL,"
	" stored INTEGER NOT NULL, answers BLOB NOT NULL,"
	" PRIMARY KEY (token, slot)) WITHOUT ROWID;";

#define TEXT_OF(x) #x
#define TEXT(x)	   TEXT_OF(x)
static const char identity[] = "PRAGMA application_id = " TEXT(
	SQLITE_STORE_ID) "; PRAGMA user_version = " TEXT(SQLITE_STORE_VERSION);

/* The step from each version to the next one. */
static const char *const upgrades[SQLITE_STORE_VERSION] = {
	[1] = "ALTER TABLE parked ADD COLUMN max_attempts INTEGER NOT NULL DEFAULT 0;"
	      "DELETE FROM puts;" /* their tokens named no user */
	WAKE_SYSTEM_INDEX
	      /* The indexes are made anew from the rows. */
	      "DROP TABLE due; DROP TABLE keys;" INDEXES
	      "UPDATE meta SET value = zeroblob(8) WHERE name IN ('indexed_due', 'indexed_keys')",
};

/* In the order of sqlite_column_timer(). */
#define TIMER_COLUMNS                                                                           \
	"id, queue, clock, flags, due, ready, slack, every, max_late, count, number, attempt, " \
	"max_attempts, revived, label, key, payload"
#define PARKED_COLUMNS                                                                    \
	"id, queue, clock, flags, due, due, slack, every, NULL, count, number, attempt, " \
	"max_attempts, NULL, label, key, payload"

static const char *const texts[SQL_STATEMENTS] = {
	[SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",
	[SQL_INSERT] = "INSERT INTO timers (" TIMER_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, "
		       "?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
	[SQL_FIND] = "SELECT " TIMER_COLUMNS " FROM timers WHERE id = ?1",
	[SQL_FIND_FROM] = "SELECT " TIMER_COLUMNS " FROM timers WHERE id >= ?1 ORDER BY id",
	[SQL_FIND_REVIVED] = "SELECT id FROM timers WHERE revived = ?1 LIMIT 1",
	[SQL_FIND_WAKE_SYSTEM] = "SELECT ready FROM timers WHERE " WAKE_SYSTEM " AND queue = ?1 "
				 "AND clock = ?2 AND (ready, id) > (?3, ?4) ORDER BY ready, id "
				 "LIMIT 1",
	[SQL_DELETE] = "DELETE FROM timers WHERE id = ?1",
	[SQL_DELETE_KNOWN] = "DELETE FROM timers WHERE id = ?1 AND queue = ?2 AND number = ?3 AND "
			     "ready = ?4",
	[SQL_RUN] = "SELECT queue, number, ready FROM timers WHERE id BETWEEN ?1 AND ?2 ORDER BY "
		    "id",
	[SQL_DELETE_RUN] = "DELETE FROM timers WHERE id BETWEEN ?1 AND ?2",
	[SQL_UPDATE] = "UPDATE timers SET due = ?2, ready = ?3, slack = ?4, every = ?5, "
		       "count = ?6, number = ?7, attempt = ?8 WHERE id = ?1",
	[SQL_PARKED_INSERT] = "INSERT OR REPLACE INTO parked (queue, id, number, clock, flags, "
			      "due, slack, every, count, attempt, label, key, payload, "
			      "max_attempts) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, "
			      "?12, ?13, ?14)",
	[SQL_PARKED_FIND] = "SELECT " PARKED_COLUMNS " FROM parked WHERE queue = ?1 AND id = ?2 "
			    "LIMIT 1",
	[SQL_PARKED_DELETE] = "DELETE FROM parked WHERE queue = ?1 AND id = ?2 AND number = ?3",
	[SQL_PARKED_AFTER] = "SELECT " PARKED_COLUMNS " FROM parked WHERE queue = ?1 AND "
			     "(id, number) > (?2, ?3) ORDER BY id, number LIMIT ?4",
	[SQL_PUT_WRITE] = "INSERT OR REPLACE INTO puts VALUES (?1, ?2, ?3, ?4, ?5)",
	[SQL_PUT_SIZE] = "SELECT length(answers) FROM puts WHERE token = ?1 AND slot = ?2",
	[SQL_PUTS_SIZE] = "SELECT count(*), sum(length(answers)) FROM puts WHERE token BETWEEN ?1 "
			  "AND ?2",
	[SQL_PUTS_OLDEST] = "SELECT stored, length(answers) FROM puts WHERE token BETWEEN ?1 AND "
			    "?2 ORDER BY stored",
	[SQL_PUTS_FORGET] = "DELETE FROM puts WHERE token BETWEEN ?1 AND ?2 AND stored <= ?3",
	[SQL_PUTS_OF_TOKEN] = "SELECT serial, answers FROM puts WHERE token = ?1 ORDER BY serial",
	[SQL_PUTS_EXPIRE] = "DELETE FROM puts WHERE stored < ?1",
	[SQL_META_WRITE] = "INSERT OR REPLACE INTO meta VALUES (?1, ?2)",
	[SQL_QUEUE_WRITE] = "INSERT OR REPLACE INTO queues VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	[SQL_QUEUE_DELETE] = "DELETE FROM queues WHERE number = ?1",
};

sqlite3_stmt *sqlite_use(struct sqlite *q, enum sqlite_statement statement)
{
	sqlite3_reset(q->statements[statement]);
	return q->statements[statement];
}

int sqlite_finish(sqlite3_stmt *statement)
{
	int r = sqlite3_step(statement);
	int end;

	while (r == SQLITE_ROW)
		r = sqlite3_step(statement);
	end = sqlite3_reset(statement);
	return r == SQLITE_DONE ? end : r;
}

int sqlite_run(struct sqlite *q, enum sqlite_statement statement)
{
	return sqlite_finish(sqlite_use(q, statement));
}

int sqlite_read_number(struct sqlite *q, const char *text, int64_t *ret)
{
	sqlite3_stmt *s;
	int r = sqlite3_prepare_v2(q->db, text, -1, &s, NULL);

	if (r)
		return r;
	r = sqlite3_step(s);
	if (r == SQLITE_ROW)
		*ret = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return r == SQLITE_ROW ? SQLITE_OK : r;
}

int sqlite_schema_make(struct sqlite *q)
{
	int r = sqlite3_exec(q->db, schema, NULL, NULL, NULL);

	return r ? r : sqlite3_exec(q->db, identity, NULL, NULL, NULL);
}

int sqlite_schema_upgrade(struct sqlite *q)
{
	int64_t version = 0;
	int r = sqlite_read_number(q, "PRAGMA user_version", &version);

	if (r || version == SQLITE_STORE_VERSION)
		return r;
	if (version < 1 || version > SQLITE_STORE_VERSION)
		return SQLITE_CORRUPT;
	r = sqlite3_exec(q->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	for (; !r && version < SQLITE_STORE_VERSION; version++)
		r = sqlite3_exec(q->db, upgrades[version], NULL, NULL, NULL);
	if (!r)
		r = sqlite3_exec(q->db, identity, NULL, NULL, NULL);
	return r ? r : sqlite3_exec(q->db, "COMMIT", NULL, NULL, NULL);
}

int sqlite_prepare(struct sqlite *q)
{
	int r = SQLITE_OK;

	for (int i = 0; i < SQL_STATEMENTS && !r; i++)
		r = sqlite3_prepare_v3(
			q->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &q->statements[i], NULL);
	if (!r)
		r = sqlite_blocks_open(&q->due, q->db, "due");
	return r ? r : sqlite_blocks_open(&q->keys, q->db, "keys");
}

void sqlite_unprepare(struct sqlite *q)
{
	for (int i = 0; i < SQL_STATEMENTS; i++) {
		sqlite3_finalize(q->statements[i]);
		q->statements[i] = NULL;
	}
	sqlite_blocks_close(&q->due);
	sqlite_blocks_close(&q->keys);
}
