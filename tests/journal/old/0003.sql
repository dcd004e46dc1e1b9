-- A journal of the form 0002 with a row for every case.
PRAGMA application_id=1380209475;
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0003');
CREATE TABLE incarnations (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	pid INTEGER NOT NULL, 
	host TEXT NOT NULL, 
	version TEXT NOT NULL, 
	started_at REAL NOT NULL
)
 STRICT

;
INSERT INTO "incarnations" VALUES(41,41,'h','0.1.0',1.5);
INSERT INTO "incarnations" VALUES(42,42,'h','0.1.0',2.5);
CREATE TABLE meta (
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT meta_key PRIMARY KEY ("key")
)
 WITHOUT ROWID,
 STRICT

;
INSERT INTO "meta" VALUES('journal.id','oldoldoldoldo');
INSERT INTO "meta" VALUES('token.counter','7');
CREATE TABLE operations (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	request TEXT NOT NULL, 
	state TEXT NOT NULL, 
	opened_at REAL NOT NULL, 
	closed_at REAL, 
	incarnation INTEGER NOT NULL, 
	outcome TEXT DEFAULT '' NOT NULL, 
	error TEXT DEFAULT '' NOT NULL, 
	attempts INTEGER NOT NULL, 
	CONSTRAINT operations_id_length CHECK (length(id) = 13), 
	CONSTRAINT operations_subject_given CHECK (subject <> ''), 
	CONSTRAINT operations_state_known CHECK (state IN ('open', 'done', 'refused', 'superseded')), 
	CONSTRAINT operations_closed_with_time CHECK ((state = 'open') = (closed_at IS NULL)), 
	CONSTRAINT operations_attempted CHECK (attempts >= 1), 
	CONSTRAINT operations_unique_id UNIQUE (id), 
	CONSTRAINT operations_to_incarnations FOREIGN KEY(incarnation) REFERENCES incarnations (id)
)
 STRICT

;
INSERT INTO "operations" VALUES(1,'aaaaaaaaaaaaa','create','rds/v1','{"size":1}','done',3.0,4.0,41,'done','',1);
INSERT INTO "operations" VALUES(2,'bbbbbbbbbbbbb','delete','rds/v1','{"size":1}','open',3.0,NULL,42,'','DeviceUnavailable: away',3);
INSERT INTO "operations" VALUES(3,'ccccccccccccc','create','rds/v2','{"size":1}','refused',3.0,5.0,41,'','OutOfSpace: full',1);
INSERT INTO "operations" VALUES(4,'ddddddddddddd','create','rds/v3','{"size":1}','superseded',3.0,6.0,41,'superseded by delete','',1);
CREATE TABLE snapshots (
	snapshot_id TEXT NOT NULL, 
	backend TEXT NOT NULL, 
	slot TEXT NOT NULL, 
	csi_name TEXT NOT NULL, 
	source_volume_id TEXT NOT NULL, 
	leaf TEXT NOT NULL, 
	size_bytes INTEGER NOT NULL, 
	created_at REAL NOT NULL, 
	uuid TEXT DEFAULT '' NOT NULL, 
	state TEXT NOT NULL, 
	quarantine TEXT DEFAULT '' NOT NULL, 
	updated_at REAL NOT NULL, 
	CONSTRAINT snapshots_key PRIMARY KEY (snapshot_id), 
	CONSTRAINT snapshots_size_bytes_positive CHECK (size_bytes > 0), 
	CONSTRAINT snapshots_state_known CHECK (state IN ('creating', 'ready', 'deleting'))
)
 STRICT

;
INSERT INTO "snapshots" VALUES('rds/sabcdef-1','rds','sabcdef-1','snap-1','rds/vabcdef-1','sabcdef-1.eeeeeeeeeeeee.vabcdef-1.aaaaaaaaaaaaa.1048576',1048576,1000.25,'0f8f','ready','',1000.5);
CREATE TABLE stages (
	volume_id TEXT NOT NULL, 
	staging_target_path TEXT NOT NULL, 
	subnqn TEXT NOT NULL, 
	portals TEXT NOT NULL, 
	access_type TEXT NOT NULL, 
	access_mode TEXT NOT NULL, 
	fs_type TEXT DEFAULT '' NOT NULL, 
	mount_flags TEXT DEFAULT '[]' NOT NULL, 
	state TEXT NOT NULL, 
	size_bytes INTEGER NOT NULL, 
	identity TEXT DEFAULT '' NOT NULL, 
	format_permit TEXT DEFAULT '' NOT NULL, 
	formatted INTEGER NOT NULL, 
	updated_at REAL NOT NULL, 
	volume_context TEXT DEFAULT '{}' NOT NULL, 
	CONSTRAINT stages_key PRIMARY KEY (volume_id), 
	CONSTRAINT stages_size_bytes_positive CHECK (size_bytes >= 0), 
	CONSTRAINT stages_access_type_known CHECK (access_type IN ('mount', 'block')), 
	CONSTRAINT stages_state_known CHECK (state IN ('staging', 'staged', 'unstaging')), 
	CONSTRAINT stages_formatted_boolean CHECK (formatted IN (0, 1))
)
 STRICT

