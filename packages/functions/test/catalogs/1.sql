-- A catalog of number 1, with a function in each state.
CREATE TABLE functions (name TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
CREATE TABLE files (
  path TEXT PRIMARY KEY, size INTEGER NOT NULL, modified TEXT NOT NULL, inode TEXT NOT NULL, digest TEXT NOT NULL
) STRICT;
PRAGMA user_version = 1;
INSERT INTO files VALUES ('/image', 5, '1700000000123456789', '7', 'sha256:6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d');
INSERT INTO functions VALUES
  ('active', '{"name":"active","handler":"default","environment":{"A":"1"},"memoryMib":256,"timeoutMs":3000,"readyTimeoutMs":10000,"entry":"index.js","samples":[{"event":{"name":"Ada"}}],"app":{"mediaType":"application/vnd.firn.app.v1.erofs","digest":"sha256:a172cedcae47474b615c54d510a5d84a8dea3032e958587430b413538be3f333","size":3},"state":"Active","failure":null,"snapshot":"sha256:8fa3a5df4ee8eb4b5b0d0a4ef1ba5b8a5f7d5b0e6b2a1b2d5f3f5e2c1b0a9f8e","revision":4,"updated":"2026-01-02T03:04:05.678Z"}'),
  ('failed', '{"name":"failed","handler":"default","environment":{},"memoryMib":128,"timeoutMs":3000,"readyTimeoutMs":10000,"entry":"index.js","app":{"mediaType":"application/vnd.firn.app.v1.erofs","digest":"sha256:a172cedcae47474b615c54d510a5d84a8dea3032e958587430b413538be3f333","size":3},"state":"Failed","failure":{"code":"FIRN_FUNCTION_IMPORT","message":"boom","stack":""},"snapshot":null,"revision":1,"updated":"2026-01-02T03:04:05.678Z"}'),
  ('pending', '{"name":"pending","handler":"default","environment":{},"memoryMib":128,"timeoutMs":3000,"readyTimeoutMs":10000,"entry":"index.js","samples":[],"app":{"mediaType":"application/vnd.firn.app.v1.erofs","digest":"sha256:a172cedcae47474b615c54d510a5d84a8dea3032e958587430b413538be3f333","size":3},"state":"Pending","failure":null,"snapshot":null,"revision":1,"updated":"2026-01-02T03:04:05.678Z"}');
