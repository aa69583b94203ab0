// Nodemailer with its pooled transport and one connection.
const fs = require('fs');
const env = process.env;
const transport = require('nodemailer').createTransport({
  host: '127.0.0.1', port: Number(env.PORT), secure: false, pool: true, maxConnections: 1,
  requireTLS: Boolean(env.SMTP_USER), ignoreTLS: !env.SMTP_USER,
  tls: env.SMTP_USER ? { ca: fs.readFileSync(env.CA_FILE) } : undefined,
  auth: env.SMTP_USER ? { user: env.SMTP_USER, pass: env.SMTP_PASSWORD } : undefined,
});

async function main() {
  for (let number = 0; number < Number(env.COUNT); number++) {
    if (number) await new Promise((done) => setTimeout(done, Number(env.PAUSE) * 1000));
    try {
      const info = await transport.sendMail({
        from: env.SENDER, to: env.RECIPIENTS.split(','), subject: env.SUBJECT,
        text: fs.readFileSync(env.TEXT, 'utf8'), attachments: [{ path: env.ATTACHMENT }],
      });
      const errors = (info.rejectedErrors || []).map((error) => error.response);
      console.log('sendMail() returned', JSON.stringify({
        accepted: info.accepted, rejected: info.rejected, rejectedErrors: errors,
      }));
    } catch (error) {
      const { code, responseCode, command } = error;
      console.log(`Error: ${error.message}`, JSON.stringify({ code, responseCode, command }));
    }
  }
  transport.close();
}
main();
