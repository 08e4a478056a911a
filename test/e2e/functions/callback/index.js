exports.handler = (_event, _context, callback) => {
  setTimeout(() => callback(null, "by callback"), 100);
};
