// A plugin of Haraka: it knows two recipients, and stores each message in a file of its own.
const fs = require('fs');
const path = require('path');
let count = 0;

exports.hook_rcpt = function (next, connection, params) {
  const known = ['ann@example.com', 'bob@example.com', 'j\u00f6rg@example.com'];
  const { address } = params[0]; // a method in older releases
  if (known.includes(typeof address === 'function' ? params[0].address() : address)) return next(OK);
  return next(DENY, 'No such user here');
};

exports.hook_queue = function (next, connection) {
  const name = `message-${process.pid}-${++count}`;
  const file = fs.createWriteStream(path.join(process.env.INTEROP_MAIL, name));
  file.on('finish', () => next(OK, `Stored as ${name}`));
  connection.transaction.message_stream.pipe(file);
};
