// SPDX-License-Identifier: Apache-2.0

// Connects, eight at a time, to the server of cluster.js: ADDRESS PORT CERTIFICATE COUNT LENGTH.
// Prints how many connections each worker answered, and what was seen. Fails at the first wrong or
// broken answer.
'use strict';
const crypto = require('crypto'), fs = require('fs'), tls = require('tls');
const [address, port, certificate, count, length] = process.argv.slice(2);
const ca = fs.readFileSync(certificate), body = crypto.randomBytes(+length);
const want = crypto.createHash('sha256').update(body).digest('hex');
const result = { workers: {}, peers: {}, locals: {}, protocols: {} };

function one() {
  return new Promise((resolve, reject) => {
    const options = { host: address, port: +port, ca, servername: 'mino.test' };
    const socket = tls.connect(options, () => {
      if (!socket.authorized) reject(new Error(`not authorized: ${socket.authorizationError}`));
      result.locals[socket.localAddress] = 1;
      const head = Buffer.alloc(4);
      head.writeUInt32BE(body.length);
      socket.write(head);
      socket.write(body);
    });
    const chunks = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('end', () => {
      const all = Buffer.concat(chunks), line = all.indexOf('\n');
      if (line < 0) return reject(new Error(`the answer ended after ${all.length} bytes`));
      const answer = JSON.parse(all.subarray(0, line));
      if (answer.sha256 !== want) return reject(new Error('the server received something else'));
      if (!all.subarray(line + 1).equals(body)) return reject(new Error('something else came back'));
      result.workers[answer.pid] = (result.workers[answer.pid] || 0) + 1;
      result.peers[answer.peer] = 1;
      result.protocols[answer.protocol] = 1;
      resolve();
    });
  });
}

let left = +count;
async function work() { while (left-- > 0) await one(); }
Promise.all(Array.from({ length: 8 }, work)).then(() => {
  for (const name of ['peers', 'locals', 'protocols']) result[name] = Object.keys(result[name]);
  console.log(JSON.stringify(result));
}).catch((error) => { console.error(String(error)); process.exit(1); });
