// An upstream on the npm package smtp-server: arguments are port, directory, certificate, key.
const fs = require('fs');
const path = require('path');
const { SMTPServer } = require('smtp-server');
const [port, directory, cert, key] = process.argv.slice(2);
let count = 0;

const server = new SMTPServer({
  authOptional: true, cert: fs.readFileSync(cert), key: fs.readFileSync(key), size: 20000000,
  onRcptTo(address, session, done) {
    if (/^(ann|bob|j\u00f6rg)@example\.com$/.test(address.address)) return done();
    return done(Object.assign(new Error('No such user here'), { responseCode: 550 }));
  },
  onData(stream, session, done) {
    const name = `message-${++count}`;
    const file = fs.createWriteStream(path.join(directory, name));
    stream.pipe(file);
    file.on('finish', () => done(null, `Stored as ${name}`));
  },
});
server.listen(Number(port), '127.0.0.1');
