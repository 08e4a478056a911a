-- A catalog of number 3: a function that serves version 4 while version 5 is being deployed.
CREATE TABLE functions (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, newest INTEGER NOT NULL, serving INTEGER) STRICT;
CREATE TABLE versions (
  function INTEGER NOT NULL REFERENCES functions (id) ON DELETE CASCADE, number INTEGER NOT NULL, contents TEXT NOT NULL,
  accepted TEXT NOT NULL, PRIMARY KEY (function, number)
) STRICT;
CREATE TABLE snapshots (
  function INTEGER NOT NULL, version INTEGER NOT NULL, host TEXT NOT NULL, agent_abi INTEGER NOT NULL, digest TEXT NOT NULL,
  warnings TEXT NOT NULL DEFAULT '[]',
  PRIMARY KEY (function, version, host, agent_abi),
  FOREIGN KEY (function, version) REFERENCES versions (function, number) ON DELETE CASCADE
) STRICT;
CREATE TABLE aliases (
  function INTEGER NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (function, name),
  FOREIGN KEY (function, version) REFERENCES versions (function, number)
) STRICT;
CREATE TABLE deploys (
  id INTEGER PRIMARY KEY AUTOINCREMENT, function INTEGER NOT NULL, version INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('pending', 'done', 'failed')), failure TEXT,
  FOREIGN KEY (function) REFERENCES functions (id) ON DELETE CASCADE
) STRICT;
CREATE UNIQUE INDEX deploys_of_function ON deploys (function);
CREATE TABLE files (
  path TEXT PRIMARY KEY, size INTEGER NOT NULL, modified TEXT NOT NULL, inode TEXT NOT NULL, digest TEXT NOT NULL
) STRICT;
PRAGMA user_version = 3;
INSERT INTO files VALUES ('/image', 5, '1700000000123456789', '7', 'sha256:6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d');
INSERT INTO functions VALUES (7, 'active', 5, 4);
INSERT INTO versions VALUES
  (7, 4, '{"runtime":"node24","wantedEntry":"index","handler":"default","environment":{"A":"1"},"memoryMib":256,"timeoutMs":3000,"readyTimeoutMs":10000,"code":{"digest":"sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae","size":9},"app":{"mediaType":"application/vnd.firn.app.v1.erofs","digest":"sha256:a172cedcae47474b615c54d510a5d84a8dea3032e958587430b413538be3f333","size":3},"entry":"index.js","samples":[{"event":{"name":"Ada"}}]}', '2026-01-02T03:04:05.678Z'),
  (7, 5, '{"runtime":"node24","wantedEntry":null,"handler":"default","environment":{},"memoryMib":256,"timeoutMs":3000,"readyTimeoutMs":10000,"code":{"digest":"sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae","size":9},"app":{"mediaType":"application/vnd.firn.app.v1.erofs","digest":"sha256:a172cedcae47474b615c54d510a5d84a8dea3032e958587430b413538be3f333","size":3},"entry":"index.mjs","samples":[]}', '2026-01-03T03:04:05.678Z');
INSERT INTO snapshots VALUES (7, 4, 'this host', 1, 'sha256:fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9',
  '[{"code":"FIRN_CHILD_PROCESS","message":"A child process runs."}]');
INSERT INTO deploys VALUES (9, 7, 5, 'pending', NULL);