;
INSERT INTO "stages" VALUES('rds/vabcdef-1','/var/lib/kubelet/stage','nqn.2026-11.io.rdscsi:vabcdef-1:a','192.0.2.1:4420','mount','SINGLE_NODE_WRITER','ext4','[]','staged',1073741824,'uuid.1','permit',1,1001.0,'{"ctrlLossTmo": "60"}');
CREATE TABLE steps (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	operation_id TEXT NOT NULL, 
	at REAL NOT NULL, 
	name TEXT NOT NULL, 
	detail TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT steps_to_operations FOREIGN KEY(operation_id) REFERENCES operations (id) ON DELETE CASCADE
)
 STRICT

;
INSERT INTO "steps" VALUES(1,'aaaaaaaaaaaaa',3.5,'add','é ''quoted''');
INSERT INTO "steps" VALUES(2,'bbbbbbbbbbbbb',3.5,'cut','é ''quoted''');
INSERT INTO "steps" VALUES(3,'bbbbbbbbbbbbb',3.5,'error','é ''quoted''');
CREATE TABLE targets (
	target_path TEXT NOT NULL, 
	volume_id TEXT NOT NULL, 
	access_type TEXT NOT NULL, 
	access_mode TEXT NOT NULL, 
	readonly INTEGER NOT NULL, 
	updated_at REAL NOT NULL, 
	CONSTRAINT targets_key PRIMARY KEY (target_path), 
	CONSTRAINT targets_access_type_known CHECK (access_type IN ('mount', 'block')), 
	CONSTRAINT targets_readonly_boolean CHECK (readonly IN (0, 1))
)
 STRICT

;
INSERT INTO "targets" VALUES('/var/lib/kubelet/pods/1','rds/vabcdef-1','mount','SINGLE_NODE_WRITER',0,1002.0);
CREATE TABLE tombstones (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	volume_id TEXT NOT NULL, 
	slot TEXT NOT NULL, 
	backing TEXT NOT NULL, 
	generation INTEGER NOT NULL, 
	deleted_at REAL NOT NULL, 
	CONSTRAINT tombstones_unique_volume_id_backing UNIQUE (volume_id, backing)
)
 STRICT

;
INSERT INTO "tombstones" VALUES(1,'rds/vabcdef-0','vabcdef-0','bbbbbbbbbbbbb',7,999.0);
CREATE TABLE volumes (
	volume_id TEXT NOT NULL, 
	backend TEXT NOT NULL, 
	slot TEXT NOT NULL, 
	csi_name TEXT NOT NULL, 
	backing TEXT NOT NULL, 
	capacity_bytes INTEGER NOT NULL, 
	state TEXT NOT NULL, 
	tag TEXT DEFAULT '' NOT NULL, 
	ever_published INTEGER NOT NULL, 
	quarantine TEXT DEFAULT '' NOT NULL, 
	updated_at REAL NOT NULL, 
	CONSTRAINT volumes_key PRIMARY KEY (volume_id), 
	CONSTRAINT volumes_capacity_bytes_positive CHECK (capacity_bytes >= 0), 
	CONSTRAINT volumes_state_known CHECK (state IN ('creating', 'ready', 'deleting')), 
	CONSTRAINT volumes_ever_published_boolean CHECK (ever_published IN (0, 1))
)
 STRICT

;
INSERT INTO "volumes" VALUES('rds/vabcdef-1','rds','vabcdef-1','pvc-1','aaaaaaaaaaaaa',1073741824,'ready','rdscsi1 v ready',1,'',1000.5);
CREATE UNIQUE INDEX operations_one_open_per_subject ON operations (subject) WHERE state = 'open';
CREATE INDEX operations_closed ON operations (closed_at) WHERE state <> 'open';
CREATE INDEX operations_by_subject ON operations (subject);
CREATE INDEX steps_by_operation_id_id ON steps (operation_id, id);
CREATE INDEX targets_by_volume_id ON targets (volume_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('incarnations',42);
INSERT INTO "sqlite_sequence" VALUES('operations',4);
INSERT INTO "sqlite_sequence" VALUES('steps',3);
INSERT INTO "sqlite_sequence" VALUES('tombstones',1);
COMMIT;
